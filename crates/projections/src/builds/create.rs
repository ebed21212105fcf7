//! Making new builds: a number that nobody has, their tables, and then their rows.

use std::collections::BTreeSet;

use domain::TableError;
use futures_util::future::{join_all, try_join_all};

use super::row::{build_of, next_version};
use super::{BuildRow, BuildState, Builds, Facts, of_projection};
use crate::ddl;
use crate::model::{BuildShape, Table};
use crate::progress::{self, Filled};

/// What making a build came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Created {
    Made(BuildRow),
    /// Another process makes one of that number at this moment.
    Taken(u32),
}

/// What the store has of all builds, whoever made them.
pub(crate) struct Known {
    pub(crate) rows: Vec<BuildRow>,
    tables: BTreeSet<String>,
    filled: Vec<Filled>,
}

impl Known {
    /// A number beyond any that a row, a table or progress has.
    fn next_build(&self, model: &Facts, rows: &[BuildRow]) -> u32 {
        let names = || model.tables.iter().map(|table| table.name);
        let in_tables = self
            .tables
            .iter()
            .flat_map(|real| names().filter_map(|name| build_of(name, real)));
        let filled = self
            .filled
            .iter()
            .filter(|filled| filled.projection == model.name);
        let builds = rows.iter().map(|row| row.build);
        let last = builds
            .chain(in_tables)
            .chain(filled.map(|filled| filled.build))
            .max();
        last.unwrap_or(0).saturating_add(1)
    }
}

impl Builds {
    /// Reads what there is.
    pub(crate) async fn known(&self) -> Result<Known, TableError> {
        let (rows, tables, filled) = tokio::try_join!(
            self.all_rows(),
            self.existing(),
            progress::filled(self.tables.as_ref(), self.log_id),
        )?;
        Ok(Known { rows, tables, filled })
    }

    /// Makes the tables of a new build of each model, and then writes the rows of those that have theirs, all at once. Where several
    /// make one at a time, whoever makes the first table has the number.
    pub(crate) async fn create(
        &self,
        known: &Known,
        models: &[Facts],
        shape: BuildShape,
        state: BuildState,
    ) -> Vec<Result<Created, TableError>> {
        let now = self.clock.now().as_micros();
        let (mut made, mut put) = (Vec::new(), Vec::new());
        let tables = models.iter().map(|model| async {
            let rows = of_projection(&known.rows, model.name);
            let row = BuildRow {
                projection: model.name.to_owned(),
                schema: model.schema,
                build: known.next_build(model, &rows),
                partitions: shape.partitions,
                block_size: shape.block_size,
                log_id: self.log_id,
                incarnation: uuid::Uuid::new_v4(),
                state,
                // An empty build is asked because of what was read, and not for longer than that holds.
                updated_us: match state {
                    BuildState::Building => next_version(&rows).max(now),
                    BuildState::Active | BuildState::Retired if rows.is_empty() => now,
                    BuildState::Active | BuildState::Retired => next_version(&rows),
                },
            };
            let is_ours = self.make_tables(model.tables, &row).await?;
            Ok(if is_ours {
                Created::Made(row)
            } else {
                Created::Taken(row.build)
            })
        });
        for created in join_all(tables).await {
            if let Ok(Created::Made(row)) = &created {
                put.push((row.clone(), state, row.updated_us));
            }
            made.push(created);
        }
        let failed = self.put(put).await.err();
        made.into_iter()
            .map(|created| match (created, &failed) {
                (Ok(Created::Made(_)), Some(error)) => Err(same(error)),
                (created, _) => created,
            })
            .inspect(tell)
            .collect()
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
}

fn tell(created: &Result<Created, TableError>) {
    if let Ok(Created::Made(row)) = created {
        tracing::info!(projection = %row.projection, build = row.build, state = ?row.state, "projection_build_created");
    }
}

/// The error once more, for another one whom it concerns.
pub(crate) fn same(error: &TableError) -> TableError {
    match error {
        TableError::Unavailable(why) => TableError::Unavailable(why.clone()),
        TableError::Refused(why) => TableError::Refused(why.clone()),
        TableError::Encoding(error) => TableError::Refused(error.to_string()),
    }
}
