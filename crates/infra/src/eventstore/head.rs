//! What this process knows of the end of the log, and of how the log is doing.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Clock, Position, ReadError, RecordedEvent, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How far ahead of its own clock a process follows the times of others, in microseconds.
const SKEW_MAX_US: i64 = 10_000_000;

/// The end of the log. It lags by what others append and this process was not told yet.
pub(super) struct Head {
    position: watch::Sender<Position>,
    /// The latest that this clock ever said, in microseconds.
    own: AtomicI64,
    /// The greatest `recorded_at` that was seen, in microseconds.
    seen: AtomicI64,
    /// Whether it was said that a clock is ahead.
    is_skewed: AtomicBool,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// Why the last append failed, and until when that says something: a process to which nothing is sent any more, because it
    /// says that, would say it for ever.
    writing: Option<(String, Instant)>,
    /// Why the log is not followed.
    following: Option<String>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            position: watch::Sender::default(),
            own: AtomicI64::new(i64::MIN),
            seen: AtomicI64::new(i64::MIN),
            is_skewed: AtomicBool::new(false),
            trouble: Mutex::default(),
        }
    }
}

impl Head {
    pub(super) fn get(&self) -> Position {
        *self.position.borrow()
    }

    /// The log reaches up to here at least.
    pub(super) fn advance(&self, to: Position) {
        self.position.send_if_modified(|position| {
            let further = to > *position;
            *position = to.max(*position);
            further
        });
    }

    /// An event of the log was read.
    pub(super) fn saw(&self, event: &RecordedEvent) {
        self.seen
            .fetch_max(event.recorded_at.as_micros(), Ordering::SeqCst);
        self.advance(event.position);
    }

    /// The time for a new event: never before one that was given here, nor before one that was seen, unless that is far ahead
    /// of this clock. One clock that is wrong for a moment must not set the time of all for good.
    pub(super) fn stamp(&self, clock: &dyn Clock) -> Timestamp {
        let now = clock.now().as_micros();
        let own = self.own.fetch_max(now, Ordering::SeqCst).max(now);
        let (seen, bound) = (self.seen.load(Ordering::SeqCst), own.saturating_add(SKEW_MAX_US));
        if seen > bound && !self.is_skewed.swap(true, Ordering::SeqCst) {
            tracing::warn!(
                ahead_ms = (seen - own) / 1000,
                "the log has an event of the future: the clock of another machine is, or was, ahead of this one"
            );
        }
        Timestamp::from_micros(own.max(seen.min(bound)))
    }

    pub(super) async fn wait_past(
        &self,
        position: Position,
        stop: &CancellationToken,
    ) -> Result<Position, ReadError> {
        let mut head = self.position.subscribe();
        let reached = tokio::select! {
            reached = head.wait_for(|head| *head > position) => reached.map(|head| *head).ok(),
            () = stop.cancelled() => None,
        };
        reached.ok_or_else(|| ReadError::Unavailable("the log is closed".into()))
    }

    /// How the last append ended, or that it did not; a failure is told for a while.
    pub(super) fn set_writing_trouble(&self, why: Option<String>, lasts: Duration) {
        self.trouble_mut().writing = why.map(|why| (why, Instant::now() + lasts));
    }

    /// Whether the log is followed.
    pub(super) fn set_following_trouble(&self, why: Option<String>) {
        let mut trouble = self.trouble_mut();
        if why.is_none() {
            // The server is there again: what failed before it was is no news.
            trouble.writing = None;
        }
        trouble.following = why;
    }

    /// Why the log can't be written, as far as it is known.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble_mut();
        let writing = trouble.writing.as_ref();
        let writing = writing.filter(|(_, until)| Instant::now() < *until);
        let writing = writing.map(|(why, _)| why.clone());
        writing.or_else(|| trouble.following.clone())
    }

    fn trouble_mut(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
