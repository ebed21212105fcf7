//! Tells whether two builds say the same (a hash over the rows of each table, whatever their order), and what a build and a
//! fold of the log differ in.

use domain::{Query, TableError, Tables};
use serde::Deserialize;

use crate::builds::{BuildRow, newest_active};
use crate::model::{ReadModel, Table};

pub(crate) mod digest;
pub(crate) mod layout;
mod report;

pub use report::{Difference, DifferenceKind, VerifiedTable, VerifyError, VerifyReport};

/// What the final rows of a table come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The table, without schema and build.
    pub table: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// The sum of the rows' hashes.
    pub hash: u64,
}

#[derive(Deserialize)]
struct Found {
    rows: u64,
    hash: u64,
}

/// Hashes the tables of a build. The version column of a table is left out: it says how rows were cut into batches, not what
/// they mean.
///
/// # Errors
/// When the store fails.
pub async fn fingerprint(
    tables: &dyn Tables,
    model: &dyn ReadModel,
    build: &BuildRow,
) -> Result<Vec<Fingerprint>, TableError> {
    let mut all = Vec::new();
    for table in model.tables() {
        let query = statement(table, &build.table(table.name));
        let found: Vec<Found> = tables.query(&Query::new(query)).await?;
        let found = found.first();
        all.push(Fingerprint {
            table: table.name,
            rows: found.map_or(0, |f| f.rows),
            hash: found.map_or(0, |f| f.hash),
        });
    }
    Ok(all)
}

/// The build of a projection that is asked.
///
/// # Errors
/// When the store fails.
pub async fn active_build(tables: &dyn Tables, projection: &str) -> Result<Option<BuildRow>, TableError> {
    let rows = crate::builds::rows(tables, projection).await?;
    Ok(newest_active(&rows).cloned())
}

fn statement(table: &Table, real: &str) -> String {
    let except =
        version_column(table.definition).map_or_else(String::new, |column| format!(" EXCEPT ({column})"));
    format!(
        "SELECT count() AS rows, sum(cityHash64(formatRowNoNewline('TSV', *{except}))) AS hash FROM hooklog.{real} FINAL"
    )
}

/// The column by which a `ReplacingMergeTree` decides.
fn version_column(definition: &str) -> Option<&str> {
    let (_, after) = definition.split_once("ReplacingMergeTree(")?;
    let (arguments, _) = after.split_once(')')?;
    let version = arguments.split(',').next()?.trim();
    (!version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_column_is_left_out() {
        let table = Table {
            name: "t",
            definition: "(a String, upto UInt64) ENGINE = ReplacingMergeTree(upto) ORDER BY a",
        };
        assert!(statement(&table, "t_s1_b2").contains("* EXCEPT (upto)"));
        assert_eq!(version_column("ENGINE = MergeTree ORDER BY a"), None);
        assert_eq!(version_column("ENGINE = ReplacingMergeTree() ORDER BY a"), None);
    }
}
