//! Deliveries made by the process itself, to try the real path with.

use bytes::Bytes;
use domain::{SourceName, TenantId};
use serde_json::json;
use uuid::Uuid;

/// A delivery to be signed with its source's own secret and received like any other, marked `synthetic`.
#[derive(Debug, Clone)]
pub struct SyntheticDelivery {
    /// Whose delivery it is.
    pub tenant: TenantId,
    /// The source; none for the first one that has a secret of the tenant.
    pub source: Option<SourceName>,
    /// The event type.
    pub event: String,
    /// The body.
    pub body: Bytes,
    /// More headers, beside those of the scheme.
    pub headers: Vec<(String, String)>,
}

impl SyntheticDelivery {
    /// A small delivery about a repository. Each has a content of its own, so that none repeats another.
    #[must_use]
    pub fn example(event: &str, repository: &str, action: Option<&str>) -> Self {
        let (owner, name) = repository.split_once('/').unwrap_or(("", repository));
        let mut body = json!({
            "zen": "Keep it logically awesome.",
            "repository": {"full_name": repository, "name": name, "owner": {"login": owner}},
            "sender": {"login": "hooklog"},
            "hooklog": {"synthetic": true, "id": Uuid::new_v4()},
        });
        if let (Some(action), Some(members)) = (action, body.as_object_mut()) {
            members.insert("action".to_owned(), action.into());
        }
        Self {
            tenant: TenantId::default(),
            source: None,
            event: event.to_owned(),
            body: body.to_string().into(),
            headers: Vec::new(),
        }
    }
}
