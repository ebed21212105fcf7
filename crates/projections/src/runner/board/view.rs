//! What is known of a build: of each of its partitions, whether this process fills it or another one does.

use std::collections::BTreeMap;

use domain::{Position, RecordedEvent, Spacing, Timestamp};
use tokio::time::Instant;

use super::status::{ProjectionState, RebuildStatus};
use super::watch::Watched;
use crate::builds::BuildRow;
use crate::lag::Lag;
use crate::progress::Reached;
use crate::runner::pace::Pace;

/// A build.
#[derive(Clone)]
pub(super) struct View {
    pub(super) build: u32,
    pub(super) incarnation: uuid::Uuid,
    partitions: u32,
    parts: BTreeMap<u32, Part>,
    pace: Pace,
    /// It is being made the one that is asked: too late to give it up.
    pub(super) swapping: bool,
    pub(super) watching: Option<Watched>,
}

/// A partition of it.
#[derive(Clone)]
struct Part {
    filled: Filled,
    state: ProjectionState,
    error: Option<String>,
    lag: Lag,
}

/// Who fills a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    Here,
    Elsewhere,
    /// Nobody that is known of.
    Not,
}

impl View {
    pub(super) fn of(row: &BuildRow) -> Self {
        Self {
            build: row.build,
            incarnation: row.incarnation,
            partitions: row.partitions.max(1),
            parts: BTreeMap::new(),
            pace: Pace::starting_at(Position::START, Instant::now()),
            swapping: false,
            watching: None,
        }
    }

    /// Whether this process fills any of it.
    pub(super) fn running(&self) -> bool {
        self.parts.values().any(Part::is_here)
    }

    pub(super) fn fills(&self, partition: u32) -> bool {
        self.parts.get(&partition).is_some_and(Part::is_here)
    }

    /// How many partitions there are, and how many of them are filled here.
    pub(super) fn partitions(&self) -> (u32, u32) {
        let here = self.parts.values().filter(|part| part.is_here()).count();
        (self.partitions, u32::try_from(here).unwrap_or(u32::MAX))
    }

    /// This process begins to fill a partition.
    pub(super) fn begin(&mut self, partition: u32, at: Position) {
        let state = if at == Position::START {
            ProjectionState::Rebuilding
        } else {
            ProjectionState::CatchingUp
        };
        let part = Part {
            filled: Filled::Here,
            state,
            error: None,
            lag: Lag::starting_at(at),
        };
        self.parts.insert(partition, part);
        let filled_before = self.parts.len() > 1;
        if !filled_before {
            self.pace = Pace::starting_at(at, Instant::now());
        }
    }

    /// It leaves it.
    pub(super) fn end(&mut self, partition: u32) {
        if let Some(part) = self.parts.get_mut(&partition) {
            part.filled = Filled::Not;
        }
    }

    /// What the store says of the partitions that others fill.
    pub(super) fn elsewhere(
        &mut self,
        reached: &[Reached],
        (head, spacing): (Position, Spacing),
        now: Timestamp,
    ) {
        let before = self.position();
        for of_part in reached.iter().filter(|one| one.incarnation == self.incarnation) {
            let part = self.parts.entry(of_part.partition).or_insert_with(|| Part {
                filled: Filled::Not,
                state: ProjectionState::CatchingUp,
                error: None,
                lag: Lag::starting_at(of_part.upto),
            });
            if part.is_here() {
                continue;
            }
            part.filled = Filled::Elsewhere;
            part.error = None;
            part.lag.stored(of_part.upto, of_part.at());
            if of_part.upto >= head {
                part.lag.at_head(now);
            }
            // Whoever fills it is at the head but for what is on its way.
            part.state = if part.lag.seconds(head, now) < ON_ITS_WAY_SECONDS {
                ProjectionState::Live
            } else {
                ProjectionState::CatchingUp
            };
        }
        let after = self.position();
        if after > before && !self.running() {
            let events = spacing.events_between(before, after);
            self.pace.done(after, events, Instant::now());
        }
    }

    /// Everything up to an event is in the tables, of one partition.
    pub(super) fn reached(&mut self, partition: u32, last: &RecordedEvent, events: u64) {
        let before = self.position();
        if let Some(part) = self.parts.get_mut(&partition) {
            part.error = None;
            part.lag.reached(last);
        }
        // A batch is counted once, with the last of its partitions.
        let after = self.position();
        if after > before {
            self.pace.done(after, Some(events), Instant::now());
        }
    }

    pub(super) fn live(&mut self, partition: u32, now: Timestamp) {
        self.with_part(partition, |part| {
            part.state = ProjectionState::Live;
            part.error = None;
            part.lag.at_head(now);
        });
    }

    pub(super) fn catching_up(&mut self, partition: u32) {
        self.with_part(partition, |part| {
            if part.state != ProjectionState::Rebuilding {
                part.state = ProjectionState::CatchingUp;
            }
        });
    }

    pub(super) fn failed(&mut self, partition: u32, error: &str) {
        self.with_part(partition, |part| part.error = Some(error.to_owned()));
    }

    fn with_part(&mut self, partition: u32, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.parts.get_mut(&partition) {
            change(part);
        }
    }

    /// What is wrong with a partition that is filled here.
    pub(super) fn error(&self) -> Option<String> {
        self.parts
            .values()
            .filter(|part| part.is_here())
            .find_map(|part| part.error.clone())
    }

    /// Everything up to here is in the tables, of every partition.
    pub(super) fn position(&self) -> Position {
        let known = (0..self.partitions).map(|partition| self.parts.get(&partition));
        let positions = known.map(|part| part.map_or(Position::START, |part| part.lag.position));
        positions.min().unwrap_or_default()
    }

    /// How long the oldest event that any partition lacks may have been waiting, in seconds.
    pub(super) fn lag_seconds(&self, head: Position, now: Timestamp) -> f64 {
        let lags = self.parts.values().map(|part| part.lag.seconds(head, now));
        lags.fold(0.0, f64::max)
    }

    /// What the partition that is furthest from being live is doing.
    pub(super) fn state(&self) -> ProjectionState {
        let filled = |partition| {
            let part = self.parts.get(&partition);
            part.is_some_and(|part| part.filled != Filled::Not)
        };
        if !(0..self.partitions).all(filled) {
            return ProjectionState::Waiting;
        }
        let states = || self.parts.values().map(|part| part.state);
        [ProjectionState::Rebuilding, ProjectionState::CatchingUp]
            .into_iter()
            .find(|state| states().any(|one| one == *state))
            .unwrap_or(ProjectionState::Live)
    }

    pub(super) fn rebuild(&self, head: Position, spacing: Spacing, now: Instant) -> RebuildStatus {
        let position = self.position();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of the log, for people to look at"
        )]
        let done = position.get() as f64 / head.get().max(1) as f64;
        let verifying = self
            .watching
            .as_ref()
            .map(|watched| watched.status(self.build, now));
        let filled = self.pace.seconds_to(head, now);
        RebuildStatus {
            build: self.build,
            position,
            lag_events: spacing.events_between(position, head),
            done: done.min(1.0),
            events_per_second: self.pace.events_per_second(now),
            eta_seconds: verifying
                .as_ref()
                .map_or(filled, |verifying| verifying.eta_seconds),
            verifying,
            error: self.error(),
        }
    }
}

impl Part {
    fn is_here(&self) -> bool {
        self.filled == Filled::Here
    }
}

/// An event that has waited longer than this for a partition filled elsewhere is not on its way any more.
const ON_ITS_WAY_SECONDS: f64 = 5.0;
