//! Open work: a round of a delivery at one destination.

use std::sync::Arc;

use domain::{EventId, Position, Revision, StreamName, Timestamp};

/// A round that is not over, as far as the log was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The delivery.
    pub(super) stream: Arc<StreamName>,
    /// The event that opened the round.
    pub(super) round: EventId,
    /// Where that event stands. No other round of the same destination has the same.
    pub(super) opened_at: Position,
    /// The last event of the stream that is accounted for here; what is older changes nothing.
    pub(super) revision: Revision,
    /// Failed attempts of the round.
    pub(super) attempts: u32,
    /// When the next attempt is due.
    pub(super) due_at: Timestamp,
    /// How urgent it is.
    pub(super) priority: i64,
    /// What it keeps the order of: its repository.
    pub(super) group: Option<Arc<str>>,
}

/// What came of work that was taken out to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The round is over.
    Over,
    /// It goes on, at a later time.
    Later {
        /// When.
        due_at: Timestamp,
        /// Failed attempts of the round.
        attempts: u32,
        /// The stream's last revision.
        revision: Revision,
    },
    /// It can't be done until a person acts. It stays open, and out of the way of the others.
    Parked,
    /// It was not done.
    Untouched,
}

/// The position just before another: whoever reads after it begins with that one.
pub(super) const fn before(position: Position) -> Position {
    Position::new(position.get().saturating_sub(1))
}
