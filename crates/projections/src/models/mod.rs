//! The read models: what the log says, as rows to ask.
//!
//! Each file holds one projection: a pure function from events to rows. None of them may look at a clock, at a table
//! or at the order in which deliveries arrived. What the tables and views mean is written in `docs/read-models.md`.

mod column;
mod deliveries;
mod destinations;
mod fold;
mod health;
mod histogram;
mod jobs;
mod json;
mod precedence;
mod replays;
mod repository_activity;
mod rollup;
mod statistics;
mod statistics_hours;
mod statistics_repositories;
mod statistics_sums;
mod transition;

use std::sync::Arc;

use domain::DeliveryReceived;

use self::deliveries::Deliveries;
use self::destinations::Destinations;
use self::health::Health;
use self::jobs::Jobs;
use self::replays::Replays;
use self::repository_activity::RepositoryActivity;
use self::statistics::Statistics;
use crate::{BuildShape, ModelFactory, Projected, ReadModel};

pub(crate) use self::column::Moment;
pub(crate) use self::jobs::{JOB_EVENT, JobEnd, JobMark};
pub(crate) use self::transition::Transition;

pub(crate) use self::fold::rows_of;
pub use self::fold::{FoldError, FoldedRow, FoldedTables};
pub use self::histogram::{Bucket, Histogram};

/// All read models, fresh, for builds of one shape.
#[must_use]
pub fn all(shape: BuildShape) -> Vec<Box<dyn ReadModel>> {
    factories().iter().map(|factory| factory(shape)).collect()
}

/// What makes each read model, in the order of [`all`].
#[must_use]
pub fn factories() -> Vec<ModelFactory> {
    vec![
        Arc::new(|_| Box::new(Deliveries)),
        Arc::new(|shape| Box::new(Statistics::new(shape))),
        Arc::new(|shape| Box::new(Health::new(shape))),
        Arc::new(|shape| Box::new(Destinations::new(shape))),
        Arc::new(|_| Box::new(Replays)),
        Arc::new(|shape| Box::new(RepositoryActivity::new(shape))),
        Arc::new(|_| Box::new(Jobs)),
    ]
}

/// The facts of a delivery that stands for an event of its own: neither a marked duplicate nor synthetic.
pub(crate) fn counted_once(projected: &Projected) -> Option<&DeliveryReceived> {
    let received = projected.received.as_ref()?;
    (projected.event.duplicate_of.is_none() && !received.synthetic).then_some(received)
}

#[cfg(test)]
mod tests;
