//! What receiving would do with a request, and why.

use poem_openapi::Object;
use serde::Serialize;

use crate::ports::{CheckedRequest, RequestCheck};

/// A check of receiving.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[oai(rename = "RequestCheck")]
pub(crate) struct CheckShape {
    /// Which one: `source`, `connection`, `user_agent`, `headers`, `content_encoding`, `signature_form`, `body`, `signature`,
    /// `json_object`, `freshness` or `event_filter`.
    pub(crate) name: String,
    /// `passed`, `failed` or `skipped`.
    pub(crate) outcome: String,
    /// What there is to say, in one sentence; never a signature or a secret.
    pub(crate) message: String,
    /// What to look at.
    pub(crate) hint: Option<String>,
}

/// What receiving would do with a request, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "CheckedRequest", rename_all = "camelCase")]
pub(crate) struct CheckedShape {
    /// The source that was asked about.
    pub(crate) source: String,
    /// Its scheme; null for a source that is not known.
    pub(crate) scheme: Option<String>,
    /// Whether it proves where it comes from and would be answered 200.
    pub(crate) verified: bool,
    /// `accepted`, `ignored` (answered 200 and not kept, because the source does not want such events) or `rejected`.
    pub(crate) would_be: String,
    /// The checks that apply, in the order of receiving; the first that failed decides.
    pub(crate) checks: Vec<CheckShape>,
    /// The id of the secret that fits.
    pub(crate) secret_id: Option<String>,
    /// Whose delivery it would be.
    pub(crate) tenant: Option<String>,
    /// The event, of a request whose signature fits, as are all that follow.
    pub(crate) event: Option<String>,
    /// The action within it.
    pub(crate) action: Option<String>,
    /// The repository.
    pub(crate) repository: Option<String>,
    /// The sender's id of the delivery.
    pub(crate) delivery_id: Option<String>,
}

impl From<RequestCheck> for CheckShape {
    fn from(check: RequestCheck) -> Self {
        Self {
            name: check.name.to_owned(),
            outcome: check.outcome.to_owned(),
            message: check.message,
            hint: check.hint,
        }
    }
}

impl From<CheckedRequest> for CheckedShape {
    fn from(checked: CheckedRequest) -> Self {
        Self {
            source: checked.source,
            scheme: checked.scheme,
            verified: checked.verified,
            would_be: checked.would_be.to_owned(),
            checks: checked.checks.into_iter().map(CheckShape::from).collect(),
            secret_id: checked.secret_id,
            tenant: checked.tenant,
            event: checked.event,
            action: checked.action,
            repository: checked.repository,
            delivery_id: checked.delivery_id,
        }
    }
}
