//! From events to rows: the facts of an event are read once for all models, the rows are kept by each until a batch is full.

use std::panic::resume_unwind;
use std::sync::Arc;

use bytes::Bytes;
use domain::{BodyError, EventData, PayloadError, RecordedEvent, TableError, json_payload, payload_in};
use tokio::task::JoinSet;

use super::Worker;
use super::board::Post;
use super::open::Slot;
use crate::causes::with_causes;
use crate::model::{Projected, ReadModel, RowBatch};

/// A model at work, and the rows that it has given for the next batch.
pub(crate) struct Hand {
    model: Box<dyn ReadModel>,
    pub(crate) rows: RowBatch,
}

impl Hand {
    pub(crate) fn of(model: Box<dyn ReadModel>) -> Self {
        Self {
            model,
            rows: RowBatch::default(),
        }
    }

    /// The rows of the batch, which ends here.
    pub(crate) fn finish(&mut self) -> Result<RowBatch, TableError> {
        self.model.finish(&mut self.rows)?;
        Ok(std::mem::take(&mut self.rows))
    }
}

/// A model that is fed, with what is known of it there.
struct Fed {
    hand: Hand,
    place: Place,
    defect: Option<String>,
}

impl Worker {
    /// How many events are taken before others get their turn: about a millisecond of work.
    const TURN_EVENTS: usize = 32;

    /// Feeds events to the models, in log order. It is a task of its own, so that the batch before is written meanwhile;
    /// dropped, it ends.
    pub(crate) async fn project(self: &Arc<Self>, slots: &mut [Slot], events: Vec<RecordedEvent>) {
        let fed: Vec<Fed> = slots.iter_mut().filter_map(Fed::borrowed).collect();
        let posts: Vec<Post> = slots.iter().map(|slot| slot.seat.post()).collect();
        let worker = Arc::clone(self);
        let mut task = JoinSet::new();
        task.spawn(async move { worker.feed(fed, posts, events).await });
        let fed = match task.join_next().await {
            Some(Ok(fed)) => fed,
            // A defect in a model: the lane goes down with it.
            Some(Err(broken)) if broken.is_panic() => resume_unwind(broken.into_panic()),
            // The process stops.
            Some(Err(_)) | None => std::future::pending().await,
        };
        let there = slots.iter_mut().filter(|slot| slot.hand.is_none());
        for (slot, Fed { hand, defect, .. }) in there.zip(fed) {
            (slot.hand, slot.defect) = (Some(hand), defect);
        }
    }

    async fn feed(&self, mut fed: Vec<Fed>, posts: Vec<Post>, events: Vec<RecordedEvent>) -> Vec<Fed> {
        let mut piece = Piece::of(&fed);
        for (n, event) in events.into_iter().enumerate() {
            if n % Self::TURN_EVENTS == Self::TURN_EVENTS - 1 {
                tokio::task::yield_now().await;
            }
            let places = piece.places(&event);
            if places.is_empty() {
                // Other processes are fed it.
                continue;
            }
            let projected = self.read(&mut fed, &posts, &places, event).await;
            piece.add(&places, projected);
            if piece.is_full(self.options.batch_bytes_max) {
                piece.feed(&mut fed);
            }
        }
        piece.feed(&mut fed);
        fed
    }

    /// Reads an event's facts, and its payload for models that want it. What can't be read is left out: it must not stop
    /// the projections.
    async fn read(
        &self,
        fed: &mut [Fed],
        posts: &[Post],
        places: &[Place],
        event: RecordedEvent,
    ) -> Projected {
        let (mut projected, unreadable) = Projected::of(event);
        if let Some(error) = unreadable {
            metrics::counter!("hooklog_projection_unreadable_total").increment(1);
            let position = projected.event.position;
            tracing::warn!(%position, %error, "projection_unreadable: the event's facts are left out");
        }
        let Some(facts) = &projected.received else {
            return projected;
        };
        let mut of_places = fed.iter_mut().filter(|fed| places.contains(&fed.place));
        if of_places.any(|fed| fed.hand.model.wants_payload(facts)) {
            projected.payload = match &projected.event.data {
                EventData::Inline(body) => payload_in(facts, body.clone()),
                EventData::Stored(_) => self.payload(posts, &projected.event).await,
            };
        }
        projected
    }

    /// The payload. A store that fails is asked again for as long as it takes: a payload that is left out is never made
    /// good later. Only a body that the store says it does not have is none.
    pub(crate) async fn payload(&self, posts: &[Post], event: &RecordedEvent) -> Option<Bytes> {
        let mut backoff = self.backoff();
        loop {
            let error = match json_payload(event, self.bodies.as_ref()).await {
                Ok(payload) => return payload,
                Err(error) => error,
            };
            let why = with_causes(&error);
            match error {
                PayloadError::Metadata(_) | PayloadError::Body(BodyError::Missing(_)) => {
                    metrics::counter!("hooklog_projection_payloads_missing_total").increment(1);
                    tracing::warn!(position = %event.position, error = why, "projection_payload_missing: taken as none");
                    return None;
                }
                PayloadError::Body(BodyError::NoRoom(_) | BodyError::Io { .. }) => {
                    tracing::warn!(position = %event.position, error = why, "projection_payload_unreadable: trying again");
                    posts.iter().for_each(|post| post.failed(&why));
                    backoff.wait().await;
                }
            }
        }
    }
}

/// A partition of so many: what a model is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    partition: u32,
    count: u32,
}

impl Place {
    fn of(slot: &Slot) -> Self {
        Self {
            partition: slot.partition,
            count: slot.row.partitions.max(1),
        }
    }
}

/// Events on their way to the models, by the partitions that these are fed.
struct Piece {
    /// The distinct numbers of partitions.
    counts: Vec<u32>,
    fed: Vec<(Place, Vec<Projected>)>,
    bytes: usize,
}

impl Piece {
    fn of(models: &[Fed]) -> Self {
        let (mut counts, mut fed) = (Vec::new(), Vec::<(Place, Vec<Projected>)>::new());
        for place in models.iter().map(|model| model.place) {
            if !counts.contains(&place.count) {
                counts.push(place.count);
            }
            if fed.iter().all(|(known, _)| *known != place) {
                fed.push((place, Vec::new()));
            }
        }
        Self {
            counts,
            fed,
            bytes: 0,
        }
    }

    /// Where an event goes.
    fn places(&self, event: &RecordedEvent) -> Vec<Place> {
        let places = self.counts.iter().map(|count| Place {
            partition: event.stream.partition(*count),
            count: *count,
        });
        places
            .filter(|place| self.fed.iter().any(|(known, _)| known == place))
            .collect()
    }

    fn add(&mut self, places: &[Place], projected: Projected) {
        self.bytes += projected.payload.as_ref().map_or(0, Bytes::len);
        let mut fed = self.fed.iter_mut().filter(|(place, _)| places.contains(place));
        let Some((_, first)) = fed.next() else { return };
        // Builds with different numbers of partitions are rarely fed together.
        fed.for_each(|(_, events)| events.push(projected.clone()));
        first.push(projected);
    }

    /// Whether it has to be fed now: what is kept of it takes memory.
    fn is_full(&self, bytes_max: usize) -> bool {
        self.bytes >= bytes_max
    }

    /// Hands the events to every model. One that fails gets nothing more; the others don't suffer.
    fn feed(&mut self, models: &mut [Fed]) {
        for model in models {
            let of_place = self.fed.iter().find(|(known, _)| *known == model.place);
            let Some((_, events)) = of_place.filter(|(_, events)| !events.is_empty()) else {
                continue;
            };
            if model.defect.is_none() {
                let taken = model.hand.model.take(events, &mut model.hand.rows);
                model.defect = taken.err().map(|error| error.to_string());
            }
        }
        self.fed.iter_mut().for_each(|(_, events)| events.clear());
        self.bytes = 0;
    }
}

impl Fed {
    /// The model of a slot, which gets it back.
    fn borrowed(slot: &mut Slot) -> Option<Self> {
        Some(Self {
            hand: slot.hand.take()?,
            place: Place::of(slot),
            defect: slot.defect.take(),
        })
    }
}
