//! The latest events in memory, bounded in count and bytes.
//!
//! Readers come with the position that they have seen and get what follows it. Whether something is missing before that is
//! known from positions alone, so that changing over from the log has no seam at which an event could be lost or shown twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Position;
use tokio::sync::{Notify, watch};

use super::item::Item;

/// The latest events.
#[derive(Debug)]
pub(crate) struct Ring {
    kept: Mutex<Kept>,
    end: watch::Sender<Position>,
    /// Somebody began to listen.
    joined: Notify,
    events_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    /// Everything after this position is here; none before anything was put in.
    floor: Option<Position>,
    items: VecDeque<Arc<Item>>,
    bytes: usize,
}

/// The ring no longer has what follows a position: it is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overtaken;

impl Ring {
    pub(crate) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self {
            kept: Mutex::default(),
            end: watch::Sender::new(Position::START),
            joined: Notify::new(),
            events_max: events_max.max(1),
            bytes_max,
        }
    }

    /// From here on everything will be put in. What was in it before is gone, as what came in between never was.
    pub(crate) fn begin(&self, at: Position) {
        *self.kept() = Kept {
            floor: Some(at),
            ..Kept::default()
        };
        self.end.send_replace(at);
    }

    /// Puts in the event right after the last one.
    pub(crate) fn push(&self, item: Item) {
        let (position, bytes) = (item.position, item.bytes());
        let mut kept = self.kept();
        kept.items.push_back(Arc::new(item));
        kept.bytes += bytes;
        while kept.items.len() > self.events_max || (kept.bytes > self.bytes_max && kept.items.len() > 1) {
            let Some(oldest) = kept.items.pop_front() else {
                break;
            };
            kept.bytes = kept.bytes.saturating_sub(oldest.bytes());
            kept.floor = Some(oldest.position);
        }
        drop(kept);
        self.end.send_replace(position);
    }

    /// What follows a position, at most so many; none when nothing does yet.
    pub(crate) fn after(&self, position: Position, max: usize) -> Result<Vec<Arc<Item>>, Overtaken> {
        let kept = self.kept();
        if kept.floor.is_none_or(|floor| position < floor) {
            return Err(Overtaken);
        }
        let from = kept.items.partition_point(|item| item.position <= position);
        Ok(kept.items.iter().skip(from).take(max).map(Arc::clone).collect())
    }

    /// Tells of every move of the end. Who holds it is listening.
    pub(crate) fn watch(&self) -> watch::Receiver<Position> {
        let end = self.end.subscribe();
        self.joined.notify_one();
        end
    }

    /// Ready when somebody is listening.
    pub(crate) async fn is_listened_to(&self) {
        while self.end.receiver_count() == 0 {
            self.joined.notified().await;
        }
    }

    /// Ready when nobody is listening.
    pub(crate) async fn is_deserted(&self) {
        self.end.closed().await;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(ring: &Ring, after: u64) -> Result<Vec<u64>, Overtaken> {
        let items = ring.after(Position::new(after), 10)?;
        Ok(items.iter().map(|item| item.position.get()).collect())
    }

    #[test]
    fn what_follows_a_position_is_given_or_said_to_be_gone() {
        let ring = Ring::new(3, usize::MAX);
        assert_eq!(positions(&ring, 0), Err(Overtaken), "nothing is known yet");
        ring.begin(Position::new(4));
        assert_eq!(positions(&ring, 3), Err(Overtaken));
        assert_eq!(positions(&ring, 4), Ok(vec![]));
        assert_eq!(positions(&ring, 9), Ok(vec![]), "ahead of the ring");
        for position in [7, 8, 11] {
            ring.push(Item::other(Position::new(position)));
        }
        assert_eq!(positions(&ring, 4), Ok(vec![7, 8, 11]));
        assert_eq!(positions(&ring, 7), Ok(vec![8, 11]));
        assert_eq!(positions(&ring, 11), Ok(vec![]));
        ring.push(Item::other(Position::new(12)));
        assert_eq!(positions(&ring, 6), Err(Overtaken), "7 is gone");
        assert_eq!(positions(&ring, 7), Ok(vec![8, 11, 12]));
        assert_eq!(ring.after(Position::new(7), 2).map(|items| items.len()), Ok(2));
    }

    #[test]
    fn bytes_are_bounded_too_but_the_newest_is_always_kept() {
        let ring = Ring::new(1000, 1100);
        ring.begin(Position::START);
        for position in 1..=5 {
            ring.push(Item::other(Position::new(position)));
        }
        assert_eq!(positions(&ring, 2), Err(Overtaken));
        assert_eq!(positions(&ring, 3), Ok(vec![4, 5]));
        let small = Ring::new(1000, 1);
        small.begin(Position::START);
        small.push(Item::other(Position::new(1)));
        assert_eq!(positions(&small, 0), Ok(vec![1]));
    }
}
