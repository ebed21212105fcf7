//! The audit trail: what an operator did, from where, and what came of it.
//!
//! It stands in the log, a stream per tenant and day (UTC), `audit-<tenant>.<date>`, so that no stream grows without bound.
//! What was begun is written before it is done; its end is a second event of the same stream, so that a page of the trail
//! can join them. Never here: a key, a secret, a body.

use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::KeyId;
use crate::{EventData, EventId, EventType, NewEvent, RecordedEvent, StreamName, TenantId, Timestamp};

/// What came of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was allowed and is about to be done. Without a later event about it, its end is not known.
    Begun,
    /// It was done.
    Done,
    /// It was allowed but did not succeed; the status says why.
    Failed,
    /// It was not allowed.
    Refused,
}

impl AuditOutcome {
    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// Somebody did something, or tried to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionAudited {
    /// In whose name: the tenant of the key.
    pub tenant: TenantId,
    /// Who: the name of a key, or `loopback`, `local` or `anonymous`.
    pub by: String,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<KeyId>,
    /// What, such as `replay.start`.
    pub action: String,
    /// On what, where it is about one thing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// From where: an address, or `socket` and the user id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remote: Option<String>,
    /// The id of the request, as in the answer and in the logs.
    pub request_id: String,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// The status that was answered, once it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// The event that this one is the end of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub begun: Option<EventId>,
    /// Attempts refused since the last that was written down, which were not: a flood of them must not fill the log.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub unwritten: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl ActionAudited {
    /// The wire name of the event.
    pub const TYPE: &'static str = "ActionAudited";
    /// The newest schema of its metadata.
    pub const SCHEMA: u16 = 1;

    /// The stream of a tenant and a day.
    #[must_use]
    pub fn stream(tenant: &TenantId, at: Timestamp) -> StreamName {
        StreamName::of_audit(tenant, at)
    }

    /// The event as the log takes it.
    #[must_use]
    pub fn to_event(&self, id: EventId) -> NewEvent {
        NewEvent {
            id,
            event_type: EventType::from_str(Self::TYPE)
                .unwrap_or_else(|_| unreachable!("the constant is alphanumeric")),
            schema: Self::SCHEMA,
            // Only strings and numbers: serialising into memory cannot fail.
            metadata: serde_json::to_vec(self).unwrap_or_default().into(),
            data: EventData::Inline(Bytes::new()),
        }
    }

    /// Reads the metadata of an event; `None` for events of other types.
    ///
    /// # Errors
    /// When the event claims this type but its metadata can't be read.
    pub fn of(event: &RecordedEvent) -> Option<Result<Self, serde_json::Error>> {
        (event.event_type.as_str() == Self::TYPE).then(|| serde_json::from_slice(&event.metadata))
    }
}
