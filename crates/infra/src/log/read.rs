//! Reading. Nothing beyond the head is ever shown: what is beyond it may not be durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{
    EventData, LogPage, PageLimit, Position, ReadError, RecordedEvent, Revision, StreamName, TenantId,
};

use super::content_keys::delivery_key;
use super::error::SegmentError;
use super::format::{BATCH_HEADER_BYTES, BLOCK_BYTES, RecordView};
use super::index::IndexError;
use super::keys::EventKey;
use super::segment::{Batch, Segment};
use super::shared::{IndexClosed, Shared};

/// A page being filled.
pub(super) struct Page {
    pub(super) events: Vec<RecordedEvent>,
    bytes: usize,
    limit: PageLimit,
}

impl Page {
    pub(super) fn new(limit: PageLimit) -> Self {
        Self {
            events: Vec::new(),
            bytes: 0,
            limit,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= self.limit.events || self.bytes > self.limit.bytes
    }

    /// Adds an event unless the page is full; the first one is added whatever its size.
    pub(super) fn add(&mut self, event: RecordedEvent) -> bool {
        let inline = match &event.data {
            EventData::Inline(data) => data.len(),
            EventData::Stored(_) => 0,
        };
        self.bytes += event.metadata.len() + inline;
        let fits = self.events.is_empty() || !self.is_full();
        if fits && self.limit.events > 0 {
            self.events.push(event);
        }
        fits
    }
}

/// Reads the log after a position.
pub(crate) fn read_all(shared: &Shared, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
    let head = shared.head_now();
    let mut page = Page::new(limit);
    let mut next = after.get().saturating_add(1);
    for segment in shared.segments.starting_at(next) {
        if next > head.get() || page.is_full() {
            break;
        }
        next = read_segment(shared, &segment, next, head, &mut page)?;
    }
    Ok(LogPage {
        events: page.events,
        head,
    })
}

/// Reads the log after a position from memory; `None` where some of what follows it is not there any more.
pub(crate) fn read_newest(shared: &Shared, after: Position, limit: PageLimit) -> Option<LogPage> {
    let head = shared.head_now();
    let mut next = after.get().saturating_add(1);
    let mut page = Page::new(limit);
    // Batch by batch, as the writer waits while they are looked for.
    while next <= head.get() && !page.is_full() {
        let batch = shared.newest.holding(next)?;
        let shown = next..=head.get();
        for record in batch.records().filter(|record| shown.contains(&record.position)) {
            if !page.add(record.to_event(&batch.bytes, false)?) {
                break;
            }
        }
        next = batch.header.last_position() + 1;
    }
    Some(LogPage {
        events: page.events,
        head,
    })
}

/// Adds a segment's events from a position on, and returns the position after them.
fn read_segment(
    shared: &Shared,
    segment: &Segment,
    mut next: u64,
    head: Position,
    page: &mut Page,
) -> Result<u64, ReadError> {
    let Some(mut offset) = segment.locate(&*shared.files, next)? else {
        return Ok(next);
    };
    let end = shared.segments.end_of(segment.header.number);
    let reader = segment.reader(&*shared.files)?;
    while next <= head.get() && end.is_none_or(|end| next < end) {
        let batch = reader.batch(offset)?;
        // Another batch of the same segment, where a write went astray: all its checksums are right.
        if !batch.header.holds(next) {
            return Err(damaged(segment, offset, "another batch stands where this one should").into());
        }
        let from = next;
        for record in batch
            .records()
            .filter(|r| r.position >= from && r.position <= head.get())
        {
            if !page.add(event_of(segment, offset, &batch, record, false)?) {
                return Ok(next);
            }
            next = record.position + 1;
        }
        if batch.header.last_position() + 1 != next {
            return Err(damaged(segment, offset, "the batch holds other events than it should").into());
        }
        if page.is_full() {
            return Ok(next);
        }
        offset = batch.header.end(offset);
    }
    Ok(next)
}

fn damaged(segment: &Segment, offset: u64, what: &str) -> SegmentError {
    SegmentError::damaged(segment.header.number, offset, what)
}

fn event_of(
    segment: &Segment,
    offset: u64,
    batch: &Batch,
    record: RecordView<'_>,
    copy: bool,
) -> Result<RecordedEvent, SegmentError> {
    let event = record.to_event(&batch.bytes, copy);
    event.ok_or_else(|| damaged(segment, offset, "an event can't be read"))
}

/// Finds one event and takes something from it.
pub(super) fn read_one<T>(
    shared: &Shared,
    position: Position,
    take: impl FnOnce(&Batch, RecordView<'_>) -> Option<T>,
) -> Result<T, SegmentError> {
    let segment = shared.segments.starting_at(position.get()).into_iter().next();
    let missing = |segment, offset| {
        SegmentError::damaged(
            segment,
            offset,
            format!("the event at position {position} is missing"),
        )
    };
    let segment = segment.ok_or_else(|| missing(0, 0))?;
    let number = segment.header.number;
    let offset = segment.locate(&*shared.files, position.get())?;
    let offset = offset.ok_or_else(|| missing(number, 0))?;
    let batch = segment.reader(&*shared.files)?.batch(offset)?;
    let record = batch.records().find(|record| record.position == position.get());
    record
        .and_then(|record| take(&batch, record))
        .ok_or_else(|| missing(number, offset))
}

/// Reads the keys of one event.
pub(crate) fn read_key(shared: &Shared, position: Position) -> Result<EventKey, SegmentError> {
    read_one(shared, position, |_, record| EventKey::of(&record))
}

/// Reads a stream from a revision on.
pub(crate) fn read_stream(
    shared: &Shared,
    stream: &StreamName,
    from: Revision,
    limit: PageLimit,
) -> Result<Vec<RecordedEvent>, ReadError> {
    // First what is not indexed, then the index: what moves from one to the other in between is seen at least once.
    let recent = shared.recent().positions(stream, from);
    let mut positions: BTreeMap<Revision, Position> = match shared.index().map_err(closed)? {
        Some(index) => index
            .positions(stream, from, limit.events)
            .map_err(unavailable)?
            .into_iter()
            .collect(),
        None => BTreeMap::new(),
    };
    positions.extend(recent);
    let mut page = Page::new(limit);
    for (revision, position) in positions {
        if page.is_full() {
            break;
        }
        // A copy: a slice would keep a whole batch in memory for one event.
        let event = read_one(shared, position, |batch, record| {
            record.to_event(&batch.bytes, true)
        })?;
        if event.stream != *stream || event.revision != revision {
            let why = format!("the index names position {position} for revision {revision} of {stream}");
            return Err(ReadError::Corrupt(why));
        }
        if !page.add(event) {
            break;
        }
    }
    Ok(page.events)
}

/// The streams of the deliveries with a sender's id, by position of their first event.
pub(crate) fn by_sender_id(
    shared: &Shared,
    tenant: &TenantId,
    sender_id: &str,
    limit: usize,
) -> Result<Vec<StreamName>, ReadError> {
    let key = delivery_key(tenant, sender_id);
    let recent = shared.recent().deliveries(&key);
    let mut found: BTreeMap<Position, StreamName> = match shared.index().map_err(closed)? {
        Some(index) => index
            .deliveries(&key, limit)
            .map_err(unavailable)?
            .into_iter()
            .collect(),
        None => BTreeMap::new(),
    };
    found.extend(recent);
    Ok(found.into_values().take(limit).collect())
}

#[expect(clippy::needless_pass_by_value, reason = "this is how map_err passes it")]
pub(super) fn unavailable(error: IndexError) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "this is how map_err passes it")]
pub(super) fn closed(error: IndexClosed) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

/// A position after which no more than about `bytes` of the log follow.
pub(crate) fn tail_start(shared: &Shared, bytes: u64) -> Result<Position, ReadError> {
    let mut left = bytes;
    let mut segments: Vec<Arc<Segment>> = shared.segments.all();
    while let Some(segment) = segments.pop() {
        let end = used_bytes(shared, &segment)?;
        let size = end - BLOCK_BYTES;
        if size > left {
            // The batch in which the cut falls is left out.
            let first = segment.position_at(&*shared.files, end - left)?;
            return Ok(Position::new(batch_end(shared, &segment, first)?));
        }
        left -= size;
    }
    Ok(Position::START)
}

/// Where the last durable batch of a segment ends.
fn used_bytes(shared: &Shared, segment: &Segment) -> Result<u64, SegmentError> {
    let Some(offset) = segment.last_offset(&*shared.files)? else {
        return Ok(BLOCK_BYTES);
    };
    let batch = segment.reader(&*shared.files)?.batch(offset)?;
    debug_assert!(batch.bytes.len() >= BATCH_HEADER_BYTES);
    Ok(batch.header.end(offset))
}

/// Position of the last event of the batch that a position is in.
fn batch_end(shared: &Shared, segment: &Segment, position: u64) -> Result<u64, SegmentError> {
    let Some(offset) = segment.locate(&*shared.files, position)? else {
        return Ok(position.saturating_sub(1));
    };
    let batch = segment.reader(&*shared.files)?.batch(offset)?;
    Ok(batch.header.last_position())
}
