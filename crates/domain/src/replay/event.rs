//! The events of a replay's stream.

use std::str::FromStr;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::filter::ReplayFilter;
use crate::{
    DestinationName, EventData, EventId, EventType, NewEvent, Position, RecordedEvent, ReplayId, ReplayTo,
    TenantId,
};

/// Somebody ordered a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayRequested {
    /// Whose deliveries.
    pub tenant: TenantId,
    /// Its id.
    pub replay: ReplayId,
    /// Which deliveries.
    pub filter: ReplayFilter,
    /// Where they go.
    pub to: ReplayTo,
    /// The destinations it is narrowed to; none for all that want the delivery.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub destinations: Vec<DestinationName>,
    /// Whether only destinations that were given up are tried again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub dead_only: bool,
    /// The most deliveries a second.
    pub rate_per_second: u32,
    /// Only what stands in the log up to and including this position, in the state of that position.
    pub to_position: Position,
    /// How many deliveries that are, where it was counted before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expected: Option<u64>,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// What a replay did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayCounts {
    /// Deliveries that fitted the filter.
    pub matched: u64,
    /// Of these, the ones asked for again.
    pub requested: u64,
    /// Of these, the ones that could not be: their events can't be read, or nothing was left to do.
    pub skipped: u64,
}

/// It went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayProgressed {
    /// Everything up to and including this position is done.
    pub upto: Position,
    /// What it did so far.
    pub counts: ReplayCounts,
}

/// It reached its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayCompleted {
    /// What it did.
    pub counts: ReplayCounts,
}

/// Somebody stopped it. What was asked for before stays asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayCancelled {
    /// Who.
    pub cancelled_by: String,
}

/// It could not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayFailed {
    /// Why.
    pub error: String,
    /// What it did until then.
    pub counts: ReplayCounts,
}

/// An event of a replay's stream.
#[allow(
    clippy::large_enum_variant,
    reason = "one is made at a time and never kept in numbers; boxing would burden everyone who matches"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayEvent {
    /// `ReplayRequested`.
    Requested(ReplayRequested),
    /// `ReplayProgressed`.
    Progressed(ReplayProgressed),
    /// `ReplayCompleted`.
    Completed(ReplayCompleted),
    /// `ReplayCancelled`.
    Cancelled(ReplayCancelled),
    /// `ReplayFailed`.
    Failed(ReplayFailed),
}

impl ReplayEvent {
    /// The schema of their metadata. An order by the error of what was given up is one that older versions can't read.
    #[must_use]
    pub fn schema(&self) -> u16 {
        match self {
            Self::Requested(fact) if !fact.filter.cause().is_any() => 2,
            Self::Requested(_)
            | Self::Progressed(_)
            | Self::Completed(_)
            | Self::Cancelled(_)
            | Self::Failed(_) => 1,
        }
    }

    /// The wire name.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Requested(_) => "ReplayRequested",
            Self::Progressed(_) => "ReplayProgressed",
            Self::Completed(_) => "ReplayCompleted",
            Self::Cancelled(_) => "ReplayCancelled",
            Self::Failed(_) => "ReplayFailed",
        }
    }

    /// Reads the metadata of an event; `None` for events of other types.
    ///
    /// # Errors
    /// When the event claims to be one of these but can't be read.
    pub fn of(event: &RecordedEvent) -> Option<Result<Self, serde_json::Error>> {
        fn read<T: DeserializeOwned>(event: &RecordedEvent) -> serde_json::Result<T> {
            serde_json::from_slice(&event.metadata)
        }
        Some(match event.event_type.as_str() {
            "ReplayRequested" => read(event).map(Self::Requested),
            "ReplayProgressed" => read(event).map(Self::Progressed),
            "ReplayCompleted" => read(event).map(Self::Completed),
            "ReplayCancelled" => read(event).map(Self::Cancelled),
            "ReplayFailed" => read(event).map(Self::Failed),
            _ => return None,
        })
    }

    /// The event to append.
    #[must_use]
    pub fn to_event(&self, id: EventId) -> NewEvent {
        let metadata = match self {
            Self::Requested(fact) => serde_json::to_vec(fact),
            Self::Progressed(fact) => serde_json::to_vec(fact),
            Self::Completed(fact) => serde_json::to_vec(fact),
            Self::Cancelled(fact) => serde_json::to_vec(fact),
            Self::Failed(fact) => serde_json::to_vec(fact),
        };
        NewEvent {
            id,
            event_type: EventType::from_str(self.type_name())
                .unwrap_or_else(|_| unreachable!("the constants are alphanumeric")),
            schema: self.schema(),
            // Only strings, numbers and lists: serialising into memory cannot fail.
            metadata: metadata.unwrap_or_default().into(),
            data: EventData::Inline(Bytes::new()),
        }
    }
}
