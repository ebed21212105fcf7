//! A sender that delivers a dead letter again gets it tried again.
//!
//! The delivery itself is safe in the log before any of this, so a failure here loses nothing: the sender is told to come
//! back. Most repeats are of deliveries that are well: of those only the last outcome is read, never the body. Never here: a
//! second request for what is being tried already; the delivery's own rules decide that.

use domain::{
    Cause, DeliveryCommand, DeliveryOutcome, DeliveryState, DeliveryStatus, EventId, EventLog, LoadError,
    PageLimit, Revision, StreamName, Timestamp, load_delivery,
};
use tokio::time::Instant;

use crate::append::{Outcome, append};
use crate::id::new_id;
use crate::rejection::Rejection;

/// How often it is decided again because something else happened to the delivery meanwhile.
const TRIES_MAX: u32 = 8;

/// Asks for another try of whatever was given up of a delivery, whose stream went at least as far as `last`; whether there
/// was anything.
pub(crate) async fn retry_dead(
    log: &dyn EventLog,
    stream: &StreamName,
    last: Revision,
    received_at: Timestamp,
    deadline: Instant,
) -> Result<bool, Rejection> {
    if !may_be_dead(log, stream, last, deadline).await? {
        return Ok(false);
    }
    // One id for all tries: a conflict says that the event was not written.
    let id = EventId::new(new_id(received_at));
    for _ in 0..TRIES_MAX {
        let Some(state) = load(log, stream, deadline).await? else {
            return Ok(false);
        };
        // Its only rejection is about another command.
        let Ok(Some(outcome)) = state.decide(command()) else {
            return Ok(false);
        };
        match append(log, state.append(&outcome, id), deadline).await? {
            Outcome::Appended(_) => return Ok(true),
            Outcome::Conflict { .. } => {}
        }
    }
    Err(Rejection::Unavailable("too much happens to the delivery at once"))
}

fn command() -> DeliveryCommand {
    DeliveryCommand::RetryDead {
        destinations: Vec::new(),
        cause: Cause::default(),
        replay: None,
        requested_by: "sender".to_owned(),
        reason: Some("the sender delivered it again".to_owned()),
    }
}

/// Whether the newest outcome says that the delivery was given up, or there is none to say that it was not.
async fn may_be_dead(
    log: &dyn EventLog,
    stream: &StreamName,
    last: Revision,
    deadline: Instant,
) -> Result<bool, Rejection> {
    let read = log.read_stream(stream, last, PageLimit::default());
    let events = within(deadline, stream, async { Ok(read.await?) }).await?;
    let newest = events.unwrap_or_default().pop();
    Ok(match newest.as_ref().and_then(DeliveryOutcome::of) {
        Some(Ok(outcome)) => outcome.after == DeliveryStatus::Dead,
        Some(Err(_)) | None => true,
    })
}

async fn load(
    log: &dyn EventLog,
    stream: &StreamName,
    deadline: Instant,
) -> Result<Option<DeliveryState>, Rejection> {
    let read = within(deadline, stream, load_delivery(log, stream, None)).await?;
    Ok(read.flatten())
}

/// What a read gives within the time; `None` when nobody here can make sense of what stands there.
async fn within<T>(
    deadline: Instant,
    stream: &StreamName,
    read: impl Future<Output = Result<T, LoadError>>,
) -> Result<Option<T>, Rejection> {
    match tokio::time::timeout_at(deadline, read).await {
        Ok(Ok(read)) => Ok(Some(read)),
        Ok(Err(error @ LoadError::Event { .. })) => {
            // Written by a newer version, or a defect: no try of the sender's would change it.
            tracing::error!(error = &error as &dyn std::error::Error, %stream, "delivery can't be understood, so it is not tried again");
            Ok(None)
        }
        Ok(Err(error @ LoadError::Log(_))) => {
            tracing::warn!(error = &error as &dyn std::error::Error, %stream, "delivery can't be read back");
            Err(Rejection::Unavailable("the log can't be read"))
        }
        Err(_) => Err(Rejection::Unavailable("the log did not answer in time")),
    }
}
