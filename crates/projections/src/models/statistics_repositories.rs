//! The statistics by the hour of each repository, without action: what lies together is what one repository is asked for.
//! Deliveries that name none have no rows here.

use std::sync::Arc;

use domain::{RecordedEvent, TableError};

use super::column::Band;
use super::rollup::Rollup;
use super::statistics_sums::{Counts, Origin, Row};
use super::transition::Transition;
use crate::{BuildShape, RowBatch, Table};

pub(super) const TABLE: Table = Table {
    name: "statistics_repositories",
    definition: include_str!("sql/statistics_repositories.sql"),
};

/// Sums by the repository and the hour of the receipt.
#[derive(Debug)]
pub(super) struct Repositories(Rollup<Key, Counts>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    repository_key: Arc<str>,
    hour: Band,
    origin: Arc<Origin>,
}

impl Repositories {
    pub(super) fn new(shape: BuildShape) -> Self {
        Self(Rollup::new(shape))
    }

    /// Counts an event of a repository, whose name is in lower case and empty where there is none.
    pub(super) fn add(
        &mut self,
        event: &RecordedEvent,
        (origin, repository_key): (&Arc<Origin>, &Arc<str>),
        transition: &Transition<'_>,
    ) {
        if repository_key.is_empty() {
            return;
        }
        let key = Key {
            repository_key: Arc::clone(repository_key),
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
                names: &[("repository_key", &key.repository_key)],
                counts: &counts,
                slot,
            };
            rows.push(TABLE.name, &row)?;
        }
        Ok(())
    }
}
