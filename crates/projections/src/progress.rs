//! How far a build has come: one row for each of its partitions in `hooklog.projection_progress`, written last, after the
//! rows of every table.
//!
//! `upto` never goes back within a build, because the engine keeps the greatest. Whoever has to start over makes a new build.

use std::collections::BTreeMap;

use domain::{Clock, EventId, LogId, Position, Query, RecordedEvent, Rows, TableError, Tables, Timestamp};
use serde::{Deserialize, Serialize};

use crate::builds::BuildRow;
use crate::models::Moment;

pub(crate) const PROGRESS: &str = "projection_progress";

/// Its columns, engine and order. A step of [`crate::migration`]: never changed, only followed by another.
pub(crate) const DEFINITION: &str = "(
    `projection` LowCardinality(String), build UInt32, partition UInt32, log_id UUID, upto UInt64, event_id UUID,
    incarnation UUID, at DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(upto) ORDER BY (projection, build, partition, incarnation)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// The last event that a partition of a build holds. Its id tells a log that went on differently after an older backup was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Progress {
    pub(crate) log_id: LogId,
    pub(crate) upto: Position,
    pub(crate) event_id: EventId,
}

#[derive(Serialize)]
struct NewRow<'a> {
    projection: &'a str,
    build: u32,
    partition: u32,
    log_id: LogId,
    upto: Position,
    event_id: EventId,
    incarnation: uuid::Uuid,
    at: Moment,
}

/// How far a partition of a build has come, by any process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Reached {
    pub(crate) incarnation: uuid::Uuid,
    pub(crate) partition: u32,
    pub(crate) upto: Position,
    at_us: i64,
}

impl Reached {
    /// When it was taken down.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        (self.at_us > 0).then(|| Timestamp::from_micros(self.at_us))
    }
}

#[derive(Deserialize)]
struct OfPartition {
    incarnation: uuid::Uuid,
    partition: u32,
    #[serde(flatten)]
    progress: Progress,
}

/// How far the partitions of builds have come, by incarnation; those before their first batch are left out.
pub(crate) type ReachedOf = BTreeMap<uuid::Uuid, BTreeMap<u32, Progress>>;

/// Reads how far each partition of some builds has come.
pub(crate) async fn read_of(tables: &dyn Tables, builds: &[&BuildRow]) -> Result<ReachedOf, TableError> {
    let incarnations = builds.iter().map(|row| format!("'{}'", row.incarnation));
    let incarnations: Vec<String> = incarnations.collect();
    if incarnations.is_empty() {
        return Ok(ReachedOf::new());
    }
    let query = Query::new(
        "SELECT incarnation, partition, log_id, upto, event_id FROM hooklog.projection_progress FINAL
         WHERE incarnation IN {incarnations:Array(UUID)}",
    );
    let query = query.bind("incarnations", format!("[{}]", incarnations.join(",")));
    let rows: Vec<OfPartition> = tables.query(&query).await?;
    let mut reached = ReachedOf::new();
    for row in rows {
        let of_build = reached.entry(row.incarnation).or_default();
        let furthest = of_build.entry(row.partition).or_insert(row.progress);
        if row.progress.upto > furthest.upto {
            *furthest = row.progress;
        }
    }
    Ok(reached)
}

/// Reads how far each partition of a build has come; those before their first batch are left out.
pub(crate) async fn read(tables: &dyn Tables, row: &BuildRow) -> Result<BTreeMap<u32, Progress>, TableError> {
    let mut reached = read_of(tables, &[row]).await?;
    Ok(reached.remove(&row.incarnation).unwrap_or_default())
}

/// A build that was ever filled.
#[derive(Debug, Deserialize)]
pub(crate) struct Filled {
    pub(crate) projection: String,
    pub(crate) build: u32,
    log_id: LogId,
}

/// The builds that were ever filled from a log.
pub(crate) async fn filled(tables: &dyn Tables, log: LogId) -> Result<Vec<Filled>, TableError> {
    let query = Query::new("SELECT DISTINCT projection, build, log_id FROM hooklog.projection_progress");
    let mut filled: Vec<Filled> = tables.query(&query).await?;
    filled.retain(|build| build.log_id == log);
    Ok(filled)
}

/// What all partitions of a build hold; `None` while one of them has not had its first batch.
pub(crate) fn whole(row: &BuildRow, reached: Option<&BTreeMap<u32, Progress>>) -> Option<Progress> {
    let of_each = (0..row.partitions.max(1)).map(|partition| reached?.get(&partition).copied());
    let of_each: Option<Vec<Progress>> = of_each.collect();
    of_each?.into_iter().min_by_key(|progress| progress.upto)
}

/// How far all builds have come that anybody fills.
pub(crate) async fn read_everywhere(tables: &dyn Tables) -> Result<Vec<Reached>, TableError> {
    let query = Query::new(
        "SELECT incarnation, partition, upto, toUnixTimestamp64Micro(at) AS at_us FROM hooklog.projection_progress FINAL
         WHERE incarnation IN (SELECT incarnation FROM hooklog.projection_builds FINAL WHERE state != 'retired')",
    );
    tables.query(&query).await
}

/// The rows that say that partitions of builds hold everything up to an event.
pub(crate) fn rows<'a>(
    parts: impl Iterator<Item = (&'a BuildRow, u32)>,
    last: &RecordedEvent,
    clock: &dyn Clock,
) -> Result<Rows, TableError> {
    let mut rows = Rows::default();
    for (build, partition) in parts {
        rows.push(&NewRow {
            projection: &build.projection,
            build: build.build,
            partition,
            log_id: build.log_id,
            upto: last.position,
            event_id: last.id,
            incarnation: build.incarnation,
            at: clock.now().into(),
        })?;
    }
    Ok(rows)
}
