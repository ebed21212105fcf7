//! The statistics by the hour, without action and repository: as many rows for an hour as there are sources and events,
//! however many repositories there are.

use domain::{RecordedEvent, SourceName, TableError, TenantId};
use serde::Serialize;

use super::column::Band;
use super::histogram::Histogram;
use super::rollup::{Rollup, Slot};
use super::statistics::Counts;
use super::transition::Transition;
use crate::{BuildShape, RowBatch, Table};

pub(super) const TABLE: Table = Table {
    name: "statistics_hours",
    definition: include_str!("sql/statistics_hours.sql"),
};

/// Sums by the hour of the receipt.
#[derive(Debug)]
pub(super) struct Hours(Rollup<Key, Counts>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    tenant: TenantId,
    hour: Band,
    source: SourceName,
    event: String,
    synthetic: bool,
}

impl Hours {
    pub(super) fn new(shape: BuildShape) -> Self {
        Self(Rollup::new(shape))
    }

    pub(super) fn add(&mut self, event: &RecordedEvent, transition: &Transition<'_>) {
        let received = transition.received;
        let key = Key {
            tenant: received.tenant.clone(),
            hour: Band::hour(received.received_at),
            source: received.source.clone(),
            event: received.event.clone(),
            synthetic: received.synthetic,
        };
        self.0.add(event, key, |counts| counts.add(transition));
    }

    pub(super) fn finish(&mut self, rows: &mut RowBatch) -> Result<(), TableError> {
        for (key, counts, slot) in self.0.take_changed() {
            rows.push(TABLE.name, &Row::new(&key, &counts, slot))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Row<'a> {
    tenant: &'a TenantId,
    hour: Band,
    source: &'a SourceName,
    event: &'a str,
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
    attempts: u64,
    retries: u64,
    processing_count: u64,
    processing_us: u64,
    processing_buckets: &'a Histogram,
}

impl<'a> Row<'a> {
    fn new(key: &'a Key, counts: &'a Counts, slot: Slot) -> Self {
        let deliveries = &counts.deliveries;
        Self {
            tenant: &key.tenant,
            hour: key.hour,
            source: &key.source,
            event: &key.event,
            synthetic: key.synthetic,
            partition: slot.partition,
            block: slot.block,
            upto: slot.upto,
            total: deliveries.total,
            received: deliveries.received,
            processing: deliveries.processing,
            retrying: deliveries.retrying,
            processed: deliveries.processed,
            dead: deliveries.dead,
            duplicates: deliveries.duplicates,
            attempts: deliveries.attempts,
            retries: deliveries.retries,
            processing_count: counts.times,
            processing_us: counts.times_micros,
            processing_buckets: &counts.buckets,
        }
    }
}
