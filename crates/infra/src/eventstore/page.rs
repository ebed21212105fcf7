//! Reads events of the server, one call at a time, and tries again while it is away.

use std::time::Duration;

use super::Shared;
use super::connection::within;
use super::error::Failure;
use super::retry::Retry;
use super::server_event::ServerEvent;
use super::wire::{
    ControlOption, Empty, Filter, Filtering, FromPosition, FromRevision, HowMany, Of, OfAll, OfStream,
    Prefixes, ReadContent, ReadOptions, StreamIdentifier, TwoPositions, UuidOption,
};

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
    let (generation, node) = shared.connection.node()?;
    let failed = |failure: Failure| {
        shared.connection.failed(generation, &failure);
        failure
    };
    let asking = node.read(options(target, HowMany::Count(events_max as u64)));
    let mut answers = within(time, asking).await.map_err(failed)?;
    let mut count = 0;
    loop {
        let next = within(time, answers.next()).await.map_err(failed)?;
        shared.connection.heard();
        let Some(answer) = next else {
            return Ok(count < events_max);
        };
        let event = match answer.content {
            Some(ReadContent::Event(event)) => event.event,
            Some(ReadContent::StreamNotFound(_)) => return Err(Failure::NotFound),
            // A newer server may say more than is known here.
            Some(ReadContent::Confirmation(_) | ReadContent::Checkpoint(_)) | None => continue,
        };
        count += 1;
        // Nothing here follows links, so an event that is none is one that was deleted.
        let Some(event) = event else { continue };
        if matches!(take(event.into()), Next::Enough) {
            return Ok(false);
        }
    }
}

/// How a target is asked for.
pub(super) fn options(target: &Target, how_many: HowMany) -> ReadOptions {
    let at = |position: Option<u64>, none: FromPosition| match position {
        Some(position) => FromPosition::Position(TwoPositions {
            commit: position,
            prepare: position,
        }),
        None => none,
    };
    let of_all = |prefix: &str, from: FromPosition| {
        let of = Of::All(OfAll { from: Some(from) });
        (of, Filtering::Filter(filter(prefix)))
    };
    let of_stream = |name: &str, from: FromRevision| {
        let of = Of::Stream(OfStream {
            stream: Some(StreamIdentifier::of(name)),
            from: Some(from),
        });
        (of, Filtering::None(Empty {}))
    };
    let (backwards, (of, filtering)) = match target {
        Target::Stream { name, from } => (false, of_stream(name, FromRevision::Revision(*from))),
        Target::StreamBackwards { name, from } => {
            let from = from.map_or(FromRevision::End(Empty {}), FromRevision::Revision);
            (true, of_stream(name, from))
        }
        Target::All { prefix, from } => (false, of_all(prefix, at(*from, FromPosition::Start(Empty {})))),
        Target::AllBackwards { prefix, before } => {
            (true, of_all(prefix, at(*before, FromPosition::End(Empty {}))))
        }
    };
    ReadOptions {
        of: Some(of),
        direction: i32::from(backwards),
        resolve_links: false,
        how_many: Some(how_many),
        filtering: Some(filtering),
        uuids: Some(UuidOption { text: Some(Empty {}) }),
        control: Some(ControlOption { compatibility: 1 }),
    }
}

/// The streams of a prefix, and no others: the server leaves them out.
fn filter(prefix: &str) -> Filter {
    Filter {
        streams: Some(Prefixes {
            prefixes: vec![prefix.to_owned()],
        }),
        window_max: Some(FILTER_WINDOW),
        checkpoint_interval_multiplier: 1,
    }
}

/// After so many events that the filter leaves out, the server says how far it is.
const FILTER_WINDOW: u32 = 1000;
