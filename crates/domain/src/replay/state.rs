//! The state of a replay, and the rules by which it goes on.

use serde::{Deserialize, Serialize};

use super::event::{
    ReplayCancelled, ReplayCompleted, ReplayCounts, ReplayEvent, ReplayFailed, ReplayProgressed,
    ReplayRequested,
};
use crate::{Append, EventId, Expected, Position, RecordedEvent, Revision, StreamName, Timestamp};

/// What a replay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayStatus {
    /// It runs, or waits for its turn.
    Running,
    /// It reached its end.
    Completed,
    /// Somebody stopped it.
    Cancelled,
    /// It could not go on.
    Failed,
}

impl ReplayStatus {
    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// A replay and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayState {
    /// The order.
    pub requested: ReplayRequested,
    /// When it was given.
    pub requested_at: Timestamp,
    /// What it is doing.
    pub status: ReplayStatus,
    /// Everything up to and including this position is done.
    pub upto: Position,
    /// What it did so far.
    pub counts: ReplayCounts,
    /// Why it could not go on.
    pub error: Option<String>,
    /// Who stopped it.
    pub cancelled_by: Option<String>,
    /// When it ended, or else last said something.
    pub updated_at: Timestamp,
    /// The stream's last revision, to be expected by the next append.
    pub revision: Revision,
}

/// What somebody wants of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayCommand {
    /// Take down how far it is.
    Progress {
        /// Everything up to and including this position is done.
        upto: Position,
        /// What it did so far.
        counts: ReplayCounts,
    },
    /// Take down that it reached its end.
    Complete {
        /// What it did.
        counts: ReplayCounts,
    },
    /// Stop it.
    Cancel {
        /// Who says so.
        cancelled_by: String,
    },
    /// Take down that it could not go on.
    Fail {
        /// Why.
        error: String,
        /// What it did until then.
        counts: ReplayCounts,
    },
}

/// The rule that said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayRejection {
    /// Nothing can be done to a replay that has ended.
    #[error("the replay has ended already")]
    HasEnded,
}

impl ReplayState {
    /// The state of a stream; `None` when it is not that of a replay.
    ///
    /// # Errors
    /// When an event can't be read.
    pub fn of(events: &[RecordedEvent]) -> Result<Option<Self>, serde_json::Error> {
        let mut state: Option<Self> = None;
        for event in events {
            let Some(fact) = ReplayEvent::of(event).transpose()? else {
                // A newer version's. The next append has to expect it all the same.
                if let Some(state) = &mut state {
                    state.revision = event.revision;
                }
                continue;
            };
            match (&mut state, fact) {
                (None, ReplayEvent::Requested(requested)) => {
                    state = Some(Self {
                        requested,
                        requested_at: event.recorded_at,
                        status: ReplayStatus::Running,
                        upto: Position::START,
                        counts: ReplayCounts::default(),
                        error: None,
                        cancelled_by: None,
                        updated_at: event.recorded_at,
                        revision: event.revision,
                    });
                }
                (None, _) => return Ok(None),
                (Some(state), fact) => state.evolve(fact, event),
            }
        }
        Ok(state)
    }

    /// The state after the next event.
    pub fn evolve(&mut self, fact: ReplayEvent, event: &RecordedEvent) {
        match fact {
            ReplayEvent::Requested(_) => {}
            ReplayEvent::Progressed(progressed) => {
                self.upto = progressed.upto;
                self.counts = progressed.counts;
            }
            ReplayEvent::Completed(completed) => {
                self.status = ReplayStatus::Completed;
                self.upto = self.requested.to_position;
                self.counts = completed.counts;
            }
            ReplayEvent::Cancelled(cancelled) => {
                self.status = ReplayStatus::Cancelled;
                self.cancelled_by = Some(cancelled.cancelled_by);
            }
            ReplayEvent::Failed(failed) => {
                self.status = ReplayStatus::Failed;
                self.error = Some(failed.error);
                self.counts = failed.counts;
            }
        }
        self.updated_at = event.recorded_at;
        self.revision = event.revision;
    }

    /// What follows from a command. `None` is idempotent success.
    ///
    /// # Errors
    /// The rule that said no.
    pub fn decide(&self, command: ReplayCommand) -> Result<Option<ReplayEvent>, ReplayRejection> {
        let running = self.status == ReplayStatus::Running;
        match command {
            ReplayCommand::Cancel { .. } if self.status == ReplayStatus::Cancelled => Ok(None),
            _ if !running => Err(ReplayRejection::HasEnded),
            ReplayCommand::Progress { upto, counts } => {
                // Somebody who is behind must not take it back.
                let goes_on = upto > self.upto || (upto == self.upto && counts != self.counts);
                Ok(goes_on.then_some(ReplayEvent::Progressed(ReplayProgressed { upto, counts })))
            }
            ReplayCommand::Complete { counts } => {
                Ok(Some(ReplayEvent::Completed(ReplayCompleted { counts })))
            }
            ReplayCommand::Cancel { cancelled_by } => {
                Ok(Some(ReplayEvent::Cancelled(ReplayCancelled { cancelled_by })))
            }
            ReplayCommand::Fail { error, counts } => {
                Ok(Some(ReplayEvent::Failed(ReplayFailed { error, counts })))
            }
        }
    }

    /// The stream it stands in.
    #[must_use]
    pub fn stream(&self) -> StreamName {
        StreamName::of_replay(&self.requested.tenant, self.requested.replay)
    }

    /// The append of a fact: it stands only if nothing happened to the replay since this state was read.
    #[must_use]
    pub fn append(&self, fact: &ReplayEvent, id: EventId) -> Append {
        Append {
            stream: self.stream(),
            expected: Expected::Revision(self.revision),
            events: vec![fact.to_event(id)],
            content: None,
        }
    }
}

impl ReplayRequested {
    /// The append that begins the replay.
    #[must_use]
    pub fn append(self, id: EventId) -> Append {
        Append {
            stream: StreamName::of_replay(&self.tenant, self.replay),
            expected: Expected::NoStream,
            events: vec![ReplayEvent::Requested(self).to_event(id)],
            content: None,
        }
    }
}
