//! Who fills which build, and whether the store still agrees.

use std::collections::BTreeSet;

use domain::TableError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::open::Slot;
use crate::builds::{BUILDS, BuildRow, BuildState, Builds, Facts, newest_active, of_projection};
use crate::progress::{self, PROGRESS, ReachedOf};

/// A build in a lane.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) build: u32,
    pub(crate) incarnation: uuid::Uuid,
    pub(crate) partition: u32,
    pub(crate) tables: BTreeSet<String>,
}

/// Who is in a lane, and how to end it.
pub(crate) struct Crew {
    pub(crate) members: Vec<Member>,
    pub(crate) since: Instant,
    pub(crate) stop: CancellationToken,
}

impl Crew {
    pub(crate) fn of(slots: &[Slot], stop: CancellationToken) -> Self {
        let member = |slot: &Slot| Member {
            name: slot.facts.name,
            build: slot.row.build,
            incarnation: slot.row.incarnation,
            partition: slot.partition,
            tables: slot.facts.tables.iter().map(|t| slot.row.table(t.name)).collect(),
        };
        Self {
            members: slots.iter().map(member).collect(),
            since: Instant::now(),
            stop,
        }
    }
}

/// What the store has.
pub(crate) struct Found {
    pub(crate) tables: BTreeSet<String>,
    rows: Vec<BuildRow>,
}

impl Found {
    /// A build's row comes after its tables: of every row that is seen they are seen too.
    pub(crate) async fn read(builds: &Builds) -> Result<Self, TableError> {
        let rows = builds.all_rows().await?;
        let tables = builds.existing().await?;
        Ok(Self { tables, rows })
    }

    /// How far the builds had come that are not retired.
    pub(crate) async fn progress(&self, builds: &Builds) -> Result<ReachedOf, TableError> {
        let filled = self.rows.iter().filter(|row| row.state != BuildState::Retired);
        let filled: Vec<&BuildRow> = filled.collect();
        progress::read_of(builds.tables.as_ref(), &filled).await
    }

    /// The control tables are gone.
    pub(crate) const fn nothing() -> Self {
        Self {
            tables: BTreeSet::new(),
            rows: Vec::new(),
        }
    }

    /// The builds of a projection.
    pub(crate) fn rows_of(&self, projection: &str) -> Vec<BuildRow> {
        of_projection(&self.rows, projection)
    }

    /// The build that is asked of a projection, when some of its views are missing.
    pub(crate) fn without_views(&self, facts: &Facts) -> Option<BuildRow> {
        let missing = facts.views.iter().any(|view| !self.tables.contains(view.name));
        let rows = self.rows_of(facts.name);
        let active = newest_active(&rows).filter(|row| missing && row.schema == facts.schema);
        active.cloned()
    }

    /// Whether a build has its tables and is still to be filled. One that this process has replaced ends by itself, and its
    /// tables are gone by design.
    pub(crate) fn fits(&self, member: &Member, board: &Board) -> bool {
        if board.is_replaced(member.name, member.build, member.incarnation) {
            return true;
        }
        let rows = self.rows_of(member.name);
        let active = newest_active(&rows);
        let wanted = rows
            .iter()
            .filter(|row| row.incarnation == member.incarnation)
            .any(|row| match row.state {
                BuildState::Building => true,
                BuildState::Active => active.is_some_and(|active| active.incarnation == row.incarnation),
                BuildState::Retired => false,
            });
        wanted
            && member.tables.is_subset(&self.tables)
            && self.tables.contains(BUILDS)
            && self.tables.contains(PROGRESS)
    }
}
