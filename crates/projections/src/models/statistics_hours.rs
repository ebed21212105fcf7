//! The statistics by the hour, without action and repository: as many rows for an hour as there are sources and events,
//! however many repositories there are.

use std::sync::Arc;

use domain::{RecordedEvent, TableError};

use super::column::Band;
use super::rollup::Rollup;
use super::statistics_sums::{Counts, Origin, Row};
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
    hour: Band,
    origin: Arc<Origin>,
}

impl Hours {
    pub(super) fn new(shape: BuildShape) -> Self {
        Self(Rollup::new(shape))
    }

    pub(super) fn add(&mut self, event: &RecordedEvent, origin: &Arc<Origin>, transition: &Transition<'_>) {
        let key = Key {
            hour: Band::hour(transition.received.received_at),
            origin: Arc::clone(origin),
        };
        self.0.add(event, key, |counts| counts.add(transition));
    }

    pub(super) fn finish(&mut self, rows: &mut RowBatch) -> Result<(), TableError> {
        for (key, counts, slot) in self.0.take_changed() {
            let row = Row {
                origin: &key.origin,
                band: ("hour", key.hour),
                names: &[],
                counts: &counts,
                slot,
            };
            rows.push(TABLE.name, &row)?;
        }
        Ok(())
    }
}
