//! A sender that delivers a dead letter again gets it tried again.
//!
//! The delivery itself is safe in the log before any of this, so a failure here loses nothing: the sender is told to come
//! back. Never here: a second request for what is being tried already; the delivery's own rules decide that.

use domain::{
    DeliveryCommand, DeliveryState, EventId, EventLog, LoadError, StreamName, Timestamp, load_delivery,
};
use tokio::time::Instant;

use crate::append::{Outcome, append};
use crate::id::new_id;
use crate::rejection::Rejection;

/// How often it is decided again because something else happened to the delivery meanwhile.
const TRIES_MAX: u32 = 8;

/// Asks for another try of whatever was given up of a delivery; whether there was anything.
pub(crate) async fn retry_dead(
    log: &dyn EventLog,
    stream: &StreamName,
    received_at: Timestamp,
    deadline: Instant,
) -> Result<bool, Rejection> {
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
        replay: None,
        requested_by: "sender".to_owned(),
        reason: Some("the sender delivered it again".to_owned()),
    }
}

async fn load(
    log: &dyn EventLog,
    stream: &StreamName,
    deadline: Instant,
) -> Result<Option<DeliveryState>, Rejection> {
    match tokio::time::timeout_at(deadline, load_delivery(log, stream, None)).await {
        Ok(Ok(state)) => Ok(state),
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
