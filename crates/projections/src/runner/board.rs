//! What the workers say about themselves, for `/ready` and `GET /api/projections`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Clock, EventLog, Position, RecordedEvent};

use crate::builds::{BuildRow, BuildState};
use crate::lag::Lag;

/// What a projection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProjectionState {
    /// It follows the stream.
    Live,
    /// It is behind and reads the log.
    CatchingUp,
    /// Its first build is being filled from the start of the log: answers are incomplete.
    Rebuilding,
    /// Something is wrong, or it has not started yet; see the error.
    Waiting,
}

/// A new build that is filled beside the one that is asked.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RebuildStatus {
    /// Its number.
    pub build: u32,
    /// The last event it holds.
    pub position: Position,
    /// How much of the log it holds, from 0 to 1, by position.
    pub done: f64,
    /// What is wrong, if something is.
    pub error: Option<String>,
}

/// How a projection is doing.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ProjectionStatus {
    /// The projection.
    pub name: String,
    /// The schema of its tables.
    pub schema: u16,
    /// The build that is asked; 0 while none is known.
    pub build: u32,
    /// The last event it holds.
    pub position: Position,
    /// The last event of the log.
    pub head: Position,
    /// The distance between them in positions, which is more than events where positions have gaps.
    pub lag_events: u64,
    /// How long the oldest event that it lacks may have been waiting.
    pub lag_seconds: f64,
    /// What it is doing.
    pub state: ProjectionState,
    /// What is wrong, if something is.
    pub error: Option<String>,
    /// The build under way beside it.
    pub rebuild: Option<RebuildStatus>,
}

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
}

#[derive(Clone)]
struct View {
    build: u32,
    incarnation: uuid::Uuid,
    running: bool,
    state: ProjectionState,
    error: Option<String>,
    lag: Lag,
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
        let first = at == Position::START;
        let view = View {
            build: row.build,
            incarnation: row.incarnation,
            running: true,
            state: if first {
                ProjectionState::Rebuilding
            } else {
                ProjectionState::CatchingUp
            },
            error: None,
            lag: Lag::starting_at(at),
        };
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

    /// Sets the gauges of the builds that are asked, whether anything is written or not: a lag must not be hidden by what
    /// causes it.
    pub(crate) fn report(&self) {
        self.statuses().into_iter().for_each(ProjectionStatus::report);
    }

    pub(crate) fn statuses(&self) -> Vec<ProjectionStatus> {
        let (head, now) = (self.log.health().head, self.clock.now());
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
                rebuild: entry.building.as_ref().map(|view| view.rebuild(head)),
            }
        };
        self.lock().iter().map(of).collect()
    }
}

impl ProjectionStatus {
    fn report(self) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; positions stay far below 2^53"
        )]
        let gauge = |number: u64| number as f64;
        metrics::gauge!("hooklog_projection_position", "projection" => self.name.clone())
            .set(gauge(self.position.get()));
        metrics::gauge!("hooklog_projection_lag_events", "projection" => self.name.clone())
            .set(gauge(self.lag_events));
        metrics::gauge!("hooklog_projection_lag_seconds", "projection" => self.name).set(self.lag_seconds);
    }
}

impl View {
    fn rebuild(&self, head: Position) -> RebuildStatus {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of the log, for people to look at"
        )]
        let done = self.lag.position.get() as f64 / head.get().max(1) as f64;
        RebuildStatus {
            build: self.build,
            position: self.lag.position,
            done: done.min(1.0),
            error: self.error.clone(),
        }
    }
}

impl Seat {
    fn with(&self, change: impl FnOnce(&mut View)) {
        let mut projections = self.board.lock();
        let Some(entry) = projections.get_mut(&self.projection) else {
            return;
        };
        let views = [&mut entry.active, &mut entry.building];
        if let Some(view) = views
            .into_iter()
            .flatten()
            .find(|view| view.incarnation == self.incarnation)
        {
            change(view);
        }
    }

    /// The build that it is the right to fill.
    pub(crate) const fn incarnation(&self) -> uuid::Uuid {
        self.incarnation
    }

    /// Everything up to an event is in the tables.
    pub(crate) fn reached(&self, last: &RecordedEvent) {
        self.with(|view| {
            view.error = None;
            view.lag.reached(last);
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
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.with(|view| view.running = false);
    }
}
