//! Reading the log: whole, one category, one stream, its end.

use domain::{
    Category, CategoryPage, EventData, LogPage, PageLimit, Position, ReadError, RecordedEvent, Revision,
    StreamName,
};

use super::Shared;
use super::envelope::{Foreign, Header, Read, decode};
use super::error::Failure;
use super::page::{self, Next, Target};
use super::retry::Retry;
use super::server_event::ServerEvent;

/// The most events that one call asks the server for. It sends no more than the page has room for.
const CALL_EVENTS_MAX: usize = 4096;
/// How many events a look at the end of the log asks for: the last may be fences, which nobody sees.
const END_EVENTS: usize = 8;

impl From<Foreign> for ReadError {
    fn from(foreign: Foreign) -> Self {
        Self::Corrupt(foreign.to_string())
    }
}

/// Events within the bounds of a page.
#[derive(Default)]
struct Page {
    events: Vec<RecordedEvent>,
    bytes: usize,
    foreign: Option<Foreign>,
    /// Whether the page has no room for the next event.
    full: bool,
    /// Position of the last event that the server sent, seen or not.
    reached: Option<Position>,
}

impl Page {
    /// Takes an event that `wanted` lets through.
    fn take(
        &mut self,
        shared: &Shared,
        event: ServerEvent,
        limit: PageLimit,
        wanted: impl Fn(&RecordedEvent) -> bool,
    ) -> Next {
        let position = Position::new(event.position);
        let event = match decode(event, &shared.names) {
            Ok(Read::Event(event)) => event.0,
            Ok(Read::Fence) => {
                self.reached = Some(position);
                return Next::More;
            }
            Err(foreign) => {
                self.foreign = Some(foreign);
                return Next::Enough;
            }
        };
        shared.stones.pass(position);
        if !wanted(&event) {
            self.reached = Some(position);
            return Next::More;
        }
        let bytes = event_bytes(&event);
        let too_many = self.events.len() >= limit.events;
        if too_many || (!self.events.is_empty() && self.bytes.saturating_add(bytes) > limit.bytes) {
            self.full = true;
            return Next::Enough;
        }
        self.reached = Some(position);
        self.bytes += bytes;
        shared.head.saw(&event);
        self.events.push(event);
        Next::More
    }

    /// The page, unless an event on it was written by something else. What comes before it is read first.
    fn checked(self) -> Result<Self, ReadError> {
        match &self.foreign {
            Some(foreign) if self.events.is_empty() => Err(foreign.clone().into()),
            Some(_) | None => Ok(self),
        }
    }
}

fn event_bytes(event: &RecordedEvent) -> usize {
    let inline = match &event.data {
        EventData::Inline(data) => data.len(),
        EventData::Stored(_) => 0,
    };
    event.metadata.len() + inline
}

pub(super) async fn stream(
    shared: &Shared,
    stream: &StreamName,
    from: Revision,
    limit: PageLimit,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let mut retry = Retry::read(&shared.options);
    // Fences stand before the first event, so a revision on the server is never less than that of the log.
    let mut next = from.get();
    loop {
        let name = shared.names.stream(stream);
        let target = Target::Stream { name, from: next };
        let take = |page: &mut (Page, u64), event: ServerEvent| {
            page.1 = event.revision;
            page.0.take(shared, event, limit, |event| event.revision >= from)
        };
        let begin = || (Page::default(), next);
        let (page, ended) = page::read(shared, &mut retry, &target, calls(limit), begin, take).await?;
        let (page, last) = (page.0.checked()?, page.1);
        if ended || !page.events.is_empty() || page.full {
            return Ok(page.events);
        }
        next = last.saturating_add(1);
    }
}

fn calls(limit: PageLimit) -> usize {
    limit.events.saturating_add(END_EVENTS).min(CALL_EVENTS_MAX)
}

pub(super) async fn all(shared: &Shared, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
    let mut head = shared.head.get();
    if after >= head {
        head = refresh_head(shared).await?;
    }
    let mut events = Vec::new();
    if after < head {
        let prefix = shared.names.all();
        events = part(shared, &prefix, after, limit).await?.0.events;
    }
    let head = events.last().map_or(head, |last| head.max(last.position));
    Ok(LogPage {
        events,
        head: head.max(shared.head.get()),
    })
}

pub(super) async fn category(
    shared: &Shared,
    category: Category,
    after: Position,
    limit: PageLimit,
) -> Result<CategoryPage, ReadError> {
    // Asked first: what is appended meanwhile may be missing from the page, and is behind this.
    let head = refresh_head(shared).await?;
    if after >= head {
        return Ok(CategoryPage {
            events: Vec::new(),
            upto: head,
        });
    }
    let prefix = shared.names.category(category);
    let (page, ended) = part(shared, &prefix, after, limit).await?;
    let last = page.events.last().map(|last| last.position);
    let upto = match last {
        Some(last) if !ended => last,
        Some(last) => last.max(head),
        None => head,
    };
    let events = page.events;
    Ok(CategoryPage { events, upto })
}

/// Reads what stands behind a position, and whether that is all there is. At least one event, if there is one.
async fn part(
    shared: &Shared,
    prefix: &str,
    after: Position,
    limit: PageLimit,
) -> Result<(Page, bool), ReadError> {
    let mut retry = Retry::read(&shared.options);
    let mut from = Some(after).filter(|after| *after > Position::START);
    let mut refused = 0;
    loop {
        let target = Target::All {
            prefix: prefix.to_owned(),
            from: from.map(Position::get),
        };
        let most = match from {
            Some(from) if from >= after => calls(limit),
            // What is passed over is little beside another call.
            Some(_) => CALL_EVENTS_MAX,
            None => calls(limit),
        };
        let take = |page: &mut Page, event| page.take(shared, event, limit, |event| event.position > after);
        let read = page::read(shared, &mut retry, &target, most, Page::default, take).await;
        let (page, ended) = match read {
            Err(Failure::Refused(_)) if from.is_some() && refused < 2 => {
                refused += 1;
                if refused == 1 {
                    // Most who ask for no event's position ask for what begins with the event right behind it.
                    from = Some(Position::new(after.get() + 1));
                    continue;
                }
                match nearest(shared, &mut retry, prefix, after).await? {
                    Nearest::Behind => return Ok((Page::default(), true)),
                    Nearest::At(position) => from = position,
                }
                continue;
            }
            read => read?,
        };
        let page = page.checked()?;
        if ended || page.full || !page.events.is_empty() {
            return Ok((page, ended));
        }
        match page.reached {
            // What was sent is fences, or stands before what was asked for.
            Some(reached) if from.is_none_or(|from| reached > from) => from = Some(reached),
            Some(_) | None => return Ok((page, true)),
        }
    }
}

/// From where a log is read on for what stands behind a position at which no event stands.
enum Nearest {
    /// From an event that stands there; from the beginning without one.
    At(Option<Position>),
    /// Nothing stands behind it.
    Behind,
}

/// The nearest place to read on from: the known position before, unless it is nearer from behind.
async fn nearest(
    shared: &Shared,
    retry: &mut Retry,
    prefix: &str,
    after: Position,
) -> Result<Nearest, ReadError> {
    let before = shared.stones.before(after);
    let behind = shared.stones.behind(after);
    let end = behind.unwrap_or(shared.head.get().max(after));
    if after.get() - before.get() <= end.get() - after.get() {
        return Ok(Nearest::At(Some(before).filter(|at| *at > Position::START)));
    }
    let mut first = behind;
    loop {
        let target = Target::AllBackwards {
            prefix: prefix.to_owned(),
            before: first.map(Position::get),
        };
        let take = |walk: &mut (Option<Position>, bool), event: ServerEvent| {
            let position = Position::new(event.position);
            if position <= after {
                walk.1 = true;
                return Next::Enough;
            }
            shared.stones.pass(position);
            walk.0 = Some(position);
            Next::More
        };
        let begin = || (first, false);
        let ((reached, passed), ended) =
            page::read(shared, retry, &target, CALL_EVENTS_MAX, begin, take).await?;
        if passed || ended || reached == first {
            return Ok(reached.map_or(Nearest::Behind, |at| Nearest::At(Some(at))));
        }
        first = reached;
    }
}

pub(super) async fn head(shared: &Shared) -> Result<Position, ReadError> {
    Ok(refresh_head(shared).await?)
}

/// Asks the server for the end of the log.
pub(super) async fn refresh_head(shared: &Shared) -> Result<Position, Failure> {
    let mut retry = Retry::read(&shared.options);
    let prefix = shared.names.all();
    let mut before = None;
    loop {
        let target = Target::AllBackwards {
            prefix: prefix.clone(),
            before,
        };
        let take = |last: &mut (Option<RecordedEvent>, Option<u64>), event: ServerEvent| {
            last.1 = Some(event.position);
            match decode(event, &shared.names) {
                Ok(Read::Event(event)) => last.0 = Some(event.0),
                // It shows itself to whoever reads it.
                Ok(Read::Fence) | Err(_) => return Next::More,
            }
            Next::Enough
        };
        let (last, ended) =
            page::read(shared, &mut retry, &target, END_EVENTS, || (None, None), take).await?;
        if let Some(event) = last.0 {
            shared.head.saw(&event);
            return Ok(shared.head.get());
        }
        if ended || last.1 == before {
            return Ok(shared.head.get());
        }
        before = last.1;
    }
}

/// Walks back from the end. Positions are offsets of bytes in the server's files, so a log that ends before `bytes` is no
/// longer than that.
pub(super) async fn tail_start(shared: &Shared, bytes: u64) -> Result<Position, ReadError> {
    let head = refresh_head(shared).await?;
    if bytes == 0 || head <= Position::new(bytes) {
        return Ok(if bytes == 0 { head } else { Position::START });
    }
    let mut retry = Retry::read(&shared.options);
    let mut left = bytes;
    let mut before = None;
    loop {
        let target = Target::AllBackwards {
            prefix: shared.names.all(),
            before,
        };
        let take = |walk: &mut Walk, event: ServerEvent| {
            walk.reached = Some(event.position);
            let Ok(Read::Event(event)) = decode(event, &shared.names) else {
                return Next::More;
            };
            let size = event.0.metadata.len() as u64 + event.0.data.byte_len();
            match walk.left.checked_sub(size) {
                Some(rest) => {
                    walk.left = rest;
                    Next::More
                }
                None => {
                    walk.found = Some(event.0.position);
                    Next::Enough
                }
            }
        };
        let begin = || Walk {
            left,
            reached: None,
            found: None,
        };
        let (walk, ended) = page::read(shared, &mut retry, &target, CALL_EVENTS_MAX, begin, take).await?;
        if let Some(found) = walk.found {
            return Ok(found);
        }
        if ended || walk.reached.is_none() {
            return Ok(Position::START);
        }
        (left, before) = (walk.left, walk.reached);
    }
}

/// A walk from the end of the log towards its beginning.
struct Walk {
    left: u64,
    reached: Option<u64>,
    found: Option<Position>,
}

/// How a stream of the log begins.
pub(super) enum Begun {
    /// With this event, and what the adapter added to it.
    With(Box<(RecordedEvent, Header)>),
    /// It has fences only.
    Fenced,
    /// It has nothing.
    No,
}

/// How a stream of the log begins.
pub(super) async fn begun(
    shared: &Shared,
    retry: &mut Retry,
    stream: &StreamName,
) -> Result<Begun, ReadError> {
    let mut next = 0;
    loop {
        let name = shared.names.stream(stream);
        let target = Target::Stream { name, from: next };
        let take = |first: &mut (Option<Result<Read, Foreign>>, u64), event: ServerEvent| {
            first.1 = event.revision + 1;
            let read = decode(event, &shared.names);
            let is_fence = matches!(read, Ok(Read::Fence));
            first.0 = Some(read);
            if is_fence { Next::More } else { Next::Enough }
        };
        let (first, ended) = page::read(shared, retry, &target, END_EVENTS, || (None, next), take).await?;
        match first.0 {
            Some(Ok(Read::Event(event))) => return Ok(Begun::With(event)),
            Some(Err(foreign)) => return Err(foreign.into()),
            None if next == 0 => return Ok(Begun::No),
            Some(Ok(Read::Fence)) | None if ended => return Ok(Begun::Fenced),
            Some(Ok(Read::Fence)) | None => next = first.1,
        }
    }
}

/// The first event of a stream of the log, with what the adapter added; `None` where there is none.
pub(super) async fn first_event(
    shared: &Shared,
    retry: &mut Retry,
    stream: &StreamName,
) -> Result<Option<(RecordedEvent, Header)>, ReadError> {
    Ok(match begun(shared, retry, stream).await? {
        Begun::With(event) => Some(*event),
        Begun::Fenced | Begun::No => None,
    })
}
