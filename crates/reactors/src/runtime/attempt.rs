//! One attempt: look at the delivery, send it, take down how it ended.
//!
//! What is sent is decided by the log alone, as it is right before. A result in hand is never given up while the program
//! runs: whatever the log says, nothing is sent twice because its outcome could not be written.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use domain::{
    DeliveryState, DestinationWork, ErrorCode, Failure, LoadError, Outcome, ReadError, Work, load_delivery,
};
use futures_util::FutureExt;
use metrics::{counter, histogram};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::breaker::Verdict;
use super::entry::After;
use super::lane::Job;
use super::record::{Recorded, record};
use super::retry::{Judged, judge};
use super::{Cell, Shared, pause};
use crate::{Dispatch, Sent};

/// Looks at a delivery that shows less than the log showed before; in all about half a minute.
const STALE_LOOKS_MAX: u32 = 12;
/// A target has this much longer than its time-out to say so itself.
const GRACE: Duration = Duration::from_secs(1);

/// When to stop.
#[derive(Clone)]
pub(super) struct Stops {
    /// Nothing new is begun.
    pub(super) stop: CancellationToken,
    /// What was begun is left as it is.
    pub(super) leave: CancellationToken,
}

/// Makes an attempt and says what becomes of the work.
pub(super) async fn attempt(shared: &Shared, index: usize, job: &Job, stops: &Stops) -> After {
    let Some(cell) = shared.cells.get(index) else {
        return After::Parked;
    };
    let unsent = |after| {
        shared.judged(index, job.probe, false, Verdict::Unsaid);
        after
    };
    let state = match load(shared, job, &stops.stop).await {
        Ok(Some(state)) => state,
        Ok(None) => return unsent(After::Untouched),
        Err(error) => {
            tracing::error!(
                destination = %cell.plan.name,
                stream = job.entry.stream.as_str(),
                error = &error as &dyn std::error::Error,
                "a delivery can't be read and stays open until a person acts"
            );
            return unsent(After::Parked);
        }
    };
    let part = match due(&state, cell, job, shared) {
        Ok(part) => part,
        Err(after) => return unsent(after),
    };
    if stops.stop.is_cancelled() {
        return unsent(After::Untouched);
    }
    let dispatch = dispatch(shared, cell, &state, part);
    let Some(judged) = send(cell, &dispatch, &stops.leave).await else {
        return unsent(After::Untouched);
    };
    settle(shared, index, cell, job, &judged);
    if judged.gone {
        // The destination is held already; that the log says so may take as long as it takes.
        tokio::select! {
            biased;
            () = pause::gone(shared, index, &stops.leave) => {}
            () = stops.leave.cancelled() => {}
        }
    }
    let recorded = tokio::select! {
        biased;
        recorded = record(shared, cell, job, state, judged.result, &stops.leave) => recorded,
        () = stops.leave.cancelled() => Recorded::Not,
    };
    match recorded {
        Recorded::As(after) => after,
        Recorded::Not => After::Untouched,
        Recorded::Refused => After::Parked,
    }
}

/// Reads the delivery; `None` when it is to stop.
pub(super) async fn load(
    shared: &Shared,
    job: &Job,
    stop: &CancellationToken,
) -> Result<Option<DeliveryState>, LoadError> {
    let mut backoff = Backoff::new();
    let mut stale = 0;
    loop {
        match load_delivery(shared.ports.log.as_ref(), &job.entry.stream, None).await {
            Ok(Some(state)) if state.revision >= job.entry.revision => return Ok(Some(state)),
            // A replica of the log may be behind the one that told of the round. By what it shows the round would be over.
            Ok(_) => {
                stale += 1;
                if stale > STALE_LOOKS_MAX {
                    let less = format!("the stream {} shows less than before", job.entry.stream);
                    return Err(LoadError::Log(ReadError::Corrupt(less)));
                }
            }
            Err(LoadError::Log(ReadError::Unavailable(why))) => {
                tracing::warn!(why, "a delivery can't be read now: it is tried again");
            }
            Err(error) => return Err(error),
        }
        if !backoff.wait(stop).await {
            return Ok(None);
        }
    }
}

/// The destination's part if it is still to be done, now, in this round.
fn due<'a>(
    state: &'a DeliveryState,
    cell: &Cell,
    job: &Job,
    shared: &Shared,
) -> Result<&'a DestinationWork, After> {
    let part = state.destinations.get(&cell.plan.name).ok_or(After::Over)?;
    if part.work != Work::Open || part.round.opened_by != job.entry.round {
        return Err(After::Over);
    }
    // A first attempt is due at once: its time is the log's, whose clock may be ahead of ours.
    if count(part) > 0 && part.due_at > shared.ports.clock.now() {
        return Err(later(state, part));
    }
    Ok(part)
}

/// What a part says about its next attempt.
pub(super) fn later(state: &DeliveryState, part: &DestinationWork) -> After {
    After::Later {
        due_at: part.due_at,
        attempts: count(part),
        revision: state.revision,
    }
}

fn count(part: &DestinationWork) -> u32 {
    part.attempts.last().map_or(0, |attempt| attempt.number)
}

fn dispatch(shared: &Shared, cell: &Cell, state: &DeliveryState, part: &DestinationWork) -> Dispatch {
    Dispatch {
        destination: cell.plan.name.clone(),
        event_id: state.receipt.event_id,
        idempotency_key: format!("{}.{}", part.round.opened_by, cell.plan.name),
        number: count(part).saturating_add(1),
        replay: part.round.replay,
        now: shared.ports.clock.now(),
        received: Arc::new(state.received.clone()),
        data: state.data.clone(),
    }
}

/// Sends, and judges how it ended; `None` when it was left under way.
async fn send(cell: &Cell, dispatch: &Dispatch, leave: &CancellationToken) -> Option<Judged> {
    let plan = &cell.plan;
    let began = Instant::now();
    let guard = Duration::from_millis(plan.timeout_ms).saturating_add(GRACE);
    let sending = AssertUnwindSafe(async { plan.target.send(dispatch).await }).catch_unwind();
    let sent = tokio::select! {
        biased;
        sent = timeout(guard, sending) => sent,
        () = leave.cancelled() => return None,
    };
    let sent = match sent {
        Ok(Ok(sent)) => sent,
        Ok(Err(_)) => failed(
            cell,
            ErrorCode::ValidationError,
            "the destination's code panicked",
        ),
        Err(_) => failed(cell, ErrorCode::TimeoutError, "no answer in time"),
    };
    let headers = plan.target.headers(dispatch);
    Some(judge(&plan.retry, (dispatch, headers), sent, began.elapsed()))
}

fn failed(cell: &Cell, code: ErrorCode, message: &str) -> Sent {
    tracing::error!(destination = %cell.plan.name, message, "a target did not keep to its contract");
    Sent::Failed {
        target: cell.plan.target.describe().into_iter().next().unwrap_or_default(),
        response: None,
        failure: Failure::new(code, message),
        retry_after: None,
        gone: false,
    }
}

/// What the attempt says about the destination counts at once, before the log has it.
fn settle(shared: &Shared, index: usize, cell: &Cell, job: &Job, judged: &Judged) {
    use domain::AttemptResult::{Delivered, GivenUp, RetryAt, Skipped};
    let (result, attempt) = match &judged.result {
        Delivered(attempt) => ("delivered", Some(attempt)),
        Skipped(_) => ("skipped", None),
        RetryAt(attempt, _) => ("retry", Some(attempt)),
        GivenUp(attempt) => ("dead", Some(attempt)),
    };
    let name = cell.plan.name.to_string();
    counter!("hooklog_reactor_attempts_total", "destination" => name.clone(), "result" => result)
        .increment(1);
    if let Some(attempt) = attempt {
        histogram!("hooklog_reactor_attempt_duration_seconds", "destination" => name)
            .record(Duration::from_micros(attempt.duration_us).as_secs_f64());
    }
    let failure = attempt.and_then(|attempt| attempt.failure.as_ref());
    if let Some(failure) = failure {
        tracing::warn!(
            destination = %cell.plan.name,
            stream = job.entry.stream.as_str(),
            attempt = attempt.map(|attempt| attempt.number),
            code = failure.code.as_str(),
            result,
            "delivery_attempt_failed"
        );
    }
    shared.judged(index, job.probe, true, judged.verdict);
    shared.with_lane(index, |lane, _| {
        match (failure, attempt) {
            (Some(failure), _) => lane.last_error = Some(failure.message.clone()),
            (None, Some(_)) => lane.last_error = None,
            (None, None) => {}
        }
        lane.held |= judged.gone;
    });
}

/// What an outcome means for the work that led to it.
pub(super) fn after(outcome: &Outcome, attempts: u32, revision: domain::Revision) -> After {
    match outcome {
        Outcome::Failed(failed) => After::Later {
            due_at: failed.next_attempt_at,
            attempts,
            revision,
        },
        Outcome::Processed(_) | Outcome::DeadLettered(_) | Outcome::ReplayRequested(_) => After::Over,
    }
}
