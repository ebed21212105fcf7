//! The identity of the log: the first event of a stream of its own, so that of several who start at once one makes it.

use domain::LogId;
use eventstore::StreamState;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::{Failure, OpenError};
use super::page::{self, Next, Target};
use super::retry::Retry;
use super::server_event::{NewServerEvent, ServerEvent};
use super::{Shared, read};

/// The type of the event that holds it.
const TYPE: &str = "hooklog.log";

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    id: LogId,
}

/// Waits for the server, and asks it which log this is; makes one where there is none.
pub(super) async fn find_or_make(shared: &Shared) -> Result<LogId, OpenError> {
    let after_ms = shared.options.connect_timeout_ms;
    let mut retry = Retry::lasting(&shared.options, after_ms);
    loop {
        let failure = match try_once(shared).await {
            Ok(id) => return id,
            Err(failure) => failure,
        };
        if matches!(failure, Failure::Denied) {
            return Err(OpenError::Denied);
        }
        tracing::warn!(
            why = failure.why(),
            "the event store is not there yet; it is tried again"
        );
        if let Err(failure) = retry.after(failure).await {
            let why = failure.why();
            return Err(OpenError::Unreachable { after_ms, why });
        }
    }
}

async fn try_once(shared: &Shared) -> Result<Result<LogId, OpenError>, Failure> {
    let stream = shared.names.identity();
    let id = match look_up(shared, &stream).await? {
        Some(found) => found,
        None => {
            let fresh = LogId::new(Uuid::new_v4());
            match write(shared, &stream, fresh).await {
                // Another one was faster; or this one was, and it only took long to say.
                Err(Failure::Conflict) => {}
                made => made?,
            }
            let made = look_up(shared, &stream).await?;
            made.ok_or_else(|| Failure::Unknown("the identity of the log was not kept".to_owned()))?
        }
    };
    if id.is_ok() {
        read::refresh_head(shared).await?;
    }
    Ok(id)
}

async fn look_up(shared: &Shared, stream: &str) -> Result<Option<Result<LogId, OpenError>>, Failure> {
    let target = Target::Stream {
        name: stream.to_owned(),
        from: 0,
    };
    let take = |first: &mut Option<ServerEvent>, event: ServerEvent| {
        *first = Some(event);
        Next::Enough
    };
    // Tried again by whoever asks.
    let mut once = Retry::lasting(&shared.options, 0);
    let (first, _) = page::read(shared, &mut once, &target, 1, || None, take).await?;
    let Some(event) = first else {
        return Ok(None);
    };
    let identity = serde_json::from_slice::<Identity>(&event.data).ok();
    let identity = identity.filter(|_| event.event_type == TYPE);
    Ok(Some(identity.map(|identity| identity.id).ok_or_else(|| {
        OpenError::Identity {
            stream: stream.to_owned(),
        }
    })))
}

async fn write(shared: &Shared, stream: &str, id: LogId) -> Result<(), Failure> {
    let event = NewServerEvent::json(TYPE, &Identity { id });
    let event = event.map_err(|error| Failure::Refused(error.to_string()))?;
    let wrote = shared
        .connection
        .append(stream, StreamState::NoStream, vec![event])
        .await;
    wrote.map(|_| ())
}
