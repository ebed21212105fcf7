//! The runtime: has every delivery done that is due, and writes down what came of it.
//!
//! One reader follows the log for all destinations and keeps an index of what is open (`board.rs`, `lane.rs`, `queue.rs`).
//! Each destination has its own hands (`dispatch.rs`), so that none waits for another. An attempt (`attempt.rs`) looks at the
//! delivery in the log first: the index may be behind, the log is right. A note (`note.rs`) saves a restart some reading.
//!
//! Never here: a decision that the log does not see, a result that is dropped while the program runs, or a queue without a
//! bound.

mod attempt;
mod backoff;
mod board;
mod breaker;
mod catch_up;
mod dead;
mod dispatch;
mod entry;
mod fact;
mod handle;
mod keeper;
mod lane;
mod note;
mod pause;
mod queue;
mod rate;
mod reader;
mod record;
mod retry;
mod share;
mod strangers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Checkpoints, Clock, DestinationName, EventId, EventLog, Leases, Position, ReadError};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::handle::{ReactorHandle, ReactorStatus, RememberedDeadLetters};

use self::attempt::Stops;
use self::backoff::Backoff;
use self::board::Board;
use self::breaker::Verdict;
use self::dead::DeadLetters;
use self::fact::Place;
use self::keeper::Keeper;
use self::lane::{Lane, Next, Now};
use self::note::Begin;
pub(crate) use self::share::PARTS;
use self::share::Sharing;
use crate::{DestinationPlan, ReactorOptions};

/// So often it begins anew after a part of it broke.
const BEGINNINGS_MAX: u32 = 10;

/// What the runtime needs from outside.
#[derive(Clone)]
pub struct ReactorPorts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Where the note is kept.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// The time of day. It must go on as tokio's time does, or due times are found late.
    pub clock: Arc<dyn Clock>,
    /// Makes ids of events.
    pub new_id: Arc<dyn Fn() -> EventId + Send + Sync>,
    /// Which destinations this process serves.
    pub leases: Arc<dyn Leases>,
}

/// Why the runtime can't begin or go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReactorError {
    /// Two destinations have the same name.
    #[error("there are two destinations named {0}")]
    TwoOfOneName(DestinationName),
    /// A part of it ended that never should.
    #[error("a part of the reactors broke: {0}")]
    Broken(String),
}

/// The runtime; see [`Reactors::run`].
pub struct Reactors {
    shared: Arc<Shared>,
}

/// What all parts share.
struct Shared {
    options: ReactorOptions,
    ports: ReactorPorts,
    cells: Vec<Cell>,
    places: Arc<HashMap<Place, usize>>,
    board: Mutex<Board>,
}

/// A destination as its tasks see it.
struct Cell {
    plan: DestinationPlan,
    /// Something changed: there may be work.
    work: Notify,
    /// Something changed: there may be room, or it is behind.
    room: Notify,
    /// Whether it is this process that serves it.
    ours: AtomicBool,
}

impl Cell {
    /// Whether it is this process that begins attempts.
    fn is_ours(&self) -> bool {
        self.ours.load(Ordering::SeqCst)
    }

    /// Whether what it goes out through is there.
    fn is_ready(&self) -> bool {
        self.plan
            .ready
            .as_ref()
            .is_none_or(CancellationToken::is_cancelled)
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        Now {
            time: self.ports.clock.now(),
            instant: Instant::now(),
        }
    }

    /// Does something with a lane, told how far the shared reader is.
    fn with_lane<T>(&self, index: usize, act: impl FnOnce(&mut Lane, Position) -> T) -> Option<T> {
        let mut board = self.board();
        let reader = board.position;
        board.lanes.get_mut(index).map(|lane| act(lane, reader))
    }

    fn next(&self, index: usize, now: Now) -> Next {
        let mut board = self.board();
        // Under the lock: whoever gives a destination away looks there whether something is under way, and must not miss what
        // is begun at that moment.
        if !self.cells.get(index).is_some_and(Cell::is_ours) {
            return Next::Idle;
        }
        let (reader, Some(began)) = (board.position, board.head_at_start) else {
            return Next::Idle;
        };
        let lane = board.lanes.get_mut(index);
        lane.map_or(Next::Idle, |lane| lane.next(now, reader, began))
    }

    fn judged(&self, index: usize, probe: bool, sent: bool, verdict: Verdict) {
        let now = Instant::now();
        self.with_lane(index, |lane, _| lane.judged(probe, sent, verdict, now));
    }

    fn wake(&self, index: usize) {
        if let Some(cell) = self.cells.get(index) {
            cell.work.notify_one();
            cell.room.notify_one();
        }
    }
}

impl Reactors {
    /// A runtime for these destinations, and its handle.
    ///
    /// # Errors
    /// When two destinations have the same name.
    pub fn build(
        options: ReactorOptions,
        destinations: Vec<DestinationPlan>,
        ports: ReactorPorts,
    ) -> Result<(Self, ReactorHandle), ReactorError> {
        let mut places = HashMap::new();
        for (index, plan) in destinations.iter().enumerate() {
            if places.keys().any(|place: &Place| place.name == plan.name) {
                return Err(ReactorError::TwoOfOneName(plan.name.clone()));
            }
            places.insert(Place::of(plan), index);
        }
        let places = Arc::new(places);
        let cells = destinations.into_iter().map(|plan| Cell {
            plan,
            work: Notify::new(),
            room: Notify::new(),
            ours: AtomicBool::new(false),
        });
        let cells: Vec<Cell> = cells.collect();
        let shared = Arc::new(Shared {
            board: Mutex::new(blank(&cells, &places, &options)),
            cells,
            options,
            ports,
            places,
        });
        let handle = ReactorHandle {
            shared: Arc::clone(&shared),
        };
        Ok((Self { shared }, handle))
    }

    /// Runs until told to stop; then begins nothing new, gives the attempts under way the time of `drain_timeout_ms`, and
    /// writes the note. When a part of it breaks it begins anew, by the note and the log.
    ///
    /// # Errors
    /// When parts of it broke again and again. What was under way is found in the log by the next run.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ReactorError> {
        let mut backoff = Backoff::new();
        let mut beginnings = 0;
        while let Err(error) = self.run_once(&shutdown).await {
            beginnings += 1;
            if beginnings > BEGINNINGS_MAX {
                return Err(error);
            }
            let shared = &self.shared;
            *shared.board() = blank(&shared.cells, &shared.places, &shared.options);
            if !backoff.wait(&shutdown).await {
                break;
            }
        }
        Ok(())
    }

    async fn run_once(&self, shutdown: &CancellationToken) -> Result<(), ReactorError> {
        let stops = Stops {
            stop: shutdown.child_token(),
            leave: CancellationToken::new(),
        };
        if !self.begin(&stops.stop).await {
            return Ok(());
        }
        let mut hands = JoinSet::new();
        let mut followers = JoinSet::new();
        let (sharing, over) = (Sharing::begin(&self.shared), CancellationToken::new());
        let mut sharers = JoinSet::new();
        let (shared, until) = (Arc::clone(&self.shared), over.clone());
        sharers.spawn(async move { sharing.run(&shared, until).await });
        for index in 0..self.shared.cells.len() {
            hands.spawn(dispatch::run(Arc::clone(&self.shared), index, stops.clone()));
            let (shared, stop) = (Arc::clone(&self.shared), stops.stop.clone());
            followers.spawn(async move { catch_up::run(&shared, index, stop).await });
        }
        let (shared, stop) = (Arc::clone(&self.shared), stops.stop.clone());
        followers.spawn(async move { reader::run(&shared, stop).await });
        let (shared, stop) = (Arc::clone(&self.shared), stops.stop.clone());
        let mut keeper = JoinSet::new();
        keeper.spawn(async move { Keeper::default().run(&shared, stop).await });
        let result = tokio::select! {
            biased;
            () = stops.stop.cancelled() => Ok(()),
            Some(ended) = hands.join_next() => Err(broken(ended)),
            Some(ended) = followers.join_next() => Err(broken(ended)),
            Some(ended) = sharers.join_next() => Err(broken(ended)),
            Some(ended) = keeper.join_next() => Err(broken(ended.map(drop))),
        };
        stops.stop.cancel();
        while followers.join_next().await.is_some() {}
        self.drain(&mut hands, &stops.leave).await;
        // Only now may another process serve the destinations.
        over.cancel();
        while sharers.join_next().await.is_some() {}
        // What is known after something broke may be wrong.
        if let Some(Ok(mut keeper)) = keeper.join_next().await
            && result.is_ok()
        {
            keeper.write(&self.shared).await;
        }
        result
    }

    /// Lays out what is known: the note, and which destinations are paused. `false` when it is to stop.
    async fn begin(&self, stop: &CancellationToken) -> bool {
        let mut backoff = Backoff::new();
        loop {
            let laid_out = tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                laid_out = self.lay_out() => laid_out,
            };
            match laid_out {
                Ok(()) => return true,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the reactors can't begin: they try again"
                ),
            }
            if !backoff.wait(stop).await {
                return false;
            }
        }
    }

    async fn lay_out(&self) -> Result<(), ReadError> {
        let shared = &self.shared;
        let log = shared.ports.log.as_ref();
        let note = shared.ports.checkpoints.load(note::NAME).await;
        let note = note.unwrap_or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the note of the reactors can't be read: the log is read from its start"
            );
            None
        });
        let begin = Begin::of(note.as_deref(), log).await?;
        let mut states = Vec::new();
        for index in 0..shared.cells.len() {
            let known = shared.with_lane(index, |lane, _| lane.destination.clone());
            if let Some(known) = known {
                states.push(pause::load(log, known).await?);
            }
        }
        let head = log.head().await?;
        let mut board = shared.board();
        begin.lay_out(&mut board, shared.options.dead_letters_max);
        for (lane, state) in board.lanes.iter_mut().zip(states) {
            lane.know(state);
        }
        board.head_at_start = Some(head);
        Ok(())
    }

    async fn drain(&self, hands: &mut JoinSet<()>, leave: &CancellationToken) {
        let drained = Duration::from_millis(self.shared.options.drain_timeout_ms);
        let all = async { while hands.join_next().await.is_some() {} };
        if tokio::time::timeout(drained, all).await.is_err() {
            tracing::warn!("attempts under way are left: they are made again, under the same key");
            leave.cancel();
            while hands.join_next().await.is_some() {}
        }
    }
}

/// A board that knows nothing.
fn blank(cells: &[Cell], places: &Arc<HashMap<Place, usize>>, options: &ReactorOptions) -> Board {
    let lanes = cells.iter().map(|cell| Lane::new(&cell.plan, options));
    let dead = DeadLetters::new(Vec::new(), true, options.dead_letters_max);
    Board::new(lanes.collect(), Arc::clone(places), dead)
}

fn broken(ended: Result<(), tokio::task::JoinError>) -> ReactorError {
    let why = ended
        .err()
        .map_or_else(|| "it ended by itself".to_owned(), |error| error.to_string());
    tracing::error!(why, "a part of the reactors broke: they begin anew");
    ReactorError::Broken(why)
}
