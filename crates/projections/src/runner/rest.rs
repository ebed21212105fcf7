//! Leaving partitions to others while this program can't fill them all: a newer one owns tables that it does not know.
//!
//! Whoever kept its leases and stood still would keep the newer program from its work. Whoever never took them again would stop
//! what it can fill where it is alone, as after going back to an older version. So it leaves, looks whether others go on,
//! and comes back when nobody does.

use std::time::Duration;

use domain::Position;
use tokio::time::Instant;

use super::Projector;
use super::board::Board;
use super::share::Change;

/// So long nothing has moved, though there is something to do, when nobody goes on.
const NOBODY: Duration = Duration::from_secs(30);
/// So long it works on what it can, when nobody else does, before it looks for others again.
const ALONE: Duration = Duration::from_secs(600);

/// Whether the partitions are left to others.
#[derive(Default)]
pub(super) struct Rest {
    resting: Option<Seen>,
    /// Nobody went on: not again before then.
    not_before: Option<Instant>,
}

/// How far others were, and since when.
struct Seen {
    positions: Vec<Position>,
    since: Instant,
}

impl Seen {
    fn now(board: &Board) -> Self {
        let statuses = board.statuses();
        Self {
            positions: statuses.iter().map(|status| status.position).collect(),
            since: Instant::now(),
        }
    }
}

impl Rest {
    pub(super) const fn is_on(&self) -> bool {
        self.resting.is_some()
    }
}

impl Projector {
    /// Leaves all partitions to others, unless nobody took them the last time. Returns whether it does.
    pub(super) fn leave_to_others(&mut self) -> bool {
        let now = Instant::now();
        if !self.shares.is_shared() || self.rest.is_on() || self.rest.not_before.is_some_and(|at| now < at) {
            return false;
        }
        tracing::warn!(
            "projection_partitions_left: a newer version of this program has tables that this one can't fill"
        );
        self.rest.resting = Some(Seen::now(&self.worker.board));
        let lost = self.shares.leave();
        self.heed_shares(&Change { gained: false, lost });
        true
    }

    /// Comes back when nobody goes on with what was left.
    pub(super) fn come_back(&mut self) {
        let Some(before) = self.rest.resting.take() else {
            return;
        };
        let behind = self
            .worker
            .board
            .statuses()
            .iter()
            .any(|status| status.position < status.head);
        let seen = Seen::now(&self.worker.board);
        if !behind || seen.positions != before.positions {
            self.rest.resting = Some(seen);
        } else if before.since.elapsed() < NOBODY {
            self.rest.resting = Some(before);
        } else {
            tracing::warn!("projection_partitions_taken_again: nobody else fills them");
            self.rest.not_before = Some(Instant::now() + ALONE);
            self.open_all();
        }
    }
}
