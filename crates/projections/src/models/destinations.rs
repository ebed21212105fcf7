//! What each destination did: attempts, how they ended and how long they took, per minute in which they began.

use domain::{
    Attempt, DeliveryOutcome, DeliveryReceived, DestinationName, Outcome, TableError, TenantId, Timestamp,
};
use serde::Serialize;

use super::column::{Band, Moment};
use super::histogram::Histogram;
use super::rollup::{Rollup, Slot};
use super::transition::is_retry;
use crate::{BuildShape, Projected, ReadModel, RowBatch, Table, View};

const TABLE: &str = "destination_minutes";

const TABLES: &[Table] = &[Table {
    name: TABLE,
    definition: include_str!("sql/destination_minutes.sql"),
}];

const VIEWS: &[View] = &[View {
    name: "destination_metrics",
    select: include_str!("sql/view_destination_metrics.sql"),
}];

/// The projection `destinations`.
#[derive(Debug)]
pub(crate) struct Destinations(Rollup<Key, Counts>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    tenant: TenantId,
    minute: Band,
    destination: DestinationName,
    synthetic: bool,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    attempts: u64,
    retries: u64,
    delivered: u64,
    retried: u64,
    dead: u64,
    skipped: u64,
    micros: u64,
    buckets: Histogram,
    last_delivered_at: Option<Timestamp>,
    last_failed_at: Option<Timestamp>,
}

impl Destinations {
    pub(crate) fn new(shape: BuildShape) -> Self {
        Self(Rollup::new(shape))
    }
}

impl ReadModel for Destinations {
    fn name(&self) -> &'static str {
        "destinations"
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

    fn take(&mut self, events: &[Projected], _: &mut RowBatch) -> Result<(), TableError> {
        for projected in events {
            let Some(outcome) = &projected.outcome else {
                continue;
            };
            if let Some(key) = Key::of(outcome, projected.event.recorded_at) {
                self.0
                    .add(&projected.event, key, |counts| counts.add(&outcome.outcome));
            }
        }
        Ok(())
    }

    fn finish(&mut self, rows: &mut RowBatch) -> Result<(), TableError> {
        for (key, counts, slot) in self.0.take_changed() {
            rows.push(TABLE, &Row::new(&key, &counts, slot))?;
        }
        Ok(())
    }
}

impl Key {
    fn of(outcome: &DeliveryOutcome, recorded_at: Timestamp) -> Option<Self> {
        let destination = outcome.outcome.destination()?;
        let attempt = outcome.outcome.attempt();
        Some(Self {
            tenant: outcome.delivery.tenant.clone(),
            minute: Band::minute(attempt.map_or(recorded_at, |attempt| attempt.started_at)),
            destination: destination.clone(),
            synthetic: outcome.delivery.synthetic,
        })
    }
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        let attempt = outcome.attempt();
        if let Some(attempt) = attempt {
            self.add_attempt(attempt);
        }
        let ended_at = attempt.map(Attempt::ended_at);
        match outcome {
            Outcome::Failed(_) => {
                self.retried += 1;
                self.last_failed_at = self.last_failed_at.max(ended_at);
            }
            Outcome::DeadLettered(_) => {
                self.dead += 1;
                self.last_failed_at = self.last_failed_at.max(ended_at);
            }
            Outcome::Processed(processed) if processed.attempt.is_some() => {
                self.delivered += 1;
                self.last_delivered_at = self.last_delivered_at.max(ended_at);
            }
            Outcome::Processed(_) => self.skipped += 1,
            Outcome::ReplayRequested(_) => {}
        }
    }

    fn add_attempt(&mut self, attempt: &Attempt) {
        self.attempts += 1;
        self.retries += u64::from(is_retry(attempt));
        self.micros = self.micros.saturating_add(attempt.duration_us);
        self.buckets.add_micros(attempt.duration_us);
    }
}

#[derive(Serialize)]
struct Row<'a> {
    tenant: &'a TenantId,
    minute: Band,
    destination: &'a DestinationName,
    synthetic: bool,
    partition: u32,
    block: u64,
    upto: u64,
    attempts: u64,
    retries: u64,
    delivered: u64,
    retried: u64,
    dead: u64,
    skipped: u64,
    attempt_us: u64,
    attempt_buckets: &'a Histogram,
    last_delivered_at: Option<Moment>,
    last_failed_at: Option<Moment>,
}

impl<'a> Row<'a> {
    fn new(key: &'a Key, counts: &'a Counts, slot: Slot) -> Self {
        Self {
            tenant: &key.tenant,
            minute: key.minute,
            destination: &key.destination,
            synthetic: key.synthetic,
            partition: slot.partition,
            block: slot.block,
            upto: slot.upto,
            attempts: counts.attempts,
            retries: counts.retries,
            delivered: counts.delivered,
            retried: counts.retried,
            dead: counts.dead,
            skipped: counts.skipped,
            attempt_us: counts.micros,
            attempt_buckets: &counts.buckets,
            last_delivered_at: counts.last_delivered_at.map(Moment::from),
            last_failed_at: counts.last_failed_at.map(Moment::from),
        }
    }
}
