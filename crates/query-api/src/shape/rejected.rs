//! Requests that were turned away.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{RejectedKind, RejectedPage, RejectedRequest};
use poem_openapi::Object;
use serde::Serialize;

use super::delivery::HeaderShape;

/// A request that was turned away, as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "RejectedRequest", rename_all = "camelCase")]
pub(crate) struct RejectedRow {
    /// Its request id, as in the answer that its sender got (`requestId`, `X-Request-Id`) and in the logs.
    pub(crate) id: String,
    /// When it was received.
    pub(crate) timestamp: String,
    /// The source that it was sent to.
    pub(crate) source: String,
    /// The connection in its path.
    pub(crate) connection: Option<String>,
    /// Why, in the word of the metrics, such as `signature_invalid`.
    pub(crate) reason: String,
    /// The code of the answer, such as `SIGNATURE_INVALID`.
    pub(crate) code: String,
    /// The status of the answer.
    pub(crate) status: u16,
    /// What its sender was told.
    pub(crate) message: String,
    /// The address that it came from.
    pub(crate) remote: Option<String>,
    /// Its headers. Secrets are masked, and so is every signature that might be right.
    pub(crate) headers: Vec<HeaderShape>,
    /// Headers beyond what is kept of one request.
    pub(crate) headers_left_out: u32,
    /// The length that it announced.
    pub(crate) announced_bytes: Option<u64>,
    /// How much of its body was read; null when nothing was.
    pub(crate) body_bytes: Option<u64>,
    /// SHA-256 of what was read of it.
    pub(crate) sha256: Option<String>,
    /// Whether its body is kept.
    pub(crate) body_kept: bool,
    /// Requests of its source and reason that were turned away since the one kept before it, and only counted.
    pub(crate) left_out_before: u64,
}

/// A request that was turned away, with its body.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct RejectedDetail {
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) row: RejectedRow,
    /// Its body, where it is kept and is a text.
    pub(crate) body: Option<String>,
    /// Its body, where it is kept and is no text.
    pub(crate) body_base64: Option<String>,
}

/// How many requests of one kind are kept at present.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[oai(rename = "RejectedKind")]
pub(crate) struct RejectedKindShape {
    /// The source.
    pub(crate) source: String,
    /// The reason.
    pub(crate) reason: String,
    /// Requests kept.
    pub(crate) kept: u64,
}

/// The newest requests that were turned away.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
pub(crate) struct RejectedList {
    /// The requests, the newest first.
    pub(crate) rejected: Vec<RejectedRow>,
    /// What is kept at present, whatever was asked for.
    pub(crate) kinds: Vec<RejectedKindShape>,
    /// The most requests of this answer.
    pub(crate) limit: u32,
}

impl From<RejectedRequest> for RejectedRow {
    fn from(request: RejectedRequest) -> Self {
        let headers = request.headers.into_iter();
        Self {
            id: request.request_id.to_string(),
            timestamp: request.received_at.to_string(),
            source: request.source.to_string(),
            connection: request.connection,
            reason: request.reason,
            code: request.code,
            status: request.status,
            message: request.message,
            remote: request.remote.map(|address| address.to_string()),
            headers: headers
                .map(|header| HeaderShape {
                    name: header.0,
                    value: header.1,
                })
                .collect(),
            headers_left_out: request.headers_left_out,
            announced_bytes: request.announced_bytes,
            body_bytes: request.body_bytes,
            sha256: request.sha256.map(|hash| hash.to_string()),
            body_kept: request.body_kept,
            left_out_before: request.left_out_before,
        }
    }
}

impl From<RejectedRequest> for RejectedDetail {
    fn from(mut request: RejectedRequest) -> Self {
        let body = request.body.take();
        let text = body.as_ref().and_then(|body| std::str::from_utf8(body).ok());
        let base64 = body.as_ref().filter(|_| text.is_none());
        Self {
            body: text.map(str::to_owned),
            body_base64: base64.map(|body| STANDARD.encode(body)),
            row: request.into(),
        }
    }
}

impl RejectedList {
    /// What was found, of at most so many.
    pub(crate) fn new(page: RejectedPage, limit: u32) -> Self {
        let kind = |kind: RejectedKind| RejectedKindShape {
            source: kind.source,
            reason: kind.reason,
            kept: kind.kept,
        };
        Self {
            rejected: page.requests.into_iter().map(RejectedRow::from).collect(),
            kinds: page.kinds.into_iter().map(kind).collect(),
            limit,
        }
    }
}
