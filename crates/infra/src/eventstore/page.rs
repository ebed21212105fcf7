//! Reads events of the server, one call at a time, and tries again while it is away.

use std::time::Duration;

use eventstore::{
    Position as ServerPosition, ReadAllOptions, ReadStream, ReadStreamOptions, RecordedEvent as ServerEvent,
    StreamPosition, SubscriptionFilter,
};

use super::Shared;
use super::connection::within;
use super::error::Failure;
use super::retry::Retry;

/// What is read.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// A stream, from a revision on.
    Stream { name: String, from: u64 },
    /// A stream, from a revision on towards its beginning; from its end without one.
    StreamBackwards { name: String, from: Option<u64> },
    /// All streams of a prefix, from the event that stands at a position on; from the first without one.
    All { prefix: String, from: Option<u64> },
    /// All streams of a prefix, from what stands before a position on; from the end without one.
    AllBackwards { prefix: String, before: Option<u64> },
}

/// What to do after an event.
pub(super) enum Next {
    More,
    Enough,
}

/// Reads at most so many events, or until it is enough. `take` is told of an event at most once in each try, and `begin`
/// before every try. A stream that is not there has no events. Returns whether the end was reached.
pub(super) async fn read<S>(
    shared: &Shared,
    retry: &mut Retry,
    target: &Target,
    events_max: usize,
    begin: impl Fn() -> S,
    mut take: impl FnMut(&mut S, ServerEvent) -> Next,
) -> Result<(S, bool), Failure> {
    loop {
        let mut taken = begin();
        let failure = match read_once(shared, target, events_max, |event| take(&mut taken, event)).await {
            Ok(ended) => return Ok((taken, ended)),
            Err(Failure::NotFound) => return Ok((taken, true)),
            Err(failure) => failure,
        };
        retry.after(failure).await?;
    }
}

async fn read_once(
    shared: &Shared,
    target: &Target,
    events_max: usize,
    mut take: impl FnMut(ServerEvent) -> Next,
) -> Result<bool, Failure> {
    let time = Duration::from_millis(shared.options.read_timeout_ms);
    let (generation, client) = shared.connection.client()?;
    let failed = |failure: Failure| {
        shared.connection.failed(generation, &failure);
        failure
    };
    let mut events = within(time, open(&client, target, events_max))
        .await
        .map_err(failed)?;
    let mut count = 0;
    loop {
        let next = within(time, events.next()).await.map_err(failed)?;
        shared.connection.heard();
        let Some(event) = next else {
            return Ok(count < events_max);
        };
        count += 1;
        // Nothing here follows links, so an event that is none is one that was deleted.
        let Some(event) = event.event else { continue };
        if matches!(take(event), Next::Enough) {
            return Ok(false);
        }
    }
}

async fn open(
    client: &eventstore::Client,
    target: &Target,
    events_max: usize,
) -> eventstore::Result<ReadStream> {
    let at = |position: Option<u64>, none: StreamPosition<ServerPosition>| match position {
        Some(position) => StreamPosition::Position(ServerPosition {
            commit: position,
            prepare: position,
        }),
        None => none,
    };
    match target {
        Target::Stream { name, from } => {
            let options = ReadStreamOptions::default()
                .position(StreamPosition::Position(*from))
                .max_count(events_max)
                .requires_leader(true);
            client.read_stream(name.as_str(), &options).await
        }
        Target::StreamBackwards { name, from } => {
            let position = from.map_or(StreamPosition::End, StreamPosition::Position);
            let options = ReadStreamOptions::default()
                .position(position)
                .backwards()
                .max_count(events_max)
                .requires_leader(true);
            client.read_stream(name.as_str(), &options).await
        }
        Target::All { prefix, from } => {
            let options = ReadAllOptions::default()
                .position(at(*from, StreamPosition::Start))
                .filter(filter(prefix))
                .max_count(events_max)
                .requires_leader(true);
            client.read_all(&options).await
        }
        Target::AllBackwards { prefix, before } => {
            let options = ReadAllOptions::default()
                .position(at(*before, StreamPosition::End))
                .backwards()
                .filter(filter(prefix))
                .max_count(events_max)
                .requires_leader(true);
            client.read_all(&options).await
        }
    }
}

/// The streams of a prefix, and no others: the server leaves them out.
pub(super) fn filter(prefix: &str) -> SubscriptionFilter {
    SubscriptionFilter::on_stream_name()
        .add_prefix(prefix)
        .max(FILTER_WINDOW)
}

/// After so many events that the filter leaves out, the server says how far it is.
const FILTER_WINDOW: u32 = 1000;
