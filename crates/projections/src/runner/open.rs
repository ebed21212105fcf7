//! Opening a projection: finds or makes its builds, checks them against the log, and says where each goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{PageLimit, Position, ReadError, TableError};
use tokio::task::JoinSet;

use super::Worker;
use super::board::Seat;
use super::crew::Found;
use super::project::Hand;
use crate::builds::{BuildRow, BuildState, Builds, Created, Facts, newest_active, of_no_use, plan};
use crate::migration;
use crate::model::ModelFactory;
use crate::progress::{self, Progress, ReachedOf};
use crate::verify::VerifyReport;

/// A model at work on a partition of a build.
pub(crate) struct Slot {
    pub(crate) facts: Facts,
    pub(crate) factory: ModelFactory,
    /// The model at work; away while it takes events ([`super::project`]).
    pub(crate) hand: Option<Hand>,
    pub(crate) row: BuildRow,
    /// The partition of the streams that it is fed.
    pub(crate) partition: u32,
    pub(crate) seat: Seat,
    /// After which position it wants events.
    pub(crate) after: Position,
    /// Why the model could not go on: a defect in it.
    pub(crate) defect: Option<String>,
    /// It equals a fold of the log, so that it may be asked.
    pub(crate) compared: bool,
    /// The comparison under way, if it goes on beside the lane; dropped, it ends.
    pub(crate) comparing: JoinSet<Result<VerifyReport, TableError>>,
    /// Where it had caught up first: once every partition is that far, the build may be asked.
    pub(crate) caught_up_at: Option<Position>,
    /// Every partition was that far.
    pub(crate) whole: bool,
}

impl Slot {
    /// Whether its build is still to be asked.
    pub(crate) fn waits(&self) -> bool {
        self.row.state == BuildState::Building
    }

    /// Compares its build while the lane goes on; what came of it, once it is done. A lane that stood still for it would keep its
    /// partition behind those that others fill, and rows that both write would never be those of one position.
    pub(crate) fn compare_beside(
        &mut self,
        worker: &Arc<Worker>,
    ) -> Option<Result<VerifyReport, TableError>> {
        if self.comparing.is_empty() {
            let (worker, projection, row) = (Arc::clone(worker), self.projection(), self.row.clone());
            self.comparing
                .spawn(async move { worker.compare_new(&projection, &row).await });
            return None;
        }
        let broke = |error| Err(TableError::Refused(format!("the comparison broke: {error}")));
        let done = self.comparing.try_join_next()?;
        Some(done.unwrap_or_else(broke))
    }

    pub(crate) fn projection(&self) -> Projection {
        Projection {
            facts: self.facts,
            factory: Arc::clone(&self.factory),
        }
    }
}

/// A projection as it was handed to the runner.
#[derive(Clone)]
pub(crate) struct Projection {
    pub(crate) facts: Facts,
    pub(crate) factory: ModelFactory,
}

/// Why a projection can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the tables that all builds need can't be used")]
    Control(#[source] TableError),
    #[error(transparent)]
    Tables(#[from] TableError),
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error(
        "the tables hold position {upto}, which the log does not have as it was: it was restored from an older backup; \
         rebuild the projection"
    )]
    Diverged { upto: Position },
    #[error("schema {0} of a newer version is active; this version leaves it alone")]
    NewerSchema(u16),
}

impl OpenError {
    /// Whether this program can't, and a newer one could.
    pub(crate) fn is_for_a_newer_program(&self) -> bool {
        match self {
            Self::NewerSchema(_) => true,
            Self::Control(error) => migration::is_of_newer(error),
            Self::Tables(_) | Self::Log(_) | Self::Diverged { .. } => false,
        }
    }
}

/// What the store has when projections are opened: read once for all of them.
pub(crate) struct Seen {
    found: Found,
    reached: ReachedOf,
}

impl Seen {
    /// Reads it, once the tables are there that all builds need.
    pub(crate) async fn read(builds: &Builds) -> Result<Self, OpenError> {
        builds.ensure_control().await.map_err(OpenError::Control)?;
        let found = Found::read(builds).await?;
        let reached = found.progress(builds).await?;
        Ok(Self { found, reached })
    }

    fn reached(&self, row: &BuildRow) -> BTreeMap<u32, Progress> {
        self.reached.get(&row.incarnation).cloned().unwrap_or_default()
    }
}

impl Worker {
    /// Opens the partitions of the builds of a projection that are this process's and that none of its workers fills. Whoever
    /// has the first partition also makes builds, and drops what is of no more use. The tables that all builds need are there.
    pub(crate) async fn open(
        &self,
        projection: &Projection,
        ours: &BTreeSet<u32>,
        seen: &Seen,
    ) -> Result<Vec<Slot>, OpenError> {
        let manages = ours.contains(&0);
        let facts = &projection.facts;
        let (rows, existing) = (seen.found.rows_of(facts.name), &seen.found.tables);
        let mut plan = plan(&rows, facts.schema, facts.tables, self.builds.log_id, existing);
        if plan
            .revive
            .as_ref()
            .is_some_and(|row| self.builds.is_useless(row))
        {
            (plan.revive, plan.create) = (None, Some(BuildState::Active));
        }
        if plan.create == Some(BuildState::Active) && self.was_filled_further(facts, &rows).await? {
            plan.create = Some(BuildState::Building);
        }
        self.board
            .asked(facts.name, newest_active(&rows).map(|row| row.incarnation));
        if let Some(newer) = plan.newer_schema {
            return Err(OpenError::NewerSchema(newer));
        }
        let mut diverged = None;
        let mut slots = Vec::new();
        if let Some(row) = plan.building.take() {
            match self.slots(projection, &row, ours, seen.reached(&row)).await {
                Ok(found) => slots.extend(found),
                Err(OpenError::Diverged { .. }) => {
                    plan.retire.push(row);
                    plan.create = plan
                        .create
                        .or(plan.active.is_none().then_some(BuildState::Building));
                }
                Err(other) => return Err(other),
            }
        }
        if let Some(row) = plan.active.take() {
            let found = self.slots(projection, &row, ours, seen.reached(&row)).await;
            // Where a lane fills it the views were pointed at it before, and are looked after.
            if manages && !found.as_ref().is_ok_and(Vec::is_empty) {
                self.builds.ensure_views(facts, &row).await?;
            }
            match found {
                Ok(found) => slots.extend(found),
                Err(OpenError::Diverged { upto }) if self.options.rebuild_when_ahead => {
                    tracing::warn!(projection = facts.name, %upto, "projection_rebuilds: the log is not what it was");
                    plan.create = slots.is_empty().then_some(BuildState::Building);
                }
                Err(OpenError::Diverged { upto }) => diverged = Some(OpenError::Diverged { upto }),
                Err(other) => return Err(other),
            }
        }
        if manages {
            if let Some(row) = plan.revive.take() {
                slots.extend(self.revive(projection, &row, ours).await?);
            }
            if let Some(state) = plan.create {
                let row = self.create(facts, state).await?;
                if state == BuildState::Active {
                    self.builds.ensure_views(facts, &row).await?;
                }
                slots.extend(self.slots(projection, &row, ours, BTreeMap::new()).await?);
            }
            let useless = of_no_use(&rows, facts.tables, existing).count();
            if useless > 0 || !plan.retire.is_empty() {
                self.clear(facts, plan.retire).await?;
            }
        }
        match diverged {
            // A rebuild under way goes on; without one a person has to ask for it.
            Some(error) if slots.is_empty() => Err(error),
            Some(_) | None => Ok(slots),
        }
    }

    /// Gives up builds, and drops what is of no more use.
    async fn clear(&self, facts: &Facts, retire: Vec<BuildRow>) -> Result<(), TableError> {
        self.builds.retire(retire).await?;
        self.sweep(&[*facts]).await
    }

    /// Whether a build beyond those that the rows tell of has been filled: then these rows are not those of today.
    async fn was_filled_further(&self, facts: &Facts, rows: &[BuildRow]) -> Result<bool, TableError> {
        let filled = progress::filled(self.tables.as_ref(), self.builds.log_id).await?;
        let of_it = filled.iter().filter(|filled| filled.projection == facts.name);
        Ok(of_it.map(|filled| filled.build).max() > rows.iter().map(|row| row.build).max())
    }

    async fn create(&self, facts: &Facts, state: BuildState) -> Result<BuildRow, OpenError> {
        let known = self.builds.known().await?;
        let mut created = self.builds.create(&known, &[*facts], self.shape(), state).await;
        match created.pop().transpose()? {
            Some(Created::Made(row)) => Ok(row),
            Some(Created::Taken(_)) | None => {
                let why = "another process makes a build of that number".to_owned();
                Err(TableError::Unavailable(why).into())
            }
        }
    }

    /// Nothing answers, but for tables of a build that was retired: they are better than none, and are filled on.
    async fn revive(
        &self,
        projection: &Projection,
        row: &BuildRow,
        ours: &BTreeSet<u32>,
    ) -> Result<Vec<Slot>, OpenError> {
        let row = self.builds.give_back(row).await?;
        tracing::warn!(projection = %row.projection, build = row.build, "projection_build_given_back: no other one answers");
        self.builds.ensure_views(&projection.facts, &row).await?;
        let reached = progress::read(self.tables.as_ref(), &row).await?;
        self.slots(projection, &row, ours, reached).await
    }

    /// A fresh model for each partition of a build that is ours, standing at the first position of the block that the
    /// partition had come to. Where it has come further since, it is fed some events again.
    async fn slots(
        &self,
        projection: &Projection,
        row: &BuildRow,
        ours: &BTreeSet<u32>,
        reached: BTreeMap<u32, Progress>,
    ) -> Result<Vec<Slot>, OpenError> {
        // Of the furthest everything before it was there too.
        if let Some(furthest) = reached.values().max_by_key(|progress| progress.upto) {
            self.still_in_log(*furthest).await?;
        }
        let ours = ours
            .iter()
            .filter(|partition| **partition < row.partitions.max(1));
        let slot = |partition: &u32| {
            let reached = reached.get(partition).map(|progress| progress.upto);
            let seat = self.board.take(row, *partition, reached.unwrap_or_default())?;
            Some(Slot {
                facts: projection.facts,
                factory: Arc::clone(&projection.factory),
                hand: Some(Hand::of((projection.factory)(row.shape()))),
                row: row.clone(),
                partition: *partition,
                seat,
                after: first_of_block(reached.unwrap_or_default(), row.block_size),
                defect: None,
                compared: false,
                comparing: JoinSet::new(),
                caught_up_at: None,
                whole: false,
            })
        };
        Ok(ours.filter_map(slot).collect())
    }

    /// Whether the log still has what a build was filled with.
    pub(crate) async fn still_in_log(&self, progress: Progress) -> Result<(), OpenError> {
        let upto = progress.upto;
        let before = Position::new(upto.get().saturating_sub(1));
        let limit = PageLimit { events: 1, bytes: 1 };
        let page = self.log.read_all(before, limit).await?;
        let there = page
            .events
            .first()
            .is_some_and(|e| e.position == upto && e.id == progress.event_id);
        if there {
            Ok(())
        } else {
            Err(OpenError::Diverged { upto })
        }
    }
}

/// The position before the first one of the block that a position is in.
pub(crate) fn first_of_block(upto: Position, block_size: u64) -> Position {
    let size = block_size.max(1);
    Position::new((upto.get() / size * size).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_begins_at_the_first_position_of_the_block() {
        for (upto, after) in [(0, 0), (9, 0), (10, 9), (19, 9), (20, 19)] {
            assert_eq!(
                first_of_block(Position::new(upto), 10),
                Position::new(after),
                "{upto}"
            );
        }
    }
}
