//! What receiving would do with a request, and why: what the port is told is what is shown. No secret and no signature.

use poem_openapi::Object;
use serde::Serialize;

/// A check of receiving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub struct RequestCheck {
    /// Which one: `source`, `connection`, `user_agent`, `headers`, `content_encoding`, `signature_form`, `body`, `signature`,
    /// `json_object`, `freshness` or `event_filter`.
    pub name: String,
    /// `passed`, `failed` or `skipped`.
    pub outcome: String,
    /// What there is to say, in one sentence; never a signature or a secret.
    pub message: String,
    /// What to look at.
    pub hint: Option<String>,
}

/// What receiving would do with a request, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CheckedRequest {
    /// The source that was asked about.
    pub source: String,
    /// Its scheme; null for a source that is not known.
    pub scheme: Option<String>,
    /// Whether it proves where it comes from and would be answered 200.
    pub verified: bool,
    /// `accepted`, `ignored` (answered 200 and not kept, because the source does not want such events) or `rejected`.
    pub would_be: String,
    /// The checks that apply, in the order of receiving; the first that failed decides.
    pub checks: Vec<RequestCheck>,
    /// The id of the secret that fits.
    pub secret_id: Option<String>,
    /// Whose delivery it would be.
    pub tenant: Option<String>,
    /// The event, of a request whose signature fits, as are all that follow.
    pub event: Option<String>,
    /// The action within it.
    pub action: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// The sender's id of the delivery.
    pub delivery_id: Option<String>,
}
