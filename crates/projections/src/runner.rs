//! The runner of the read models: opens their builds, feeds them from log and stream, starts over what failed.
//!
//! It never guesses: a batch whose outcome is unknown is written again, a build whose tables are gone is built anew from the
//! log, and every restart, of the process or of one lane, begins at the first position of a block.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{BodyStore, Clock, EventLog, Leases, LiveEvents, Position, Spacing, TableError, Tables};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::builds::{BuildRow, BuildState, Builds, Facts, Swept};
use crate::causes::with_causes;
use crate::model::{BuildShape, ModelFactory};
use crate::progress;
use board::Board;
use crew::{Crew, Found, Member};
use handle::Request;
use lane::Lane;
use open::{Projection, Slot};
use rest::Rest;
use share::{Change, Shares};

mod board;
mod compare;
mod crew;
mod due;
mod handle;
mod intake;
mod lane;
mod open;
mod options;
mod pace;
mod project;
mod request;
mod rest;
mod share;
#[cfg(test)]
mod tests;
mod write;

pub use board::{ProjectionState, ProjectionStatus, RebuildStatus, VerifyStatus};
pub use handle::{AbortError, ProjectorHandle, RebuildError};
pub use options::ProjectorOptions;

/// Fills the read models.
pub struct Projector {
    worker: Arc<Worker>,
    projections: Arc<BTreeMap<&'static str, Projection>>,
    requests: mpsc::Receiver<Request>,
    shares: Shares,
    rest: Rest,
    /// Builds in work, by the task that fills them.
    lanes: JoinSet<Result<(), TableError>>,
    crews: HashMap<Id, Crew>,
    /// When to open what isn't open.
    due: BTreeMap<&'static str, Instant>,
    waits: BTreeMap<&'static str, Backoff>,
}

/// What all lanes use.
pub(crate) struct Worker {
    options: ProjectorOptions,
    log: Arc<dyn EventLog>,
    live: Arc<dyn LiveEvents>,
    tables: Arc<dyn Tables>,
    bodies: Arc<dyn BodyStore>,
    clock: Arc<dyn Clock>,
    builds: Builds,
    board: Arc<Board>,
    /// One comparison at a time: each takes the memory allowed.
    comparing: Semaphore,
    news: Mutex<News>,
}

/// What lanes tell the projector.
#[derive(Default)]
struct News {
    fell_out: Vec<(&'static str, String)>,
    /// What to sweep, and when.
    sweeps: Vec<(&'static str, Instant)>,
}

/// The ports that the projector works with.
#[derive(Clone)]
pub struct ProjectorPorts {
    /// The truth.
    pub log: Arc<dyn EventLog>,
    /// The stream.
    pub live: Arc<dyn LiveEvents>,
    /// Where the read models are.
    pub tables: Arc<dyn Tables>,
    /// Large bodies, for models that want payloads.
    pub bodies: Arc<dyn BodyStore>,
    /// The time, for lag and progress.
    pub clock: Arc<dyn Clock>,
    /// Which partitions this process fills.
    pub leases: Arc<dyn Leases>,
}

impl Worker {
    fn news(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is to be heeded now.
    fn take_news(&self, now: Instant) -> News {
        let mut news = self.news();
        News {
            fell_out: std::mem::take(&mut news.fell_out),
            sweeps: news.sweeps.extract_if(.., |(_, at)| *at <= now).collect(),
        }
    }

    pub(crate) fn fell_out(&self, projection: &'static str, defect: &str) {
        self.news().fell_out.push((projection, defect.to_owned()));
    }

    /// Throws away a new build that is not what the log says.
    pub(crate) async fn throw_away(
        &self,
        row: &BuildRow,
        projection: &'static str,
        why: &str,
    ) -> Result<(), TableError> {
        let why = format!(
            "build {} was thrown away, because it differs from the log: {why}",
            row.build
        );
        tracing::error!(projection, error = why, "projection_rebuild_failed");
        metrics::counter!("hooklog_projection_rebuilds_total", "projection" => projection, "outcome" => "thrown_away")
            .increment(1);
        self.builds.retire(vec![row.clone()]).await?;
        self.board.abandon(projection, row.incarnation);
        self.board.rebuild_ended(projection, Some(why.clone()));
        // Where the old build can't be filled any more, the next one is begun.
        self.fell_out(projection, &why);
        Ok(())
    }

    /// Drops what is of no more use.
    ///
    /// # Errors
    /// When the store fails: then it is tried again later.
    pub(crate) async fn sweep(&self, models: &[Facts]) -> Result<(), TableError> {
        let spare = Duration::from_millis(self.options.drop_after_ms);
        let swept = self.builds.sweep(models, spare).await;
        for (n, model) in models.iter().enumerate() {
            let is_clean = |swept: &Vec<Swept>| swept.get(n) == Some(&Swept::Clean);
            if !swept.as_ref().is_ok_and(is_clean) {
                self.sweep_later(model.name);
            }
        }
        swept.map(drop)
    }

    /// The tables of a build that was replaced go once no query can be under way.
    pub(crate) fn sweep_later(&self, projection: &'static str) {
        let at = Instant::now() + Duration::from_millis(self.options.drop_after_ms);
        let mut news = self.news();
        if news.sweeps.iter().all(|(name, _)| *name != projection) {
            news.sweeps.push((projection, at));
        }
    }

    pub(crate) fn shape(&self) -> BuildShape {
        shape(&self.options, self.log.spacing())
    }
}

/// What is fixed for new builds of a log.
fn shape(options: &ProjectorOptions, spacing: Spacing) -> BuildShape {
    BuildShape {
        block_size: spacing.positions(options.block_size),
        partitions: options.partitions,
    }
}

impl Projector {
    /// How many requests of the handle may wait.
    const REQUESTS_MAX: usize = 16;

    /// Wires the workers; nothing happens before [`Projector::run`].
    #[must_use]
    pub fn build(
        options: ProjectorOptions,
        models: Vec<ModelFactory>,
        ports: ProjectorPorts,
    ) -> (Self, ProjectorHandle) {
        let shape = shape(&options, ports.log.spacing());
        let projections: BTreeMap<&'static str, Projection> = models
            .into_iter()
            .map(|factory| {
                let facts = Facts::of(factory(shape).as_ref());
                (facts.name, Projection { facts, factory })
            })
            .collect();
        let names = projections.values().map(|p| (p.facts.name, p.facts.schema));
        let board = Arc::new(Board::new(
            Arc::clone(&ports.log),
            Arc::clone(&ports.clock),
            names,
        ));
        let (requests, received) = mpsc::channel(Self::REQUESTS_MAX);
        let shares = Shares::new(ports.leases, options.partitions);
        let worker = Worker {
            options,
            builds: Builds {
                tables: Arc::clone(&ports.tables),
                clock: Arc::clone(&ports.clock),
                log_id: ports.log.id(),
                retired: Arc::default(),
            },
            log: ports.log,
            live: ports.live,
            tables: ports.tables,
            bodies: ports.bodies,
            clock: ports.clock,
            board,
            comparing: Semaphore::new(1),
            news: Mutex::default(),
        };
        let (worker, projections) = (Arc::new(worker), Arc::new(projections));
        let handle = ProjectorHandle {
            worker: Arc::clone(&worker),
            projections: Arc::clone(&projections),
            requests,
        };
        let projector = Self {
            worker,
            projections,
            requests: received,
            shares,
            rest: Rest::default(),
            lanes: JoinSet::new(),
            crews: HashMap::new(),
            due: BTreeMap::new(),
            waits: BTreeMap::new(),
        };
        (projector, handle)
    }

    /// Fills the read models until told to stop. Failures are waited out, for ever.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let now = Instant::now();
        self.due = self.projections.keys().map(|name| (*name, now)).collect();
        let check = Duration::from_millis(self.worker.options.check_ms.max(1));
        let mut checks = tokio::time::interval_at(now + check, check);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = tokio::time::interval(Duration::from_millis(self.worker.options.look_ms.max(1)));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !shutdown.is_cancelled() {
            let stop = shutdown.clone();
            if stop.run_until_cancelled(self.open_due(&shutdown)).await.is_none() {
                break;
            }
            let fills = !self.shares.ours().is_empty();
            let next = self.due.values().min().copied().filter(|_| fills);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = self.lanes.join_next_with_id(), if !self.lanes.is_empty() => self.ended(ended),
                Some(request) = self.requests.recv() => self.heed(request).await,
                change = self.shares.changed() => self.heed_shares(&change),
                () = sleep_until(next) => {}
                _ = ticks.tick() => {
                    self.worker.board.report();
                    self.heed_news().await;
                }
                _ = looks.tick(), if self.shares.is_shared() => self.look().await,
                _ = checks.tick() => self.check_crews().await,
            }
        }
        // The lanes stop by the same signal, at their next await.
        while self.lanes.join_next().await.is_some() {}
    }

    /// Leases were gained or lost: what is ours is opened, what is not any more is left.
    fn heed_shares(&mut self, change: &Change) {
        let left = |crew: &&Crew| crew.members.iter().any(|m| change.lost.contains(&m.partition));
        // What else is in their lanes is opened again.
        self.crews
            .values()
            .filter(left)
            .for_each(|crew| crew.stop.cancel());
        if change.gained {
            self.open_all();
        }
    }

    fn start(&mut self, after: Position, slots: Vec<Slot>, shutdown: &CancellationToken) {
        let crew = Crew::of(&slots, shutdown.child_token());
        tracing::info!(%after, models = slots.len(), "projection_lane_starts");
        let (worker, stop) = (Arc::clone(&self.worker), crew.stop.clone());
        let task = self.lanes.spawn(async move {
            let lane = Lane::new(slots, after);
            stop.run_until_cancelled(lane.run(&worker))
                .await
                .unwrap_or(Ok(()))
        });
        self.crews.insert(task.id(), crew);
    }

    /// A lane has ended: what it filled is opened again, from the state of the tables.
    fn ended(&mut self, ended: Result<(Id, Result<(), TableError>), JoinError>) {
        let (id, error) = match ended {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => (id, Some(error.to_string())),
            Err(panic) => (panic.id(), Some(format!("a worker panicked: {panic}"))),
        };
        let Some(crew) = self.crews.remove(&id) else {
            return;
        };
        // One that ran well for a while failed anew.
        let fresh =
            crew.since.elapsed() > Duration::from_millis(self.worker.options.retry_ms_max.saturating_mul(2));
        for Member { name, .. } in crew.members {
            if fresh {
                self.waits.remove(name);
            }
            if let Some(error) = &error {
                tracing::warn!(projection = name, error, "projection_lane_ended: opening again");
                self.worker.board.trouble(name, error.clone());
            }
            self.retry(name);
        }
    }

    fn retry(&mut self, name: &'static str) {
        let wait = self
            .waits
            .entry(name)
            .or_insert_with(|| self.worker.backoff())
            .step();
        self.due.insert(name, Instant::now() + wait);
    }

    async fn heed_news(&mut self) {
        let news = self.worker.take_news(Instant::now());
        for (name, defect) in news.fell_out {
            self.worker.board.trouble(name, defect);
            self.retry(name);
        }
        let of_projection = |(name, _): &(&'static str, Instant)| Some(self.projections.get(name)?.facts);
        let models: Vec<Facts> = news.sweeps.iter().filter_map(of_projection).collect();
        if !models.is_empty()
            && let Err(error) = self.worker.sweep(&models).await
        {
            tracing::warn!(%error, "projection_sweep_failed: trying again");
        }
    }
}

impl Projector {
    /// Looks what other processes did, and how far they are.
    async fn look(&mut self) {
        let looks_on = self.shares.ours().is_empty();
        let found = Found::read(&self.worker.builds).await;
        let reached = progress::read_everywhere(self.worker.tables.as_ref()).await;
        let (found, reached) = match (found, reached) {
            (Ok(found), Ok(reached)) => (found, reached),
            (Err(error), _) | (_, Err(error)) => {
                // Where something is filled the lanes tell of it.
                let names = self.projections.keys().filter(|_| looks_on);
                names.for_each(|name| self.worker.board.trouble(name, with_causes(&error)));
                return;
            }
        };
        let mut partitions = self.worker.options.partitions;
        for projection in self.projections.values() {
            let facts = &projection.facts;
            let rows = found.rows_of(facts.name);
            if looks_on {
                self.worker.board.opened(facts.name);
            }
            self.worker.board.seen(facts.name, &rows, &reached);
            let ours =
                |row: &&BuildRow| row.schema == facts.schema && row.log_id == self.worker.builds.log_id;
            let filled = rows
                .iter()
                .filter(|row| row.state != BuildState::Retired)
                .filter(ours);
            for row in filled {
                partitions = partitions.max(row.partitions);
                let some_ours = self
                    .shares
                    .ours()
                    .iter()
                    .any(|part| *part < row.partitions.max(1));
                if some_ours && !self.worker.board.knows(row) {
                    self.due.entry(facts.name).or_insert_with(Instant::now);
                }
            }
        }
        self.come_back();
        if !self.rest.is_on() {
            self.shares.stand_for(partitions);
        }
    }

    /// Ends the lanes whose builds are not what the store says any longer; they start over from there.
    async fn check_crews(&self) {
        let found = match Found::read(&self.worker.builds).await {
            Ok(found) => found,
            Err(TableError::Refused(_) | TableError::Encoding(_)) => Found::nothing(),
            Err(TableError::Unavailable(_)) => return,
        };
        for crew in self.crews.values() {
            if !crew
                .members
                .iter()
                .all(|member| found.fits(member, &self.worker.board))
            {
                tracing::warn!("projection_tables_changed: opening again");
                crew.stop.cancel();
            }
        }
        for projection in self.projections.values() {
            if let Some(row) = found.without_views(&projection.facts)
                && let Err(error) = self.worker.builds.ensure_views(&projection.facts, &row).await
            {
                tracing::warn!(projection = projection.facts.name, %error, "projection_views_missing");
            }
        }
    }
}

/// For ever without a time.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
