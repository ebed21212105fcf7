//! From events to rows, and the rows into the tables: those of every table first, the progress last.

use bytes::Bytes;
use domain::{BodyError, PayloadError, RecordedEvent, Rows, TableError, json_payload};
use futures_util::{StreamExt as _, stream};
use uuid::Uuid;

use super::Worker;
use super::board::Seat;
use super::open::Slot;
use crate::backoff::Backoff;
use crate::builds::BuildRow;
use crate::causes::with_causes;
use crate::model::{Projected, RowBatch};
use crate::progress;

/// Rows ready to be written, and what is true once they are.
pub(crate) struct Batch {
    /// The partitions of builds that it is for.
    parts: Vec<(BuildRow, u32)>,
    rows: Vec<TableRows>,
    last: RecordedEvent,
    /// How many events it is about.
    events: u64,
}

struct TableRows {
    /// The build's incarnation.
    build: Uuid,
    /// With its database.
    table: String,
    rows: Rows,
}

/// A build whose rows the store does not take.
pub(crate) struct Refusal {
    /// The build's incarnation.
    pub(crate) build: Uuid,
    pub(crate) error: TableError,
}

impl Worker {
    /// Feeds events to the models, in log order. `None` without any event.
    pub(crate) async fn project(&self, slots: &mut [Slot], events: Vec<RecordedEvent>) -> Option<Batch> {
        let last = events.last().cloned()?;
        let count = events.len() as u64;
        let mut batches: Vec<RowBatch> = slots.iter().map(|_| RowBatch::default()).collect();
        let mut piece = Piece::of(slots);
        for event in events {
            let places = piece.places(&event);
            if places.is_empty() {
                // Other processes are fed it.
                continue;
            }
            let projected = self.read(slots, &places, event).await;
            piece.add(&places, projected);
            if piece.bytes >= self.options.batch_bytes_max {
                piece.feed(slots, &mut batches);
            }
        }
        piece.feed(slots, &mut batches);
        let sound = slots
            .iter()
            .zip(batches)
            .filter(|(slot, _)| slot.defect.is_none());
        let (mut parts, mut rows) = (Vec::new(), Vec::<TableRows>::new());
        for (slot, batch) in sound {
            parts.push((slot.row.clone(), slot.partition));
            for (table, of_table) in batch.into_rows() {
                let table = format!("hooklog.{}", slot.row.table(table));
                // The partitions of a build that are fed together are written together.
                match rows.iter_mut().find(|one| one.table == table) {
                    Some(one) => one.rows.append(of_table),
                    None => rows.push(TableRows {
                        build: slot.row.incarnation,
                        table,
                        rows: of_table,
                    }),
                }
            }
        }
        rows.retain(|one| !one.rows.is_empty());
        Some(Batch {
            parts,
            rows,
            last,
            events: count,
        })
    }

    /// Reads an event's facts, and its payload for models that want it. What can't be read is left out: it must not stop
    /// the projections.
    async fn read(&self, slots: &mut [Slot], places: &[Place], event: RecordedEvent) -> Projected {
        let (mut projected, unreadable) = Projected::of(event);
        if let Some(error) = unreadable {
            metrics::counter!("hooklog_projection_unreadable_total").increment(1);
            let position = projected.event.position;
            tracing::warn!(%position, %error, "projection_unreadable: the event's facts are left out");
        }
        let received = projected.received.as_ref();
        let fed = |slot: &Slot| places.contains(&Place::of(slot));
        let wanted = received.is_some_and(|facts| {
            let mut slots = slots.iter();
            slots.any(|slot| fed(slot) && slot.model.wants_payload(facts))
        });
        if wanted {
            let seats: Vec<&Seat> = slots.iter().map(|slot| &slot.seat).collect();
            projected.payload = self.payload(&seats, &projected.event).await;
        }
        projected
    }

    /// The payload. A store that fails is asked again for as long as it takes: a payload that is left out is never made
    /// good later. Only a body that the store says it does not have is none.
    pub(crate) async fn payload(&self, seats: &[&Seat], event: &RecordedEvent) -> Option<Bytes> {
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
                    seats.iter().for_each(|seat| seat.failed(&why));
                    backoff.wait().await;
                }
            }
        }
    }

    /// Writes a batch. Waits for as long as the store can't be reached; an insert in doubt is done again, which changes
    /// nothing. Builds whose rows are refused are told and make no progress; the others don't suffer.
    ///
    /// # Errors
    /// When the store refuses the progress too, or the rows of every build: then it is not about the rows.
    pub(crate) async fn write(&self, seats: &[&Seat], batch: Batch) -> Result<Vec<Refusal>, TableError> {
        let count: usize = batch.rows.iter().map(|one| one.rows.len()).sum();
        let mut refused: Vec<Refusal> = stream::iter(batch.rows)
            .map(|TableRows { build, table, rows }| async move {
                let error = self.insert(seats, table, rows).await.err()?;
                Some(Refusal { build, error })
            })
            .buffer_unordered(self.options.inserts_max.max(1))
            .filter_map(std::future::ready)
            .collect()
            .await;
        let taken = |build: &Uuid| refused.iter().all(|refusal| refusal.build != *build);
        let written: Vec<(BuildRow, u32)> = batch
            .parts
            .into_iter()
            .filter(|(row, _)| taken(&row.incarnation))
            .collect();
        if written.is_empty() {
            return refused.pop().map_or(Ok(Vec::new()), |refusal| Err(refusal.error));
        }
        let parts = written.iter().map(|(row, partition)| (row, *partition));
        let progress = progress::rows(parts, &batch.last, self.clock.as_ref())?;
        self.insert(seats, format!("hooklog.{}", progress::PROGRESS), progress)
            .await?;
        metrics::counter!("hooklog_projection_batches_total").increment(1);
        metrics::counter!("hooklog_projection_rows_total").increment(count as u64);
        seats
            .iter()
            .filter(|seat| {
                let of_seat = |(row, _): &(BuildRow, u32)| row.incarnation == seat.incarnation();
                written.iter().any(of_seat)
            })
            .for_each(|seat| seat.reached(&batch.last, batch.events));
        Ok(refused)
    }

    async fn insert(&self, seats: &[&Seat], table: String, rows: Rows) -> Result<(), TableError> {
        let mut backoff = self.backoff();
        loop {
            match self.tables.insert(&table, rows.clone()).await {
                Ok(()) => return Ok(()),
                Err(TableError::Unavailable(why)) => {
                    tracing::warn!(table, why, "projection_insert_failed: trying again");
                    seats
                        .iter()
                        .for_each(|seat| seat.failed(&format!("the read store can't be reached: {why}")));
                    backoff.wait().await;
                }
                Err(refused @ (TableError::Refused(_) | TableError::Encoding(_))) => return Err(refused),
            }
        }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.options.retry_ms_min, self.options.retry_ms_max)
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
    fn of(slots: &[Slot]) -> Self {
        let (mut counts, mut fed) = (Vec::new(), Vec::<(Place, Vec<Projected>)>::new());
        for place in slots.iter().map(Place::of) {
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

    /// Hands the events to every model. One that fails gets nothing more; the others don't suffer.
    fn feed(&mut self, slots: &mut [Slot], batches: &mut [RowBatch]) {
        for (slot, batch) in slots.iter_mut().zip(batches) {
            let place = Place::of(slot);
            let fed = self.fed.iter().find(|(known, _)| *known == place);
            let Some((_, events)) = fed.filter(|(_, events)| !events.is_empty()) else {
                continue;
            };
            if slot.defect.is_none() {
                slot.defect = slot
                    .model
                    .project(events, batch)
                    .err()
                    .map(|error| error.to_string());
            }
        }
        self.fed.iter_mut().for_each(|(_, events)| events.clear());
        self.bytes = 0;
    }
}
