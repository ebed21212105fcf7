//! The state of a delivery: a fold of its stream.

use std::collections::BTreeMap;

use super::attempt::{Attempt, Failure};
use super::event::{DeliveryOutcome, Outcome, Receipt, ReplayTo};
use super::standing::{Standing, StandingFailure};
use crate::{
    DeliveryReceived, DeliveryStatus, DestinationName, EventData, EventId, EventLog, PageLimit, Position,
    ReadError, RecordedEvent, ReplayId, Revision, StreamName, Timestamp,
};

/// How far a destination is with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Still to be done.
    Open,
    /// Done.
    Done,
    /// Given up.
    Dead,
}

/// One go at a destination: from what opened it to its end. A request to replay opens another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The event that opened it; every attempt of the round carries it in its idempotency key.
    pub opened_by: EventId,
    /// Where that event stands.
    pub opened_at: Position,
    /// When the log took it.
    pub since: Timestamp,
    /// The replay that opened it, if one did.
    pub replay: Option<ReplayId>,
}

/// A destination's part of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationWork {
    /// How far it is.
    pub work: Work,
    /// The present round.
    pub round: Round,
    /// The failed attempts of the round, the last one last.
    pub attempts: Vec<Attempt>,
    /// When the next attempt is due; the time the round was opened before the first.
    pub due_at: Timestamp,
}

/// A delivery and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryState {
    /// The facts of its receipt, headers included.
    pub received: DeliveryReceived,
    /// What the log added to them.
    pub receipt: Receipt,
    /// Its body.
    pub data: EventData,
    /// The stream's last revision, to be expected by the next append.
    pub revision: Revision,
    /// The destinations it was ever due at.
    pub destinations: BTreeMap<DestinationName, DestinationWork>,
    /// Attempts made so far, over all destinations and rounds.
    pub attempts: u32,
    /// When the latest of them began.
    pub last_attempt_at: Option<Timestamp>,
    /// The failure that stands, the same that every outcome tells.
    pub failure: Option<Failure>,
    /// When its status last became `processed`.
    pub processed_at: Option<Timestamp>,
    /// The replays that were asked of it.
    pub replays: Vec<ReplayId>,
    /// Whether it was asked for again, to processing.
    pub replayed: bool,
}

impl DeliveryState {
    /// The state right after receipt; `None` when the event is no receipt.
    ///
    /// # Errors
    /// When the event claims to be one but can't be read.
    pub fn new(event: &RecordedEvent) -> Result<Option<Self>, serde_json::Error> {
        let Some(received) = DeliveryReceived::of(event).transpose()? else {
            return Ok(None);
        };
        let round = Round {
            opened_by: event.id,
            opened_at: event.position,
            since: event.recorded_at,
            replay: None,
        };
        let due = if event.duplicate_of.is_some() {
            BTreeMap::new()
        } else {
            let due = received.destinations_due();
            due.map(|name| (name, DestinationWork::opened(round.clone())))
                .collect()
        };
        let mut state = Self {
            receipt: Receipt {
                event_id: event.id,
                position: event.position,
                recorded_at: event.recorded_at,
                duplicate_of: event.duplicate_of.clone(),
            },
            data: event.data.clone(),
            revision: event.revision,
            destinations: due,
            attempts: 0,
            last_attempt_at: None,
            failure: None,
            processed_at: None,
            replays: Vec::new(),
            replayed: false,
            received,
        };
        if state.status() == DeliveryStatus::Processed {
            state.processed_at = Some(event.recorded_at);
        }
        Ok(Some(state))
    }

    /// The state after the next event of the stream. Types that this version does not know change the revision only.
    ///
    /// # Errors
    /// When the event claims to be an outcome but can't be read.
    pub fn evolve(&mut self, event: &RecordedEvent) -> Result<(), serde_json::Error> {
        if let Some(outcome) = DeliveryOutcome::of(event).transpose()? {
            let before = self.status();
            self.apply(&outcome.outcome, event.id, event.position, event.recorded_at);
            let after = self.status();
            if after == DeliveryStatus::Processed && before != after {
                self.processed_at = Some(event.recorded_at);
            } else if after != DeliveryStatus::Processed {
                self.processed_at = None;
            }
        }
        self.revision = event.revision;
        Ok(())
    }

    /// The state that an outcome leads to, before it is appended.
    pub(super) fn foresee(&self, outcome: &Outcome) -> Self {
        let mut next = self.clone();
        // What stands in the log is not known yet, and no status depends on it.
        next.apply(
            outcome,
            self.receipt.event_id,
            self.receipt.position,
            self.receipt.recorded_at,
        );
        next
    }

    fn apply(&mut self, outcome: &Outcome, id: EventId, position: Position, at: Timestamp) {
        let began = outcome.attempt().map(|attempt| attempt.started_at);
        self.last_attempt_at = self.last_attempt_at.max(began);
        match outcome {
            Outcome::Failed(failed) => {
                self.attempts += 1;
                if let Some(part) = self.part(&failed.destination, failed.round) {
                    part.attempts.push(failed.attempt.clone());
                    part.due_at = failed.next_attempt_at;
                }
            }
            Outcome::Processed(processed) => {
                self.attempts += u32::from(processed.attempt.is_some());
                if let Some(part) = self.part(&processed.destination, processed.round) {
                    part.work = Work::Done;
                }
            }
            Outcome::DeadLettered(dead) => {
                if let Some(part) = self.part(&dead.destination, dead.round) {
                    // The last attempt has no event of its own.
                    let last = dead.history.last().map_or(0, |attempt| attempt.number);
                    let counted = u32::from(last as usize > part.attempts.len());
                    part.attempts.clone_from(&dead.history);
                    part.work = Work::Dead;
                    self.attempts += counted;
                }
            }
            Outcome::ReplayRequested(request) => {
                self.replays.extend(request.replay);
                if request.to == ReplayTo::Processing {
                    self.replayed = true;
                    let round = Round {
                        opened_by: id,
                        opened_at: position,
                        since: at,
                        replay: request.replay,
                    };
                    for name in &request.destinations {
                        self.destinations
                            .insert(name.clone(), DestinationWork::opened(round.clone()));
                    }
                }
            }
        }
        self.failure = self.standing().failure.map(|failing| failing.failure);
    }

    /// A destination's part, if it is in that round. Only a defect would write an outcome of another one.
    fn part(&mut self, destination: &DestinationName, round: EventId) -> Option<&mut DestinationWork> {
        self.destinations
            .get_mut(destination)
            .filter(|part| part.round.opened_by == round)
    }

    /// What became of it: dead before retrying before processing before received before processed.
    #[must_use]
    pub fn status(&self) -> DeliveryStatus {
        let parts = || self.destinations.values();
        let open = parts().any(|part| part.work == Work::Open);
        if parts().any(|part| part.work == Work::Dead) {
            DeliveryStatus::Dead
        } else if parts().any(|part| part.work == Work::Open && !part.attempts.is_empty()) {
            DeliveryStatus::Retrying
        } else if open && parts().any(|part| part.work == Work::Done) {
            DeliveryStatus::Processing
        } else if open {
            DeliveryStatus::Received
        } else {
            DeliveryStatus::Processed
        }
    }
}

impl DeliveryState {
    /// What an operator wants to know beyond the status.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let failing = || self.destinations.iter().filter(|(_, part)| part.has_failed());
        let waiting = failing().filter(|(_, part)| part.work == Work::Open);
        let worst = failing().filter_map(|(name, part)| {
            let last = part.attempts.last()?;
            let failure = StandingFailure {
                destination: name.clone(),
                failure: last.failure.clone()?,
                at: last.ended_at(),
            };
            Some((part.work == Work::Dead, failure.at, failure))
        });
        Standing {
            last_attempt_at: self.last_attempt_at,
            next_attempt_at: waiting.map(|(_, part)| part.due_at).min(),
            failure: worst
                .max_by_key(|(dead, at, _)| (*dead, *at))
                .map(|(_, _, failure)| failure),
        }
    }
}

impl DestinationWork {
    fn opened(round: Round) -> Self {
        Self {
            work: Work::Open,
            due_at: round.since,
            round,
            attempts: Vec::new(),
        }
    }

    /// Whether its last attempt failed and was not made good.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        match self.work {
            Work::Done => false,
            Work::Open | Work::Dead => !self.attempts.is_empty(),
        }
    }
}

/// Why the state of a delivery could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The log could not be read.
    #[error("the delivery's stream can't be read")]
    Log(#[from] ReadError),
    /// An event of it could not be understood.
    #[error("the event at position {position} can't be understood")]
    Event {
        /// Where it stands.
        position: Position,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads the state of a delivery from its stream, up to and including a position; `None` where there is no receipt.
///
/// # Errors
/// When the log can't be read, or an event of the stream can't be understood.
pub async fn load_delivery(
    log: &dyn EventLog,
    stream: &StreamName,
    upto: Option<Position>,
) -> Result<Option<DeliveryState>, LoadError> {
    let mut state: Option<DeliveryState> = None;
    let mut from = Revision::new(0);
    loop {
        let page = log.read_stream(stream, from, PageLimit::default()).await?;
        let Some(last) = page.last() else {
            return Ok(state);
        };
        from = Revision::new(last.revision.get() + 1);
        for event in &page {
            if upto.is_some_and(|upto| event.position > upto) {
                return Ok(state);
            }
            let evolved = match &mut state {
                Some(state) => state.evolve(event),
                None => DeliveryState::new(event).map(|new| state = new),
            };
            evolved.map_err(|source| LoadError::Event {
                position: event.position,
                source,
            })?;
        }
    }
}
