//! The outcome events of a delivery's stream.
//!
//! Each repeats the facts of the receipt but its headers, so that no projection has to look anything up.

use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::attempt::{Attempt, Failure};
use super::standing::Standing;
use crate::{
    DeliveryReceived, DeliveryStatus, DestinationName, EventData, EventId, EventType, NewEvent, Position,
    RecordedEvent, ReplayId, StreamName, Timestamp,
};

/// What the log added to the receipt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Id of the event `DeliveryReceived`.
    pub event_id: EventId,
    /// Its position.
    pub position: Position,
    /// When the log took it.
    pub recorded_at: Timestamp,
    /// The stream of the delivery that it repeats.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duplicate_of: Option<StreamName>,
}

/// An attempt failed, and a next one is planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryFailed {
    /// Where it was to go.
    pub destination: DestinationName,
    /// The event that opened the round: the receipt, or a request to replay.
    pub round: EventId,
    /// The attempt, with its failure.
    pub attempt: Attempt,
    /// When the next attempt is due.
    pub next_attempt_at: Timestamp,
}

/// A destination is done with the delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryProcessed {
    /// Where it went.
    pub destination: DestinationName,
    /// The event that opened the round.
    pub round: EventId,
    /// The attempt that succeeded; none when nothing had to be sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<Attempt>,
    /// Why nothing had to be sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skipped: Option<String>,
}

/// A destination was given up, to be looked at by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryDeadLettered {
    /// Where it was to go.
    pub destination: DestinationName,
    /// The event that opened the round.
    pub round: EventId,
    /// All attempts of the round, the last one last.
    pub history: Vec<Attempt>,
    /// Why it was given up.
    pub failure: Failure,
}

/// Where a replay goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayTo {
    /// To the destinations, again.
    Processing,
    /// To the subjects of the stream, again; the status stays as it is.
    Subjects,
}

/// Somebody asked for it to be done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryReplayRequested {
    /// Where it goes.
    pub to: ReplayTo,
    /// The destinations that open again; none for the subjects.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub destinations: Vec<DestinationName>,
    /// The replay that it belongs to; none for a sender's repeat of a dead letter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replay: Option<ReplayId>,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// `DeliveryFailed`.
    Failed(DeliveryFailed),
    /// `DeliveryProcessed`.
    Processed(DeliveryProcessed),
    /// `DeliveryDeadLettered`.
    DeadLettered(DeliveryDeadLettered),
    /// `DeliveryReplayRequested`.
    ReplayRequested(DeliveryReplayRequested),
}

impl Outcome {
    /// The wire names, in the order of the variants.
    pub const TYPES: [&'static str; 4] = [
        "DeliveryFailed",
        "DeliveryProcessed",
        "DeliveryDeadLettered",
        "DeliveryReplayRequested",
    ];

    /// The wire name.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        let [failed, processed, dead_lettered, replay_requested] = Self::TYPES;
        match self {
            Self::Failed(_) => failed,
            Self::Processed(_) => processed,
            Self::DeadLettered(_) => dead_lettered,
            Self::ReplayRequested(_) => replay_requested,
        }
    }

    /// The destination it is about; none for a request.
    #[must_use]
    pub const fn destination(&self) -> Option<&DestinationName> {
        match self {
            Self::Failed(failed) => Some(&failed.destination),
            Self::Processed(processed) => Some(&processed.destination),
            Self::DeadLettered(dead) => Some(&dead.destination),
            Self::ReplayRequested(_) => None,
        }
    }

    /// The attempt that it is the end of, if it is one's.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Failed(failed) => Some(&failed.attempt),
            Self::Processed(processed) => processed.attempt.as_ref(),
            Self::DeadLettered(dead) => dead.history.last(),
            Self::ReplayRequested(_) => None,
        }
    }

    fn to_json(&self) -> serde_json::Result<Box<RawValue>> {
        match self {
            Self::Failed(detail) => serde_json::value::to_raw_value(detail),
            Self::Processed(detail) => serde_json::value::to_raw_value(detail),
            Self::DeadLettered(detail) => serde_json::value::to_raw_value(detail),
            Self::ReplayRequested(detail) => serde_json::value::to_raw_value(detail),
        }
    }

    fn from_json(type_name: &str, json: &str) -> Option<serde_json::Result<Self>> {
        let [failed, processed, dead_lettered, replay_requested] = Self::TYPES;
        Some(match type_name {
            name if name == failed => serde_json::from_str(json).map(Self::Failed),
            name if name == processed => serde_json::from_str(json).map(Self::Processed),
            name if name == dead_lettered => serde_json::from_str(json).map(Self::DeadLettered),
            name if name == replay_requested => serde_json::from_str(json).map(Self::ReplayRequested),
            _ => return None,
        })
    }
}

/// The metadata of the outcome events: facts of the receipt, what happened, and what it did to the status.
/// Their data is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryOutcome {
    /// The facts of the receipt, without its headers.
    pub delivery: DeliveryReceived,
    /// What the log added to them.
    pub receipt: Receipt,
    /// The status before.
    pub before: DeliveryStatus,
    /// The status from now on.
    pub after: DeliveryStatus,
    /// Attempts made so far, over all destinations and rounds, this one included.
    pub attempts: u32,
    /// Whether the delivery was asked for again before: times since its receipt then say nothing about us.
    pub replayed: bool,
    /// What is still wrong with it from now on, and what comes next, over all destinations.
    pub standing: Standing,
    /// What happened.
    pub outcome: Outcome,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    delivery: DeliveryReceived,
    receipt: Receipt,
    before: DeliveryStatus,
    after: DeliveryStatus,
    attempts: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    replayed: bool,
    #[serde(skip_serializing_if = "Standing::is_nothing", default)]
    standing: Standing,
    outcome: Box<RawValue>,
}

impl DeliveryOutcome {
    /// The newest schema of the metadata. Schema 1 did not know the headers of an attempt.
    pub const SCHEMA: u16 = 2;

    /// Reads the metadata of an event; `None` for events of other types.
    ///
    /// # Errors
    /// When the event claims to be an outcome but its metadata can't be read.
    pub fn of(event: &RecordedEvent) -> Option<Result<Self, serde_json::Error>> {
        let type_name = event.event_type.as_str();
        Outcome::TYPES
            .contains(&type_name)
            .then(|| Self::read(type_name, &event.metadata))
    }

    fn read(type_name: &str, metadata: &[u8]) -> Result<Self, serde_json::Error> {
        use serde::de::Error as _;
        let wire: Wire = serde_json::from_slice(metadata)?;
        let outcome = Outcome::from_json(type_name, wire.outcome.get())
            .unwrap_or_else(|| Err(serde_json::Error::custom("not an outcome")))?;
        Ok(Self {
            delivery: wire.delivery,
            receipt: wire.receipt,
            before: wire.before,
            after: wire.after,
            attempts: wire.attempts,
            replayed: wire.replayed,
            standing: wire.standing,
            outcome,
        })
    }

    /// The event to append. Where the whole would be too large for the log, it does without what stands elsewhere in the
    /// stream: first the reactors due at the receipt, then the oldest attempts of a history.
    #[must_use]
    pub fn to_event(&self, id: EventId) -> NewEvent {
        let mut fitting = self.clone();
        fitting.delivery.headers.clear();
        let mut metadata = fitting.to_metadata();
        if metadata.len() > NewEvent::METADATA_BYTES_MAX {
            fitting.delivery.reactors_due.clear();
            metadata = fitting.to_metadata();
        }
        while metadata.len() > NewEvent::METADATA_BYTES_MAX && fitting.forget_an_attempt() {
            metadata = fitting.to_metadata();
        }
        NewEvent {
            id,
            event_type: EventType::from_str(self.outcome.type_name())
                .unwrap_or_else(|_| unreachable!("the constants are alphanumeric")),
            schema: Self::SCHEMA,
            metadata,
            data: EventData::Inline(Bytes::new()),
        }
    }

    fn to_metadata(&self) -> Bytes {
        // Only strings, numbers and lists: serialising into memory cannot fail.
        let Ok(outcome) = self.outcome.to_json() else {
            return Bytes::new();
        };
        let wire = Wire {
            delivery: self.delivery.clone(),
            receipt: self.receipt.clone(),
            before: self.before,
            after: self.after,
            attempts: self.attempts,
            replayed: self.replayed,
            standing: self.standing.clone(),
            outcome,
        };
        serde_json::to_vec(&wire).unwrap_or_default().into()
    }

    fn forget_an_attempt(&mut self) -> bool {
        match &mut self.outcome {
            Outcome::DeadLettered(dead) if dead.history.len() > 1 => {
                dead.history.remove(0);
                true
            }
            Outcome::Failed(_)
            | Outcome::Processed(_)
            | Outcome::DeadLettered(_)
            | Outcome::ReplayRequested(_) => false,
        }
    }
}
