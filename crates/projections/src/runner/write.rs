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
    /// The builds that it is for.
    builds: Vec<BuildRow>,
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
        let mut piece = Vec::new();
        let mut bytes = 0;
        for event in events {
            let projected = self.read(slots, event).await;
            bytes += projected.payload.as_ref().map_or(0, Bytes::len);
            piece.push(projected);
            if bytes >= self.options.batch_bytes_max {
                feed(slots, &piece, &mut batches);
                piece.clear();
                bytes = 0;
            }
        }
        feed(slots, &piece, &mut batches);
        let sound = slots
            .iter()
            .zip(batches)
            .filter(|(slot, _)| slot.defect.is_none());
        let (mut builds, mut rows) = (Vec::new(), Vec::new());
        for (slot, batch) in sound {
            builds.push(slot.row.clone());
            rows.extend(batch.into_rows().into_iter().map(|(table, rows)| TableRows {
                build: slot.row.incarnation,
                table: format!("hooklog.{}", slot.row.table(table)),
                rows,
            }));
        }
        rows.retain(|one| !one.rows.is_empty());
        Some(Batch {
            builds,
            rows,
            last,
            events: count,
        })
    }

    /// Reads an event's facts, and its payload for models that want it. What can't be read is left out: it must not stop
    /// the projections.
    async fn read(&self, slots: &mut [Slot], event: RecordedEvent) -> Projected {
        let (mut projected, unreadable) = Projected::of(event);
        if let Some(error) = unreadable {
            metrics::counter!("hooklog_projection_unreadable_total").increment(1);
            let position = projected.event.position;
            tracing::warn!(%position, %error, "projection_unreadable: the event's facts are left out");
        }
        let received = projected.received.as_ref();
        let wanted = received.is_some_and(|facts| slots.iter().any(|slot| slot.model.wants_payload(facts)));
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
        let written: Vec<BuildRow> = batch
            .builds
            .into_iter()
            .filter(|row| taken(&row.incarnation))
            .collect();
        if written.is_empty() {
            return refused.pop().map_or(Ok(Vec::new()), |refusal| Err(refusal.error));
        }
        let progress = progress::rows(written.iter(), &batch.last, self.clock.as_ref())?;
        self.insert(seats, format!("hooklog.{}", progress::PROGRESS), progress)
            .await?;
        metrics::counter!("hooklog_projection_batches_total").increment(1);
        metrics::counter!("hooklog_projection_rows_total").increment(count as u64);
        seats
            .iter()
            .filter(|seat| written.iter().any(|row| row.incarnation == seat.incarnation()))
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

/// Hands a piece to every model. One that fails gets nothing more; the others don't suffer.
fn feed(slots: &mut [Slot], piece: &[Projected], batches: &mut [RowBatch]) {
    if piece.is_empty() {
        return;
    }
    for (slot, batch) in slots.iter_mut().zip(batches) {
        if slot.defect.is_none() {
            slot.defect = slot
                .model
                .project(piece, batch)
                .err()
                .map(|error| error.to_string());
        }
    }
}
