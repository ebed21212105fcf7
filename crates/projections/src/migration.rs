//! The tables that every build needs, and how they change: numbered steps, each done once, in their order, and taken down.
//!
//! Read models need none of this: a new schema is a new build beside the old one. Builds and progress have no second copy, so what
//! changes them is a step here that is never edited again. Several processes may start at once: every step may be done twice to
//! the same end, and its row is written after it.

use domain::{Clock, Query, Rows, TableError, Tables};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::models::Moment;
use crate::{builds, ddl, progress};

/// The table that holds the steps that were done.
pub(crate) const MIGRATED: &str = "schema_migrations";
const MIGRATED_DEFINITION: &str = "(
    number UInt32, sha256 String, name String, migrated_at DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(migrated_at) ORDER BY (number, sha256)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// A step. So far each makes a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    pub(crate) number: u32,
    pub(crate) table: &'static str,
    pub(crate) definition: &'static str,
}

/// All steps, in their order. Add to the end; never change one that was released.
pub(crate) const MIGRATIONS: [Migration; 2] = [
    Migration {
        number: 1,
        table: builds::BUILDS,
        definition: builds::DEFINITION,
    },
    Migration {
        number: 2,
        table: progress::PROGRESS,
        definition: progress::DEFINITION,
    },
];

impl Migration {
    /// What it says, whatever it is done on.
    fn sha256(&self) -> String {
        let text = format!("{} {} {}", self.number, self.table, self.definition);
        hex::encode(Sha256::digest(text))
    }
}

#[derive(Deserialize)]
struct Done {
    number: u32,
    sha256: String,
}

#[derive(Serialize)]
struct NewRow<'a> {
    number: u32,
    sha256: String,
    name: &'a str,
    migrated_at: Moment,
}

/// Makes the database, and does the steps that were not done yet.
///
/// # Errors
/// When the store fails, or holds steps that this program does not know: a newer one has been at work, or another text of a step.
pub(crate) async fn run(tables: &dyn Tables, clock: &dyn Clock) -> Result<(), TableError> {
    run_steps(tables, clock, &MIGRATIONS).await
}

async fn run_steps(tables: &dyn Tables, clock: &dyn Clock, steps: &[Migration]) -> Result<(), TableError> {
    let cluster = tables.cluster();
    // Of a cluster one server tells what it has: another one may be new.
    if cluster.is_some() {
        begin(tables).await?;
    }
    let existing = builds::existing(tables).await?;
    if cluster.is_none() && !existing.contains(MIGRATED) {
        begin(tables).await?;
    }
    let query = Query::new("SELECT number, sha256 FROM hooklog.schema_migrations FINAL ORDER BY number");
    let done: Vec<Done> = tables.query(&query).await?;
    check(&done, steps)?;
    for step in steps {
        let is_done = done.iter().any(|done| done.number == step.number);
        // Somebody may have dropped all of it, but for what says that it was there.
        if is_done && existing.contains(step.table) {
            continue;
        }
        for statement in ddl::create_table(cluster, step.table, step.definition) {
            tables.execute(&statement).await?;
        }
        let mut rows = Rows::default();
        rows.push(&NewRow {
            number: step.number,
            sha256: step.sha256(),
            name: step.table,
            migrated_at: clock.now().into(),
        })?;
        tables.insert(&format!("hooklog.{MIGRATED}"), rows).await?;
        tracing::info!(number = step.number, table = step.table, "schema_migrated");
    }
    Ok(())
}

/// Makes the database, and the table of the steps that were done.
async fn begin(tables: &dyn Tables) -> Result<(), TableError> {
    let cluster = tables.cluster();
    tables.execute(&ddl::create_database(cluster)).await?;
    for statement in ddl::create_table(cluster, MIGRATED, MIGRATED_DEFINITION) {
        tables.execute(&statement).await?;
    }
    Ok(())
}

const BY_NEWER: &str = "by a newer program";

/// Whether it was refused because a newer program has been at work, and for nothing that may be over in a moment.
pub(crate) fn is_of_newer(error: &TableError) -> bool {
    matches!(error, TableError::Refused(why) if why.contains(BY_NEWER))
}

fn check(done: &[Done], steps: &[Migration]) -> Result<(), TableError> {
    for done in done {
        let Some(step) = steps.iter().find(|step| step.number == done.number) else {
            return Err(TableError::Refused(format!(
                "the tables were migrated to step {} {BY_NEWER}; this one knows up to {}",
                done.number,
                steps.len()
            )));
        };
        if step.sha256() != done.sha256 {
            return Err(TableError::Refused(format!(
                "step {} ({}) was done with another text than this program has",
                step.number, step.table
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use serde_json::Value;

    use super::*;
    use crate::doubles::{FakeTables, clock};

    const NEXT: Migration = Migration {
        number: 3,
        table: "projection_notes",
        definition: "(a UInt8, b UInt8) ENGINE = ReplacingMergeTree(b) ORDER BY (a)",
    };

    fn done(tables: &FakeTables) -> Vec<(u64, String)> {
        let rows = tables.finals(MIGRATED, "migrated_at");
        let text = |row: &Value| row["name"].as_str().unwrap().to_owned();
        rows.iter()
            .map(|row| (row["number"].as_u64().unwrap(), text(row)))
            .collect()
    }

    #[tokio::test]
    async fn steps_are_done_once_in_their_order_and_later_ones_after_them() {
        let tables = FakeTables::new(1);
        let clock = clock();
        run(tables.as_ref(), clock.as_ref()).await.unwrap();
        run(tables.as_ref(), clock.as_ref()).await.unwrap();
        assert_eq!(tables.history(MIGRATED).len(), 2, "each step is taken down once");
        let [one, two] = MIGRATIONS;
        run_steps(tables.as_ref(), clock.as_ref(), &[one, two, NEXT])
            .await
            .unwrap();
        let names = ["projection_builds", "projection_progress", "projection_notes"];
        let wanted: Vec<(u64, String)> = (1..).zip(names.map(str::to_owned)).collect();
        assert_eq!(done(&tables), wanted);
        for name in names {
            assert!(tables.names().contains(name), "{name}");
        }
    }

    #[tokio::test]
    async fn an_older_program_leaves_the_tables_of_a_newer_one_alone() {
        let tables = FakeTables::new(1);
        let clock = clock();
        let [one, two] = MIGRATIONS;
        run_steps(tables.as_ref(), clock.as_ref(), &[one, two, NEXT])
            .await
            .unwrap();
        let refused = run(tables.as_ref(), clock.as_ref()).await.unwrap_err();
        assert!(is_of_newer(&refused));
        let refused = refused.to_string();
        assert!(refused.contains("step 3 by a newer program"), "{refused}");
    }

    #[tokio::test]
    async fn a_step_that_was_edited_after_it_was_done_is_refused() {
        let tables = FakeTables::new(1);
        let clock = clock();
        run(tables.as_ref(), clock.as_ref()).await.unwrap();
        let [one, two] = MIGRATIONS;
        let edited = Migration {
            definition: "(a UInt8) ENGINE = ReplacingMergeTree(a) ORDER BY (a)",
            ..two
        };
        let refused = run_steps(tables.as_ref(), clock.as_ref(), &[one, edited]).await;
        let refused = refused.unwrap_err();
        assert!(!is_of_newer(&refused));
        let refused = refused.to_string();
        assert!(refused.contains("another text"), "{refused}");
    }

    #[tokio::test]
    async fn a_table_that_somebody_dropped_comes_back() {
        let tables = FakeTables::new(1);
        let clock = clock();
        run(tables.as_ref(), clock.as_ref()).await.unwrap();
        tables.state().tables.remove(builds::BUILDS);
        run(tables.as_ref(), clock.as_ref()).await.unwrap();
        assert!(tables.names().contains(builds::BUILDS));
    }

    /// Five starters at once, on a store where every fifth statement fails, done or not: all come through, and to the same end.
    #[tokio::test]
    async fn several_starters_at_once_come_to_the_same_end() {
        for seed in 0..50 {
            let tables = FakeTables::new(seed);
            tables.state().faults = 20;
            let clock = clock();
            let start = async || while run(tables.as_ref(), clock.as_ref()).await.is_err() {};
            join_all((0..5).map(|_| start())).await;
            let wanted = [
                (1, "projection_builds".to_owned()),
                (2, "projection_progress".to_owned()),
            ];
            assert_eq!(done(&tables), wanted, "seed {seed}");
        }
    }
}
