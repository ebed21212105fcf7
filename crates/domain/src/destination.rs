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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::recorded_as;

    fn pause(by: &str) -> DestinationCommand {
        DestinationCommand::Pause(DestinationPaused {
            paused_by: by.into(),
            reason: Some("it answered 410 Gone".into()),
        })
    }

    fn resume() -> DestinationCommand {
        DestinationCommand::Resume(DestinationResumed {
            resumed_by: "alice".into(),
        })
    }

    /// A destination after commands, each at a revision of its own.
    fn after(commands: &[DestinationCommand]) -> DestinationState {
        let mut state = DestinationState::new(TenantId::default(), "orders".parse().unwrap());
        for (n, command) in (0_u64..).zip(commands) {
            let fact = state.decide(command.clone()).unwrap();
            let append = state.append(&fact, EventId::new(uuid::Uuid::from_u128(n.into())));
            let expected = n.checked_sub(1).map(Revision::new);
            assert_eq!(
                append.expected,
                expected.map_or(Expected::NoStream, Expected::Revision)
            );
            let new = append.events.into_iter().next().unwrap();
            let at = Timestamp::from_millis(i64::try_from(n).unwrap());
            let event = recorded_as(new, append.stream, n, n + 1, at);
            state.evolve(&event).unwrap();
        }
        state
    }

    #[track_caller]
    fn check(given: &[DestinationCommand], when: DestinationCommand, then: Option<&str>) {
        let decided = after(given).decide(when);
        assert_eq!(
            decided.as_ref().map(DestinationEvent::type_name),
            then,
            "{decided:?}"
        );
    }

    #[test]
    fn a_destination_is_paused_and_resumed_once() {
        check(&[], pause("hooklog"), Some("DestinationPaused"));
        check(&[], resume(), None);
        check(&[pause("hooklog")], pause("alice"), None);
        check(&[pause("hooklog")], resume(), Some("DestinationResumed"));
        check(&[pause("hooklog"), resume()], resume(), None);
        check(
            &[pause("hooklog"), resume()],
            pause("alice"),
            Some("DestinationPaused"),
        );
    }

    #[test]
    fn the_state_says_who_paused_it_why_and_since_when() {
        let state = after(&[pause("alice"), resume(), pause("hooklog")]);
        let (paused, at) = state.paused.clone().unwrap();
        assert_eq!(
            (paused.paused_by.as_str(), at),
            ("hooklog", Timestamp::from_millis(2))
        );
        assert_eq!(paused.reason.as_deref(), Some("it answered 410 Gone"));
        assert_eq!(state.stream().as_str(), "destination-default.orders");
        assert_eq!(after(&[pause("alice"), resume()]).paused, None);
    }

    #[test]
    fn a_type_of_a_later_version_changes_the_revision_only_and_damage_is_an_error() {
        let mut state = after(&[pause("alice")]);
        let paused = state.paused.clone();
        let fact = DestinationEvent::Resumed(DestinationResumed {
            resumed_by: "bob".into(),
        });
        let new = state
            .append(&fact, EventId::new(uuid::Uuid::from_u128(9)))
            .events
            .remove(0);
        let mut event = recorded_as(new, state.stream(), 1, 2, Timestamp::default());
        event.metadata = Bytes::from_static(b"[]");
        assert!(state.evolve(&event).is_err());
        event.event_type = "DestinationPainted".parse().unwrap();
        state.evolve(&event).unwrap();
        assert_eq!((state.paused, state.revision), (paused, Some(Revision::new(1))));
    }
}
