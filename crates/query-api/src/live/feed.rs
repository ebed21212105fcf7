//! Fills the ring while somebody listens: follows the stream from the head of the log on, and reads the log whenever the stream
//! can't be trusted.
//!
//! As with our workers, the stream is only a faster way to learn what the log holds. A gap, another log, silence while the
//! head moves, or no stream at all send the feed to the log; events go into the ring in the order of the log, each once.

use std::sync::Arc;
use std::time::Duration;

use domain::{LiveEvents, LiveStep, LiveSubscription, PageLimit, Position, ReadError};
use tokio::time::{Instant, timeout, timeout_at};

use super::hub::Hub;
use super::item::Item;

/// How long nobody listens before the feed rests.
const REST_AFTER: Duration = Duration::from_secs(5);

/// Fills the ring.
pub(crate) struct Feed {
    hub: Arc<Hub>,
    live: Arc<dyn LiveEvents>,
    seen: Position,
}

/// Why the stream is left for the log.
enum Left {
    /// An event is missing, or came to the log but not here.
    Behind(&'static str),
    /// The stream can't be used now.
    Broken(String),
}

impl Feed {
    pub(crate) const fn new(hub: Arc<Hub>, live: Arc<dyn LiveEvents>) -> Self {
        Self {
            hub,
            live,
            seen: Position::START,
        }
    }

    /// Runs for ever. It holds nothing that dropping it would lose.
    ///
    /// Without a listener it rests: to read, parse and format what nobody looks at was a sixth of the processor time of a
    /// process that only receives. Whoever comes begins at a position of its own, and finds what is missing here in the log.
    pub(crate) async fn run(mut self) {
        let hub = Arc::clone(&self.hub);
        loop {
            hub.ring.is_listened_to().await;
            tokio::select! {
                () = self.feed() => {}
                () = Self::is_alone(&hub) => {}
            }
            // Unknown from now on.
            hub.forget_damage();
        }
    }

    /// Ready when nobody listened for a while. Who comes back at once, as one page after the other does, finds it running.
    async fn is_alone(hub: &Hub) {
        loop {
            hub.ring.is_deserted().await;
            if timeout(REST_AFTER, hub.ring.is_listened_to()).await.is_err() {
                return;
            }
        }
    }

    async fn feed(&mut self) {
        self.seen = self.head().await;
        self.hub.ring.begin(self.seen);
        let mut pause = self.pause_min();
        loop {
            let before = self.seen;
            let read = self.read_log().await;
            self.hub.heed(&read);
            let left = match read {
                Ok(()) => self.follow().await,
                Err(error) => Left::Broken(error.to_string()),
            };
            if self.seen > before {
                pause = self.pause_min();
            }
            match left {
                Left::Behind(why) => {
                    tracing::info!(why, seen = %self.seen, "live_feed_reads_the_log");
                    metrics::counter!("hooklog_live_log_fallbacks_total", "reason" => "behind").increment(1);
                    if self.seen == before {
                        tokio::time::sleep(pause).await;
                    }
                }
                Left::Broken(why) => {
                    tracing::info!(why, seen = %self.seen, "live_feed_without_stream: reading the log");
                    metrics::counter!("hooklog_live_log_fallbacks_total", "reason" => "broken").increment(1);
                    self.poll_log(pause).await;
                }
            }
            let longest = Duration::from_millis(self.hub.options.backoff_ms_max);
            pause = (pause * 2).min(longest).max(self.pause_min());
        }
    }

    fn pause_min(&self) -> Duration {
        Duration::from_millis(self.hub.options.backoff_ms_min.max(1))
    }

    async fn head(&self) -> Position {
        loop {
            let head = self.hub.log.head().await;
            self.hub.heed(&head);
            match head {
                Ok(head) => return head,
                Err(error) => {
                    tracing::warn!(%error, "live_head_unknown: trying again");
                    tokio::time::sleep(self.pause_min()).await;
                }
            }
        }
    }

    fn take(&mut self, item: Item) {
        self.seen = item.position;
        self.hub.ring.push(item);
    }

    /// Reads the log to its head.
    async fn read_log(&mut self) -> Result<(), ReadError> {
        let limit = PageLimit {
            events: self.hub.options.page_events_max.max(1),
            bytes: self.hub.options.page_bytes_max,
        };
        loop {
            let page = self.hub.log.read_all(self.seen, limit).await?;
            if page.events.is_empty() {
                return Ok(());
            }
            for event in &page.events {
                self.take(Item::of(event));
            }
            if self.seen >= page.head {
                return Ok(());
            }
        }
    }

    /// Follows the stream until it can't be trusted any longer.
    async fn follow(&mut self) -> Left {
        let connect = Duration::from_millis(self.hub.options.follow_timeout_ms);
        let mut stream = match timeout(connect, self.live.follow(self.seen)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Left::Broken(error.to_string()),
            Err(_) => return Left::Broken("no answer when following the stream".to_owned()),
        };
        loop {
            if let Err(left) = self.take_next(stream.as_mut()).await {
                return left;
            }
        }
    }

    async fn take_next(&mut self, stream: &mut dyn LiveSubscription) -> Result<(), Left> {
        let silent = Duration::from_millis(self.hub.options.silent_ms.max(1));
        let live = match timeout(silent, stream.next()).await {
            Ok(Ok(live)) => live,
            Ok(Err(error)) => return Err(Left::Broken(error.to_string())),
            Err(_) => {
                return match self.hub.log.head().await {
                    Ok(head) if head > self.seen => Err(Left::Behind("the stream is silent")),
                    Ok(_) => Ok(()),
                    Err(error) => Err(Left::Broken(error.to_string())),
                };
            }
        };
        match live.step(self.hub.log.id(), self.seen) {
            LiveStep::Next => self.take(Item::of(&live.event)),
            LiveStep::Seen => {}
            LiveStep::Gap => return Err(Left::Behind("the stream has a gap")),
            LiveStep::Foreign => {
                let why = format!("the stream was filled from another log, {}", live.log_id);
                return Err(Left::Broken(why));
            }
        }
        Ok(())
    }

    /// Goes on without the stream for a while, and for no longer, however much comes.
    async fn poll_log(&mut self, time: Duration) {
        let until = Instant::now() + time;
        // A time-out alone would not do: it gives what is ready even after its time, and a busy log always is.
        while Instant::now() < until {
            let Ok(moved) = timeout_at(until, self.hub.log.wait_past(self.seen)).await else {
                return;
            };
            let read = match moved {
                Ok(_) => self.read_log().await,
                Err(error) => Err(error),
            };
            self.hub.heed(&read);
            if let Err(error) = read {
                tracing::warn!(%error, seen = %self.seen, "live_feed_read_failed: trying again");
                tokio::time::sleep_until(until).await;
            }
        }
    }
}
