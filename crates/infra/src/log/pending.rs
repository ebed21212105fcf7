//! What is in the log but not yet in the index: the current batch, and what is durable since the index was written.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use domain::{ContentKey, Position, Revision, SourceName, StreamName, TenantId, Timestamp};
use sha2::{Digest, Sha256};

use super::keys::EventKey;

/// The ends of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamHead {
    /// Position of its first event.
    pub(crate) first: Position,
    /// Revision of its last event.
    pub(crate) last: Revision,
}

/// Key of `originals`: one sender's id within a tenant and source.
pub(crate) fn original_key(tenant: &TenantId, source: &SourceName, sender_id: &str) -> Vec<u8> {
    scoped(tenant, source, &Sha256::digest(sender_id.as_bytes()))
}

/// Key of `bodies`: one body within a tenant and source.
pub(crate) fn body_key(content: &ContentKey) -> Vec<u8> {
    scoped(&content.tenant, &content.source, content.body_sha256.as_bytes())
}

/// Start of the keys of `deliveries`: one sender's id within a tenant.
pub(crate) fn delivery_key(tenant: &TenantId, sender_id: &str) -> Vec<u8> {
    let hash = Sha256::digest(sender_id.as_bytes());
    [tenant.as_str().as_bytes(), &[0], &hash].concat()
}

fn scoped(tenant: &TenantId, source: &SourceName, hash: &[u8]) -> Vec<u8> {
    let (tenant, source) = (tenant.as_str().as_bytes(), source.as_str().as_bytes());
    [tenant, &[0], source, &[0], hash].concat()
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
    originals: HashMap<Vec<u8>, (Position, StreamName)>,
    bodies: HashMap<Vec<u8>, (Position, StreamName, Timestamp)>,
    deliveries: HashMap<Vec<u8>, Vec<(Position, StreamName)>>,
}

impl Pending {
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

    fn push_content(&mut self, key: &EventKey, content: &ContentKey) {
        if let Some(id) = &content.sender_id {
            self.originals
                .entry(original_key(&content.tenant, &content.source, id))
                .or_insert_with(|| (key.position, key.original().clone()));
            self.deliveries
                .entry(delivery_key(&content.tenant, id))
                .or_default()
                .push((key.position, key.stream.clone()));
        }
        if key.duplicate_of.is_none() {
            let original = (key.position, key.stream.clone(), content.received_at);
            self.bodies.insert(body_key(content), original);
        }
    }

    /// Adds all events of a batch that became durable.
    pub(crate) fn absorb(&mut self, batch: Self) {
        for key in &batch.order {
            let first = batch.streams.get(&key.stream).map_or(key.position, |s| s.first);
            self.push(Arc::clone(key), first);
        }
    }

    /// Drops the events up to a position: the index has them.
    pub(crate) fn forget_upto(&mut self, upto: Position) {
        while let Some(key) = self.order.pop_front_if(|key| key.position <= upto) {
            if let Some(stream) = self.streams.get_mut(&key.stream) {
                stream.events.pop_front();
                if stream.events.is_empty() {
                    self.streams.remove(&key.stream);
                }
            }
            if let Some(content) = &key.content {
                self.forget_content(content, upto);
            }
        }
    }

    fn forget_content(&mut self, content: &ContentKey, upto: Position) {
        let body = body_key(content);
        if self.bodies.get(&body).is_some_and(|known| known.0 <= upto) {
            self.bodies.remove(&body);
        }
        let Some(id) = &content.sender_id else {
            return;
        };
        let original = original_key(&content.tenant, &content.source, id);
        if self.originals.get(&original).is_some_and(|known| known.0 <= upto) {
            self.originals.remove(&original);
        }
        let delivery = delivery_key(&content.tenant, id);
        if let Some(known) = self.deliveries.get_mut(&delivery) {
            known.retain(|(position, _)| *position > upto);
            if known.is_empty() {
                self.deliveries.remove(&delivery);
            }
        }
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

    /// The oldest events, at most `max`.
    pub(crate) fn oldest(&self, max: usize) -> Vec<Arc<EventKey>> {
        self.order.iter().take(max).cloned().collect()
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

    pub(crate) fn original(&self, key: &[u8]) -> Option<StreamName> {
        self.originals.get(key).map(|(_, stream)| stream.clone())
    }

    pub(crate) fn body(&self, key: &[u8]) -> Option<(StreamName, Timestamp)> {
        self.bodies.get(key).map(|(_, stream, at)| (stream.clone(), *at))
    }

    pub(crate) fn deliveries(&self, key: &[u8]) -> Vec<(Position, StreamName)> {
        self.deliveries.get(key).cloned().unwrap_or_default()
    }
}
