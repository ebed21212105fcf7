//! Builds of projections: which tables a projection fills, and which of them are asked.
//!
//! A build is a set of tables `<name>_s<schema>_b<build>`, filled from one log from its start. The newest row of
//! `hooklog.projection_builds` with state `active` says which build is asked; that row is the atomic swap. A build's
//! number is not used twice; where a wiped store forgot it, its incarnation tells the two apart, so that nobody takes the
//! progress of the old tables for that of the new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Clock, LogId, Query, TableError, Tables};
use serde::Deserialize;
use tokio::time::Instant;

use crate::migration;
use crate::model::{ReadModel, Table, View};
pub(crate) use create::{Created, Known, same};
pub(crate) use plan::{of_no_use, plan};
#[cfg(test)]
pub(crate) use row::real_name;
pub use row::{BuildRow, BuildState};
pub(crate) use row::{newest_active, of_projection};
pub(crate) use sweep::Swept;

mod create;
mod plan;
mod row;
mod swap;
mod sweep;
mod view;

pub(crate) const BUILDS: &str = "projection_builds";

/// Its columns, engine and order. A step of [`crate::migration`]: never changed, only followed by another.
pub(crate) const DEFINITION: &str = "(
    `projection` LowCardinality(String), schema UInt16, build UInt32, partitions UInt32, block_size UInt64, log_id UUID,
    incarnation UUID, state LowCardinality(String), updated_at DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(updated_at) ORDER BY (projection, build)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

const SELECT: &str = "SELECT projection, schema, build, partitions, block_size, log_id, incarnation, state,
    toUnixTimestamp64Micro(updated_at) AS updated_us FROM hooklog.projection_builds FINAL";

/// The rows of a projection.
pub(crate) async fn rows(tables: &dyn Tables, projection: &str) -> Result<Vec<BuildRow>, TableError> {
    let query = Query::new(format!("{SELECT} WHERE projection = {{projection:String}}"));
    tables.query(&query.bind("projection", projection)).await
}

/// All tables of the database.
pub(crate) async fn existing(tables: &dyn Tables) -> Result<BTreeSet<String>, TableError> {
    let query = Query::new("SELECT name FROM system.tables WHERE database = 'hooklog'");
    let names: Vec<Name> = tables.query(&query).await?;
    Ok(names.into_iter().map(|row| row.name).collect())
}

/// The tables of all builds, and the rows about them.
#[derive(Clone)]
pub(crate) struct Builds {
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log_id: LogId,
    /// What this process knows of retired builds, by incarnation.
    pub(crate) retired: Arc<Mutex<BTreeMap<uuid::Uuid, Gone>>>,
}

/// What is known of a retired build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It was asked until about then: queries may be under way.
    Replaced(Instant),
    /// It was never asked, or could not be: its tables may go at once.
    Useless,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

impl Builds {
    /// Creates the database and the control tables where they are missing, and brings them up to date.
    pub(crate) async fn ensure_control(&self) -> Result<(), TableError> {
        migration::run(self.tables.as_ref(), self.clock.as_ref()).await
    }

    /// All tables of the database.
    pub(crate) async fn existing(&self) -> Result<BTreeSet<String>, TableError> {
        existing(self.tables.as_ref()).await
    }

    /// The rows of all projections.
    pub(crate) async fn all_rows(&self) -> Result<Vec<BuildRow>, TableError> {
        self.tables.query(&Query::new(SELECT)).await
    }

    /// The rows of a projection.
    pub(crate) async fn rows(&self, projection: &str) -> Result<Vec<BuildRow>, TableError> {
        rows(self.tables.as_ref(), projection).await
    }

    fn known_gone(&self) -> MutexGuard<'_, BTreeMap<uuid::Uuid, Gone>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The facts of a model, taken from one made by its factory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) name: &'static str,
    pub(crate) schema: u16,
    pub(crate) tables: &'static [Table],
    pub(crate) views: &'static [View],
}

impl Facts {
    pub(crate) fn of(model: &dyn ReadModel) -> Self {
        Self {
            name: model.name(),
            schema: model.schema(),
            tables: model.tables(),
            views: model.views(),
        }
    }
}

#[cfg(test)]
mod tests;
