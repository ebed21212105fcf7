//! Builds of projections: which tables a projection fills, and which of them are asked.
//!
//! A build is a set of tables `<name>_s<schema>_b<build>`, filled from one log from its start. The newest row of
//! `hooklog.projection_builds` with state `active` says which build is asked; that row is the atomic swap. A build's
//! number is not used twice; where a wiped store forgot it, its incarnation tells the two apart, so that nobody takes the
//! progress of the old tables for that of the new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Clock, LogId, Query, Rows, TableError, Tables, Timestamp};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::model::{BuildShape, ReadModel, Table, View};
use crate::models::Moment;
use crate::{ddl, migration, progress};
pub(crate) use plan::{of_no_use, plan};

mod plan;

pub(crate) const BUILDS: &str = "projection_builds";

/// Its columns, engine and order. A step of [`crate::migration`]: never changed, only followed by another.
pub(crate) const DEFINITION: &str = "(
    `projection` LowCardinality(String), schema UInt16, build UInt32, partitions UInt32, block_size UInt64, log_id UUID,
    incarnation UUID, state LowCardinality(String), updated_at DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(updated_at) ORDER BY (projection, build)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// What a build is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildState {
    /// Being filled beside the active one.
    Building,
    /// The one that is asked. Of several the newest row counts.
    Active,
    /// Replaced; its tables are gone or going.
    Retired,
}

impl BuildState {
    /// As the column has it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// A row of `hooklog.projection_builds`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BuildRow {
    /// The projection.
    pub projection: String,
    /// The schema of its tables.
    pub schema: u16,
    /// Its number.
    pub build: u32,
    /// Partitions that streams are spread over.
    pub partitions: u32,
    /// Positions per block.
    pub block_size: u64,
    /// The log it is filled from.
    pub log_id: LogId,
    /// Tells it from one of the same number in a store that was wiped since.
    pub incarnation: uuid::Uuid,
    /// What it is good for.
    pub state: BuildState,
    /// When it became so, in microseconds since the epoch.
    pub updated_us: i64,
}

impl BuildRow {
    /// What is fixed for its life.
    #[must_use]
    pub const fn shape(&self) -> BuildShape {
        BuildShape {
            block_size: self.block_size,
            partitions: self.partitions,
        }
    }

    /// The name of one of its tables, without the database.
    #[must_use]
    pub fn table(&self, name: &str) -> String {
        real_name(name, self.schema, self.build)
    }
}

pub(crate) fn real_name(name: &str, schema: u16, build: u32) -> String {
    format!("{name}_s{schema}_b{build}")
}

/// The build number in a real name of a table, whatever its schema.
fn build_of(table: &str, real: &str) -> Option<u32> {
    let (schema, build) = real.strip_prefix(table)?.strip_prefix("_s")?.split_once("_b")?;
    schema.parse::<u16>().ok()?;
    build.parse().ok()
}

/// The row that counts among active ones.
pub(crate) fn newest_active(rows: &[BuildRow]) -> Option<&BuildRow> {
    rows.iter()
        .filter(|row| row.state == BuildState::Active)
        .max_by_key(|row| (row.updated_us, row.build))
}

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

/// What making a build came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Created {
    Made(BuildRow),
    /// Another process makes one of that number at this moment.
    Taken(u32),
}

/// The version of a row that follows from what was read. It is not the time: a process that slept between reading and writing
/// would then be believed over those who decided meanwhile.
fn next_version(rows: &[BuildRow]) -> i64 {
    rows.iter()
        .map(|row| row.updated_us)
        .max()
        .unwrap_or(0)
        .saturating_add(1)
}

/// That of a row that is final: of two who decided by the same rows the one that retires is right.
fn final_version(rows: &[BuildRow]) -> i64 {
    next_version(rows).saturating_add(1)
}

/// What a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swept {
    /// All tables of no more use are gone.
    Clean,
    /// Some were replaced so lately that queries may be under way.
    Spared,
}

#[derive(Serialize)]
struct NewRow<'a> {
    projection: &'a str,
    schema: u16,
    build: u32,
    partitions: u32,
    block_size: u64,
    log_id: LogId,
    incarnation: uuid::Uuid,
    state: &'static str,
    updated_at: Moment,
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

    /// Makes the tables of a new build and writes its row. Its number is beyond any that a row, a table or
    /// progress has; where several
    /// make one at a time, whoever makes the first table has the number.
    pub(crate) async fn create(
        &self,
        model: &Facts,
        shape: BuildShape,
        state: BuildState,
    ) -> Result<Created, TableError> {
        let (rows, existing, filled) = tokio::try_join!(
            self.rows(model.name),
            self.existing(),
            progress::last_build(self.tables.as_ref(), model.name, self.log_id),
        )?;
        let in_tables = model
            .tables
            .iter()
            .flat_map(|t| existing.iter().filter_map(|real| build_of(t.name, real)));
        let last = rows
            .iter()
            .map(|row| row.build)
            .chain(in_tables)
            .chain(filled)
            .max();
        let row = BuildRow {
            projection: model.name.to_owned(),
            schema: model.schema,
            build: last.unwrap_or(0).saturating_add(1),
            partitions: shape.partitions,
            block_size: shape.block_size,
            log_id: self.log_id,
            incarnation: uuid::Uuid::new_v4(),
            state,
            updated_us: 0,
        };
        if !self.make_tables(model.tables, &row).await? {
            return Ok(Created::Taken(row.build));
        }
        let now = self.clock.now().as_micros();
        // An empty build is asked because of what was read, and not for longer than that holds.
        let version = match state {
            BuildState::Building => next_version(&rows).max(now),
            BuildState::Active | BuildState::Retired if rows.is_empty() => now,
            BuildState::Active | BuildState::Retired => next_version(&rows),
        };
        let created = self.put(row, state, version).await?;
        tracing::info!(projection = %created.projection, build = created.build, ?state, "projection_build_created");
        Ok(Created::Made(created))
    }

    /// Makes the tables of a build; false when somebody else has made the first of them.
    async fn make_tables(&self, tables: &'static [Table], row: &BuildRow) -> Result<bool, TableError> {
        let Some((first, others)) = tables.split_first() else {
            return Ok(true);
        };
        let cluster = self.tables.cluster();
        let real = row.table(first.name);
        for statement in ddl::claim_table(cluster, &real, first.definition) {
            match self.tables.execute(&statement).await {
                Err(TableError::Refused(_)) if self.existing().await?.contains(&real) => return Ok(false),
                other => other?,
            }
        }
        let make = |table: &Table| {
            let statements = ddl::create_table(cluster, &row.table(table.name), table.definition);
            async move {
                for statement in statements {
                    self.tables.execute(&statement).await?;
                }
                Ok::<(), TableError>(())
            }
        };
        try_join_all(others.iter().map(make)).await?;
        Ok(true)
    }

    /// Writes a row anew in a state.
    async fn put(&self, mut row: BuildRow, state: BuildState, version: i64) -> Result<BuildRow, TableError> {
        (row.state, row.updated_us) = (state, version);
        let mut rows = Rows::default();
        rows.push(&NewRow {
            projection: &row.projection,
            schema: row.schema,
            build: row.build,
            partitions: row.partitions,
            block_size: row.block_size,
            log_id: row.log_id,
            incarnation: row.incarnation,
            state: state.as_str(),
            updated_at: Timestamp::from_micros(row.updated_us).into(),
        })?;
        self.tables.insert(&format!("hooklog.{BUILDS}"), rows).await?;
        Ok(row)
    }

    /// Makes a build the one that is asked, and retires the one before it. `None` when somebody gave it up, or has another one
    /// asked by now: that is final.
    ///
    /// Whoever stops in the middle of it and wakes later changes nothing: what it writes is as old as what it read.
    pub(crate) async fn activate(&self, row: &BuildRow) -> Result<Option<BuildRow>, TableError> {
        let rows = self.rows(&row.projection).await?;
        let known = rows.iter().find(|known| known.incarnation == row.incarnation);
        if known.is_some_and(|known| known.state == BuildState::Retired) {
            return Ok(None);
        }
        self.put(row.clone(), BuildState::Active, next_version(&rows))
            .await?;
        let rows = self.rows(&row.projection).await?;
        let asked = newest_active(&rows).filter(|asked| asked.incarnation == row.incarnation);
        let Some(active) = asked.cloned() else {
            return Ok(None);
        };
        let before = rows.iter().filter(|r| {
            r.build < row.build
                && r.state != BuildState::Retired
                && (r.schema <= row.schema || r.log_id != row.log_id)
        });
        for replaced in before {
            let replaced = self
                .put(replaced.clone(), BuildState::Retired, final_version(&rows))
                .await?;
            let now = Gone::Replaced(Instant::now());
            self.known_gone().insert(replaced.incarnation, now);
        }
        tracing::info!(projection = %row.projection, build = row.build, "projection_build_active");
        Ok(Some(active))
    }

    /// Says of builds that are not asked that they are of no more use.
    pub(crate) async fn retire(
        &self,
        rows: impl IntoIterator<Item = BuildRow> + Send,
    ) -> Result<(), TableError> {
        let rows: Vec<BuildRow> = rows.into_iter().collect();
        for row in rows {
            let now = self.rows(&row.projection).await?;
            let retired = self.put(row, BuildState::Retired, final_version(&now)).await?;
            self.known_gone().insert(retired.incarnation, Gone::Useless);
        }
        Ok(())
    }

    /// A build that was retired by mistake is asked again.
    pub(crate) async fn give_back(&self, row: &BuildRow) -> Result<BuildRow, TableError> {
        let now = self.rows(&row.projection).await?;
        let back = self
            .put(row.clone(), BuildState::Active, next_version(&now))
            .await?;
        self.known_gone().remove(&back.incarnation);
        Ok(back)
    }

    /// Whether this process knows of a build that it is not what it should be.
    pub(crate) fn is_useless(&self, row: &BuildRow) -> bool {
        self.known_gone().get(&row.incarnation) == Some(&Gone::Useless)
    }

    fn known_gone(&self) -> MutexGuard<'_, BTreeMap<uuid::Uuid, Gone>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the tables of all builds of a model but those that are active or being built, and those that were replaced less
    /// than a while ago. One with another schema's table names leaves those: their names are not known here.
    pub(crate) async fn sweep(
        &self,
        projection: &str,
        tables: &'static [Table],
        spare: Duration,
    ) -> Result<Swept, TableError> {
        let rows = self.rows(projection).await?;
        let spared: BTreeSet<u32> = rows
            .iter()
            .filter(|row| self.is_spared(row, spare))
            .map(|row| row.build)
            .collect();
        let existing = self.existing().await?;
        let mut swept = Swept::Clean;
        for (real, build) in of_no_use(&rows, tables, &existing) {
            if spared.contains(&build) {
                swept = Swept::Spared;
                continue;
            }
            for statement in ddl::drop_table(self.tables.cluster(), real) {
                self.tables.execute(&statement).await?;
            }
            tracing::info!(table = %real, "projection_table_dropped");
        }
        Ok(swept)
    }

    /// Whether queries of a build that was replaced may be under way. One that this process hears of only now may have been
    /// replaced by another one a moment ago.
    fn is_spared(&self, row: &BuildRow, spare: Duration) -> bool {
        let now = Instant::now();
        row.state == BuildState::Retired
            && match *self
                .known_gone()
                .entry(row.incarnation)
                .or_insert(Gone::Replaced(now))
            {
                Gone::Replaced(at) => now.duration_since(at) < spare,
                Gone::Useless => false,
            }
    }

    /// Points the views of a model at a build. A view that the store refuses must not stop the projection: only who asks
    /// through it suffers.
    pub(crate) async fn ensure_views(&self, model: &Facts, row: &BuildRow) -> Result<(), TableError> {
        for view in model.views {
            let select = qualified(view.select, model.tables, row);
            let statement = ddl::replace_view(self.tables.cluster(), view.name, &select);
            match self.tables.execute(&statement).await {
                Err(refused @ TableError::Refused(_)) => {
                    tracing::error!(view = view.name, error = %refused, "projection_view_refused");
                }
                other => other?,
            }
        }
        Ok(())
    }
}

fn qualified(select: &str, tables: &'static [Table], row: &BuildRow) -> String {
    let mut text = select.to_owned();
    for table in tables {
        let (bare, real) = (
            format!("{{{}}}", table.name),
            format!("hooklog.{}", row.table(table.name)),
        );
        text = text
            .replace(&format!("hooklog.{bare}"), &bare)
            .replace(&bare, &real);
    }
    text
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
