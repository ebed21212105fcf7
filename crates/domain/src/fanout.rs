//! The ports to the fan-out: the relay publishes, workers and live consumers follow. It holds nothing that the log
//! doesn't, and may be wiped at any time.

use async_trait::async_trait;

use crate::{EventId, LogId, Message, Position, RecordedEvent};

/// The end of the stream, by which a relay goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanOutTail {
    /// The log the stream was filled from; `None` while it was never bound to one.
    pub log_id: Option<LogId>,
    /// The stream's last sequence; 0 when nothing was ever published.
    pub last_sequence: u64,
    /// The position of its last message; `None` when it holds none.
    pub last_position: Option<Position>,
    /// The id of the event in its last message. It tells a log that was restored from an older backup and went on
    /// differently from the one that filled the stream.
    pub last_event: Option<EventId>,
}

/// Why publishing or following failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FanOutError {
    /// The stream's end is not where the publisher believed: read the tail again and go on from there.
    #[error("the stream's end has moved")]
    Moved,
    /// It can't be reached; try again later.
    #[error("the fan-out can't be reached: {0}")]
    Unavailable(String),
    /// It refused: a person must act.
    #[error("the fan-out refused: {0}")]
    Refused(String),
}

/// Publishes the log to the stream. Only the relay holds one.
#[async_trait]
pub trait FanOut: Send + Sync {
    /// Creates the stream if it is missing, and reads its end.
    async fn tail(&self) -> Result<FanOutTail, FanOutError>;

    /// Empties the stream and binds it to a log.
    async fn rebind(&self, log: LogId) -> Result<FanOutTail, FanOutError>;

    /// Begins to publish right behind a sequence, with which the stream has to end.
    fn publish_after(&self, sequence: u64) -> Box<dyn Publishing>;

    /// The most bytes that the stream keeps; older ones are discarded.
    fn bytes_max(&self) -> u64;
}

/// Messages on their way to the stream, in their order. Each says what has to stand right before it, from the first one on
/// and however many calls they came with; so when one is lost or turned away, so are all behind it. Dropping this forgets
/// what is under way, which may still be stored.
#[async_trait]
pub trait Publishing: Send {
    /// Sends messages behind all that were sent before, acknowledged or not, and waits only while as much is under way as
    /// may be. Returns the last sequence that is known to be stored, and with it everything before it.
    ///
    /// # Errors
    /// Also when one that was sent before failed. What was under way has come to an end then, as far as that can be known:
    /// some of it may be stored, never with a hole. Nothing more is sent after an error; every later call returns it again.
    async fn send(&mut self, messages: Vec<Message>) -> Result<u64, FanOutError>;

    /// Waits until more is acknowledged, and returns the last sequence that is known to be stored. Waits for ever while
    /// nothing is under way. Cancel-safe: dropping the future forgets no message.
    ///
    /// # Errors
    /// As those of [`Publishing::send`].
    async fn settle(&mut self) -> Result<u64, FanOutError>;
}

/// An event as it came through the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveEvent {
    /// The log that it stands in.
    pub log_id: LogId,
    /// The event, rebuilt from its message.
    pub event: RecordedEvent,
    /// Position of the preceding event of the log, by which a gap is seen.
    pub previous: Position,
}

/// What an event of the stream is to somebody who has seen the log up to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveStep {
    /// The one right after it.
    Next,
    /// One that was seen before.
    Seen,
    /// A later one: what lies between has to be read from the log.
    Gap,
    /// One of another log.
    Foreign,
}

impl LiveEvent {
    /// What it is to somebody who follows a log and has seen it up to a position.
    #[must_use]
    pub fn step(&self, log: LogId, seen: Position) -> LiveStep {
        if self.log_id != log {
            LiveStep::Foreign
        } else if self.event.position <= seen {
            LiveStep::Seen
        } else if self.previous == seen {
            LiveStep::Next
        } else {
            LiveStep::Gap
        }
    }
}

/// Follows the stream.
#[async_trait]
pub trait LiveEvents: Send + Sync {
    /// Follows from the first message after a position, in order.
    async fn follow(&self, after: Position) -> Result<Box<dyn LiveSubscription>, FanOutError>;
}

/// An ordered subscription. Dropping it ends it.
#[async_trait]
pub trait LiveSubscription: Send {
    /// The next event; waits for one. Cancel-safe: dropping the future loses no event.
    async fn next(&mut self) -> Result<LiveEvent, FanOutError>;
}
