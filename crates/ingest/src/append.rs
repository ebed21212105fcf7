//! Appends within a time, and asks again with the same event as long as the outcome is unknown.

use std::time::Duration;

use domain::{Append, AppendError, Appended, EventLog, Position, Revision};
use tokio::time::Instant;

use crate::rejection::Rejection;

/// The first pause before an append of unknown outcome is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What the log says.
pub(crate) enum Outcome {
    /// It is written.
    Appended(Appended),
    /// The stream is not as expected, and what stands there is durable.
    Conflict {
        /// The stream's last revision.
        current: Revision,
        /// Position of its first event.
        first: Position,
    },
}

/// Appends. Every other outcome than those two is a rejection, and says nothing about whether it was written.
pub(crate) async fn append(
    log: &dyn EventLog,
    append: Append,
    deadline: Instant,
) -> Result<Outcome, Rejection> {
    let mut pause = RETRY_PAUSE;
    loop {
        let Ok(outcome) = tokio::time::timeout_at(deadline, log.append(append.clone())).await else {
            return Err(Rejection::Unavailable("the log did not answer in time"));
        };
        let error = match outcome {
            Ok(appended) => return Ok(Outcome::Appended(appended)),
            Err(AppendError::Conflict { current, first }) => return Ok(Outcome::Conflict { current, first }),
            Err(error) => error,
        };
        match &error {
            AppendError::Unknown(_) if Instant::now() + pause < deadline => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            AppendError::Unknown(_) => {
                return Err(unappended(&error, Rejection::Unavailable("the log did not say")));
            }
            AppendError::Conflict { .. } | AppendError::Unavailable(_) => {
                return Err(unappended(
                    &error,
                    Rejection::Unavailable("the log can't be written"),
                ));
            }
            AppendError::Invalid(_) => return Err(unappended(&error, Rejection::Refused)),
        }
    }
}

fn unappended(error: &AppendError, rejection: Rejection) -> Rejection {
    tracing::warn!(error = error as &dyn std::error::Error, "delivery not appended");
    rejection
}
