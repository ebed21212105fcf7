//! Counts and processing times per minute of the receipt, source, event, action and repository.
//!
//! They are kept by the hour too, whatever the action and repository: what a month of a whole tenant is asked from. And by the
//! hour of each repository, whatever the action: what a month of one repository, and how much it has in all, is asked from.
//!
//! What becomes of a delivery later is counted where its receipt was: −1 in the status it leaves, +1 in the one it gets.

use std::sync::Arc;

use domain::{DeliveryReceived, TableError};

use super::column::Band;
use super::rollup::Rollup;
use super::statistics_hours::{self, Hours};
use super::statistics_repositories::{self, Repositories};
use super::statistics_sums::{Counts, Origin, Row};
use super::transition::Transition;
use crate::{BuildShape, Projected, ReadModel, RowBatch, Table, View};

const TABLE: &str = "statistics";

const TABLES: &[Table] = &[
    Table {
        name: TABLE,
        definition: include_str!("sql/statistics.sql"),
    },
    statistics_hours::TABLE,
    statistics_repositories::TABLE,
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
    repositories: Repositories,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    minute: Band,
    origin: Arc<Origin>,
    action: String,
    repository_key: Arc<str>,
}

impl Statistics {
    pub(crate) fn new(shape: BuildShape) -> Self {
        Self {
            minutes: Rollup::new(shape),
            hours: Hours::new(shape),
            repositories: Repositories::new(shape),
        }
    }
}

impl ReadModel for Statistics {
    fn name(&self) -> &'static str {
        "statistics"
    }

    fn schema(&self) -> u16 {
        4
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
            let (event, key) = (&projected.event, Key::of(transition.received));
            self.hours.add(event, &key.origin, &transition);
            let of_one = (&key.origin, &key.repository_key);
            self.repositories.add(event, of_one, &transition);
            self.minutes.add(event, key, |counts| counts.add(&transition));
        }
        Ok(())
    }

    fn finish(&mut self, rows: &mut RowBatch) -> Result<(), TableError> {
        for (key, counts, slot) in self.minutes.take_changed() {
            let row = Row {
                origin: &key.origin,
                band: ("minute", key.minute),
                names: &[("action", &key.action), ("repository_key", &key.repository_key)],
                counts: &counts,
                slot,
            };
            rows.push(TABLE, &row)?;
        }
        self.hours.finish(rows)?;
        self.repositories.finish(rows)
    }
}

impl Key {
    fn of(received: &DeliveryReceived) -> Self {
        let repository = received.repository.as_deref().unwrap_or_default();
        Self {
            minute: Band::minute(received.received_at),
            origin: Arc::new(Origin::of(received)),
            action: received.action.clone().unwrap_or_default(),
            repository_key: repository.to_lowercase().into(),
        }
    }
}
