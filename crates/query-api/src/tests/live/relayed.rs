//! The stream in memory, which loses messages as told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::{EventLog, FanOutError, LiveEvent, LiveEvents, LiveSubscription, PageLimit, Position};
use tokio::sync::watch;

/// The stream.
#[derive(Default)]
pub(crate) struct Relayed {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    messages: Mutex<Vec<LiveEvent>>,
    /// Published up to here, as far as the relay knows.
    upto: Mutex<Position>,
    losing: AtomicUsize,
    down: AtomicBool,
    changed: watch::Sender<usize>,
}

impl Relayed {
    /// Whether anybody follows it.
    pub(super) fn is_followed(&self) -> bool {
        self.shared.changed.receiver_count() > 0
    }

    /// Ready when nobody follows it any longer.
    pub(super) async fn deserted(&self, patience: std::time::Duration) {
        let left = self.shared.changed.closed();
        let left = tokio::time::timeout(patience, left).await;
        assert!(left.is_ok(), "the stream is still followed");
    }

    /// The next so many messages never arrive.
    pub(super) fn lose(&self, count: usize) {
        self.shared.losing.store(count, Ordering::SeqCst);
    }

    /// It can't be reached, or can again.
    pub(super) fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
        self.shared.changed.send_modify(|n| *n += 1);
    }

    /// Publishes what the log holds and the stream does not.
    pub(super) async fn publish(&self, log: &dyn EventLog) {
        let mut previous = *self.shared.upto.lock().unwrap();
        let page = log.read_all(previous, PageLimit::default()).await.unwrap();
        for event in page.events {
            let position = event.position;
            let live = LiveEvent {
                log_id: log.id(),
                event,
                previous,
            };
            previous = position;
            let losing = self.shared.losing.load(Ordering::SeqCst);
            if losing > 0 {
                self.shared.losing.store(losing - 1, Ordering::SeqCst);
            } else {
                self.shared.messages.lock().unwrap().push(live);
            }
        }
        *self.shared.upto.lock().unwrap() = previous;
        self.shared.changed.send_modify(|n| *n += 1);
    }
}

struct Subscription {
    shared: Arc<Shared>,
    changed: watch::Receiver<usize>,
    after: Position,
}

fn down() -> FanOutError {
    FanOutError::Unavailable("set so by the test".into())
}

#[async_trait]
impl LiveEvents for Relayed {
    async fn follow(&self, after: Position) -> Result<Box<dyn LiveSubscription>, FanOutError> {
        if self.shared.down.load(Ordering::SeqCst) {
            return Err(down());
        }
        Ok(Box::new(Subscription {
            changed: self.shared.changed.subscribe(),
            shared: Arc::clone(&self.shared),
            after,
        }))
    }
}

#[async_trait]
impl LiveSubscription for Subscription {
    async fn next(&mut self) -> Result<LiveEvent, FanOutError> {
        loop {
            if self.shared.down.load(Ordering::SeqCst) {
                return Err(down());
            }
            let next = {
                let messages = self.shared.messages.lock().unwrap();
                messages
                    .iter()
                    .find(|live| live.event.position > self.after)
                    .cloned()
            };
            if let Some(live) = next {
                self.after = live.event.position;
                return Ok(live);
            }
            self.changed.changed().await.map_err(|_| down())?;
        }
    }
}
