//! A delivery: the facts kept beside its body, and its status.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    ContentHash, DeliveryKey, EventType, RecordedEvent, SourceName, StreamName, TenantId, Timestamp,
};

/// A header as received. Values that are not UTF-8 are kept as Latin-1, one character a byte, which loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderFact(pub String, pub String);

/// How the delivery proved where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Proof {
    /// A signature or token over the raw bytes matched this secret (its id, never its value).
    #[serde(rename_all = "camelCase")]
    Verified {
        /// The id of the secret that matched.
        secret_id: String,
    },
    /// The source is configured with `verify = false`.
    Unverified,
    /// An older system's history.
    Imported,
}

/// What the delivery is about, where the sender says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// `workflow_job`, `pull_request`, `issue`, …
    pub kind: String,
    /// The sender's id of it.
    pub id: String,
}

/// The metadata of the event `DeliveryReceived`, schema 1. Its data is the body, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryReceived {
    /// Whose it is: the tenant of the secret that verified it.
    pub tenant: TenantId,
    /// The configured sender.
    pub source: SourceName,
    /// The signature scheme of the source.
    pub scheme: String,
    /// The key, unique within the tenant.
    pub key: DeliveryKey,
    /// The sender's hook, where it names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hook_id: Option<String>,
    /// The sender's id of the delivery, where it gives one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery_id: Option<String>,
    /// The event type, `unknown` where the sender names none.
    pub event: String,
    /// The action within the event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action: Option<String>,
    /// `owner/name`, as the sender spells it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository: Option<String>,
    /// Login of whoever caused it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entity: Option<Entity>,
    /// The headers kept, in their order; left out where an outcome repeats the facts of its receipt.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub headers: Vec<HeaderFact>,
    /// How it proved where it comes from.
    pub proof: Proof,
    /// When the first byte of the request was read.
    pub received_at: Timestamp,
    /// The address it came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remote: Option<IpAddr>,
    /// SHA-256 of the body.
    pub sha256: ContentHash,
    /// Length of the body in bytes.
    pub body_bytes: u64,
    /// The reactors that have to handle it; empty means processed when recorded.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reactors_due: Vec<String>,
    /// Made by `POST /api/webhooks/test`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub synthetic: bool,
    /// The request id of the receipt, as in the logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub correlation: Option<String>,
    /// The event that caused it, where one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub causation: Option<String>,
}

impl DeliveryReceived {
    /// The wire name of the event.
    pub const TYPE: &'static str = "DeliveryReceived";
    /// The newest schema of its metadata.
    pub const SCHEMA: u16 = 1;

    /// The wire name as a type.
    #[must_use]
    pub fn event_type() -> EventType {
        EventType::from_str(Self::TYPE).unwrap_or_else(|_| unreachable!("the constant is alphanumeric"))
    }

    /// The stream it stands in, at revision 0.
    #[must_use]
    pub fn stream(&self) -> StreamName {
        StreamName::of_delivery(&self.tenant, &self.key)
    }

    /// The metadata as the log keeps it.
    #[must_use]
    pub fn to_metadata(&self) -> Bytes {
        // Only strings, numbers and lists: serialising into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads the metadata of an event; `None` for events of other types.
    ///
    /// # Errors
    /// When the event claims this type but its metadata can't be read.
    pub fn of(event: &RecordedEvent) -> Option<Result<Self, serde_json::Error>> {
        (event.event_type.as_str() == Self::TYPE).then(|| serde_json::from_slice(&event.metadata))
    }

    /// The first value of a header, by name without regard to case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|h| h.0.eq_ignore_ascii_case(name))
            .map(|h| h.1.as_str())
    }

    /// The status right after receipt: nothing due is processed, without a second event. A marked duplicate has
    /// nothing due, and what is no destination keeps nothing open, as no outcome would ever close it.
    #[must_use]
    pub fn initial_status(&self, duplicate: bool) -> DeliveryStatus {
        if duplicate || self.destinations_due().next().is_none() {
            DeliveryStatus::Processed
        } else {
            DeliveryStatus::Received
        }
    }
}

/// What became of a delivery, from the log alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// In the log, its reactors are due.
    Received,
    /// Some destinations done, others open without a failure.
    Processing,
    /// A failure, and a next attempt planned.
    Retrying,
    /// All done.
    Processed,
    /// Given up, to be looked at by an operator.
    Dead,
}

impl DeliveryStatus {
    /// All, in the order of a life.
    pub const ALL: [Self; 5] = [
        Self::Received,
        Self::Processing,
        Self::Retrying,
        Self::Processed,
        Self::Dead,
    ];

    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processing => "processing",
            Self::Retrying => "retrying",
            Self::Processed => "processed",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for DeliveryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
