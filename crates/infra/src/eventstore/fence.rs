//! How a stream stands on the server, and what keeps an append of another writer out of it.

use domain::{Append, AppendError, Appended, Expected, Position, Revision, StreamName};
use eventstore::StreamState;
use uuid::Uuid;

use super::Shared;
use super::envelope::{FENCE, Foreign, Header, Read, decode};
use super::error::Failure;
use super::page::{self, Next, Target};
use super::retry::Retry;
use super::server_event::{NewServerEvent, ServerEvent};

/// How a stream stands as to an append.
#[derive(Debug)]
pub(super) enum Standing {
    /// The append fits, if the server's stream is still like this.
    Fits(StreamState),
    /// Its events are there already.
    Repeats(Appended),
    /// It does not fit.
    Conflict(AppendError),
}

/// The last event of a stream on the server.
struct Last {
    /// Its revision there.
    server: u64,
    /// Its revision in the log; `None` for a fence.
    log: Option<Revision>,
}

/// What an append is up against.
pub(super) async fn look(shared: &Shared, retry: &mut Retry, append: &Append) -> Result<Standing, Stopped> {
    let Some(last) = last(shared, retry, &append.stream).await? else {
        return Ok(without_events(append, StreamState::NoStream));
    };
    let Some(current) = last.log else {
        return Ok(without_events(append, StreamState::StreamRevision(last.server)));
    };
    if append.expected == Expected::Revision(current) {
        return Ok(Standing::Fits(StreamState::StreamRevision(last.server)));
    }
    let fences = last.server.saturating_sub(current.get());
    let start = match append.expected {
        Expected::NoStream => 0,
        Expected::Revision(revision) => revision.get().saturating_add(1),
    };
    let there = events(
        shared,
        retry,
        &append.stream,
        start.saturating_add(fences),
        append.events.len(),
    )
    .await?;
    let same = there.len() == append.events.len()
        && there
            .iter()
            .zip(&append.events)
            .all(|((old, _), new)| old.id == new.id);
    if let (true, Some((first, _)), Some((last, _))) = (same, there.first(), there.last()) {
        return Ok(Standing::Repeats(Appended {
            first: first.position,
            last: last.position,
            revision: last.revision,
            recorded_at: last.recorded_at,
            duplicate_of: first.duplicate_of.clone(),
        }));
    }
    let first = events(shared, retry, &append.stream, fences, 1).await?;
    let first = first.first().map_or(Position::START, |(event, _)| event.position);
    Ok(Standing::Conflict(AppendError::Conflict { current, first }))
}

/// A stream without an event of the log.
fn without_events(append: &Append, state: StreamState) -> Standing {
    match append.expected {
        Expected::NoStream => Standing::Fits(state),
        Expected::Revision(_) => Standing::Conflict(AppendError::Conflict {
            current: Revision::new(0),
            first: Position::START,
        }),
    }
}

/// What became of a fence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fenced {
    /// Whoever was about to begin the stream has to look at it again.
    Done,
    /// The stream was begun.
    TooLate,
}

/// Puts a fence into a stream that has no event yet: an append that was decided before it does not fit any more.
pub(super) async fn put(shared: &Shared, retry: &mut Retry, stream: &StreamName) -> Result<Fenced, Stopped> {
    loop {
        let state = match last(shared, retry, stream).await? {
            None => StreamState::NoStream,
            Some(Last { log: None, server }) => StreamState::StreamRevision(server),
            Some(Last { log: Some(_), .. }) => return Ok(Fenced::TooLate),
        };
        let fence = NewServerEvent::binary(Uuid::new_v4(), FENCE, bytes::Bytes::new());
        let name = shared.names.stream(stream);
        match shared.connection.append(&name, state, vec![fence]).await {
            Ok(_) => return Ok(Fenced::Done),
            Err(Failure::Conflict) => {}
            Err(failure) => retry.after(failure).await?,
        }
    }
}

async fn last(shared: &Shared, retry: &mut Retry, stream: &StreamName) -> Result<Option<Last>, Stopped> {
    let target = Target::StreamBackwards {
        name: shared.names.stream(stream),
        from: None,
    };
    let take = |last: &mut Option<Result<Last, Foreign>>, event: ServerEvent| {
        let server = event.revision;
        *last = Some(decode(event, &shared.names).map(|read| Last {
            server,
            log: match read {
                Read::Event(event) => Some(event.0.revision),
                Read::Fence => None,
            },
        }));
        Next::Enough
    };
    let (last, _) = page::read(shared, retry, &target, 1, || None, take).await?;
    Ok(last.transpose()?)
}

/// The events of a stream from a revision of the server on, at most so many.
async fn events(
    shared: &Shared,
    retry: &mut Retry,
    stream: &StreamName,
    from: u64,
    events_max: usize,
) -> Result<Vec<(domain::RecordedEvent, Header)>, Stopped> {
    let target = Target::Stream {
        name: shared.names.stream(stream),
        from,
    };
    let take = |read: &mut Vec<Result<Read, Foreign>>, event: ServerEvent| {
        read.push(decode(event, &shared.names));
        Next::More
    };
    let (read, _) = page::read(shared, retry, &target, events_max, Vec::new, take).await?;
    let mut events = Vec::new();
    for event in read {
        if let Read::Event(event) = event? {
            events.push(*event);
        }
    }
    Ok(events)
}

/// Why an append could not be decided.
#[derive(Debug)]
pub(super) enum Stopped {
    /// A call failed.
    Failed(Failure),
    /// What stands in the log is not readable.
    Foreign(String),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Foreign> for Stopped {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign(foreign.to_string())
    }
}

impl From<domain::ReadError> for Stopped {
    fn from(error: domain::ReadError) -> Self {
        match error {
            domain::ReadError::Unavailable(why) => Self::Failed(Failure::NotSent(why)),
            domain::ReadError::Corrupt(why) => Self::Foreign(why),
        }
    }
}
