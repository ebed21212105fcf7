//! What the relay says about itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Clock, EventLog, Holder, LeaseStanding, Position, RecordedEvent};

use super::outgoing::Piece;
use crate::lag::{Lag, gauge_of};

/// What the relay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayState {
    /// It has not read the stream's end yet.
    Starting,
    /// Another process publishes.
    Standby,
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
    /// The events between them; none where the positions of the log don't say how many they are.
    pub lag_events: Option<u64>,
    /// How long the oldest unpublished event may have been waiting.
    pub lag_seconds: f64,
    /// Failures since the start.
    pub errors: u64,
    /// Events published once more since the start, because the stream had lost them.
    pub republished: u64,
    /// What it is doing.
    pub state: RelayState,
    /// Who publishes, while another process does, as far as that is known.
    pub active: Option<Holder>,
    /// What went wrong last, until it is right again.
    pub error: Option<String>,
}

/// Asks a relay how it is doing.
#[derive(Clone)]
pub struct RelayHandle(pub(super) Arc<Shared>);

/// What the relay writes about itself.
pub(super) struct Shared {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) clock: Arc<dyn Clock>,
    errors: AtomicU64,
    republished: AtomicU64,
    now: Mutex<Now>,
}

pub(super) struct Now {
    state: RelayState,
    active: Option<Holder>,
    error: Option<String>,
    pub(super) lag: Lag,
    /// The furthest event that the stream was ever seen to hold.
    pub(super) published: Position,
}

impl RelayHandle {
    /// How the relay is doing, without touching a disk or the network.
    #[must_use]
    pub fn status(&self) -> RelayStatus {
        let head = self.0.log.health().head;
        let now = self.0.now();
        // How far the stream is, whoever publishes knows.
        let standby = now.state == RelayState::Standby;
        RelayStatus {
            position: now.lag.position,
            head,
            lag_events: if standby {
                Some(0)
            } else {
                now.lag.events(head, self.0.log.spacing())
            },
            lag_seconds: if standby {
                0.0
            } else {
                now.lag.seconds(head, self.0.clock.now())
            },
            errors: self.0.errors.load(Ordering::Relaxed),
            republished: self.0.republished.load(Ordering::Relaxed),
            state: now.state,
            active: now.active.clone().filter(|_| standby),
            error: now.error.clone(),
        }
    }
}

impl Shared {
    pub(super) fn new(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self {
            log,
            clock,
            errors: AtomicU64::new(0),
            republished: AtomicU64::new(0),
            now: Mutex::new(Now {
                state: RelayState::Starting,
                active: None,
                error: None,
                lag: Lag::default(),
                published: Position::START,
            }),
        }
    }

    pub(super) fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, state: RelayState, error: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("hooklog_relay_errors_total").increment(1);
        let mut now = self.now();
        now.state = state;
        now.error = Some(error);
    }

    /// Another process publishes.
    pub(super) fn stand_by(&self, standing: LeaseStanding) {
        let mut now = self.now();
        now.state = RelayState::Standby;
        now.error = None;
        now.active = match standing {
            LeaseStanding::Standby(holder) => holder,
            LeaseStanding::Held | LeaseStanding::Unleased => None,
        };
    }

    pub(super) fn well(&self, state: RelayState) {
        let mut now = self.now();
        now.state = state;
        now.error = None;
        if state == RelayState::Live {
            now.lag.at_head(self.clock.now());
        }
    }

    /// How many of some events, which are in their order, the stream may have held before.
    pub(super) fn published_before(&self, events: &[RecordedEvent]) -> u64 {
        let before = self.now().published;
        events.partition_point(|event| event.position <= before) as u64
    }

    pub(super) fn published(&self, piece: &Piece) {
        let mut now = self.now();
        now.lag.stored(piece.last, Some(piece.recorded_at));
        now.published = now.published.max(piece.last);
        if piece.last >= piece.head {
            // Under a steady load something is always under way.
            (now.state, now.error) = (RelayState::Live, None);
        }
        drop(now);
        self.republished.fetch_add(piece.again, Ordering::Relaxed);
        metrics::counter!("hooklog_relay_republished_total").increment(piece.again);
        metrics::counter!("hooklog_relay_published_total").increment(piece.events);
        self.report(piece.head);
    }

    pub(super) fn report(&self, head: Position) {
        let (lag, standby) = {
            let now = self.now();
            (now.lag, now.state == RelayState::Standby)
        };
        metrics::gauge!("hooklog_relay_position").set(gauge_of(Some(lag.position.get())));
        let seconds = lag.seconds(head, self.clock.now());
        let (events, seconds) = if standby {
            (Some(0), 0.0)
        } else {
            (lag.events(head, self.log.spacing()), seconds)
        };
        metrics::gauge!("hooklog_relay_lag_events").set(gauge_of(events));
        metrics::gauge!("hooklog_relay_lag_seconds").set(seconds);
    }
}
