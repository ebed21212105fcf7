//! What is on its way to the stream: sent in pieces, each of which counts as published once all of it is stored.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::{FanOutError, Message, Position, Publishing, RecordedEvent, Timestamp};

use super::Cursor;
use super::status::Shared;

/// Pieces that run into each other.
pub(super) struct Outgoing {
    publishing: Box<dyn Publishing>,
    /// Up to where the stream is known to hold everything.
    cursor: Cursor,
    /// The sequence of the last message sent.
    sent: u64,
    /// Sent and not known to be stored, oldest first.
    pieces: VecDeque<Piece>,
    shared: Arc<Shared>,
}

/// Some events in a row.
pub(super) struct Piece {
    /// The sequence of the last message.
    upto: u64,
    pub(super) last: Position,
    pub(super) recorded_at: Timestamp,
    pub(super) events: u64,
    /// How many of them the stream may have held before.
    pub(super) again: u64,
    /// Where the log ended when they were read.
    pub(super) head: Position,
}

impl Outgoing {
    pub(super) fn behind(cursor: Cursor, publishing: Box<dyn Publishing>, shared: Arc<Shared>) -> Self {
        Self {
            publishing,
            sent: cursor.sequence,
            cursor,
            pieces: VecDeque::new(),
            shared,
        }
    }

    /// Up to where the stream is known to hold everything.
    pub(super) const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether nothing is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Sends the messages of events, and says whether any piece became stored meanwhile.
    pub(super) async fn send(
        &mut self,
        head: Position,
        events: &[RecordedEvent],
        messages: Vec<Message>,
    ) -> Result<bool, FanOutError> {
        let Some(last) = events.last() else {
            return Ok(false);
        };
        self.sent += messages.len() as u64;
        self.pieces.push_back(Piece {
            upto: self.sent,
            last: last.position,
            recorded_at: last.recorded_at,
            events: events.len() as u64,
            again: self.shared.published_before(events),
            head,
        });
        let stored = self.publishing.send(messages).await?;
        Ok(self.note(stored))
    }

    /// Waits until more is stored. Cancel-safe, as its port is.
    pub(super) async fn settle(&mut self) -> Result<(), FanOutError> {
        let stored = self.publishing.settle().await?;
        self.note(stored);
        Ok(())
    }

    /// Waits until nothing is under way, or is known to be.
    pub(super) async fn come_to_an_end(&mut self) {
        while !self.is_settled() && self.settle().await.is_ok() {}
    }

    fn note(&mut self, stored: u64) -> bool {
        let mut any = false;
        while let Some(piece) = self.pieces.pop_front_if(|piece| piece.upto <= stored) {
            self.cursor = Cursor {
                after: piece.last,
                sequence: piece.upto,
                holds: true,
            };
            self.shared.published(&piece);
            any = true;
        }
        any
    }
}
