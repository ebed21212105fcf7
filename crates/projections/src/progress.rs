//! How far a build has come: one row a build in `hooklog.projection_progress`, written last, after the rows of every table.
//!
//! `upto` never goes back within a build, because the engine keeps the greatest. Whoever has to start over makes a new build.

use domain::{Clock, EventId, LogId, Position, Query, RecordedEvent, Rows, TableError, Tables};
use serde::{Deserialize, Serialize};

use crate::builds::{BuildRow, column_time};

pub(crate) const PROGRESS: &str = "projection_progress";

/// Its columns, engine and order. A step of [`crate::migration`]: never changed, only followed by another.
pub(crate) const DEFINITION: &str = "(
    `projection` LowCardinality(String), build UInt32, partition UInt32, log_id UUID, upto UInt64, event_id UUID,
    incarnation UUID, at DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(upto) ORDER BY (projection, build, partition, incarnation)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// The last event that a build holds. Its id tells a log that went on differently after an older backup was restored.
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
    at: String,
}

/// Reads how far a build has come; `None` before its first batch.
pub(crate) async fn read(tables: &dyn Tables, row: &BuildRow) -> Result<Option<Progress>, TableError> {
    let query = Query::new(
        "SELECT log_id, upto, event_id FROM hooklog.projection_progress FINAL
         WHERE projection = {projection:String} AND build = {build:UInt32} AND incarnation = {incarnation:UUID}
         ORDER BY upto DESC LIMIT 1",
    );
    let query = query
        .bind("projection", &row.projection)
        .bind("build", row.build)
        .bind("incarnation", row.incarnation);
    let rows: Vec<Progress> = tables.query(&query).await?;
    Ok(rows.into_iter().next())
}

/// The rows that say that builds hold everything up to an event. One process fills all partitions of a build, so there is
/// one row a build, with partition 0.
pub(crate) fn rows<'a>(
    builds: impl Iterator<Item = &'a BuildRow>,
    last: &RecordedEvent,
    clock: &dyn Clock,
) -> Result<Rows, TableError> {
    let mut rows = Rows::default();
    for build in builds {
        rows.push(&NewRow {
            projection: &build.projection,
            build: build.build,
            partition: 0,
            log_id: build.log_id,
            upto: last.position,
            event_id: last.id,
            incarnation: build.incarnation,
            at: column_time(clock.now()),
        })?;
    }
    Ok(rows)
}
