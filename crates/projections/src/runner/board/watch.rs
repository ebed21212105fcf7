//! How far a comparison is: half of each part is folding the log, half is reading the tables.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Position;
use tokio::time::Instant;

use super::{Board, VerifyStatus};

/// Less than this is done too soon to tell how long the rest takes.
const TELLING: f64 = 0.01;

/// A comparison under way; it is over when this is dropped.
pub(crate) struct Watch {
    pub(super) board: Arc<Board>,
    pub(super) projection: String,
    pub(super) incarnation: uuid::Uuid,
    pub(super) watched: Watched,
}

/// What is known of it.
#[derive(Clone)]
pub(crate) struct Watched(Arc<Mutex<State>>);

struct State {
    since: Instant,
    part: u32,
    parts: u32,
    folded: f64,
    rows: u64,
    read: f64,
}

impl Watched {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            since: now,
            part: 0,
            parts: 1,
            folded: 0.0,
            rows: 0,
            read: 0.0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self, build: u32, now: Instant) -> VerifyStatus {
        let state = self.state();
        let of_part = f64::midpoint(state.folded, state.read);
        let done = ((f64::from(state.part) + of_part) / f64::from(state.parts.max(1))).clamp(0.0, 1.0);
        let elapsed = now.duration_since(state.since).as_secs_f64();
        VerifyStatus {
            build,
            done,
            eta_seconds: (done >= TELLING).then(|| elapsed * (1.0 - done) / done),
        }
    }
}

impl Watch {
    /// Begins a part of so many.
    pub(crate) fn part(&self, part: u32, parts: u32) {
        let mut state = self.watched.state();
        (state.part, state.parts) = (part, parts);
        (state.folded, state.rows, state.read) = (0.0, 0, 0.0);
    }

    /// The log is folded up to a position.
    pub(crate) fn folded(&self, at: Position, upto: Position) {
        self.watched.state().folded = share(at.get(), upto.get());
    }

    /// So many rows more are read, of about so many.
    pub(crate) fn rows(&self, more: u64, about: u64) {
        let mut state = self.watched.state();
        state.rows += more;
        state.read = share(state.rows, about);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.board.unwatch(&self.projection, self.incarnation);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, for people to look at")]
fn share(of: u64, all: u64) -> f64 {
    (of as f64 / all.max(1) as f64).min(1.0)
}
