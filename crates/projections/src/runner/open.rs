//! Opening a projection: finds or makes its builds, checks them against the log, and says where each goes on.

use domain::{PageLimit, Position, ReadError, TableError};

use super::Worker;
use super::board::Seat;
use crate::builds::{BuildRow, BuildState, Facts, Swept, newest_active, plan};
use crate::model::{ModelFactory, ReadModel};
use crate::progress::{self, Progress};

/// A model at work on a build.
pub(crate) struct Slot {
    pub(crate) facts: Facts,
    pub(crate) factory: ModelFactory,
    pub(crate) model: Box<dyn ReadModel>,
    pub(crate) row: BuildRow,
    pub(crate) seat: Seat,
    /// After which position it wants events.
    pub(crate) after: Position,
    /// Why the model could not go on: a defect in it.
    pub(crate) defect: Option<String>,
    /// It equals a fold of the log, so that it may be asked.
    pub(crate) compared: bool,
}

impl Slot {
    pub(crate) fn projection(&self) -> Projection {
        Projection {
            facts: self.facts,
            factory: std::sync::Arc::clone(&self.factory),
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

impl Worker {
    /// Opens the builds of a projection that no worker of this process fills.
    pub(crate) async fn open(&self, projection: &Projection) -> Result<Vec<Slot>, OpenError> {
        let facts = &projection.facts;
        self.builds.ensure_control().await?;
        let (rows, existing) = (self.builds.rows(facts.name).await?, self.builds.existing().await?);
        let mut plan = plan(&rows, facts.schema, facts.tables, self.builds.log_id, &existing);
        self.board
            .asked(facts.name, newest_active(&rows).map(|row| row.incarnation));
        if let Some(newer) = plan.newer_schema {
            return Err(OpenError::NewerSchema(newer));
        }
        let mut diverged = None;
        let mut slots = Vec::new();
        if let Some(row) = plan.building.take() {
            match self.slot(projection, row.clone()).await {
                Ok(slot) => slots.extend(slot),
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
            self.builds.ensure_views(facts, &row).await?;
            match self.slot(projection, row).await {
                Ok(slot) => slots.extend(slot),
                Err(OpenError::Diverged { upto }) if self.options.rebuild_when_ahead => {
                    tracing::warn!(projection = facts.name, %upto, "projection_rebuilds: the log is not what it was");
                    plan.create = slots.is_empty().then_some(BuildState::Building);
                }
                Err(OpenError::Diverged { upto }) => diverged = Some(OpenError::Diverged { upto }),
                Err(other) => return Err(other),
            }
        }
        if let Some(state) = plan.create {
            let row = self.builds.create(facts, self.shape(), state).await?;
            if state == BuildState::Active {
                self.builds.ensure_views(facts, &row).await?;
            }
            slots.extend(self.slot(projection, row).await?);
        }
        self.builds.retire(plan.retire).await?;
        if self.sweep(facts).await? == Swept::Spared {
            self.sweep_later(facts.name);
        }
        match diverged {
            // A rebuild under way goes on; without one a person has to ask for it.
            Some(error) if slots.is_empty() => Err(error),
            Some(_) | None => Ok(slots),
        }
    }

    /// A fresh model for a build, standing at the first position of the block that the build had come to.
    async fn slot(&self, projection: &Projection, row: BuildRow) -> Result<Option<Slot>, OpenError> {
        let reached = progress::read(self.tables.as_ref(), &row).await?;
        if let Some(progress) = reached {
            self.still_in_log(progress).await?;
        }
        let upto = reached.map_or(Position::START, |progress| progress.upto);
        let after = first_of_block(upto, row.block_size);
        let seat = self
            .board
            .take(&row, if reached.is_some() { upto } else { Position::START });
        Ok(seat.map(|seat| Slot {
            facts: projection.facts,
            factory: std::sync::Arc::clone(&projection.factory),
            model: (projection.factory)(row.shape()),
            row,
            seat,
            after,
            defect: None,
            compared: false,
        }))
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
