//! The identity of the log: the first event of a stream of its own, so that of several who start at once one makes it.

use domain::LogId;
use eventstore::{EventData, ReadStreamOptions, StreamState};
use serde::{Deserialize, Serialize};
use tokio::time::Duration;
use uuid::Uuid;

use super::Shared;
use super::connection::within;
use super::error::{Failure, OpenError};
use super::read;
use super::retry::Retry;

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
    let id = match read(shared, &stream).await? {
        Some(found) => found,
        None => {
            let fresh = LogId::new(Uuid::new_v4());
            match write(shared, &stream, fresh).await {
                // Another one was faster; or this one was, and it only took long to say.
                Err(Failure::Conflict) => {}
                made => made?,
            }
            let made = read(shared, &stream).await?;
            made.ok_or_else(|| Failure::Unknown("the identity of the log was not kept".to_owned()))?
        }
    };
    if id.is_ok() {
        read::refresh_head(shared).await?;
    }
    Ok(id)
}

async fn read(shared: &Shared, stream: &str) -> Result<Option<Result<LogId, OpenError>>, Failure> {
    let (generation, client) = shared.connection.client()?;
    let time = Duration::from_millis(shared.options.read_timeout_ms);
    let options = ReadStreamOptions::default().max_count(1).requires_leader(true);
    let first = async {
        let mut events = within(time, client.read_stream(stream, &options)).await?;
        within(time, events.next()).await
    };
    let event = match first.await {
        Ok(event) => event.and_then(|event| event.event),
        Err(Failure::NotFound) => None,
        Err(failure) => {
            shared.connection.failed(generation, &failure);
            return Err(failure);
        }
    };
    let Some(event) = event else {
        return Ok(None);
    };
    let identity = event
        .as_json::<Identity>()
        .ok()
        .filter(|_| event.event_type == TYPE);
    Ok(Some(identity.map(|identity| identity.id).ok_or_else(|| {
        OpenError::Identity {
            stream: stream.to_owned(),
        }
    })))
}

async fn write(shared: &Shared, stream: &str, id: LogId) -> Result<(), Failure> {
    let event =
        EventData::json(TYPE, &Identity { id }).map_err(|error| Failure::Refused(error.to_string()))?;
    let wrote = shared
        .connection
        .append(stream, StreamState::NoStream, vec![event.id(Uuid::new_v4())])
        .await;
    wrote.map(|_| ())
}
