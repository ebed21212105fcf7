//! The right to fill a partition of a build.

use std::ops::Deref;
use std::sync::Arc;

use domain::{Position, RecordedEvent};

use super::Board;
use super::view::View;
use crate::builds::{BuildRow, BuildState};

/// While it lives, no other worker of this process fills that partition of that build.
pub(crate) struct Seat(Post);

/// Where whoever works for a seat reports how it goes. It is no right to anything, so it may outlive the seat.
#[derive(Clone)]
pub(crate) struct Post {
    board: Arc<Board>,
    projection: Arc<str>,
    incarnation: uuid::Uuid,
    partition: u32,
}

impl Board {
    /// Takes the seat of a partition of a build, unless another worker has it.
    pub(crate) fn take(self: &Arc<Self>, row: &BuildRow, partition: u32, at: Position) -> Option<Seat> {
        let mut projections = self.lock();
        let entry = projections.get_mut(&row.projection)?;
        let known = [&entry.active, &entry.building];
        if known
            .into_iter()
            .flatten()
            .any(|view| view.incarnation == row.incarnation && view.fills(partition))
        {
            return None;
        }
        let place = if row.state == BuildState::Active {
            &mut entry.active
        } else {
            &mut entry.building
        };
        let view = match place.take().filter(|view| view.incarnation == row.incarnation) {
            Some(view) => place.insert(view),
            None => place.insert(View::of(row)),
        };
        view.begin(partition, at);
        Some(Seat(Post {
            board: Arc::clone(self),
            projection: row.projection.as_str().into(),
            incarnation: row.incarnation,
            partition,
        }))
    }
}

impl Seat {
    /// Where those who work for it report.
    pub(crate) fn post(&self) -> Post {
        self.0.clone()
    }
}

impl Deref for Seat {
    type Target = Post;

    fn deref(&self) -> &Post {
        &self.0
    }
}

impl Post {
    fn with(&self, change: impl FnOnce(&mut View)) {
        self.board.with_view(&self.projection, self.incarnation, change);
    }

    /// The build that it is the right to fill.
    pub(crate) const fn incarnation(&self) -> uuid::Uuid {
        self.incarnation
    }

    /// Everything up to an event is in the tables.
    pub(crate) fn reached(&self, last: &RecordedEvent, events: u64) {
        self.with(|view| view.reached(self.partition, last, events));
    }

    /// Nothing is left to do.
    pub(crate) fn live(&self) {
        let now = self.board.clock.now();
        self.with(|view| view.live(self.partition, now));
    }

    /// The log is read.
    pub(crate) fn catching_up(&self) {
        self.with(|view| view.catching_up(self.partition));
    }

    /// Something is wrong; it is tried again.
    pub(crate) fn failed(&self, error: &str) {
        self.with(|view| view.failed(self.partition, error));
    }

    /// Begins to make the build the one that is asked; false when it was given up.
    pub(crate) fn begin_swap(&self) -> bool {
        let mut still_there = false;
        self.with(|view| {
            view.swapping = true;
            still_there = true;
        });
        still_there
    }

    /// It is not to be the one that is asked after all.
    pub(crate) fn end_swap(&self) {
        self.with(|view| view.swapping = false);
    }

    /// The build is now the one that is asked.
    pub(crate) fn activated(&self) {
        let mut projections = self.board.lock();
        if let Some(entry) = projections.get_mut(&*self.projection) {
            entry.activated(self.incarnation);
        }
    }

    /// Whether the build is the one that is asked by now, whoever made it so.
    pub(crate) fn is_asked(&self) -> bool {
        let projections = self.board.lock();
        let active = projections
            .get(&*self.projection)
            .and_then(|entry| entry.active.as_ref());
        active.is_some_and(|active| active.incarnation == self.incarnation)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.with(|view| view.end(self.partition));
    }
}
