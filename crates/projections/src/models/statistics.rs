//! Counts and processing times per minute of the receipt, source, event, action and repository.
//!
//! They are kept by the hour too, whatever the action and repository: what a month of a whole tenant is asked from.
//!
//! What becomes of a delivery later is counted where its receipt was: −1 in the status it leaves, +1 in the one it gets.

use domain::{DeliveryReceived, SourceName, TableError, TenantId};
use serde::Serialize;

use super::column::Band;
use super::histogram::Histogram;
use super::rollup::{Rollup, Slot};
use super::statistics_hours::{self, Hours};
use super::transition::{StatusCounts, Transition};
use crate::{BuildShape, Projected, ReadModel, RowBatch, Table, View};

const TABLE: &str = "statistics";

const TABLES: &[Table] = &[
    Table {
        name: TABLE,
        definition: include_str!("sql/statistics.sql"),
    },
    statistics_hours::TABLE,
];

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
pub(crate) struct Statistics {
    minutes: Rollup<Key, Counts>,
    hours: Hours,
}

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
pub(super) struct Counts {
    pub(super) deliveries: StatusCounts,
    pub(super) times: u64,
    pub(super) times_micros: u64,
    pub(super) buckets: Histogram,
}

impl Statistics {
    pub(crate) fn new(shape: BuildShape) -> Self {
        Self {
            minutes: Rollup::new(shape),
            hours: Hours::new(shape),
        }
    }
}

impl ReadModel for Statistics {
    fn name(&self) -> &'static str {
        "statistics"
    }

    fn schema(&self) -> u16 {
        3
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

    fn take(&mut self, events: &[Projected], _: &mut RowBatch) -> Result<(), TableError> {
        for projected in events {
            let Some(transition) = Transition::of(projected).filter(Transition::changes) else {
                continue;
            };
            let key = Key::of(transition.received);
            self.minutes
                .add(&projected.event, key, |counts| counts.add(&transition));
            self.hours.add(&projected.event, &transition);
        }
        Ok(())
    }

    fn finish(&mut self, rows: &mut RowBatch) -> Result<(), TableError> {
        for (key, counts, slot) in self.minutes.take_changed() {
            rows.push(TABLE, &Row::new(&key, &counts, slot))?;
        }
        self.hours.finish(rows)
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
    pub(super) fn add(&mut self, transition: &Transition<'_>) {
        self.deliveries.add(transition);
        if let Some(micros) = transition.processing_us {
            self.times += 1;
            self.times_micros = self.times_micros.saturating_add(micros);
            self.buckets.add_micros(micros);
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
            minute: key.minute,
            source: &key.source,
            event: &key.event,
            action: &key.action,
            repository_key: &key.repository_key,
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
