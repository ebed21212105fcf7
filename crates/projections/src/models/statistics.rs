//! Counts and processing times per minute, source, event, action and repository.

use domain::{DeliveryReceived, DeliveryStatus, RecordedEvent, SourceName, TableError, TenantId};
use serde::Serialize;

use super::column::{Band, micros_between};
use super::histogram::Histogram;
use super::rollup::{Rollup, Slot};
use crate::{BuildShape, Projected, ReadModel, RowBatch, Table, View};

const TABLE: &str = "statistics";

const TABLES: &[Table] = &[Table {
    name: TABLE,
    definition: include_str!("sql/statistics.sql"),
}];

const VIEWS: &[View] = &[
    View {
        name: "webhook_metrics",
        select: include_str!("sql/view_webhook_metrics.sql"),
    },
    View {
        name: "webhook_event_stats",
        select: include_str!("sql/view_webhook_event_stats.sql"),
    },
];

/// The projection `statistics`.
#[derive(Debug)]
pub(crate) struct Statistics(Rollup<Key, Counts>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    tenant: TenantId,
    minute: Band,
    source: SourceName,
    event: String,
    action: String,
    repository_key: String,
    synthetic: bool,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    total: i64,
    received: i64,
    processing: i64,
    retrying: i64,
    processed: i64,
    dead: i64,
    duplicates: i64,
    times: u64,
    times_micros: u64,
    buckets: Histogram,
}

impl Statistics {
    pub(crate) fn new(shape: BuildShape) -> Self {
        Self(Rollup::new(shape))
    }
}

impl ReadModel for Statistics {
    fn name(&self) -> &'static str {
        "statistics"
    }

    fn schema(&self) -> u16 {
        1
    }

    fn tables(&self) -> &'static [Table] {
        TABLES
    }

    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn wants_payload(&self, _: &DeliveryReceived) -> bool {
        false
    }

    fn project(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError> {
        for projected in events {
            if let Some(received) = &projected.received {
                let event = &projected.event;
                self.0.add(event, Key::of(received), |counts| {
                    counts.add_received(event, received)
                });
            }
        }
        for (key, counts, slot) in self.0.take_changed() {
            rows.push(TABLE, &Row::new(&key, &counts, slot))?;
        }
        Ok(())
    }
}

impl Key {
    fn of(received: &DeliveryReceived) -> Self {
        Self {
            tenant: received.tenant.clone(),
            minute: Band::minute(received.received_at),
            source: received.source.clone(),
            event: received.event.clone(),
            action: received.action.clone().unwrap_or_default(),
            repository_key: received.repository.as_deref().unwrap_or_default().to_lowercase(),
            synthetic: received.synthetic,
        }
    }
}

impl Counts {
    fn add_received(&mut self, event: &RecordedEvent, received: &DeliveryReceived) {
        let duplicate = event.duplicate_of.is_some();
        let status = received.initial_status(duplicate);
        self.total += 1;
        self.duplicates += i64::from(duplicate);
        *self.of_status(status) += 1;
        if status == DeliveryStatus::Processed {
            let micros = micros_between(received.received_at, event.recorded_at);
            self.times += 1;
            self.times_micros = self.times_micros.saturating_add(micros);
            self.buckets.add_micros(micros);
        }
    }

    const fn of_status(&mut self, status: DeliveryStatus) -> &mut i64 {
        match status {
            DeliveryStatus::Received => &mut self.received,
            DeliveryStatus::Processing => &mut self.processing,
            DeliveryStatus::Retrying => &mut self.retrying,
            DeliveryStatus::Processed => &mut self.processed,
            DeliveryStatus::Dead => &mut self.dead,
        }
    }
}

#[derive(Serialize)]
struct Row<'a> {
    tenant: &'a TenantId,
    minute: Band,
    source: &'a SourceName,
    event: &'a str,
    action: &'a str,
    repository_key: &'a str,
    synthetic: bool,
    partition: u32,
    block: u64,
    upto: u64,
    total: i64,
    received: i64,
    processing: i64,
    retrying: i64,
    processed: i64,
    dead: i64,
    duplicates: i64,
    processing_count: u64,
    processing_us: u64,
    processing_buckets: &'a Histogram,
}

impl<'a> Row<'a> {
    fn new(key: &'a Key, counts: &'a Counts, slot: Slot) -> Self {
        Self {
            tenant: &key.tenant,
            minute: key.minute,
            source: &key.source,
            event: &key.event,
            action: &key.action,
            repository_key: &key.repository_key,
            synthetic: key.synthetic,
            partition: slot.partition,
            block: slot.block,
            upto: slot.upto,
            total: counts.total,
            received: counts.received,
            processing: counts.processing,
            retrying: counts.retrying,
            processed: counts.processed,
            dead: counts.dead,
            duplicates: counts.duplicates,
            processing_count: counts.times,
            processing_us: counts.times_micros,
            processing_buckets: &counts.buckets,
        }
    }
}
