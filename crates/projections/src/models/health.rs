//! Hourly bands, which the health score compares with. The score itself is computed when it is asked for.

use domain::{DeliveryReceived, TableError, TenantId, Timestamp};
use serde::Serialize;

use super::column::{Band, Moment};
use super::rollup::Rollup;
use super::transition::{StatusCounts, Transition};
use crate::{BuildShape, Projected, ReadModel, RowBatch, Table, View};

const TABLE: &str = "health_hours";

const TABLES: &[Table] = &[Table {
    name: TABLE,
    definition: include_str!("sql/health_hours.sql"),
}];

/// The projection `health`. Synthetic deliveries say nothing about it.
#[derive(Debug)]
pub(crate) struct Health(Rollup<(TenantId, Band), Counts>);

#[derive(Debug, Clone, Default)]
struct Counts {
    deliveries: StatusCounts,
    times: u64,
    times_micros: u64,
    last_received_at: Timestamp,
}

impl Health {
    pub(crate) fn new(shape: BuildShape) -> Self {
        Self(Rollup::new(shape))
    }
}

impl ReadModel for Health {
    fn name(&self) -> &'static str {
        "health"
    }

    fn schema(&self) -> u16 {
        2
    }

    fn tables(&self) -> &'static [Table] {
        TABLES
    }

    fn views(&self) -> &'static [View] {
        &[]
    }

    fn wants_payload(&self, _: &DeliveryReceived) -> bool {
        false
    }

    fn take(&mut self, events: &[Projected], _: &mut RowBatch) -> Result<(), TableError> {
        for projected in events {
            let transition = Transition::of(projected).filter(Transition::changes);
            let Some(transition) = transition.filter(|step| !step.received.synthetic) else {
                continue;
            };
            let received = transition.received;
            let key = (received.tenant.clone(), Band::hour(received.received_at));
            self.0
                .add(&projected.event, key, |counts| counts.add(&transition));
        }
        Ok(())
    }

    fn finish(&mut self, rows: &mut RowBatch) -> Result<(), TableError> {
        for ((tenant, hour), counts, slot) in self.0.take_changed() {
            let deliveries = &counts.deliveries;
            let row = Row {
                tenant,
                hour,
                partition: slot.partition,
                block: slot.block,
                upto: slot.upto,
                total: deliveries.total,
                retrying: deliveries.retrying,
                processed: deliveries.processed,
                dead: deliveries.dead,
                duplicates: deliveries.duplicates,
                attempts: deliveries.attempts,
                retries: deliveries.retries,
                processing_count: counts.times,
                processing_us: counts.times_micros,
                last_received_at: counts.last_received_at.into(),
            };
            rows.push(TABLE, &row)?;
        }
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, transition: &Transition<'_>) {
        self.deliveries.add(transition);
        self.last_received_at = self.last_received_at.max(transition.received.received_at);
        if let Some(micros) = transition.processing_us {
            self.times += 1;
            self.times_micros = self.times_micros.saturating_add(micros);
        }
    }
}

#[derive(Serialize)]
struct Row {
    tenant: TenantId,
    hour: Band,
    partition: u32,
    block: u64,
    upto: u64,
    total: i64,
    retrying: i64,
    processed: i64,
    dead: i64,
    duplicates: i64,
    attempts: u64,
    retries: u64,
    processing_count: u64,
    processing_us: u64,
    last_received_at: Moment,
}
