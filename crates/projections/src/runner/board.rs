//! What the workers say about themselves, for `/ready` and `GET /api/projections`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Clock, EventLog, Position};
use tokio::time::Instant;

use crate::builds::{BuildRow, BuildState, newest_active};
use crate::progress::Reached;
use crate::verify::VerifyReport;
pub(crate) use seat::{Post, Seat};
use view::View;
pub(crate) use watch::Watch;
use watch::Watched;

mod seat;
mod status;
mod view;
mod watch;

pub use status::{ProjectionState, ProjectionStatus, RebuildStatus, VerifyStatus};

/// The places where workers write how they are.
pub(crate) struct Board {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    projections: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    schema: u16,
    trouble: Option<String>,
    active: Option<View>,
    building: Option<View>,
    rebuild_failed: Option<String>,
    verified: Option<VerifyReport>,
}

impl Entry {
    fn is_active(&self, row: &BuildRow) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|view| view.incarnation == row.incarnation)
    }

    fn is_building(&self, row: &BuildRow) -> bool {
        let building = self.building.as_ref();
        building.is_some_and(|view| view.incarnation == row.incarnation)
    }

    /// A build that was being made is the one that is asked.
    fn activated(&mut self, incarnation: uuid::Uuid) {
        if self
            .building
            .as_ref()
            .is_some_and(|view| view.incarnation == incarnation)
        {
            self.active = self.building.take();
            self.verified = None;
        }
    }
}

impl Board {
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        names: impl Iterator<Item = (&'static str, u16)>,
    ) -> Self {
        let entry = |schema| Entry {
            schema,
            trouble: None,
            active: None,
            building: None,
            rebuild_failed: None,
            verified: None,
        };
        Self {
            log,
            clock,
            projections: Mutex::new(
                names
                    .map(|(name, schema)| (name.to_owned(), entry(schema)))
                    .collect(),
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.projections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps a projection from being open.
    pub(crate) fn trouble(&self, projection: &str, error: String) {
        if let Some(entry) = self.lock().get_mut(projection) {
            entry.trouble = Some(error);
        }
    }

    /// The build that is asked, as the store says; what this process believed before is void.
    pub(crate) fn asked(&self, projection: &str, incarnation: Option<uuid::Uuid>) {
        if let Some(entry) = self.lock().get_mut(projection) {
            let same = |view: &View| Some(view.incarnation) == incarnation;
            entry.active = entry.active.take().filter(same);
        }
    }

    /// A projection is open: what was wrong is over, and so is a rebuild that nobody goes on with.
    pub(crate) fn opened(&self, projection: &str) {
        if let Some(entry) = self.lock().get_mut(projection) {
            entry.trouble = None;
            entry.building = entry.building.take().filter(View::running);
        }
    }

    /// What the store says of the builds of a projection, and how far others have come with them.
    pub(crate) fn seen(&self, projection: &str, rows: &[BuildRow], reached: &[Reached]) {
        let (head, now) = (self.log.health().head, self.clock.now());
        let mut projections = self.lock();
        let Some(entry) = projections.get_mut(projection) else {
            return;
        };
        let active = newest_active(rows);
        if let Some(row) = active {
            entry.activated(row.incarnation);
            // A lane may have swapped in a newer one since the store was read.
            let newer = |view: &View| view.running() && view.build > row.build;
            if !entry.is_active(row) && !entry.active.as_ref().is_some_and(newer) {
                entry.active = Some(View::of(row));
            }
        } else {
            entry.active = entry.active.take().filter(View::running);
        }
        let newer_than = active.map_or(0, |row| row.build);
        let of_building = rows.iter().filter(|row| row.state == BuildState::Building);
        let building = of_building
            .filter(|row| row.build > newer_than)
            .max_by_key(|row| row.build);
        match building {
            Some(row) if entry.is_active(row) || entry.is_building(row) => {}
            Some(row) => entry.building = Some(View::of(row)),
            // One that this process still fills ends by itself.
            None => entry.building = entry.building.take().filter(View::running),
        }
        for view in [&mut entry.active, &mut entry.building].into_iter().flatten() {
            view.elsewhere(reached, (head, self.log.spacing()), now);
        }
    }

    /// Whether a build is known that this process might fill.
    pub(crate) fn knows(&self, row: &BuildRow) -> bool {
        let projections = self.lock();
        let known = projections
            .get(&row.projection)
            .map(|entry| [&entry.active, &entry.building]);
        let mut known = known.into_iter().flatten().flatten();
        known.any(|view| view.incarnation == row.incarnation && view.running())
    }

    /// Whether another build than this one is asked now, as far as this process knows.
    pub(crate) fn is_replaced(&self, projection: &str, build: u32, incarnation: uuid::Uuid) -> bool {
        let projections = self.lock();
        let Some(entry) = projections.get(projection) else {
            return true;
        };
        let known = [&entry.active, &entry.building];
        let known = known
            .into_iter()
            .flatten()
            .any(|view| view.incarnation == incarnation);
        !known || entry.active.as_ref().is_some_and(|active| active.build > build)
    }

    /// A new build has nothing to do any more; false when it is being swapped in at this moment. One that this process does
    /// not fill is none of ours.
    pub(crate) fn abandon(&self, projection: &str, incarnation: uuid::Uuid) -> bool {
        let mut projections = self.lock();
        let Some(entry) = projections.get_mut(projection) else {
            return true;
        };
        let ours = entry
            .building
            .as_ref()
            .filter(|view| view.incarnation == incarnation);
        if ours.is_some_and(|view| view.swapping && view.running()) {
            return false;
        }
        entry.building = entry
            .building
            .take()
            .filter(|view| view.incarnation != incarnation);
        true
    }

    /// A rebuild begins, though nobody is at work on it yet: it is shown from here on, and how the last one ended is of no
    /// interest any more.
    pub(crate) fn begins(&self, row: &BuildRow) {
        if let Some(entry) = self.lock().get_mut(&row.projection) {
            entry.rebuild_failed = None;
            entry.building = Some(View::of(row));
        }
    }

    /// Why a rebuild was thrown away.
    pub(crate) fn rebuild_ended(&self, projection: &str, failed: Option<String>) {
        if let Some(entry) = self.lock().get_mut(projection) {
            entry.rebuild_failed = failed;
        }
    }

    /// A comparison begins.
    pub(crate) fn watch(self: &Arc<Self>, row: &BuildRow) -> Watch {
        let watched = Watched::new(Instant::now());
        let watch = Watch {
            board: Arc::clone(self),
            projection: row.projection.clone(),
            incarnation: row.incarnation,
            watched: watched.clone(),
        };
        self.with_view(&row.projection, row.incarnation, |view| {
            view.watching = Some(watched)
        });
        watch
    }

    /// Why a new build can't be compared now; it is tried again.
    pub(crate) fn not_compared(&self, row: &BuildRow, why: &str) {
        self.with_view(&row.projection, row.incarnation, |view| view.failed(0, why));
    }

    fn unwatch(&self, projection: &str, incarnation: uuid::Uuid) {
        self.with_view(projection, incarnation, |view| view.watching = None);
    }

    /// What a comparison of the build that is asked came to.
    pub(crate) fn verified(&self, projection: &str, report: VerifyReport) {
        if let Some(entry) = self.lock().get_mut(projection) {
            entry.verified = Some(report);
        }
    }

    fn with_view(&self, projection: &str, incarnation: uuid::Uuid, change: impl FnOnce(&mut View)) {
        let mut projections = self.lock();
        let Some(entry) = projections.get_mut(projection) else {
            return;
        };
        let views = [&mut entry.active, &mut entry.building];
        if let Some(view) = views
            .into_iter()
            .flatten()
            .find(|view| view.incarnation == incarnation)
        {
            change(view);
        }
    }

    /// Sets the gauges of the builds that are asked, whether anything is written or not: a lag must not be hidden by what
    /// causes it.
    pub(crate) fn report(&self) {
        self.statuses().into_iter().for_each(ProjectionStatus::report);
    }

    pub(crate) fn statuses(&self) -> Vec<ProjectionStatus> {
        let (head, spacing, now) = (self.log.health().head, self.log.spacing(), self.clock.now());
        let instant = Instant::now();
        let of = |(name, entry): (&String, &Entry)| {
            let view = entry.active.as_ref();
            let position = view.map_or(Position::START, View::position);
            let error = entry.trouble.clone().or_else(|| view.and_then(View::error));
            let building = entry.building.as_ref().is_some_and(View::running);
            let state = match view {
                Some(view) => view.state(),
                None if building => ProjectionState::Rebuilding,
                None => ProjectionState::Waiting,
            };
            let (partitions, partitions_here) = view.map_or((0, 0), View::partitions);
            ProjectionStatus {
                name: name.clone(),
                schema: entry.schema,
                build: view.map_or(0, |view| view.build),
                partitions,
                partitions_here,
                position,
                head,
                lag_events: spacing.events_between(position, head),
                lag_seconds: view.map_or(0.0, |view| view.lag_seconds(head, now)),
                state: if error.is_some() {
                    ProjectionState::Waiting
                } else {
                    state
                },
                error,
                rebuild: entry
                    .building
                    .as_ref()
                    .map(|view| view.rebuild(head, spacing, instant)),
                rebuild_failed: entry.rebuild_failed.clone(),
                verifying: view.and_then(|view| {
                    let watched = view.watching.as_ref()?;
                    Some(watched.status(view.build, instant))
                }),
                verified: entry.verified.clone(),
            }
        };
        self.lock().iter().map(of).collect()
    }
}
