//! What waits for clients, in bytes. Events are small, but what hangs off them is not: bounded in number alone, a few hundred
//! clients that take nothing would take the memory of all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What waits for all clients together.
#[derive(Debug)]
pub(super) struct Waiting {
    bytes: AtomicUsize,
    queues: AtomicUsize,
    max: usize,
    per_client_max: usize,
}

/// What waits for one. What was taken is counted by the bytes on its connection, which are a little more than what was put in:
/// so a queue that was taken whole is empty here as well.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Arc<Waiting>,
    bytes: Mutex<usize>,
}

impl Waiting {
    pub(super) fn new(max: usize, per_client_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            queues: AtomicUsize::new(0),
            max,
            per_client_max,
        })
    }

    pub(super) fn queue(self: &Arc<Self>) -> Arc<Queue> {
        self.queues.fetch_add(1, Ordering::Relaxed);
        Arc::new(Queue {
            waiting: Arc::clone(self),
            bytes: Mutex::default(),
        })
    }

    /// The most that may wait for one now. When there is too much in all, a fair share: who keeps up needs none.
    fn share(&self) -> usize {
        if self.bytes.load(Ordering::Relaxed) < self.max {
            return self.per_client_max;
        }
        let fair = self.max / self.queues.load(Ordering::Relaxed).max(1);
        fair.min(self.per_client_max)
    }
}

impl Queue {
    /// Puts so many bytes in, if there is room. Where nothing waits there always is: whatever is sent can be sent to somebody.
    pub(super) fn put(&self, count: usize) -> bool {
        let share = self.waiting.share();
        let mut bytes = self.bytes();
        if *bytes > 0 && bytes.saturating_add(count) > share {
            return false;
        }
        *bytes += count;
        drop(bytes);
        self.waiting.bytes.fetch_add(count, Ordering::Relaxed);
        true
    }

    /// So many bytes have left on its connection.
    pub(super) fn took(&self, count: usize) {
        let mut bytes = self.bytes();
        let gone = count.min(*bytes);
        *bytes -= gone;
        drop(bytes);
        self.waiting.bytes.fetch_sub(gone, Ordering::Relaxed);
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        *self.bytes() == 0
    }

    fn bytes(&self) -> MutexGuard<'_, usize> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.took(usize::MAX);
        self.waiting.queues.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_one_is_bounded_and_what_was_taken_makes_room() {
        let waiting = Waiting::new(usize::MAX, 100);
        let queue = waiting.queue();
        assert!(
            queue.put(1000),
            "whatever it is, it can be sent to who waits for nothing"
        );
        assert!(!queue.put(1));
        queue.took(950);
        assert!(queue.put(50) && !queue.put(1));
        queue.took(101);
        assert!(
            queue.is_empty() && queue.put(100),
            "more was on the connection than was put in"
        );
    }

    #[test]
    fn when_too_much_waits_in_all_those_who_keep_up_still_have_room() {
        let waiting = Waiting::new(100, 80);
        let (stalled, other) = (waiting.queue(), waiting.queue());
        assert!(stalled.put(80) && other.put(20));
        assert!(!stalled.put(1), "over its share");
        assert!(other.put(30) && !other.put(1), "the half of it");
        drop(stalled);
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), 50);
        assert!(other.put(30), "there is room again");
        drop(other);
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0);
    }
}
