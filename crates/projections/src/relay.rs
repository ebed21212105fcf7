//! The relay: publishes every event of the log to the fan-out, in the order of the log.
//!
//! It is the only publisher and keeps no state of its own: where to go on stands at the end of the stream. It must never
//! leave a hole behind a later position; therefore every message names what it expects before it, and whenever that proves
//! wrong the end is read again. Pages run into each other: what the stream is known to hold follows behind what was sent.

use std::sync::Arc;
use std::time::Duration;

use domain::{
    Clock, EventId, EventLog, FanOut, FanOutError, FanOutTail, Lease, LeaseName, Leases, LogPage, Message,
    MessageError, PageLimit, Position, ReadError, SharedWork,
};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::causes::with_causes;
use outgoing::Outgoing;
use status::Shared;

mod message;
mod outgoing;
mod status;
#[cfg(test)]
mod tests;

pub use status::{RelayHandle, RelayState, RelayStatus};

/// Settings of the relay.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayOptions {
    /// The most events read, made into messages and sent at once.
    pub page_events_max: usize,
    /// The most bytes of them.
    pub page_bytes_max: usize,
    /// The first wait after a failure, in milliseconds; it doubles from there.
    pub retry_ms_min: u64,
    /// The longest wait after failures, in milliseconds.
    pub retry_ms_max: u64,
    /// How often an idle relay looks whether the stream is still as it left it, in milliseconds.
    pub tail_check_ms: u64,
    /// Empty and refill a stream that holds events beyond the end of the log, as after restoring an older backup. Without it
    /// the relay stops and says so. Where the log has another event than the stream at the same position, there is nothing
    /// to ask: that stream is emptied and refilled.
    pub rebind_when_ahead: bool,
    /// Where the API is reached, for bodies that travel by reference.
    pub base_url: String,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            page_events_max: 1000,
            page_bytes_max: 4 * 1024 * 1024,
            retry_ms_min: 50,
            retry_ms_max: 5000,
            tail_check_ms: 10_000,
            rebind_when_ahead: false,
            base_url: "http://127.0.0.1:3000".to_owned(),
        }
    }
}

/// Publishes the log. Run one a process: of several processes one is active, by a lease, and the others stand by. Whoever
/// wakes up stale is fenced by the sequences.
pub struct Relay {
    options: RelayOptions,
    log: Arc<dyn EventLog>,
    fanout: Arc<dyn FanOut>,
    /// Until it runs.
    lease: Option<Box<dyn Lease>>,
    shared: Arc<Shared>,
}

/// Where to go on.
#[derive(Clone, Copy)]
struct Cursor {
    /// The event that precedes the next one to publish.
    after: Position,
    /// The sequence at the stream's end.
    sequence: u64,
    /// Whether the stream holds a message; a purged one keeps its sequence.
    holds: bool,
}

/// Why a session with the stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the stream's end has moved")]
    Moved,
    #[error(
        "the stream holds position {stream}, but the log ends at {head}: it was restored from an older backup"
    )]
    Ahead { stream: Position, head: Position },
    #[error(transparent)]
    FanOut(FanOutError),
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error("an event can't be made a message")]
    Message(#[from] MessageError),
}

impl From<FanOutError> for Ended {
    fn from(error: FanOutError) -> Self {
        match error {
            FanOutError::Moved => Self::Moved,
            FanOutError::Unavailable(_) | FanOutError::Refused(_) => Self::FanOut(error),
        }
    }
}

impl Relay {
    /// Wires a relay; nothing happens before [`Relay::run`].
    #[must_use]
    pub fn build(
        options: RelayOptions,
        log: Arc<dyn EventLog>,
        fanout: Arc<dyn FanOut>,
        clock: Arc<dyn Clock>,
        leases: &dyn Leases,
    ) -> (Self, RelayHandle) {
        let shared = Arc::new(Shared::new(Arc::clone(&log), clock));
        let handle = RelayHandle(Arc::clone(&shared));
        let relay = Self {
            options,
            log,
            fanout,
            lease: Some(leases.stand_for(LeaseName::new(SharedWork::Relay, 0))),
            shared,
        };
        (relay, handle)
    }

    /// Publishes until told to stop, while it has the lease.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let Some(mut lease) = self.lease.take() else {
            return;
        };
        while !shutdown.is_cancelled() {
            let standing = lease.standing();
            if standing.works() {
                // Leaving it in the middle is as good as a crash: the stream's end says where to go on.
                tokio::select! {
                    () = self.work(&shutdown) => return,
                    () = lease.lost() => tracing::info!("relay_stands_by"),
                }
            } else {
                self.shared.stand_by(standing);
                self.shared.report(self.log.health().head);
                let _ = shutdown.run_until_cancelled(lease.changed()).await;
            }
        }
    }

    /// Publishes until told to stop. Failures are waited out; only a stream ahead of the log ends the work, and then this
    /// waits for the shutdown with the reason in the status.
    async fn work(&self, shutdown: &CancellationToken) {
        let mut backoff = Backoff::new(self.options.retry_ms_min, self.options.retry_ms_max);
        while let Some(ended) = shutdown.run_until_cancelled(self.session(&mut backoff)).await {
            match &ended {
                Ended::Moved => tracing::info!("relay_moved: reading the stream's end again"),
                Ended::Ahead { .. } => {
                    tracing::error!(error = %ended, "relay_stopped: set rebind_when_ahead to refill the stream");
                    self.shared.failed(RelayState::Ahead, with_causes(&ended));
                    self.shared.report(self.log.health().head);
                    return shutdown.cancelled().await;
                }
                Ended::FanOut(_) | Ended::Log(_) | Ended::Message(_) => {
                    tracing::warn!(error = with_causes(&ended), "relay_failed: trying again");
                    self.shared.failed(RelayState::Waiting, with_causes(&ended));
                }
            }
            // A lag must not be hidden by what causes it.
            self.shared.report(self.log.health().head);
            if shutdown.run_until_cancelled(backoff.wait()).await.is_none() {
                return;
            }
        }
    }

    /// Goes on from the stream's end until something stands in the way.
    async fn session(&self, backoff: &mut Backoff) -> Ended {
        match self.publish_all(backoff).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn publish_all(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, Ended> {
        let cursor = self.resume().await?;
        self.shared.now().lag.position = cursor.after;
        let publishing = self.fanout.publish_after(cursor.sequence);
        let mut outgoing = Outgoing::behind(cursor, publishing, Arc::clone(&self.shared));
        let ended = self.publish_from(cursor.after, &mut outgoing, backoff).await;
        // Or the stream's end would move while it is read next.
        outgoing.come_to_an_end().await;
        ended
    }

    /// Sends page behind page, without waiting for those before.
    async fn publish_from(
        &self,
        mut after: Position,
        outgoing: &mut Outgoing,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, Ended> {
        let (mut page, mut messages) = self.ready(after).await?;
        loop {
            let Some(last) = page.events.last().map(|last| last.position) else {
                self.shared.report(page.head);
                self.wait_for_more(after, outgoing, backoff).await?;
                (page, messages) = self.ready(after).await?;
                if page.events.is_empty() {
                    // A head that moves without giving events must not become a busy loop.
                    backoff.wait().await;
                }
                continue;
            };
            if last < page.head {
                self.shared.well(RelayState::CatchingUp);
            }
            // The server stores one page while the next is read and made into messages.
            let send = self.send_page(after, outgoing, &page, messages);
            let (sent, next) = tokio::join!(send, self.ready(last));
            if sent? {
                backoff.reset();
            }
            after = last;
            (page, messages) = next?;
        }
    }

    /// The page after a position, with the messages of its first events.
    async fn ready(&self, after: Position) -> Result<(LogPage, Vec<Message>), Ended> {
        let page = self.read(after).await?;
        let messages = self.messages(after, &page.events).await?;
        Ok((page, messages))
    }

    /// Sends a page, whose first messages are made, and says whether any message was acknowledged meanwhile. Events that ask
    /// for deliveries again are small, but what they show is not: so in pieces, as many as it takes.
    async fn send_page(
        &self,
        mut after: Position,
        outgoing: &mut Outgoing,
        page: &LogPage,
        mut messages: Vec<Message>,
    ) -> Result<bool, Ended> {
        let mut events = page.events.as_slice();
        let mut more_stored = false;
        while !events.is_empty() {
            let (piece, rest) = events.split_at(messages.len().min(events.len()));
            more_stored |= outgoing.send(page.head, piece, messages).await?;
            after = piece.last().map_or(after, |last| last.position);
            events = rest;
            messages = self.messages(after, events).await?;
        }
        Ok(more_stored)
    }

    /// Where the stream ends. A stream that isn't ours, or is empty, is filled with the newest events that it can hold.
    async fn resume(&self) -> Result<Cursor, Ended> {
        let ours = self.log.id();
        let mut tail = self.fanout.tail().await?;
        let head = self.log.head().await?;
        match tail.log_id {
            Some(id) if id == ours => {}
            Some(foreign) => {
                tracing::warn!(%foreign, %ours, "relay_rebinds: the stream was filled from another log and is emptied");
                tail = self.fanout.rebind(ours).await?;
            }
            None => tail = self.fanout.rebind(ours).await?,
        }
        if let Some(stream) = tail.last_position.filter(|at| *at > head) {
            if !self.options.rebind_when_ahead {
                return Err(Ended::Ahead { stream, head });
            }
            tracing::warn!(%stream, %head, "relay_rebinds: the stream is ahead of the log and is emptied");
            tail = self.fanout.rebind(ours).await?;
        } else if let Some(stream) = tail.last_position
            && !self.log_has(stream, tail.last_event).await?
        {
            // What the stream holds was taken back with the older log; nothing but the log is true.
            tracing::warn!(%stream, %head, "relay_rebinds: the log went on differently after an older backup");
            tail = self.fanout.rebind(ours).await?;
        }
        let after = match tail.last_position {
            Some(position) => position,
            None => self.first_to_publish_after().await?,
        };
        let mut now = self.shared.now();
        now.published = now.published.max(tail.last_position.unwrap_or_default());
        drop(now);
        tracing::info!(after = %after, sequence = tail.last_sequence, "relay_resumes");
        Ok(Cursor {
            after,
            sequence: tail.last_sequence,
            holds: tail.last_position.is_some(),
        })
    }

    /// Whether the log has that event at that position.
    async fn log_has(&self, position: Position, event: Option<EventId>) -> Result<bool, ReadError> {
        let before = Position::new(position.get().saturating_sub(1));
        let limit = PageLimit { events: 1, bytes: 1 };
        let page = self.log.read_all(before, limit).await?;
        let found = page.events.first().filter(|found| found.position == position);
        Ok(found.is_some_and(|found| Some(found.id) == event))
    }

    /// The event after which an empty stream is filled. It is an event's own position, so that the first message names
    /// truly what precedes it.
    async fn first_to_publish_after(&self) -> Result<Position, Ended> {
        let start = self.log.tail_start(self.fanout.bytes_max()).await?;
        let Some(before) = start.get().checked_sub(1) else {
            return Ok(Position::START);
        };
        let limit = PageLimit {
            events: 1,
            bytes: self.options.page_bytes_max,
        };
        let page = self.log.read_all(Position::new(before), limit).await?;
        Ok(page.events.first().map_or(page.head, |event| event.position))
    }

    async fn read(&self, after: Position) -> Result<LogPage, ReadError> {
        let limit = PageLimit {
            events: self.options.page_events_max.max(1),
            bytes: self.options.page_bytes_max,
        };
        self.log.read_all(after, limit).await
    }

    /// Waits for the head to move, and hears meanwhile what is stored; while nothing is under way it looks now and then
    /// whether the stream was wiped.
    async fn wait_for_more(
        &self,
        after: Position,
        outgoing: &mut Outgoing,
        backoff: &mut Backoff,
    ) -> Result<(), Ended> {
        let check = Duration::from_millis(self.options.tail_check_ms.max(1));
        let mut more = self.log.wait_past(after);
        loop {
            let is_settled = outgoing.is_settled();
            if is_settled {
                self.shared.well(RelayState::Live);
            }
            tokio::select! {
                biased;
                moved = &mut more => return moved.map(|_| ()).map_err(Ended::from),
                settled = outgoing.settle() => {
                    settled?;
                    backoff.reset();
                }
                () = tokio::time::sleep(check), if is_settled => {
                    self.still_there(outgoing.cursor(), self.fanout.tail().await?)?;
                }
            }
        }
    }

    fn still_there(&self, cursor: Cursor, tail: FanOutTail) -> Result<(), Ended> {
        let same = tail.log_id == Some(self.log.id()) && tail.last_sequence == cursor.sequence;
        if same && tail.last_position.is_some() == cursor.holds {
            Ok(())
        } else {
            Err(Ended::Moved)
        }
    }
}
