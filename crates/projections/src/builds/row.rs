//! The rows that say what builds are good for.

use domain::{LogId, Rows, TableError, Timestamp};
use serde::{Deserialize, Serialize};

use super::{BUILDS, Builds};
use crate::model::BuildShape;
use crate::models::Moment;

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
pub(super) fn build_of(table: &str, real: &str) -> Option<u32> {
    let (schema, build) = real.strip_prefix(table)?.strip_prefix("_s")?.split_once("_b")?;
    schema.parse::<u16>().ok()?;
    build.parse().ok()
}

/// Those of a projection.
pub(crate) fn of_projection(rows: &[BuildRow], projection: &str) -> Vec<BuildRow> {
    let of_it = rows.iter().filter(|row| row.projection == projection);
    of_it.cloned().collect()
}

/// The row that counts among active ones.
pub(crate) fn newest_active(rows: &[BuildRow]) -> Option<&BuildRow> {
    rows.iter()
        .filter(|row| row.state == BuildState::Active)
        .max_by_key(|row| (row.updated_us, row.build))
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

/// The version of a row that follows from what was read. It is not the time: a process that slept between reading and writing
/// would then be believed over those who decided meanwhile.
pub(super) fn next_version(rows: &[BuildRow]) -> i64 {
    rows.iter()
        .map(|row| row.updated_us)
        .max()
        .unwrap_or(0)
        .saturating_add(1)
}

/// That of a row that is final: of two who decided by the same rows the one that retires is right.
pub(super) fn final_version(rows: &[BuildRow]) -> i64 {
    next_version(rows).saturating_add(1)
}

impl Builds {
    /// Writes rows anew, each in a state, all of them at once: they come true together, or none does.
    pub(super) async fn put(
        &self,
        rows: impl IntoIterator<Item = (BuildRow, BuildState, i64)> + Send,
    ) -> Result<Vec<BuildRow>, TableError> {
        let (mut put, mut new) = (Vec::new(), Rows::default());
        for (mut row, state, version) in rows {
            (row.state, row.updated_us) = (state, version);
            new.push(&NewRow {
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
            put.push(row);
        }
        if !new.is_empty() {
            self.tables.insert(&format!("hooklog.{BUILDS}"), new).await?;
        }
        Ok(put)
    }
}
