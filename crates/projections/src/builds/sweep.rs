//! Dropping the tables of builds that are of no more use.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::TableError;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::{BuildRow, BuildState, Builds, Facts, Gone, of_no_use, of_projection};
use crate::ddl;

/// What a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swept {
    /// All tables of no more use are gone.
    Clean,
    /// Some were replaced so lately that queries may be under way.
    Spared,
}

impl Builds {
    /// Drops the tables of all builds of models but those that are active or being built, and those that were replaced less
    /// than a while ago; says for each model what that came to. One with another schema's table names leaves those: their
    /// names are not known here.
    pub(crate) async fn sweep(&self, models: &[Facts], spare: Duration) -> Result<Vec<Swept>, TableError> {
        let rows = self.all_rows().await?;
        let existing = self.existing().await?;
        let (mut swept, mut of_use_no_more) = (Vec::new(), Vec::new());
        for model in models {
            let rows = of_projection(&rows, model.name);
            let spared: BTreeSet<u32> = rows
                .iter()
                .filter(|row| self.is_spared(row, spare))
                .map(|row| row.build)
                .collect();
            let (stay, go): (Vec<_>, Vec<_>) =
                of_no_use(&rows, model.tables, &existing).partition(|(_, build)| spared.contains(build));
            of_use_no_more.extend(go.into_iter().map(|(real, _)| real));
            swept.push(if stay.is_empty() {
                Swept::Clean
            } else {
                Swept::Spared
            });
        }
        try_join_all(of_use_no_more.into_iter().map(|real| self.drop_table(real))).await?;
        Ok(swept)
    }

    async fn drop_table(&self, real: &str) -> Result<(), TableError> {
        for statement in ddl::drop_table(self.tables.cluster(), real) {
            self.tables.execute(&statement).await?;
        }
        tracing::info!(table = %real, "projection_table_dropped");
        Ok(())
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
}
