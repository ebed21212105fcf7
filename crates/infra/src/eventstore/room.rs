//! How many appends may be under way, and which of earlier ones nobody knows the end of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{AppendError, EventId};
use tokio::sync::watch;

use super::options::EventStoreOptions;

/// The most appends without a known end that are remembered.
const UNSURE_MAX: usize = 10_000;

/// Room for appends, in number and bytes.
pub(super) struct Room {
    shared: Arc<Taken>,
    max: usize,
    bytes_max: usize,
    unsure: Mutex<VecDeque<EventId>>,
}

#[derive(Debug)]
struct Taken(watch::Sender<Use>);

#[derive(Debug, Default, Clone, Copy)]
struct Use {
    number: usize,
    bytes: usize,
    closed: bool,
}

/// Room that an append has until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Taken>,
    bytes: usize,
}

impl Room {
    pub(super) fn new(options: &EventStoreOptions) -> Self {
        Self {
            shared: Arc::new(Taken(watch::Sender::new(Use::default()))),
            max: options.queue_max,
            bytes_max: options.queue_bytes_max,
            unsure: Mutex::default(),
        }
    }

    /// Takes room, or refuses at once: who waits here would wait for others who wait.
    pub(super) fn take(&self, bytes: usize) -> Result<Place, AppendError> {
        let mut refused = None;
        self.shared.0.send_if_modified(|used| {
            // One append is always let in, however large.
            let too_large = used.bytes > 0 && used.bytes.saturating_add(bytes) > self.bytes_max;
            if used.closed {
                refused = Some("the log is closing");
            } else if used.number >= self.max || too_large {
                refused = Some("too many appends are waiting");
            } else {
                used.number += 1;
                used.bytes += bytes;
            }
            refused.is_none()
        });
        if let Some(why) = refused {
            return Err(AppendError::Unavailable(why.into()));
        }
        metrics::gauge!("hooklog_log_queue_length").increment(1.0);
        Ok(Place {
            taken: Arc::clone(&self.shared),
            bytes,
        })
    }

    /// How many appends are under way.
    pub(super) fn taken(&self) -> usize {
        self.shared.0.borrow().number
    }

    /// Lets nothing in any more, and waits until nothing is under way.
    pub(super) async fn close(&self) {
        self.shared.0.send_modify(|used| used.closed = true);
        let mut used = self.shared.0.subscribe();
        let _sender_is_here = used.wait_for(|used| used.number == 0).await;
    }

    /// Remembers an append of which nobody knows whether it was done.
    pub(super) fn unsure_of(&self, id: EventId) {
        let mut unsure = self.unsure();
        if unsure.len() >= UNSURE_MAX {
            unsure.pop_front();
        }
        unsure.push_back(id);
    }

    /// Whether an append with this first event may have been done before.
    pub(super) fn is_unsure_of(&self, id: EventId) -> bool {
        self.unsure().contains(&id)
    }

    fn unsure(&self) -> MutexGuard<'_, VecDeque<EventId>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.0.send_modify(|used| {
            used.number -= 1;
            used.bytes -= self.bytes;
        });
        metrics::gauge!("hooklog_log_queue_length").decrement(1.0);
    }
}
