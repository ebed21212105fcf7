//! Takes down how an attempt ended: decide, append with the revision that was seen, and once more when something happened in
//! between.

use domain::{AppendError, AttemptResult, DeliveryCommand, DeliveryState, Outcome};
use tokio_util::sync::CancellationToken;

use super::attempt::{after, later, load};
use super::backoff::Backoff;
use super::entry::After;
use super::lane::Job;
use super::{Cell, Shared};

/// What came of taking it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// The log holds it, or what makes it void.
    As(After),
    /// It was left.
    Not,
    /// The log will never hold it.
    Refused,
}

/// Takes down a result, as long as it takes, under one event id.
pub(super) async fn record(
    shared: &Shared,
    cell: &Cell,
    job: &Job,
    mut state: DeliveryState,
    result: AttemptResult,
    leave: &CancellationToken,
) -> Recorded {
    let id = (shared.ports.new_id)();
    let mut backoff = Backoff::new();
    loop {
        let decided = state.decide(DeliveryCommand::RecordAttempt {
            destination: cell.plan.name.clone(),
            round: job.entry.round,
            result: result.clone(),
        });
        let Ok(Some(outcome)) = decided else {
            return Recorded::As(overtaken(&state, cell, job));
        };
        let append = state.append(&outcome, id);
        let error = loop {
            match shared.ports.log.append(append.clone()).await {
                Ok(appended) => {
                    let attempts = match &outcome.outcome {
                        Outcome::Failed(failed) => failed.attempt.number,
                        Outcome::Processed(_) | Outcome::DeadLettered(_) | Outcome::ReplayRequested(_) => 0,
                    };
                    return Recorded::As(after(&outcome.outcome, attempts, appended.revision));
                }
                Err(error) if error.retry() => {
                    tracing::warn!(
                        destination = %cell.plan.name,
                        stream = job.entry.stream.as_str(),
                        error = &error as &dyn std::error::Error,
                        "an outcome can't be written now: it is kept and tried again"
                    );
                    if !backoff.wait(leave).await {
                        return Recorded::Not;
                    }
                }
                Err(error) => break error,
            }
        };
        match error {
            AppendError::Conflict { .. } => match load(shared, job, leave).await {
                Ok(Some(loaded)) => {
                    let same = loaded.revision == state.revision;
                    state = loaded;
                    if same && !backoff.wait(leave).await {
                        return Recorded::Not;
                    }
                }
                Ok(None) => return Recorded::Not,
                Err(error) => return refused(cell, job, &error),
            },
            AppendError::Unavailable(_) | AppendError::Unknown(_) | AppendError::Invalid(_) => {
                return refused(cell, job, &error);
            }
        }
    }
}

/// Somebody else was quicker: the round is over, another one began, or its attempt is known.
fn overtaken(state: &DeliveryState, cell: &Cell, job: &Job) -> After {
    let part = state.destinations.get(&cell.plan.name);
    let mine = part.filter(|part| part.work == domain::Work::Open && part.round.opened_by == job.entry.round);
    mine.map_or(After::Over, |part| later(state, part))
}

fn refused(cell: &Cell, job: &Job, error: &(dyn std::error::Error + 'static)) -> Recorded {
    tracing::error!(
        destination = %cell.plan.name,
        stream = job.entry.stream.as_str(),
        error,
        "an outcome can't be written: the delivery stays open until a person acts"
    );
    Recorded::Refused
}
