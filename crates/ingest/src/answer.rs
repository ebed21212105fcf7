//! What the sender is told.

use domain::{Position, SourceName};
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Body, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::receive::{Received, Stored};
use crate::rejection::Rejection;

/// An answer, ready to be sent: what `POST /api/webhooks/{source}` and `POST /api/webhooks/test` say.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The JSON body.
    pub json: Vec<u8>,
    /// The value of `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
    /// The id under which the request stands in the logs, also `X-Request-Id`.
    pub request_id: Uuid,
}

#[derive(Serialize)]
struct SuccessJson<'a> {
    success: bool,
    message: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignored: bool,
    data: DataJson<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DataJson<'a> {
    delivery_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    source: &'a SourceName,
    event: &'a str,
    action: Option<&'a str>,
    repository: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    success: bool,
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    code: &'static str,
    message: &'a str,
    request_id: Uuid,
}

impl Answer {
    /// For a delivery that is in the log, or that its source does not want.
    pub(crate) fn of(received: &Received, request_id: Uuid) -> Self {
        let (message, ignored, position, duplicate) = match &received.stored {
            Stored::New { position, .. } => ("delivery captured", false, Some(*position), false),
            Stored::Before { position, retried } => {
                let message = if *retried {
                    "delivery seen before and given up: a retry is queued"
                } else {
                    "delivery seen before"
                };
                (message, false, Some(*position), true)
            }
            Stored::Ignored => ("event not wanted by this source", true, None, false),
        };
        let duplicate_of = match &received.stored {
            Stored::New { duplicate_of, .. } => duplicate_of.as_ref().map(domain::StreamName::id),
            Stored::Before { .. } | Stored::Ignored => None,
        };
        let facts = &received.facts;
        let json = SuccessJson {
            success: true,
            message,
            ignored,
            data: DataJson {
                delivery_id: received.delivery_id.as_deref(),
                id: (!ignored).then(|| received.key.as_str()),
                source: &received.source,
                event: &facts.event,
                action: facts.action.as_deref(),
                repository: facts.repository.as_deref(),
                position,
                duplicate,
                duplicate_of,
            },
        };
        Self::json(StatusCode::OK, &json, None, request_id)
    }

    /// For a request that was not taken.
    pub(crate) fn rejected(rejection: &Rejection, retry_after_s: u64, request_id: Uuid) -> Self {
        let json = ErrorJson {
            success: false,
            error: ErrorBody {
                code: rejection.code(),
                message: &rejection.message(),
                request_id,
            },
        };
        let retry_after_s = rejection.retry_after_s(retry_after_s);
        Self::json(rejection.status(), &json, retry_after_s, request_id)
    }

    fn json(status: StatusCode, json: &impl Serialize, retry_after_s: Option<u64>, request_id: Uuid) -> Self {
        Self {
            status,
            // Strings and numbers only: serialising into memory cannot fail.
            json: serde_json::to_vec(json).unwrap_or_default(),
            retry_after_s,
            request_id,
        }
    }

    /// The JSON body, to be put into another document.
    #[must_use]
    pub fn raw_json(&self) -> Option<Box<RawValue>> {
        serde_json::from_slice(&self.json).ok()
    }

    /// The HTTP response. `close` ends the connection after it.
    pub(crate) fn into_response(self, close: bool) -> Response {
        let mut response = Response::builder()
            .status(self.status)
            .content_type("application/json");
        response = response.header("X-Request-Id", self.request_id.to_string());
        if let Some(seconds) = self.retry_after_s {
            response = response.header(header::RETRY_AFTER, seconds.to_string());
        }
        if close {
            response = response.header(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.body(Body::from(self.json))
    }
}
