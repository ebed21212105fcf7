//! One client's way through the log: from the ring while it keeps up, from the log whenever it does not.

use std::sync::Arc;
use std::time::Duration;

use domain::{PageLimit, Position, ReadError};
use tokio::sync::watch;

use super::hub::Hub;
use super::item::Item;

/// The most events taken from the ring at a time.
const BATCH: usize = 128;

/// How many events of a page are looked at before others have a turn.
const TURN: usize = 32;

/// After the log could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// Goes through the log from a position on: every event once, in order.
pub(crate) struct Reader {
    hub: Arc<Hub>,
    end: watch::Receiver<Position>,
    at: Position,
}

impl Reader {
    /// A reader that begins after a position.
    pub(crate) fn new(hub: Arc<Hub>, at: Position) -> Self {
        let end = hub.ring.watch();
        Self { hub, end, at }
    }

    /// How far it is.
    pub(crate) const fn at(&self) -> Position {
        self.at
    }

    /// The next events, at least one; waits for them. Cancel-safe: dropping the future leaves none out.
    ///
    /// # Errors
    /// When the log is damaged where it has to go on, or the ring has to. One that can't be read now is waited for.
    pub(crate) async fn next(&mut self) -> Result<Vec<Arc<Item>>, ReadError> {
        loop {
            let items = match self.hub.ring.after(self.at, BATCH) {
                Ok(items) => items,
                Err(_overtaken) => self.read_log().await?,
            };
            if let Some(last) = items.last() {
                self.at = last.position;
                return Ok(items);
            }
            let at = self.at;
            tokio::select! {
                biased;
                // The ring lives as long as the hub does.
                _moved = self.end.wait_for(|end| *end > at) => {}
                damage = self.hub.damaged() => return Err(damage),
            }
        }
    }

    /// A page of the log. Empty only where the log has nothing more, and then the ring goes on.
    async fn read_log(&self) -> Result<Vec<Arc<Item>>, ReadError> {
        metrics::counter!("hooklog_live_log_reads_total").increment(1);
        let limit = PageLimit {
            events: self.hub.options.page_events_max.max(1),
            bytes: self.hub.options.page_bytes_max,
        };
        loop {
            // Never closed.
            let turn = self.hub.reads.acquire().await;
            let page = match self.hub.log.read_all(self.at, limit).await {
                Ok(page) => page,
                Err(error @ ReadError::Corrupt(_)) => return Err(error),
                Err(ReadError::Unavailable(why)) => {
                    drop(turn);
                    tracing::warn!(why, after = %self.at, "live_read_failed: trying again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let mut items = Vec::with_capacity(page.events.len());
            for (n, event) in page.events.iter().enumerate() {
                items.push(Arc::new(Item::of(event)));
                // Those who receive have their turn in between.
                if n % TURN == TURN - 1 {
                    tokio::task::yield_now().await;
                }
            }
            return Ok(items);
        }
    }
}
