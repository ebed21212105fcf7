//! The ports by which keys are made and looked up, and the audit trail is written and read. Implemented over the log,
//! asked by the API.

use std::sync::Arc;

use async_trait::async_trait;

use super::{ActionAudited, AuditOutcome, KeyDirectory, KeyId, KeyState, KeyText, Scope};
use crate::{CommandError, EventId, KeyName, TenantId, Timestamp};

/// An order to make a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Whose deliveries it sees.
    pub tenant: TenantId,
    /// What people call it.
    pub name: KeyName,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
    /// Who makes it.
    pub created_by: String,
}

/// A key that was made. Its text is known from here only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeKey {
    /// What the log knows of it.
    pub key: KeyState,
    /// The key itself, to be shown once.
    pub text: KeyText,
}

/// Knows the keys, makes and revokes them. What it made or revoked holds at once.
#[async_trait]
pub trait Keys: Send + Sync {
    /// All keys as the log tells; `None` until it has been read, and nobody is let in before.
    fn directory(&self) -> Option<Arc<KeyDirectory>>;

    /// Makes a key.
    async fn create(&self, order: NewKey) -> Result<MadeKey, CommandError>;

    /// Revokes a key; one that is revoked already stays as it is.
    async fn revoke(&self, id: &KeyId, revoked_by: String) -> Result<KeyState, CommandError>;
}

/// Where a page of the audit trail ends: a day, in days since 1970, and a revision of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditMark {
    /// The day.
    pub day: u64,
    /// Only what stands before this revision is older.
    pub before: u64,
}

/// An action and its end, where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// The event that tells of its beginning.
    pub id: EventId,
    /// When it began.
    pub at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What, by whom, and what came of it.
    pub action: ActionAudited,
}

/// Which actions of the trail somebody wants; what is left out does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditWanted {
    /// Who did it.
    pub by: Option<String>,
    /// What was done: an action, or what stands before a dot of it, such as `replay`.
    pub action: Option<String>,
    /// What came of it.
    pub outcome: Option<AuditOutcome>,
}

impl AuditWanted {
    /// Whether an action is wanted.
    #[must_use]
    pub fn fits(&self, action: &ActionAudited) -> bool {
        let is_of = |wanted: &String| {
            let rest = action.action.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.by.as_ref().is_none_or(|by| *by == action.by)
            && self.action.as_ref().is_none_or(is_of)
            && self.outcome.is_none_or(|outcome| outcome == action.outcome)
    }
}

/// A part of the audit trail, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The actions.
    pub records: Vec<AuditRecord>,
    /// Where it goes on, if it does.
    pub next: Option<AuditMark>,
}

/// Writes and reads the audit trail.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Writes an event; it is durable when this returns. The end of an action goes to the stream where it began.
    async fn record(&self, action: ActionAudited) -> Result<EventId, CommandError>;

    /// Reads what is wanted of a tenant's trail before a mark, from now on backwards without one.
    async fn page(
        &self,
        tenant: &TenantId,
        wanted: &AuditWanted,
        before: Option<AuditMark>,
        limit: usize,
    ) -> Result<AuditPage, CommandError>;
}
