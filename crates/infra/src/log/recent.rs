//! What is durable but not yet in the index, in two parts: what is being indexed, and what came since.
//!
//! The index takes a part as a whole, so to begin with one and to be done with it takes no longer for many events than for one.
//! Whoever appends or reads would have to wait meanwhile.

use std::sync::Arc;

use domain::{Position, Revision, StreamName};

use super::keys::EventKey;
use super::pending::Pending;
#[cfg(test)]
use super::pending::StreamHead;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    indexing: Arc<Pending>,
    newest: Pending,
}

impl From<Pending> for Recent {
    fn from(newest: Pending) -> Self {
        Self {
            indexing: Arc::default(),
            newest,
        }
    }
}

impl Recent {
    /// From the newest to the oldest, as an append is decided.
    pub(crate) fn parts(&self) -> [&Pending; 2] {
        [&self.newest, &self.indexing]
    }

    /// Adds all events of a batch that became durable.
    pub(crate) fn absorb(&mut self, batch: Pending) {
        self.newest.absorb(batch);
    }

    /// What is to be indexed next: all that there is now; what comes goes into `empty`. It stays known until [`Recent::end_indexing`].
    pub(crate) fn begin_indexing(&mut self, empty: Pending) -> Arc<Pending> {
        if self.indexing.is_empty() && !self.newest.is_empty() {
            self.indexing = Arc::new(std::mem::replace(&mut self.newest, empty));
        }
        Arc::clone(&self.indexing)
    }

    /// The index has what [`Recent::begin_indexing`] gave. Returns it, to be dropped by somebody who has the time.
    pub(crate) fn end_indexing(&mut self) -> Arc<Pending> {
        std::mem::take(&mut self.indexing)
    }

    pub(crate) fn len(&self) -> usize {
        self.indexing.len() + self.newest.len()
    }

    /// Revisions and positions of a stream, from a revision on.
    pub(crate) fn positions(&self, stream: &StreamName, from: Revision) -> Vec<(Revision, Position)> {
        let mut positions = self.indexing.positions(stream, from);
        positions.append(&mut self.newest.positions(stream, from));
        positions
    }

    /// Deliveries with a sender's id.
    pub(crate) fn deliveries(&self, key: &[u8]) -> Vec<(Position, StreamName)> {
        let mut deliveries = self.indexing.deliveries(key);
        deliveries.append(&mut self.newest.deliveries(key));
        deliveries
    }

    /// The events after a position, in their order.
    pub(crate) fn after(&self, position: Position) -> impl Iterator<Item = &Arc<EventKey>> {
        self.indexing.after(position).chain(self.newest.after(position))
    }

    /// Whether it holds every event after a position. Positions are dense here.
    pub(crate) fn covers(&self, after: Position) -> bool {
        let [newest, indexing] = self.parts();
        let oldest = if indexing.is_empty() { newest } else { indexing };
        oldest.covers(after)
    }

    /// For how many events there is room before tables have to grow.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.newest.room()
    }

    #[cfg(test)]
    pub(crate) fn head(&self, stream: &StreamName) -> Option<StreamHead> {
        self.parts().into_iter().find_map(|part| part.head(stream))
    }
}
