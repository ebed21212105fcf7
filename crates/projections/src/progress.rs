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
    partition: u32,
    #[serde(flatten)]
    progress: Progress,
}

/// Reads how far each partition of a build has come; those before their first batch are left out.
pub(crate) async fn read(tables: &dyn Tables, row: &BuildRow) -> Result<BTreeMap<u32, Progress>, TableError> {
    let query = Query::new(
        "SELECT partition, log_id, upto, event_id FROM hooklog.projection_progress FINAL
         WHERE projection = {projection:String} AND build = {build:UInt32} AND incarnation = {incarnation:UUID}",
    );
    let query = query
        .bind("projection", &row.projection)
        .bind("build", row.build)
        .bind("incarnation", row.incarnation);
    let rows: Vec<OfPartition> = tables.query(&query).await?;
    let mut reached: BTreeMap<u32, Progress> = BTreeMap::new();
    for OfPartition { partition, progress } in rows {
        let furthest = reached.entry(partition).or_insert(progress);
        if progress.upto > furthest.upto {
            *furthest = progress;
        }
    }
    Ok(reached)
}

/// The highest number of a build of a projection that was ever filled from a log.
pub(crate) async fn last_build(
    tables: &dyn Tables,
    projection: &str,
    log: LogId,
) -> Result<Option<u32>, TableError> {
    #[derive(Deserialize)]
    struct OfBuild {
        build: u32,
        log_id: LogId,
    }
    let query = Query::new(
        "SELECT build, log_id FROM hooklog.projection_progress FINAL WHERE projection = {projection:String}",
    );
    let rows: Vec<OfBuild> = tables.query(&query.bind("projection", projection)).await?;
    let of_log = rows.into_iter().filter(|row| row.log_id == log);
    Ok(of_log.map(|row| row.build).max())
}

/// What all partitions of a build hold; `None` while one of them has not had its first batch.
pub(crate) async fn read_all(tables: &dyn Tables, row: &BuildRow) -> Result<Option<Progress>, TableError> {
    let reached = read(tables, row).await?;
    let of_each = (0..row.partitions.max(1)).map(|partition| reached.get(&partition).copied());
    let of_each: Option<Vec<Progress>> = of_each.collect();
    Ok(of_each.and_then(|all| all.into_iter().min_by_key(|progress| progress.upto)))
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
