//! What the workers say about themselves, for `/ready` and `GET /api/projections`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Clock, EventLog, Position, RecordedEvent};
use tokio::time::Instant;

use super::pace::Pace;
use crate::builds::{BuildRow, BuildState};
use crate::lag::Lag;
use crate::verify::VerifyReport;
pub(crate) use watch::Watch;
use watch::Watched;

mod status;
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

#[derive(Clone)]
struct View {
    build: u32,
    incarnation: uuid::Uuid,
    running: bool,
    state: ProjectionState,
    error: Option<String>,
    lag: Lag,
    pace: Pace,
    /// It is being made the one that is asked: too late to give it up.
    swapping: bool,
    watching: Option<Watched>,
}

/// The right to fill a build. While it lives, no other worker of this process does.
pub(crate) struct Seat {
    board: Arc<Board>,
    projection: String,
    incarnation: uuid::Uuid,
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
            entry.building = entry.building.take().filter(|view| view.running);
        }
    }

    /// Takes the seat of a build, unless another worker has it.
    pub(crate) fn take(self: &Arc<Self>, row: &BuildRow, at: Position) -> Option<Seat> {
        let mut projections = self.lock();
        let entry = projections.get_mut(&row.projection)?;
        let running = [&entry.active, &entry.building];
        if running
            .into_iter()
            .flatten()
            .any(|v| v.running && v.incarnation == row.incarnation)
        {
            return None;
        }
        let view = View::of(row, at, true);
        if row.state == BuildState::Active {
            entry.active = Some(view);
        } else {
            entry.building = Some(view);
        }
        Some(Seat {
            board: Arc::clone(self),
            projection: row.projection.clone(),
            incarnation: row.incarnation,
        })
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
        if ours.is_some_and(|view| view.swapping && view.running) {
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
            entry.building = Some(View::of(row, Position::START, false));
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
        let (head, now) = (self.log.health().head, self.clock.now());
        let instant = Instant::now();
        let of = |(name, entry): (&String, &Entry)| {
            let view = entry.active.as_ref();
            let lag = view.map_or_else(Lag::default, |view| view.lag);
            let error = entry
                .trouble
                .clone()
                .or_else(|| view.and_then(|view| view.error.clone()));
            let state = match (view, &entry.building) {
                (Some(view), _) if view.running => view.state,
                (None, Some(building)) if building.running => ProjectionState::Rebuilding,
                (Some(_) | None, _) => ProjectionState::Waiting,
            };
            ProjectionStatus {
                name: name.clone(),
                schema: entry.schema,
                build: view.map_or(0, |view| view.build),
                position: lag.position,
                head,
                lag_events: lag.events(head),
                lag_seconds: lag.seconds(head, now),
                state: if error.is_some() {
                    ProjectionState::Waiting
                } else {
                    state
                },
                error,
                rebuild: entry.building.as_ref().map(|view| view.rebuild(head, instant)),
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

impl View {
    fn of(row: &BuildRow, at: Position, running: bool) -> Self {
        Self {
            build: row.build,
            incarnation: row.incarnation,
            running,
            state: if at == Position::START {
                ProjectionState::Rebuilding
            } else {
                ProjectionState::CatchingUp
            },
            error: None,
            lag: Lag::starting_at(at),
            pace: Pace::starting_at(at, Instant::now()),
            swapping: false,
            watching: None,
        }
    }

    fn rebuild(&self, head: Position, now: Instant) -> RebuildStatus {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of the log, for people to look at"
        )]
        let done = self.lag.position.get() as f64 / head.get().max(1) as f64;
        let verifying = self
            .watching
            .as_ref()
            .map(|watched| watched.status(self.build, now));
        let filled = self.pace.seconds_to(head, now);
        RebuildStatus {
            build: self.build,
            position: self.lag.position,
            done: done.min(1.0),
            events_per_second: self.pace.events_per_second(now),
            eta_seconds: verifying
                .as_ref()
                .map_or(filled, |verifying| verifying.eta_seconds),
            verifying,
            error: self.error.clone(),
        }
    }
}

impl Seat {
    fn with(&self, change: impl FnOnce(&mut View)) {
        self.board.with_view(&self.projection, self.incarnation, change);
    }

    /// The build that it is the right to fill.
    pub(crate) const fn incarnation(&self) -> uuid::Uuid {
        self.incarnation
    }

    /// Everything up to an event is in the tables.
    pub(crate) fn reached(&self, last: &RecordedEvent, events: u64) {
        let now = Instant::now();
        self.with(|view| {
            view.error = None;
            view.lag.reached(last);
            view.pace.done(last.position, events, now);
        });
    }

    /// Nothing is left to do.
    pub(crate) fn live(&self) {
        let now = self.board.clock.now();
        self.with(|view| {
            view.state = ProjectionState::Live;
            view.error = None;
            view.lag.at_head(now);
        });
    }

    /// The log is read.
    pub(crate) fn catching_up(&self) {
        self.with(|view| {
            if view.state != ProjectionState::Rebuilding {
                view.state = ProjectionState::CatchingUp;
            }
        });
    }

    /// Something is wrong; it is tried again.
    pub(crate) fn failed(&self, error: &str) {
        self.with(|view| view.error = Some(error.to_owned()));
    }

    /// Begins to make the build the one that is asked; false when it was given up.
    pub(crate) fn begin_swap(&self) -> bool {
        let mut still_there = false;
        self.with(|view| {
            view.swapping = true;
            still_there = true;
        });
        still_there
    }

    /// The build is now the one that is asked.
    pub(crate) fn activated(&self) {
        let mut projections = self.board.lock();
        if let Some(entry) = projections.get_mut(&self.projection)
            && entry
                .building
                .as_ref()
                .is_some_and(|view| view.incarnation == self.incarnation)
        {
            entry.active = entry.building.take();
            entry.verified = None;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.with(|view| view.running = false);
    }
}
