//! The port to the log, the only source of truth.
//!
//! Two adapters have to fit: the embedded segmented log, whose positions are dense, and an EventStoreDB cluster,
//! whose positions have gaps and whose appends can end without a known outcome.

use async_trait::async_trait;

use crate::{
    Category, ContentHash, LogId, NewEvent, Position, RecordedEvent, Revision, SourceName, StreamName,
    TenantId, Timestamp,
};

/// What the stream must look like for an append to succeed. There is deliberately no `Any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The stream has no event yet.
    NoStream,
    /// The stream's last event has this revision.
    Revision(Revision),
}

/// Events to append to one stream, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub stream: StreamName,
    /// What it must look like.
    pub expected: Expected,
    /// The events, at least one.
    pub events: Vec<NewEvent>,
    /// For a delivery: by what to recognise the same content under another key.
    pub content: Option<ContentKey>,
}

/// By what the writer recognises that a delivery repeats another one.
///
/// It is a duplicate of an unmarked delivery of the same tenant and source that has the same sender's id under another
/// key (for ever), or the same body and was received at most `window_ms` before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentKey {
    /// The tenant; content is never compared across tenants.
    pub tenant: TenantId,
    /// The source.
    pub source: SourceName,
    /// SHA-256 of the body.
    pub body_sha256: ContentHash,
    /// The sender's id of the delivery, indexed so that it can be found by it.
    pub sender_id: Option<String>,
    /// When it was received.
    pub received_at: Timestamp,
    /// How long after the original the same body is a duplicate, in milliseconds; 0 turns it off.
    pub window_ms: u64,
}

impl ContentKey {
    /// Whether the same body, received at `original`, is close enough to be the original of this one. Receipts may be
    /// recorded out of their order, so the distance counts in both directions.
    #[must_use]
    pub const fn is_within_window(&self, original: Timestamp) -> bool {
        self.window_ms > 0 && self.received_at.millis_since(original).unsigned_abs() <= self.window_ms
    }
}

/// A successful append: the events are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first of the events.
    pub first: Position,
    /// Position of the last of them.
    pub last: Position,
    /// Revision of the last of them.
    pub revision: Revision,
    /// When the log took them.
    pub recorded_at: Timestamp,
    /// The stream of the delivery that this one repeats.
    pub duplicate_of: Option<StreamName>,
}

/// Why an append did not succeed. Ask it what to do: [`AppendError::retry`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The stream is not as expected. What it conflicts with is durable.
    #[error("the stream is at revision {current}, not as expected")]
    Conflict {
        /// The stream's last revision.
        current: Revision,
        /// Position of the stream's first event; [`Position::START`] when a revision was expected of a stream without
        /// events.
        first: Position,
    },
    /// Nothing was written; a later try may succeed.
    #[error("the log can't be written now: {0}")]
    Unavailable(String),
    /// It may or may not be written; a retry with the same event ids tells.
    #[error("the log did not say whether it was written: {0}")]
    Unknown(String),
    /// The log will never take this.
    #[error("the log refuses this append: {0}")]
    Invalid(String),
}

impl AppendError {
    /// Whether the same append may succeed later.
    #[must_use]
    pub const fn retry(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unknown(_))
    }
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The log can't be read now.
    #[error("the log can't be read now: {0}")]
    Unavailable(String),
    /// What was acknowledged can't be read: a person must act.
    #[error("the log is damaged: {0}")]
    Corrupt(String),
}

/// Bounds of one page; at least one event is returned whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// The most events.
    pub events: usize,
    /// The most bytes of metadata and inline data together.
    pub bytes: usize,
}

impl Default for PageLimit {
    fn default() -> Self {
        Self {
            events: 1000,
            bytes: 8 * 1024 * 1024,
        }
    }
}

/// Events in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// The events; empty at the head.
    pub events: Vec<RecordedEvent>,
    /// Position of the last durable event when the page was read.
    pub head: Position,
}

/// Events of one category of streams, in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CategoryPage {
    /// The events; none where the category has no more.
    pub events: Vec<RecordedEvent>,
    /// Up to where nothing of the category is missing: the last event of a full page, else the head. A next page begins
    /// after it; it is before `after` only when the log ends there.
    pub upto: Position,
}

/// How far the positions of events that follow each other are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// One: positions count events.
    One,
    /// Any distance, seldom much less than this one: positions are offsets in bytes, or have gaps.
    About(u32),
}

impl Spacing {
    /// A range of positions with about so many events, and seldom with many more.
    #[must_use]
    pub fn positions(self, events: u64) -> u64 {
        match self {
            Self::One => events,
            Self::About(apart) => events.saturating_mul(apart.max(1).into()),
        }
    }

    /// How many events follow a position up to another one, where that can be said without reading them.
    #[must_use]
    pub const fn events_between(self, after: Position, upto: Position) -> Option<u64> {
        match (self, upto.get().saturating_sub(after.get())) {
            (_, 0) => Some(0),
            (Self::One, distance) => Some(distance),
            (Self::About(_), _) => None,
        }
    }
}

/// How the log is doing, without touching a disk or the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHealth {
    /// Why it can't be written, if so.
    pub unwritable: Option<String>,
    /// Appends waiting.
    pub queue_len: usize,
    /// The most appends that may wait.
    pub queue_max: usize,
    /// Position of the last durable event.
    pub head: Position,
    /// Bytes on disk, where the adapter knows.
    pub stored_bytes: Option<u64>,
}

/// Appends to the log and reads it.
///
/// An append that repeats event ids already in the stream at the place it expects succeeds and changes nothing.
/// Nothing returned by any method is less than durable.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// The log's identity.
    fn id(&self) -> LogId;

    /// Appends, answered after the sync. Answers about what is there already come after *its* sync.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// Reads a stream from a revision on; empty if it has none.
    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError>;

    /// Reads the log after a position.
    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError>;

    /// Reads the streams of one category after a position, without a look at the bodies of others: for categories of few
    /// events in a log of many.
    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError>;

    /// Position of the last durable event, [`Position::START`] in an empty log.
    async fn head(&self) -> Result<Position, ReadError>;

    /// Waits until the head is beyond a position and returns it.
    async fn wait_past(&self, position: Position) -> Result<Position, ReadError>;

    /// A position after which no more than about `bytes` of events follow, as early as the adapter can say cheaply.
    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError>;

    /// How far apart its positions are; the same for the life of a log.
    fn spacing(&self) -> Spacing;

    /// How the log is doing.
    fn health(&self) -> LogHealth;
}

/// Finds deliveries by the id that their sender gave them.
#[async_trait]
pub trait FindDeliveries: Send + Sync {
    /// The streams of the deliveries with that id, by position of their first event, at most `limit`.
    async fn by_sender_id(
        &self,
        tenant: &TenantId,
        sender_id: &str,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_say_how_many_events_there_are_only_where_they_count_them() {
        let between =
            |spacing: Spacing, after, upto| spacing.events_between(Position::new(after), Position::new(upto));
        for (spacing, after, upto, events) in [
            (Spacing::One, 3, 10, Some(7)),
            (Spacing::One, 10, 10, Some(0)),
            (Spacing::About(100), 300, 1000, None),
            (Spacing::About(100), 300, 300, Some(0)),
            (Spacing::About(100), 300, 200, Some(0)),
        ] {
            assert_eq!(
                between(spacing, after, upto),
                events,
                "{spacing:?} {after} {upto}"
            );
        }
        assert_eq!(Spacing::One.positions(8192), 8192);
        assert_eq!(Spacing::About(100).positions(8192), 819_200);
        assert_eq!(Spacing::About(100).positions(u64::MAX), u64::MAX);
    }
}
