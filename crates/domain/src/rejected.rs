//! Requests that were turned away, kept for a while outside the log: bounded and best effort, because anybody can send
//! them. A flood must neither fill the log or the disk nor delay a delivery.
//!
//! What is kept of one never holds a secret in clear, nor a signature that might be right.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ContentHash, HeaderFact, SourceName, TenantId, Timestamp};

/// A request that was turned away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RejectedRequest {
    /// Its request id, as in the answer and in the logs.
    pub request_id: Uuid,
    /// When its first byte was read.
    pub received_at: Timestamp,
    /// Who may see it. Nobody was verified, so it is whoever the secrets belong to that would have been tried.
    pub tenant: TenantId,
    /// The source that it was sent to.
    pub source: SourceName,
    /// The connection in its path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection: Option<String>,
    /// Why, in the word of the metrics, such as `signature_invalid`.
    pub reason: String,
    /// The code of the answer, such as `SIGNATURE_INVALID`.
    pub code: String,
    /// The status of the answer.
    pub status: u16,
    /// What the sender was told.
    pub message: String,
    /// The address that it came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remote: Option<IpAddr>,
    /// Its headers, those with a secret masked.
    pub headers: Vec<HeaderFact>,
    /// How many more headers it had, beyond what is kept of one request.
    #[serde(default)]
    pub headers_left_out: u32,
    /// The length that it announced.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub announced_bytes: Option<u64>,
    /// How much of its body was read; none when nothing was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body_bytes: Option<u64>,
    /// SHA-256 of what was read of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<ContentHash>,
    /// Whether its body is kept.
    #[serde(default)]
    pub body_kept: bool,
    /// Its body, whole; none where it is not kept, and in lists.
    #[serde(skip)]
    pub body: Option<Bytes>,
    /// How many of its source and reason were turned away since the last one kept, and only counted.
    #[serde(default)]
    pub left_out_before: u64,
}

impl RejectedRequest {
    /// Whether a filter's word means it: its reason or its code, without regard to case.
    #[must_use]
    pub fn is_for(&self, reason: &str) -> bool {
        self.reason.eq_ignore_ascii_case(reason) || self.code.eq_ignore_ascii_case(reason)
    }
}

/// Which rejected requests are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedFilter {
    /// Whose.
    pub tenant: TenantId,
    /// Sent to this source.
    pub source: Option<SourceName>,
    /// With this reason or code.
    pub reason: Option<String>,
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// How many of one kind are kept at present.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RejectedKind {
    /// The source.
    pub source: String,
    /// The reason.
    pub reason: String,
    /// Requests kept.
    pub kept: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectedPage {
    /// The requests, the newest first.
    pub requests: Vec<RejectedRequest>,
    /// What is kept of the tenant's, whatever the filter.
    pub kinds: Vec<RejectedKind>,
}

/// Why rejected requests can't be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectedError {
    /// They can't be reached; try again later.
    #[error("rejected requests can't be read: {0}")]
    Unavailable(String),
}

/// Keeps rejected requests. It returns at once and never fails: what there is no room for is counted and dropped.
pub trait KeepRejected: Send + Sync {
    /// Keeps one.
    fn keep(&self, request: RejectedRequest);
}

/// Keeps none.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepNone;

impl KeepRejected for KeepNone {
    fn keep(&self, _: RejectedRequest) {}
}

/// Shows rejected requests.
#[async_trait]
pub trait FindRejected: Send + Sync {
    /// The newest that fit a filter.
    async fn find(&self, filter: &RejectedFilter) -> Result<RejectedPage, RejectedError>;

    /// One of a tenant's, by its request id.
    async fn get(
        &self,
        tenant: &TenantId,
        request_id: Uuid,
    ) -> Result<Option<RejectedRequest>, RejectedError>;
}
