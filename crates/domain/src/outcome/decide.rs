//! The rules by which an outcome is made. Pure: times and ids arrive in commands.

use super::attempt::{Attempt, Failure};
use super::cause::Cause;
use super::event::{
    DeliveryDeadLettered, DeliveryFailed, DeliveryOutcome, DeliveryProcessed, DeliveryReplayRequested,
    Outcome, ReplayTo,
};
use super::state::{DeliveryState, DestinationWork, Work};
use crate::{Append, DestinationName, ErrorCode, EventId, Expected, ReplayId, Timestamp};

/// How an attempt ended, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// It arrived.
    Delivered(Attempt),
    /// Nothing had to be sent, for this reason.
    Skipped(String),
    /// It failed and is tried again.
    RetryAt(Attempt, Timestamp),
    /// It failed for good.
    GivenUp(Attempt),
}

impl AttemptResult {
    /// Whether a failure of that attempt was taken down before: by a replica that made it too, or before a crash. What
    /// arrived is always news.
    fn is_told_of(&self, part: &DestinationWork) -> bool {
        match self {
            Self::Delivered(_) | Self::Skipped(_) => false,
            Self::RetryAt(attempt, _) | Self::GivenUp(attempt) => part
                .attempts
                .last()
                .is_some_and(|last| attempt.number <= last.number),
        }
    }
}

/// What somebody wants to happen to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryCommand {
    /// Take down how an attempt ended.
    RecordAttempt {
        /// Where it went.
        destination: DestinationName,
        /// The event that opened the round it was made for.
        round: EventId,
        /// How it ended.
        result: AttemptResult,
    },
    /// Do it again, or publish it again.
    Replay {
        /// Where it goes.
        to: ReplayTo,
        /// The destinations that open again.
        destinations: Vec<DestinationName>,
        /// The replay that it belongs to. One replay asks once, however often it is told to.
        replay: ReplayId,
        /// Who asks.
        requested_by: String,
        /// Why.
        reason: Option<String>,
    },
    /// Try the destinations again that were given up; nothing happens when there is none.
    RetryDead {
        /// The destinations, of all that were given up; all of them when empty.
        destinations: Vec<DestinationName>,
        /// Why they were.
        cause: Cause,
        /// The replay that it belongs to; none for a sender's repeat.
        replay: Option<ReplayId>,
        /// Who asks.
        requested_by: String,
        /// Why.
        reason: Option<String>,
    },
}

/// The rule that said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryRejection {
    /// The destination was never due.
    #[error("the delivery was never due at destination {0}")]
    NotDue(DestinationName),
}

impl DeliveryState {
    /// What follows from a command. `None` is idempotent success: it was done before, or there is nothing to do.
    ///
    /// # Errors
    /// The rule that said no.
    pub fn decide(&self, command: DeliveryCommand) -> Result<Option<DeliveryOutcome>, DeliveryRejection> {
        let outcome = match command {
            DeliveryCommand::RecordAttempt {
                destination,
                round,
                result,
            } => {
                let part = self
                    .destinations
                    .get(&destination)
                    .ok_or_else(|| DeliveryRejection::NotDue(destination.clone()))?;
                // Another round was opened meanwhile, or the outcome is known: this attempt changes nothing.
                if part.work != Work::Open || part.round.opened_by != round || result.is_told_of(part) {
                    return Ok(None);
                }
                attempted(destination, part, result)
            }
            DeliveryCommand::Replay { replay, .. } if self.replays.contains(&replay) => return Ok(None),
            DeliveryCommand::Replay {
                to,
                destinations,
                replay,
                requested_by,
                reason,
            } => Outcome::ReplayRequested(DeliveryReplayRequested {
                to,
                destinations: if to == ReplayTo::Processing {
                    destinations
                } else {
                    Vec::new()
                },
                replay: Some(replay),
                requested_by,
                reason,
            }),
            DeliveryCommand::RetryDead { replay: Some(id), .. } if self.replays.contains(&id) => {
                return Ok(None);
            }
            DeliveryCommand::RetryDead {
                destinations,
                cause,
                replay,
                requested_by,
                reason,
            } => {
                let dead = self.dead(&destinations, &cause);
                if dead.is_empty() {
                    return Ok(None);
                }
                Outcome::ReplayRequested(DeliveryReplayRequested {
                    to: ReplayTo::Processing,
                    destinations: dead,
                    replay,
                    requested_by,
                    reason,
                })
            }
        };
        Ok(Some(self.outcome(outcome)))
    }

    /// The append of an outcome: it stands only if nothing happened to the delivery since this state was read.
    #[must_use]
    pub fn append(&self, outcome: &DeliveryOutcome, id: EventId) -> Append {
        Append {
            stream: self.received.stream(),
            expected: Expected::Revision(self.revision),
            events: vec![outcome.to_event(id)],
            content: None,
        }
    }

    /// The destinations that were given up for a cause, of those named; of all when none is named.
    #[must_use]
    pub fn dead(&self, named: &[DestinationName], cause: &Cause) -> Vec<DestinationName> {
        let meant = |part: &DestinationWork| {
            let last = part.attempts.last().and_then(|attempt| attempt.failure.as_ref());
            cause.is_any() || last.is_some_and(|failure| cause.is_of(failure))
        };
        self.destinations
            .iter()
            .filter(|(name, part)| part.work == Work::Dead && (named.is_empty() || named.contains(name)))
            .filter(|(_, part)| meant(part))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn outcome(&self, outcome: Outcome) -> DeliveryOutcome {
        let next = self.foresee(&outcome);
        let mut delivery = self.received.clone();
        delivery.headers.clear();
        DeliveryOutcome {
            delivery,
            receipt: self.receipt.clone(),
            before: self.status(),
            after: next.status(),
            attempts: next.attempts,
            replayed: next.replayed,
            standing: next.standing(),
            outcome,
        }
    }
}

fn attempted(destination: DestinationName, part: &DestinationWork, result: AttemptResult) -> Outcome {
    let round = part.round.opened_by;
    match result {
        AttemptResult::Delivered(mut attempt) => {
            // A rival's failure of the same number may stand in the log already: numbers have no repeats there.
            let told = part.attempts.last().map_or(0, |last| last.number);
            attempt.number = attempt.number.max(told.saturating_add(1));
            Outcome::Processed(DeliveryProcessed {
                destination,
                round,
                attempt: Some(attempt),
                skipped: None,
            })
        }
        AttemptResult::Skipped(why) => Outcome::Processed(DeliveryProcessed {
            destination,
            round,
            attempt: None,
            skipped: Some(why),
        }),
        AttemptResult::RetryAt(mut attempt, next_attempt_at) => {
            attempt.failure.get_or_insert_with(unsaid);
            Outcome::Failed(DeliveryFailed {
                destination,
                round,
                attempt,
                next_attempt_at,
            })
        }
        AttemptResult::GivenUp(mut attempt) => {
            let failure = attempt.failure.get_or_insert_with(unsaid).clone();
            let mut history = part.attempts.clone();
            history.push(attempt);
            Outcome::DeadLettered(DeliveryDeadLettered {
                destination,
                round,
                history,
                failure,
            })
        }
    }
}

/// What stands for a failure that has no words of its own: without any, nothing would show that something is wrong.
fn unsaid() -> Failure {
    Failure::new(ErrorCode::ValidationError, "it failed without saying why")
}
