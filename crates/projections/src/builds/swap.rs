//! Which build is asked: the row that says so, and the rows of those that are not any more.

use domain::TableError;
use tokio::time::Instant;

use super::row::{final_version, next_version};
use super::{BuildRow, BuildState, Builds, Gone, newest_active, of_projection};

impl Builds {
    /// Makes builds, each of another projection, the ones that are asked, and retires those before them. `None` for one that
    /// somebody gave up, or where another one is asked by now: that is final.
    ///
    /// Whoever stops in the middle of it and wakes later changes nothing: what it writes is as old as what it read.
    pub(crate) async fn activate(&self, builds: &[BuildRow]) -> Result<Vec<Option<BuildRow>>, TableError> {
        let rows = self.all_rows().await?;
        let given_up = |row: &BuildRow| {
            let known = rows.iter().find(|known| known.incarnation == row.incarnation);
            known.is_some_and(|known| known.state == BuildState::Retired)
        };
        let wanted = builds.iter().filter(|row| !given_up(row));
        let active: Vec<_> = wanted
            .map(|row| {
                let version = next_version(&of_projection(&rows, &row.projection));
                (row.clone(), BuildState::Active, version)
            })
            .collect();
        if active.is_empty() {
            return Ok(vec![None; builds.len()]);
        }
        self.put(active).await?;
        let rows = self.all_rows().await?;
        let (mut asked, mut replaced) = (Vec::new(), Vec::new());
        for row in builds {
            let of_it = of_projection(&rows, &row.projection);
            let active = newest_active(&of_it).filter(|asked| asked.incarnation == row.incarnation);
            if active.is_some() {
                let version = final_version(&of_it);
                let before = of_it.iter().filter(|other| is_before(other, row));
                replaced.extend(before.map(|row| (row.clone(), BuildState::Retired, version)));
                tracing::info!(projection = %row.projection, build = row.build, "projection_build_active");
            }
            asked.push(active.cloned());
        }
        let replaced = self.put(replaced).await?;
        let now = Gone::Replaced(Instant::now());
        let mut gone = self.known_gone();
        gone.extend(replaced.iter().map(|row| (row.incarnation, now)));
        Ok(asked)
    }

    /// Says of builds that are not asked that they are of no more use.
    pub(crate) async fn retire(&self, builds: Vec<BuildRow>) -> Result<(), TableError> {
        if builds.is_empty() {
            return Ok(());
        }
        let rows = self.all_rows().await?;
        let retired = builds.into_iter().map(|row| {
            let version = final_version(&of_projection(&rows, &row.projection));
            (row, BuildState::Retired, version)
        });
        let retired = self.put(retired.collect::<Vec<_>>()).await?;
        let mut gone = self.known_gone();
        gone.extend(retired.iter().map(|row| (row.incarnation, Gone::Useless)));
        Ok(())
    }

    /// A build that was retired by mistake is asked again.
    pub(crate) async fn give_back(&self, row: &BuildRow) -> Result<BuildRow, TableError> {
        let version = next_version(&self.rows(&row.projection).await?);
        let back = BuildRow {
            state: BuildState::Active,
            updated_us: version,
            ..row.clone()
        };
        self.put([(row.clone(), BuildState::Active, version)]).await?;
        self.known_gone().remove(&back.incarnation);
        Ok(back)
    }

    /// Whether this process knows of a build that it is not what it should be.
    pub(crate) fn is_useless(&self, row: &BuildRow) -> bool {
        self.known_gone().get(&row.incarnation) == Some(&Gone::Useless)
    }
}

/// Whether a build is one of those that another one replaces.
fn is_before(other: &BuildRow, row: &BuildRow) -> bool {
    other.build < row.build
        && other.state != BuildState::Retired
        && (other.schema <= row.schema || other.log_id != row.log_id)
}
