//! What is in the log but not yet in the index: the current batch, and what is durable since the index was written.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use domain::{Position, Revision, StreamName, Timestamp};

use super::content_keys::ContentKeys;
use super::keys::EventKey;

/// The ends of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamHead {
    /// Position of its first event.
    pub(crate) first: Position,
    /// Revision of its last event.
    pub(crate) last: Revision,
}

#[derive(Debug)]
struct PendingStream {
    first: Position,
    events: VecDeque<Arc<EventKey>>,
}

/// Events by all that they are looked up by.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    order: VecDeque<Arc<EventKey>>,
    streams: HashMap<StreamName, PendingStream>,
    /// The first delivery with a sender's id.
    originals: HashMap<Arc<[u8]>, Arc<EventKey>>,
    /// The newest unmarked delivery with a body.
    bodies: HashMap<Arc<[u8]>, Arc<EventKey>>,
    deliveries: HashMap<Arc<[u8]>, Vec<Arc<EventKey>>>,
}

impl Pending {
    /// With room for so many events: growing tables of ten thousands of entries takes milliseconds, for which the writer would stand still.
    pub(crate) fn with_room(events: usize) -> Self {
        Self {
            order: VecDeque::with_capacity(events),
            streams: HashMap::with_capacity(events),
            originals: HashMap::with_capacity(events),
            bodies: HashMap::with_capacity(events),
            deliveries: HashMap::with_capacity(events),
        }
    }

    /// Adds the next event; `first` is the position of the first event of its stream.
    pub(crate) fn push(&mut self, key: Arc<EventKey>, first: Position) {
        if let Some(content) = &key.content {
            self.push_content(&key, content);
        }
        if let Some(stream) = self.streams.get_mut(&key.stream) {
            stream.events.push_back(Arc::clone(&key));
        } else {
            let events = VecDeque::from([Arc::clone(&key)]);
            self.streams
                .insert(key.stream.clone(), PendingStream { first, events });
        }
        self.order.push_back(key);
    }

    fn push_content(&mut self, key: &Arc<EventKey>, content: &ContentKeys) {
        if let Some(sender) = &content.sender {
            self.originals
                .entry(Arc::clone(&sender.original))
                .or_insert_with(|| Arc::clone(key));
            self.deliveries
                .entry(Arc::clone(&sender.delivery))
                .or_default()
                .push(Arc::clone(key));
        }
        if key.duplicate_of.is_none() {
            self.bodies.insert(Arc::clone(&content.body), Arc::clone(key));
        }
    }

    /// Adds all events of a batch that became durable.
    pub(crate) fn absorb(&mut self, batch: Self) {
        self.order.extend(batch.order);
        for (name, mut stream) in batch.streams {
            if let Some(known) = self.streams.get_mut(&name) {
                known.events.append(&mut stream.events);
            } else {
                self.streams.insert(name, stream);
            }
        }
        for (id, original) in batch.originals {
            self.originals.entry(id).or_insert(original);
        }
        self.bodies.extend(batch.bodies);
        for (id, mut deliveries) in batch.deliveries {
            self.deliveries.entry(id).or_default().append(&mut deliveries);
        }
    }

    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.streams.capacity()
    }

    /// When the newest event was recorded.
    pub(crate) fn last_recorded(&self) -> Option<Timestamp> {
        self.order.back().map(|key| key.recorded_at)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The events, in their order.
    pub(crate) fn events(&self) -> impl ExactSizeIterator<Item = &Arc<EventKey>> {
        self.order.iter()
    }

    pub(crate) fn head(&self, stream: &StreamName) -> Option<StreamHead> {
        let stream = self.streams.get(stream)?;
        Some(StreamHead {
            first: stream.first,
            last: stream.events.back()?.revision,
        })
    }

    pub(crate) fn event(&self, stream: &StreamName, revision: Revision) -> Option<Arc<EventKey>> {
        let events = &self.streams.get(stream)?.events;
        let skip = revision.get().checked_sub(events.front()?.revision.get())?;
        events.get(usize::try_from(skip).ok()?).cloned()
    }

    /// Revisions and positions of a stream, from a revision on.
    pub(crate) fn positions(&self, stream: &StreamName, from: Revision) -> Vec<(Revision, Position)> {
        let events = self.streams.get(stream).map(|s| s.events.iter());
        let events = events.into_iter().flatten().filter(|key| key.revision >= from);
        events.map(|key| (key.revision, key.position)).collect()
    }

    /// The events after a position, in their order.
    pub(crate) fn after(&self, position: Position) -> impl Iterator<Item = &Arc<EventKey>> {
        let start = self.order.partition_point(|key| key.position <= position);
        self.order.range(start..)
    }

    /// Whether it holds every event after a position. Positions are dense here.
    pub(crate) fn covers(&self, after: Position) -> bool {
        let front = self.order.front();
        front.is_some_and(|key| key.position.get() <= after.get().saturating_add(1))
    }

    /// The unmarked original of the deliveries with a sender's id.
    pub(crate) fn original(&self, key: &[u8]) -> Option<StreamName> {
        self.originals.get(key).map(|known| known.original().clone())
    }

    /// The newest unmarked delivery with a body, and when it was received.
    pub(crate) fn body(&self, key: &[u8]) -> Option<(StreamName, Timestamp)> {
        let known = self.bodies.get(key)?;
        Some((known.stream.clone(), known.content.as_ref()?.received_at))
    }

    pub(crate) fn deliveries(&self, key: &[u8]) -> Vec<(Position, StreamName)> {
        let known = self.deliveries.get(key).into_iter().flatten();
        known.map(|key| (key.position, key.stream.clone())).collect()
    }
}
