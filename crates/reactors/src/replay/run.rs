//! Carries out one replay, from where the log says it was.
//!
//! Deliveries are asked for in the order of the log, one turn after the other; a few appends, of different repositories, may
//! be under way at once. They are tallied in the same order, so that what is taken down covers only what is durable, and its counts are exactly those
//! of the deliveries up to it. After a crash the deliveries since then are looked at again: those that were asked for
//! already say so themselves.

use std::sync::Arc;
use std::time::Duration;

use domain::{
    AppendError, Position, ReadError, ReplayCommand, ReplayCounts, ReplayEvent, ReplayRequested, ReplayState,
    ReplayStatus, StreamName,
};
use futures_util::StreamExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::flight::{Done, Flight, Step};
use super::one::{Asked, Delivery, NotAppended, append_surely};
use super::pace::{Backoff, Turns};
use super::registry::RunEnd;
use super::scan::{Look, Scan};
use super::{Shared, label, load};

/// Tries to take down how far a stopped replay is.
const LAST_WORDS_MAX: usize = 3;
/// The most characters of the reason for which a replay failed.
const ERROR_CHARS_MAX: usize = 500;

/// Carries out the replay of a stream until it ends or is told to stop.
pub(super) async fn carry_out(shared: Arc<Shared>, stream: StreamName, stop: CancellationToken) -> RunEnd {
    let Some(state) = load_surely(&shared, &stream, &stop).await else {
        return if stop.is_cancelled() {
            RunEnd::Stopped
        } else {
            RunEnd::Broken
        };
    };
    if state.status != ReplayStatus::Running {
        return RunEnd::Over;
    }
    let order = Arc::new(state.requested.clone());
    tracing::info!(replay = %order.replay, tenant = %order.tenant, upto = %state.upto, "a replay is carried out");
    let mut run = Run {
        turns: Turns::new(order.rate_per_second),
        tally: Tally {
            upto: state.upto,
            counts: state.counts,
            to: label(order.to),
        },
        shared,
        order,
        state,
        stop,
    };
    let end = run.finish().await;
    tracing::info!(replay = %run.order.replay, ?end, upto = %run.tally.upto, matched = run.tally.counts.matched,
        requested = run.tally.counts.requested, skipped = run.tally.counts.skipped, "the run of a replay has ended");
    end
}

struct Run {
    shared: Arc<Shared>,
    order: Arc<ReplayRequested>,
    /// As the log has it.
    state: ReplayState,
    tally: Tally,
    turns: Turns,
    stop: CancellationToken,
}

/// What is durable.
#[derive(Debug, Clone, Copy)]
struct Tally {
    upto: Position,
    counts: ReplayCounts,
    to: &'static str,
}

/// Why the log is not read further for now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Halt {
    /// It was told to stop.
    Stopped,
    /// The log can't be read now.
    Unavailable(String),
    /// Another runner is further: go on from there.
    Overtaken,
    /// It has ended meanwhile.
    Ended,
    /// It can't go on.
    Failed(String),
}

impl Run {
    async fn finish(&mut self) -> RunEnd {
        let mut backoff = Backoff::new();
        loop {
            let reached = self.tally.upto;
            match self.pass().await {
                None => {
                    let counts = self.tally.counts;
                    return self.close(ReplayCommand::Complete { counts }).await;
                }
                Some(Halt::Ended) => return RunEnd::Over,
                Some(Halt::Overtaken) => {}
                Some(Halt::Failed(error)) => {
                    tracing::error!(replay = %self.order.replay, error, "a replay failed");
                    let (error, counts) = (error.chars().take(ERROR_CHARS_MAX).collect(), self.tally.counts);
                    return self.close(ReplayCommand::Fail { error, counts }).await;
                }
                Some(Halt::Unavailable(error)) => {
                    tracing::warn!(replay = %self.order.replay, error, "a replay waits for the log");
                    if self.tally.upto > reached {
                        backoff = Backoff::new();
                    }
                    backoff.wait(&self.stop).await;
                }
                Some(Halt::Stopped) => return self.last_words().await,
            }
        }
    }

    /// Goes through the log from where it is. `None` at its end.
    async fn pass(&mut self) -> Option<Halt> {
        let (shared, order) = (Arc::clone(&self.shared), Arc::clone(&self.order));
        let scan = match Scan::new(&shared, &order, Look::Present) {
            Ok(scan) => scan,
            Err(error) => return Some(Halt::Failed(error.to_string())),
        };
        let mut found = scan.found(self.tally.upto);
        let mut flight = Flight::default();
        let mut waits: Option<Box<Delivery>> = None;
        let mut exhausted = false;
        let every = Duration::from_millis(shared.options.replay_progress_interval_ms.max(1));
        let mut tick = interval_at(Instant::now() + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.stop.clone();
        loop {
            if exhausted && waits.is_none() && flight.is_empty() {
                return None;
            }
            let halt = tokio::select! {
                biased;
                () = stop.cancelled() => Some(Halt::Stopped),
                Some(step) = flight.next(), if !flight.is_empty() => {
                    // What comes behind it must not be counted.
                    if let Some(halt) = self.tally.take(step) {
                        return Some(halt);
                    }
                    None
                }
                _ = tick.tick() => self.progress().await,
                () = self.turns.ready(&shared), if waits.as_ref().is_some_and(|delivery| flight.takes(delivery)) => {
                    if let Some(delivery) = waits.take() {
                        self.turns.take();
                        flight.ask(&shared, &order, delivery, &stop);
                    }
                    None
                }
                next = found.next(), if waits.is_none() && !exhausted && flight.has_room() => match next {
                    None => {
                        exhausted = true;
                        None
                    }
                    Some(Ok(next)) => {
                        waits = flight.sort(next);
                        None
                    }
                    Some(Err(ReadError::Unavailable(error))) => Some(Halt::Unavailable(error)),
                    Some(Err(error @ ReadError::Corrupt(_))) => Some(Halt::Failed(error.to_string())),
                },
            };
            if let Some(halt) = halt {
                return Some(self.drain(flight, halt).await);
            }
        }
    }

    /// Waits for the requests under way, within bounds, so that they are counted.
    async fn drain(&mut self, mut flight: Flight, halt: Halt) -> Halt {
        if matches!(halt, Halt::Overtaken | Halt::Ended) {
            return halt;
        }
        let deadline = Instant::now() + Duration::from_millis(self.shared.options.drain_timeout_ms);
        loop {
            let step = tokio::select! {
                step = flight.next() => step,
                () = sleep_until(deadline) => None,
            };
            let Some(step) = step else { return halt };
            if let Some(other) = self.tally.take(step) {
                return if halt == Halt::Stopped { halt } else { other };
            }
        }
    }

    /// Takes down how far it is.
    async fn progress(&mut self) -> Option<Halt> {
        let Tally { upto, counts, .. } = self.tally;
        let fact = match self.state.decide(ReplayCommand::Progress { upto, counts }) {
            Ok(Some(fact)) => fact,
            Ok(None) => return None,
            Err(_) => return Some(Halt::Ended),
        };
        let id = self.shared.new_event_id();
        match self.shared.log().append(self.state.append(&fact, id)).await {
            Ok(appended) => {
                self.state.upto = upto;
                self.state.counts = counts;
                self.state.updated_at = appended.recorded_at;
                self.state.revision = appended.revision;
                None
            }
            Err(AppendError::Conflict { .. }) => self.meet().await,
            // The next one says it too.
            Err(error) => {
                tracing::debug!(%error, "the progress of a replay was not taken down");
                None
            }
        }
    }

    /// The replay's stream went on without us: looks how.
    async fn meet(&mut self) -> Option<Halt> {
        let stream = self.state.stream();
        match self.shared.states.load(self.shared.log(), &stream).await {
            Ok(Some(state)) => self.state = state,
            Ok(None) => return Some(Halt::Failed("its order is gone from the log".to_owned())),
            Err(error) if load::may_pass(&error) => return None,
            Err(error) => return Some(Halt::Failed(error.to_string())),
        }
        if self.state.status != ReplayStatus::Running {
            return Some(Halt::Ended);
        }
        if self.state.upto <= self.tally.upto {
            return None;
        }
        self.tally.upto = self.state.upto;
        self.tally.counts = self.state.counts;
        Some(Halt::Overtaken)
    }

    /// Takes down where it was stopped, if the log lets it.
    async fn last_words(&mut self) -> RunEnd {
        for _ in 0..LAST_WORDS_MAX {
            match self.progress().await {
                Some(Halt::Ended) => return RunEnd::Over,
                Some(_) => break,
                None if self.is_taken_down() => break,
                None => {}
            }
        }
        RunEnd::Stopped
    }

    fn is_taken_down(&self) -> bool {
        self.state.upto == self.tally.upto && self.state.counts == self.tally.counts
    }

    /// Takes down its end.
    async fn close(&mut self, command: ReplayCommand) -> RunEnd {
        loop {
            let fact: ReplayEvent = match self.state.decide(command.clone()) {
                Ok(Some(fact)) => fact,
                Ok(None) | Err(_) => return RunEnd::Over,
            };
            let append = self.state.append(&fact, self.shared.new_event_id());
            match append_surely(self.shared.log(), &append, &self.stop).await {
                Ok(_) => return RunEnd::Over,
                Err(NotAppended::Interrupted) => return RunEnd::Stopped,
                Err(NotAppended::Invalid(error)) => {
                    tracing::error!(replay = %self.order.replay, error, "the end of a replay can't be taken down");
                    return RunEnd::Broken;
                }
                Err(NotAppended::Conflict) => {}
            }
            let Some(state) = load_surely(&self.shared, &self.state.stream(), &self.stop).await else {
                return if self.stop.is_cancelled() {
                    RunEnd::Stopped
                } else {
                    RunEnd::Broken
                };
            };
            self.state = state;
        }
    }
}

impl Tally {
    /// Counts the next place of the log, in its order. What comes after a halt must not be counted.
    fn take(&mut self, step: Step) -> Option<Halt> {
        let Step { position, done } = step;
        match done {
            Done::Nothing => {}
            Done::Asked { asked, before } => match asked {
                Asked::Requested(_) => {
                    self.counts.matched += 1;
                    self.counts.requested += 1;
                    if !before {
                        metrics::counter!("hooklog_replay_deliveries_total", "to" => self.to).increment(1);
                    }
                }
                Asked::NothingLeft => self.skip(),
                Asked::Impossible(why) => {
                    tracing::warn!(%position, why, "a delivery can't be replayed");
                    self.skip();
                }
                Asked::Corrupt(why) => return Some(Halt::Failed(why)),
                Asked::Interrupted => return Some(Halt::Stopped),
            },
            Done::Unreadable { stream, why } => {
                tracing::warn!(%stream, why, "a delivery can't be replayed");
                self.skip();
            }
        }
        self.upto = self.upto.max(position);
        None
    }

    fn skip(&mut self) {
        self.counts.matched += 1;
        self.counts.skipped += 1;
        metrics::counter!("hooklog_replay_skipped_total").increment(1);
    }
}

/// The state of a replay, waiting while the log can't be read; `None` when it was told to stop or the stream can't be
/// understood.
async fn load_surely(shared: &Shared, stream: &StreamName, stop: &CancellationToken) -> Option<ReplayState> {
    let mut backoff = Backoff::new();
    loop {
        match shared.states.load(shared.log(), stream).await {
            Ok(Some(state)) => return Some(state),
            Ok(None) => {
                tracing::error!(%stream, "the stream of a replay does not begin with its order");
                return None;
            }
            Err(error) if load::may_pass(&error) => {
                tracing::warn!(%stream, %error, "a replay waits for the log");
                if !backoff.wait(stop).await {
                    return None;
                }
            }
            Err(error) => {
                tracing::error!(%stream, %error, "the stream of a replay can't be read");
                return None;
            }
        }
    }
}
