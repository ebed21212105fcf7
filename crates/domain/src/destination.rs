//! A destination as an aggregate: whether it takes deliveries. What it is stands in the settings; that it was paused, by
//! whom and why, in the log, so that it stays paused over restarts.

use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    Append, DestinationName, EventData, EventId, EventType, Expected, NewEvent, RecordedEvent, Revision,
    StreamName, TenantId, Timestamp,
};

/// It takes no deliveries until it is resumed. Nothing is lost: what matches it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationPaused {
    /// Who paused it; `hooklog` when it answered 410 Gone.
    pub paused_by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// It takes deliveries again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationResumed {
    /// Who says so.
    pub resumed_by: String,
}

/// An event of a destination's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationEvent {
    /// `DestinationPaused`.
    Paused(DestinationPaused),
    /// `DestinationResumed`.
    Resumed(DestinationResumed),
}

impl DestinationEvent {
    /// The newest schema of their metadata.
    pub const SCHEMA: u16 = 1;

    /// The wire name.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Paused(_) => "DestinationPaused",
            Self::Resumed(_) => "DestinationResumed",
        }
    }

    /// Reads the metadata of an event; `None` for events of other types.
    ///
    /// # Errors
    /// When the event claims to be one of these but can't be read.
    pub fn of(event: &RecordedEvent) -> Option<Result<Self, serde_json::Error>> {
        match event.event_type.as_str() {
            "DestinationPaused" => Some(serde_json::from_slice(&event.metadata).map(Self::Paused)),
            "DestinationResumed" => Some(serde_json::from_slice(&event.metadata).map(Self::Resumed)),
            _ => None,
        }
    }

    fn to_event(&self, id: EventId) -> NewEvent {
        let metadata = match self {
            Self::Paused(fact) => serde_json::to_vec(fact),
            Self::Resumed(fact) => serde_json::to_vec(fact),
        };
        NewEvent {
            id,
            event_type: EventType::from_str(self.type_name())
                .unwrap_or_else(|_| unreachable!("the constants are alphanumeric")),
            schema: Self::SCHEMA,
            // Only strings: serialising into memory cannot fail.
            metadata: metadata.unwrap_or_default().into(),
            data: EventData::Inline(Bytes::new()),
        }
    }
}

/// Whether a destination takes deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationState {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: DestinationName,
    /// Who paused it, why, and when; none while it takes deliveries.
    pub paused: Option<(DestinationPaused, Timestamp)>,
    /// The stream's last revision; none while it has no event.
    pub revision: Option<Revision>,
}

/// What somebody wants of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationCommand {
    /// Hold back deliveries.
    Pause(DestinationPaused),
    /// Let them go.
    Resume(DestinationResumed),
}

impl DestinationState {
    /// A destination of which nothing is known yet: it takes deliveries.
    #[must_use]
    pub const fn new(tenant: TenantId, name: DestinationName) -> Self {
        Self {
            tenant,
            name,
            paused: None,
            revision: None,
        }
    }

    /// The state after the next event of its stream.
    ///
    /// # Errors
    /// When the event claims to be of this kind but can't be read.
    pub fn evolve(&mut self, event: &RecordedEvent) -> Result<(), serde_json::Error> {
        match DestinationEvent::of(event).transpose()? {
            Some(DestinationEvent::Paused(paused)) => self.paused = Some((paused, event.recorded_at)),
            Some(DestinationEvent::Resumed(_)) => self.paused = None,
            None => {}
        }
        self.revision = Some(event.revision);
        Ok(())
    }

    /// What follows from a command; `None` when it is so already.
    #[must_use]
    pub fn decide(&self, command: DestinationCommand) -> Option<DestinationEvent> {
        match command {
            DestinationCommand::Pause(paused) => {
                self.paused.is_none().then_some(DestinationEvent::Paused(paused))
            }
            DestinationCommand::Resume(resumed) => self
                .paused
                .is_some()
                .then_some(DestinationEvent::Resumed(resumed)),
        }
    }

    /// The stream it stands in.
    #[must_use]
    pub fn stream(&self) -> StreamName {
        StreamName::of_destination(&self.tenant, &self.name)
    }

    /// The append of a fact: it stands only if nothing happened to the destination since this state was read.
    #[must_use]
    pub fn append(&self, fact: &DestinationEvent, id: EventId) -> Append {
        Append {
            stream: self.stream(),
            expected: self.revision.map_or(Expected::NoStream, Expected::Revision),
            events: vec![fact.to_event(id)],
            content: None,
        }
    }
}
