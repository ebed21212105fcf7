//! The events of a source's stream. Who did it is always kept.

use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{SealedSecret, SecretId, SourceTerms};
use crate::{EventData, EventId, EventType, NewEvent, RecordedEvent, SourceName, TenantId, Timestamp};

/// A source was added. After a removal it may be added again, by whoever it belonged to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceAdded {
    /// Its name.
    pub source: SourceName,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub terms: SourceTerms,
    /// Its first secret; none where nothing has to be proved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<SealedSecret>,
    /// Who added it.
    pub added_by: String,
}

/// It is another one now, but for its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceChanged {
    /// What it is from now on, as a whole.
    pub terms: SourceTerms,
    /// Who changed it.
    pub changed_by: String,
}

/// One more secret verifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSecretAdded {
    /// The secret.
    pub secret: SealedSecret,
    /// Who added it.
    pub added_by: String,
}

/// A new secret takes the place of those of its tenant and hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSecretRotated {
    /// The new secret.
    pub secret: SealedSecret,
    /// The secrets whose place it takes.
    pub replaces: Vec<SecretId>,
    /// Until when they verify beside it.
    pub valid_until: Timestamp,
    /// Who rotated it.
    pub rotated_by: String,
}

/// A secret verifies nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSecretRevoked {
    /// Which one.
    pub secret: SecretId,
    /// Who revoked it.
    pub revoked_by: String,
}

/// Secrets are encrypted with another key; they are the same secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSecretsResealed {
    /// The secrets, as they are encrypted from now on.
    pub secrets: Vec<SealedSecret>,
    /// Who asked for it.
    pub resealed_by: String,
}

/// It takes no deliveries until it is resumed: senders are asked to come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourcePaused {
    /// Who paused it.
    pub paused_by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// It takes deliveries again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceResumed {
    /// Who resumed it.
    pub resumed_by: String,
}

/// There is no such source any more. Its deliveries stay, and so does its name with its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRemoved {
    /// Who removed it.
    pub removed_by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// An event of a source's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// `SourceAdded`.
    Added(SourceAdded),
    /// `SourceChanged`.
    Changed(SourceChanged),
    /// `SourceSecretAdded`.
    SecretAdded(SourceSecretAdded),
    /// `SourceSecretRotated`.
    SecretRotated(SourceSecretRotated),
    /// `SourceSecretRevoked`.
    SecretRevoked(SourceSecretRevoked),
    /// `SourceSecretsResealed`.
    SecretsResealed(SourceSecretsResealed),
    /// `SourcePaused`.
    Paused(SourcePaused),
    /// `SourceResumed`.
    Resumed(SourceResumed),
    /// `SourceRemoved`.
    Removed(SourceRemoved),
}

impl SourceEvent {
    /// The newest schema of their metadata.
    pub const SCHEMA: u16 = 1;

    /// The wire name.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Added(_) => "SourceAdded",
            Self::Changed(_) => "SourceChanged",
            Self::SecretAdded(_) => "SourceSecretAdded",
            Self::SecretRotated(_) => "SourceSecretRotated",
            Self::SecretRevoked(_) => "SourceSecretRevoked",
            Self::SecretsResealed(_) => "SourceSecretsResealed",
            Self::Paused(_) => "SourcePaused",
            Self::Resumed(_) => "SourceResumed",
            Self::Removed(_) => "SourceRemoved",
        }
    }

    /// Whether receiving has to be asked before it stands: other terms, or other secrets.
    #[must_use]
    pub const fn changes_what_it_is(&self) -> bool {
        match self {
            Self::Added(_) | Self::Changed(_) | Self::SecretAdded(_) | Self::SecretRotated(_) => true,
            // What could be used with a secret can be used without it; and of several that are lost each has to go.
            Self::SecretRevoked(_)
            | Self::SecretsResealed(_)
            | Self::Paused(_)
            | Self::Resumed(_)
            | Self::Removed(_) => false,
        }
    }

    /// Reads the metadata of an event; `None` for events of other types.
    ///
    /// # Errors
    /// When the event claims to be one of these but can't be read.
    pub fn of(event: &RecordedEvent) -> Option<Result<Self, serde_json::Error>> {
        let metadata = &event.metadata;
        Some(match event.event_type.as_str() {
            "SourceAdded" => serde_json::from_slice(metadata).map(Self::Added),
            "SourceChanged" => serde_json::from_slice(metadata).map(Self::Changed),
            "SourceSecretAdded" => serde_json::from_slice(metadata).map(Self::SecretAdded),
            "SourceSecretRotated" => serde_json::from_slice(metadata).map(Self::SecretRotated),
            "SourceSecretRevoked" => serde_json::from_slice(metadata).map(Self::SecretRevoked),
            "SourceSecretsResealed" => serde_json::from_slice(metadata).map(Self::SecretsResealed),
            "SourcePaused" => serde_json::from_slice(metadata).map(Self::Paused),
            "SourceResumed" => serde_json::from_slice(metadata).map(Self::Resumed),
            "SourceRemoved" => serde_json::from_slice(metadata).map(Self::Removed),
            _ => return None,
        })
    }

    /// The event as the log takes it. Its metadata may be longer than the log takes; the log says so.
    #[must_use]
    pub fn to_event(&self, id: EventId) -> NewEvent {
        let metadata = match self {
            Self::Added(fact) => serde_json::to_vec(fact),
            Self::Changed(fact) => serde_json::to_vec(fact),
            Self::SecretAdded(fact) => serde_json::to_vec(fact),
            Self::SecretRotated(fact) => serde_json::to_vec(fact),
            Self::SecretRevoked(fact) => serde_json::to_vec(fact),
            Self::SecretsResealed(fact) => serde_json::to_vec(fact),
            Self::Paused(fact) => serde_json::to_vec(fact),
            Self::Resumed(fact) => serde_json::to_vec(fact),
            Self::Removed(fact) => serde_json::to_vec(fact),
        };
        NewEvent {
            id,
            event_type: EventType::from_str(self.type_name())
                .unwrap_or_else(|_| unreachable!("the constants are alphanumeric")),
            schema: Self::SCHEMA,
            // Only strings, numbers and JSON: serialising into memory cannot fail.
            metadata: metadata.unwrap_or_default().into(),
            data: EventData::Inline(Bytes::new()),
        }
    }
}
