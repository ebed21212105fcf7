//! One destination at work: what is open, what may go out now, and how far the log was read for it. Pure: the time comes with
//! each question.
//!
//! At most `window_max` rounds are held. When one more opens, the lane falls behind: it remembers where, takes up no later
//! one, and reads the log again from there when there is room (`catch_up.rs`) until it meets the shared reader.

use std::collections::VecDeque;
use std::time::Duration;

use domain::{DestinationState, Position, Timestamp};
use tokio::time::Instant;

use super::breaker::{Breaker, Permit, Verdict};
use super::entry::{After, Entry, before};
use super::fact::{Fact, News, Opened, Place};
use super::queue::Queue;
use super::rate::Rate;
use crate::{DestinationPlan, Ordering, ReactorOptions};

/// Times that are far away are looked at again after this, in case the clock was set.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The same moment by two clocks: the time of day, which the log knows, and one that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) time: Timestamp,
    pub(super) instant: Instant,
}

impl Now {
    fn until(&self, due: Timestamp) -> Instant {
        let micros = due.as_micros().saturating_sub(self.time.as_micros());
        let wait = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        self.instant + wait.clamp(Duration::from_millis(1), LOOK_AGAIN)
    }
}

/// Work that was taken out.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) entry: Entry,
    /// Whether it probes a destination that was unwell.
    pub(super) probe: bool,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// An attempt.
    Go(Job),
    /// Nothing before this time.
    At(Instant),
    /// Nothing before something happens.
    Idle,
}

/// How reading again went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CatchUp {
    /// It met the shared reader.
    Met,
    /// There is more to read.
    More,
    /// There is no room.
    Full,
}

/// One destination.
pub(super) struct Lane {
    pub(super) place: Place,
    /// Its state in the log.
    pub(super) destination: DestinationState,
    /// Held back by the settings.
    pub(super) paused_by_settings: bool,
    /// Held back because it said that it is gone, before the log says so.
    pub(super) held: bool,
    pub(super) queue: Queue,
    pub(super) breaker: Breaker,
    /// The last failure, while no attempt succeeded after it.
    pub(super) last_error: Option<String>,
    rate: Option<Rate>,
    concurrency: usize,
    window_max: usize,
    /// Everything up to here was taken up; none while it keeps up with the shared reader.
    behind: Option<Position>,
    /// Before the first event that could not be understood: it may have opened a round.
    doubtful: Option<Position>,
    /// It is behind, and reading again waits for room.
    full: bool,
    started: bool,
}

impl Lane {
    /// A destination with nothing open, of which everything up to `mark` is done.
    pub(super) fn new(plan: &DestinationPlan, options: &ReactorOptions) -> Self {
        Self {
            place: Place::of(plan),
            destination: DestinationState::new(plan.tenant.clone(), plan.name.clone()),
            paused_by_settings: plan.paused,
            held: false,
            queue: Queue::new(options.ageing_per_second, plan.ordering == Ordering::Repository),
            breaker: Breaker::new(plan.breaker),
            last_error: None,
            rate: plan.rate_per_second.map(Rate::new),
            concurrency: plan.concurrency.max(1),
            window_max: options.window_max.max(1),
            behind: None,
            doubtful: None,
            full: false,
            started: false,
        }
    }

    /// Begins at a mark, where the shared reader begins at `position`.
    pub(super) fn begin(&mut self, mark: Position, position: Position) {
        self.behind = (mark < position).then_some(mark);
    }

    /// Where to read again from, if it is behind.
    pub(super) const fn behind(&self) -> Option<Position> {
        self.behind
    }

    /// Whether it takes up what the shared reader finds.
    pub(super) const fn keeps_up(&self) -> bool {
        self.behind.is_none()
    }

    /// Everything up to here is done or given up, as far as this destination goes.
    pub(super) fn mark(&self, position: Position) -> Position {
        let oldest = self.queue.oldest().map(before);
        let bounds = [self.behind, self.doubtful, oldest];
        bounds.into_iter().flatten().fold(position, Position::min)
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused_by_settings || self.held || self.destination.paused.is_some()
    }

    /// What the shared reader found. A lane that is behind takes up no new round, but keeps those it holds up to date.
    pub(super) fn hear(&mut self, news: &News) {
        match &news.fact {
            Fact::Opened(opened) => {
                let accept = self.keeps_up() && self.queue.len() < self.window_max;
                match self.priority_of(opened) {
                    Some(priority) if accept => self.open(news, opened, priority),
                    Some(_) | None => {
                        self.queue.replace(&news.stream, news.position);
                        if self.keeps_up() {
                            self.behind = Some(before(news.position));
                        }
                    }
                }
            }
            Fact::Failed {
                round,
                due_at,
                attempts,
                ..
            } => self
                .queue
                .change(&news.stream, *round, news.revision, *due_at, *attempts),
            Fact::Closed { round, .. } => self.queue.close(&news.stream, *round),
            Fact::Destination(_) => {}
            Fact::NotUnderstood => {
                let doubtful = before(news.position);
                self.doubtful = Some(self.doubtful.map_or(doubtful, |known| known.min(doubtful)));
            }
        }
    }

    /// Takes up what was read again, up to `last`, and no further than the shared reader is.
    pub(super) fn catch_up(
        &mut self,
        found: &mut VecDeque<News>,
        last: Position,
        reader: Position,
    ) -> CatchUp {
        let Some(behind) = self.behind else {
            return CatchUp::Met;
        };
        self.full = false;
        while let Some(news) = found.front() {
            if news.position > reader {
                self.behind = None;
                return CatchUp::Met;
            }
            if let Fact::Opened(opened) = &news.fact {
                if self.queue.len() >= self.window_max {
                    self.behind = Some(before(news.position).max(behind));
                    self.full = true;
                    return CatchUp::Full;
                }
                let priority = self.priority_of(opened).unwrap_or(0);
                self.open(news, opened, priority);
            } else {
                self.hear(news);
            }
            found.pop_front();
        }
        if last >= reader {
            self.behind = None;
            return CatchUp::Met;
        }
        self.behind = Some(last.max(behind));
        CatchUp::More
    }

    fn priority_of(&self, opened: &Opened) -> Option<i64> {
        let mine = opened.due.iter().find(|due| due.place == self.place);
        mine.and_then(|due| due.priority)
    }

    fn open(&mut self, news: &News, opened: &Opened, priority: i64) {
        self.queue.open(Entry {
            stream: std::sync::Arc::clone(&news.stream),
            round: opened.round,
            opened_at: news.position,
            revision: news.revision,
            attempts: 0,
            due_at: opened.since,
            priority,
            group: opened.repository.clone(),
        });
    }

    /// Whether enough of the log was read to know what is done already. What is not known yet is found out at the attempt,
    /// at the price of a look at the delivery.
    fn may_start(&mut self, reader: Position, head_at_start: Position) -> bool {
        self.started = self.started
            || (reader >= head_at_start
                && self
                    .behind
                    .is_none_or(|behind| self.full || behind >= head_at_start));
        self.started
    }

    /// What to do next.
    pub(super) fn next(&mut self, now: Now, reader: Position, head_at_start: Position) -> Next {
        if !self.may_start(reader, head_at_start)
            || self.is_paused()
            || self.queue.running() >= self.concurrency
        {
            return Next::Idle;
        }
        if !self.queue.is_ready(now.time) {
            return self
                .queue
                .next_due()
                .map_or(Next::Idle, |due| Next::At(now.until(due)));
        }
        let probe = match self.breaker.permit(now.instant) {
            Permit::Yes => false,
            Permit::Probe => true,
            Permit::At(at) => return Next::At(at),
            Permit::AfterProbe => return Next::Idle,
        };
        if let Some(at) = self.rate.as_ref().map(|rate| rate.next_at(now.instant))
            && at > now.instant
        {
            return Next::At(at);
        }
        let Some(entry) = self.queue.take(now.time) else {
            return Next::Idle;
        };
        if let Some(rate) = &mut self.rate {
            rate.take(now.instant);
        }
        if probe {
            self.breaker.begin_probe();
        }
        Next::Go(Job { entry, probe })
    }

    /// The destination was tried, or the work turned out not to be needed; before what came of it is in the log.
    pub(super) fn judged(&mut self, probe: bool, sent: bool, verdict: Verdict, now: Instant) {
        let before = self.breaker.state(now);
        self.breaker.record(probe, verdict, now);
        let after = self.breaker.state(now);
        if before != after {
            let (destination, breaker) = (self.place.name.as_str(), after.as_str());
            tracing::warn!(destination, breaker, "the circuit breaker changed");
        }
        if let Some(rate) = self.rate.as_mut().filter(|_| !sent) {
            rate.give_back();
        }
    }

    /// Work that was taken out comes back.
    pub(super) fn finish(&mut self, opened_at: Position, after: After) {
        self.queue.give_back(opened_at, after);
    }

    /// What the log says of the destination.
    pub(super) fn know(&mut self, state: DestinationState) {
        if state.revision >= self.destination.revision {
            self.destination = state;
            self.held = false;
        }
    }

    /// How long the longest waiting delivery waits, in milliseconds.
    pub(super) fn lag_ms(&self, now: Timestamp) -> u64 {
        let since = self.queue.due_since();
        since.map_or(0, |due| u64::try_from(now.millis_since(due)).unwrap_or(0))
    }
}
