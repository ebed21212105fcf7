//! The relay: publishes every event of the log to the fan-out, in the order of the log.
//!
//! It is the only publisher and keeps no state of its own: where to go on stands at the end of the stream. It must never
//! leave a hole behind a later position; therefore every page names the sequence that it expects before it, and whenever
//! that proves wrong the end is read again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{
    Clock, EventLog, FanOut, FanOutError, FanOutTail, LogPage, Message, MessageError, PageLimit, Position,
    ReadError, RecordedEvent, message_of, unreadable_message_of,
};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::causes::with_causes;
use crate::lag::Lag;

#[cfg(test)]
mod tests;

/// Settings of the relay.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayOptions {
    /// The most events published before their acknowledgements are awaited.
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
    /// the relay stops and says so.
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

/// What the relay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayState {
    /// It has not read the stream's end yet.
    Starting,
    /// Events of the log wait to be published.
    CatchingUp,
    /// All are published.
    Live,
    /// Something failed; it tries again.
    Waiting,
    /// The stream is ahead of the log, which was restored from an older backup: a person must act.
    Ahead,
}

/// How the relay is doing.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RelayStatus {
    /// The last event published.
    pub position: Position,
    /// The last event of the log.
    pub head: Position,
    /// The distance between them in positions, which is more than events where positions have gaps.
    pub lag_events: u64,
    /// How long the oldest unpublished event may have been waiting.
    pub lag_seconds: f64,
    /// Failures since the start.
    pub errors: u64,
    /// Events published once more since the start, because the stream had lost them.
    pub republished: u64,
    /// What it is doing.
    pub state: RelayState,
    /// What went wrong last, until it is right again.
    pub error: Option<String>,
}

/// Publishes the log. Run one a process; a second one is fenced by the sequences.
pub struct Relay {
    options: RelayOptions,
    log: Arc<dyn EventLog>,
    fanout: Arc<dyn FanOut>,
    shared: Arc<Shared>,
}

/// Asks a relay how it is doing.
#[derive(Clone)]
pub struct RelayHandle(Arc<Shared>);

struct Shared {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    errors: AtomicU64,
    republished: AtomicU64,
    now: Mutex<Now>,
}

struct Now {
    state: RelayState,
    error: Option<String>,
    lag: Lag,
    /// The furthest event that the stream was ever seen to hold.
    published: Position,
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

impl RelayHandle {
    /// How the relay is doing, without touching a disk or the network.
    #[must_use]
    pub fn status(&self) -> RelayStatus {
        let head = self.0.log.health().head;
        let now = self.0.now();
        RelayStatus {
            position: now.lag.position,
            head,
            lag_events: now.lag.events(head),
            lag_seconds: now.lag.seconds(head, self.0.clock.now()),
            errors: self.0.errors.load(Ordering::Relaxed),
            republished: self.0.republished.load(Ordering::Relaxed),
            state: now.state,
            error: now.error.clone(),
        }
    }
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, state: RelayState, error: &Ended) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("hooklog_relay_errors_total").increment(1);
        let mut now = self.now();
        now.state = state;
        now.error = Some(with_causes(error));
    }

    fn well(&self, state: RelayState) {
        let mut now = self.now();
        now.state = state;
        now.error = None;
        if state == RelayState::Live {
            now.lag.at_head(self.clock.now());
        }
    }

    fn published(&self, page: &LogPage, last: &RecordedEvent) {
        let mut now = self.now();
        let before = now.published;
        let again = page.events.iter().filter(|e| e.position <= before).count() as u64;
        now.lag.reached(last);
        now.published = before.max(last.position);
        drop(now);
        self.republished.fetch_add(again, Ordering::Relaxed);
        metrics::counter!("hooklog_relay_republished_total").increment(again);
        metrics::counter!("hooklog_relay_published_total").increment(page.events.len() as u64);
        self.report(page.head);
    }

    fn report(&self, head: Position) {
        let lag = self.now().lag;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; positions stay far below 2^53"
        )]
        let gauge = |number: u64| number as f64;
        metrics::gauge!("hooklog_relay_position").set(gauge(lag.position.get()));
        metrics::gauge!("hooklog_relay_lag_events").set(gauge(lag.events(head)));
        metrics::gauge!("hooklog_relay_lag_seconds").set(lag.seconds(head, self.clock.now()));
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
    ) -> (Self, RelayHandle) {
        let shared = Arc::new(Shared {
            log: Arc::clone(&log),
            clock,
            errors: AtomicU64::new(0),
            republished: AtomicU64::new(0),
            now: Mutex::new(Now {
                state: RelayState::Starting,
                error: None,
                lag: Lag::default(),
                published: Position::START,
            }),
        });
        let handle = RelayHandle(Arc::clone(&shared));
        let relay = Self {
            options,
            log,
            fanout,
            shared,
        };
        (relay, handle)
    }

    /// Publishes until told to stop. Failures are waited out; only a stream ahead of the log ends the work, and then this
    /// waits for the shutdown with the reason in the status.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut backoff = Backoff::new(self.options.retry_ms_min, self.options.retry_ms_max);
        while let Some(ended) = shutdown.run_until_cancelled(self.session(&mut backoff)).await {
            match &ended {
                Ended::Moved => tracing::info!("relay_moved: reading the stream's end again"),
                Ended::Ahead { .. } => {
                    tracing::error!(error = %ended, "relay_stopped: set rebind_when_ahead to refill the stream");
                    self.shared.failed(RelayState::Ahead, &ended);
                    self.shared.report(self.log.health().head);
                    return shutdown.cancelled().await;
                }
                Ended::FanOut(_) | Ended::Log(_) | Ended::Message(_) => {
                    tracing::warn!(error = with_causes(&ended), "relay_failed: trying again");
                    self.shared.failed(RelayState::Waiting, &ended);
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
        let mut cursor = self.resume().await?;
        self.shared.now().lag.position = cursor.after;
        let mut page = self.read(cursor.after).await?;
        loop {
            let Some(last) = page.events.last().cloned() else {
                self.shared.well(RelayState::Live);
                self.shared.report(page.head);
                self.wait_for_more(cursor).await?;
                page = self.read(cursor.after).await?;
                if page.events.is_empty() {
                    // A head that moves without giving events must not become a busy loop.
                    backoff.wait().await;
                }
                continue;
            };
            if last.position < page.head {
                self.shared.well(RelayState::CatchingUp);
            }
            let messages = self.messages(cursor.after, &page.events)?;
            let publish = self.fanout.publish(cursor.sequence, messages);
            let (sequence, next) = tokio::join!(publish, self.read(last.position));
            cursor = Cursor {
                after: last.position,
                sequence: sequence?,
                holds: true,
            };
            backoff.reset();
            self.shared.published(&page, &last);
            page = next?;
        }
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

    /// Waits for the head to move; now and then looks whether the stream was wiped meanwhile.
    async fn wait_for_more(&self, cursor: Cursor) -> Result<(), Ended> {
        let check = Duration::from_millis(self.options.tail_check_ms.max(1));
        loop {
            match tokio::time::timeout(check, self.log.wait_past(cursor.after)).await {
                Ok(moved) => return moved.map(|_| ()).map_err(Ended::from),
                Err(_) => self.still_there(cursor, self.fanout.tail().await?)?,
            }
            self.shared.well(RelayState::Live);
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

    fn messages(&self, after: Position, events: &[RecordedEvent]) -> Result<Vec<Message>, MessageError> {
        let mut previous = after;
        let mut messages = Vec::with_capacity(events.len());
        for event in events {
            messages.push(self.message(event, previous)?);
            previous = event.position;
        }
        Ok(messages)
    }

    fn message(&self, event: &RecordedEvent, previous: Position) -> Result<Message, MessageError> {
        let id = self.log.id();
        message_of(event, id, previous, &self.options.base_url).or_else(|error| {
            metrics::counter!("hooklog_relay_unreadable_total").increment(1);
            tracing::error!(position = %event.position, %error, "relay_unreadable: published without its facts");
            unreadable_message_of(event, id, previous)
        })
    }
}
