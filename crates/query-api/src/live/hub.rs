//! What everything live shares: the ring, the log behind it, the places of clients, and the end.

use std::sync::Arc;

use domain::{EventLog, Position, ReadError};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::options::LiveOptions;
use super::places::Places;
use super::ring::Ring;

/// What everything live shares.
pub(crate) struct Hub {
    pub(crate) options: LiveOptions,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ring: Ring,
    /// Turns at reading the log for clients that are behind the ring.
    pub(crate) reads: Semaphore,
    pub(crate) streams: Arc<Places>,
    pub(crate) sockets: Arc<Places>,
    /// Every stream ends.
    pub(crate) stop: CancellationToken,
    /// Where the clients of Socket.IO begin to be shown what comes; none while there are none.
    showing: watch::Sender<Option<Position>>,
    /// What is damaged in the log behind the ring, as long as it is: nothing comes any more then.
    damage: watch::Sender<Option<String>>,
}

impl Hub {
    pub(crate) fn new(options: LiveOptions, log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            ring: Ring::new(options.ring_events_max, options.ring_bytes_max),
            reads: Semaphore::new(options.log_reads_max.max(1)),
            streams: Places::new("sse", options.streams_max, options.streams_per_client_max),
            sockets: Places::new("socketio", options.sockets_max, options.sockets_per_address_max),
            stop: CancellationToken::new(),
            showing: watch::Sender::new(None),
            damage: watch::Sender::new(None),
            options,
        }
    }

    /// Learns from reading the log on behalf of the ring whether it is damaged there.
    pub(crate) fn heed<T>(&self, read: &Result<T, ReadError>) {
        match read {
            Ok(_) => {
                self.damage.send_if_modified(|damage| damage.take().is_some());
            }
            Err(ReadError::Corrupt(what)) => {
                let is_new = self.damage.send_if_modified(|damage| {
                    let is_new = damage.is_none();
                    damage.get_or_insert_with(|| what.clone());
                    is_new
                });
                if is_new {
                    tracing::error!(what, "live_log_unreadable: every live client is told so");
                }
            }
            // That passes.
            Err(ReadError::Unavailable(_)) => {}
        }
    }

    /// Has everything shown to the clients of Socket.IO that comes to the log from now on. Whoever calls it has a place.
    ///
    /// # Errors
    /// When the end of the log is not known.
    pub(crate) async fn show_sockets(&self) -> Result<(), ReadError> {
        // It stays so: that it ends takes that no place is taken.
        if self.showing.borrow().is_none() {
            let head = self.log.head().await?;
            self.showing.send_if_modified(|from| {
                let begins = from.is_none();
                from.get_or_insert(head);
                begins
            });
        }
        Ok(())
    }

    /// Ready when clients of Socket.IO are to be shown what comes, with the position that they begin after.
    pub(crate) async fn sockets_shown(&self) -> Position {
        let mut showing = self.showing.subscribe();
        let from = showing.wait_for(Option::is_some).await.map(|from| *from);
        // The sender is in here.
        from.ok().flatten().unwrap_or(Position::START)
    }

    /// Ends that if no client of Socket.IO is left; whether it ended.
    pub(crate) fn sockets_left(&self) -> bool {
        let mut left = false;
        self.showing.send_if_modified(|from| {
            left = self.sockets.is_empty();
            if left {
                *from = None;
            }
            left
        });
        left
    }

    /// Nobody reads the log on behalf of the ring any longer.
    pub(crate) fn forget_damage(&self) {
        self.damage.send_if_modified(|damage| damage.take().is_some());
    }

    /// Writes down that the log is damaged for a client, unless that is known.
    pub(crate) fn report(&self, error: &ReadError) {
        if !self.is_damaged() {
            tracing::error!(%error, "live_log_unreadable: clients are shown nothing new");
        }
    }

    /// Ready when the log is damaged.
    pub(crate) async fn damaged(&self) -> ReadError {
        let mut damage = self.damage.subscribe();
        let what = match damage.wait_for(Option::is_some).await {
            Ok(what) => what.clone(),
            // The sender is in here.
            Err(_) => None,
        };
        ReadError::Corrupt(what.unwrap_or_default())
    }

    /// Ready when the log is not known to be damaged.
    pub(crate) async fn sound(&self) {
        let mut damage = self.damage.subscribe();
        let _known = damage.wait_for(Option::is_none).await;
    }

    /// Whether it is.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damage.borrow().is_some()
    }
}
