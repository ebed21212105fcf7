//! What the statistics of every grain have in common: whose deliveries are counted, the counts, and how both become a row.

use domain::{DeliveryReceived, SourceName, TenantId};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::column::Band;
use super::histogram::Histogram;
use super::rollup::Slot;
use super::transition::{StatusCounts, Transition};

/// What every key begins with. It is made once for an event and shared by the keys of all grains.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    tenant: TenantId,
    source: SourceName,
    event: String,
    synthetic: bool,
}

impl Origin {
    pub(super) fn of(received: &DeliveryReceived) -> Self {
        Self {
            tenant: received.tenant.clone(),
            source: received.source.clone(),
            event: received.event.clone(),
            synthetic: received.synthetic,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    deliveries: StatusCounts,
    times: u64,
    times_micros: u64,
    buckets: Histogram,
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

/// A row of any grain.
pub(super) struct Row<'a> {
    pub(super) origin: &'a Origin,
    /// The column of the time, and its value.
    pub(super) band: (&'static str, Band),
    /// The other columns that the grain tells apart.
    pub(super) names: &'a [(&'static str, &'a str)],
    pub(super) counts: &'a Counts,
    pub(super) slot: Slot,
}

/// Columns besides those of the names.
const COLUMNS: usize = 20;

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", COLUMNS + self.names.len())?;
        row.serialize_field("tenant", &self.origin.tenant)?;
        row.serialize_field(self.band.0, &self.band.1)?;
        row.serialize_field("source", &self.origin.source)?;
        row.serialize_field("event", &self.origin.event)?;
        row.serialize_field("synthetic", &self.origin.synthetic)?;
        for (column, name) in self.names {
            row.serialize_field(column, name)?;
        }
        row.serialize_field("partition", &self.slot.partition)?;
        row.serialize_field("block", &self.slot.block)?;
        row.serialize_field("upto", &self.slot.upto)?;
        self.counts.serialize_into(&mut row)?;
        row.end()
    }
}

impl Counts {
    fn serialize_into<S: SerializeStruct>(&self, row: &mut S) -> Result<(), S::Error> {
        let deliveries = &self.deliveries;
        row.serialize_field("total", &deliveries.total)?;
        row.serialize_field("received", &deliveries.received)?;
        row.serialize_field("processing", &deliveries.processing)?;
        row.serialize_field("retrying", &deliveries.retrying)?;
        row.serialize_field("processed", &deliveries.processed)?;
        row.serialize_field("dead", &deliveries.dead)?;
        row.serialize_field("duplicates", &deliveries.duplicates)?;
        row.serialize_field("attempts", &deliveries.attempts)?;
        row.serialize_field("retries", &deliveries.retries)?;
        row.serialize_field("processing_count", &self.times)?;
        row.serialize_field("processing_us", &self.times_micros)?;
        row.serialize_field("processing_buckets", &self.buckets)
    }
}
