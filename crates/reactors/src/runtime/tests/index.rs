//! Whatever happens in the log, and in whatever steps it is read: the index holds what a fold of all streams says is open.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use domain::testing::{ManualClock, MemoryLog, TestDelivery};
use domain::{
    Attempt, AttemptResult, DeliveryCommand, DeliveryState, ErrorCode, EventId, EventLog, Failure, LogId,
    PageLimit, Position, ReplayId, ReplayTo, StreamName, Timestamp, Work, load_delivery,
};
use futures_util::FutureExt;
use proptest::prelude::*;
use uuid::Uuid;

use super::doubles::{BEGIN, ScriptedTarget, name};
use crate::runtime::board::Board;
use crate::runtime::dead::DeadLetters;
use crate::runtime::entry::{After, before};
use crate::runtime::fact::{Fact, News};
use crate::runtime::lane::{CatchUp, Lane};
use crate::{DestinationPlan, Ordering, ReactorOptions};

const NAMES: [&str; 2] = ["ci", "cd"];
const FOREVER: Timestamp = Timestamp::from_millis(i64::MAX / 1_000_000);

/// A step of somebody.
#[derive(Debug, Clone)]
enum Step {
    Deliver {
        due: u8,
    },
    Replay {
        which: usize,
        at: u8,
    },
    /// An attempt by another process.
    Elsewhere {
        which: usize,
        at: usize,
        ends: bool,
    },
    /// The shared reader reads a page.
    Read {
        events: usize,
    },
    /// A lane that is behind reads a page.
    CatchUp {
        lane: usize,
        events: usize,
    },
    /// A lane attempts its most urgent.
    Work {
        lane: usize,
        ends: bool,
    },
}

struct World {
    log: MemoryLog,
    board: Board,
    streams: Vec<StreamName>,
    ids: u128,
    /// What a lane read and has no room for.
    pending: HashMap<usize, (VecDeque<News>, Position)>,
    window_max: usize,
}

impl World {
    fn new(window_max: usize, ordering: Ordering) -> Self {
        let options = ReactorOptions {
            window_max,
            ..ReactorOptions::default()
        };
        let plans = NAMES.map(|text| {
            let target = Arc::new(ScriptedTarget::default());
            let mut plan = DestinationPlan::new(name(text), "default".parse().unwrap(), target, &options);
            plan.ordering = ordering;
            plan
        });
        let lanes: Vec<Lane> = plans.iter().map(|plan| Lane::new(plan, &options)).collect();
        let places = lanes.iter().enumerate().map(|(i, lane)| (lane.place.clone(), i));
        let places = Arc::new(places.collect());
        let clock = Arc::new(ManualClock::at(BEGIN));
        Self {
            log: MemoryLog::with_gaps(LogId::new(Uuid::from_u128(1)), clock, 2),
            board: Board::new(lanes, places, DeadLetters::new(Vec::new(), true, 1000)),
            streams: Vec::new(),
            ids: 0,
            pending: HashMap::new(),
            window_max,
        }
    }

    fn id(&mut self) -> EventId {
        self.ids += 1;
        EventId::new(Uuid::from_u128(self.ids))
    }

    fn state(&self, stream: &StreamName) -> DeliveryState {
        let loaded = load_delivery(&self.log, stream, None).now_or_never();
        loaded.unwrap().unwrap().unwrap()
    }

    fn append(&mut self, state: &DeliveryState, command: DeliveryCommand) -> bool {
        let id = self.id();
        let Ok(Some(outcome)) = state.decide(command) else {
            return false;
        };
        let append = self.log.append(state.append(&outcome, id)).now_or_never();
        append.unwrap().unwrap();
        true
    }

    fn attempt(&mut self, stream: &StreamName, round: EventId, at: &str, ends: bool) -> After {
        let state = self.state(stream);
        let part = state.destinations.get(&name(at));
        let Some(part) = part.filter(|part| part.work == Work::Open && part.round.opened_by == round) else {
            return After::Over;
        };
        let number = u32::try_from(part.attempts.len()).unwrap() + 1;
        let attempt = Attempt {
            number,
            started_at: BEGIN,
            duration_us: 1,
            target: "test://".into(),
            idempotency_key: String::new(),
            headers: None,
            response: None,
            failure: (!ends).then(|| Failure::new(ErrorCode::NetworkError, "no")),
        };
        let due_at = BEGIN.plus_millis(i64::from(number) * 1000);
        let result = match (ends, number) {
            (true, _) => AttemptResult::Delivered(attempt),
            (false, 3..) => AttemptResult::GivenUp(attempt),
            (false, _) => AttemptResult::RetryAt(attempt, due_at),
        };
        let over = !matches!(result, AttemptResult::RetryAt(..));
        self.append(
            &state,
            DeliveryCommand::RecordAttempt {
                destination: name(at),
                round,
                result,
            },
        );
        if over {
            After::Over
        } else {
            After::Later {
                due_at,
                attempts: number,
                revision: self.state(stream).revision,
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Deliver { due } => {
                let mut delivery = TestDelivery::new("push", "x");
                delivery.event_id = self.id();
                delivery.delivery_id = self.ids.to_string();
                delivery.repository = (!self.ids.is_multiple_of(3)).then(|| format!("org/{}", self.ids % 3));
                delivery.window_ms = 0;
                let mut received = delivery.received();
                received.reactors_due = some(*due).map(|name| format!("destination:{name}")).collect();
                let mut append = delivery.append();
                append.events[0].metadata = received.to_metadata();
                self.log.append(append).now_or_never().unwrap().unwrap();
                self.streams.push(received.stream());
            }
            Step::Replay { which, at } => {
                let Some(stream) = self.pick(*which) else { return };
                let (state, replay) = (self.state(&stream), ReplayId::new(Uuid::from_u128(self.ids)));
                let command = DeliveryCommand::Replay {
                    to: ReplayTo::Processing,
                    destinations: some(*at).map(name).collect(),
                    replay,
                    requested_by: "test".into(),
                    reason: None,
                };
                self.append(&state, command);
            }
            Step::Elsewhere { which, at, ends } => {
                let Some(stream) = self.pick(*which) else { return };
                let at = NAMES[at % NAMES.len()];
                let state = self.state(&stream);
                if let Some(part) = state.destinations.get(&name(at)) {
                    self.attempt(&stream, part.round.opened_by, at, *ends);
                }
            }
            Step::Read { events } => self.read(*events),
            Step::CatchUp { lane, events } => self.catch_up(lane % NAMES.len(), *events),
            Step::Work { lane, ends } => self.work(lane % NAMES.len(), *ends),
        }
    }

    fn pick(&self, which: usize) -> Option<StreamName> {
        let streams = self.streams.len();
        (streams > 0).then(|| self.streams[which % streams].clone())
    }

    fn page(&self, after: Position, events: usize) -> (Vec<News>, Option<(Position, EventId)>) {
        let limit = PageLimit {
            events,
            bytes: usize::MAX,
        };
        let page = self.log.read_all(after, limit).now_or_never().unwrap().unwrap();
        let news = page.events.iter().filter_map(|event| News::of(event).unwrap());
        let mut news: Vec<News> = news.collect();
        for news in &mut news {
            if let Fact::Opened(opened) = &mut news.fact {
                opened.due.iter_mut().for_each(|due| due.priority = Some(0));
            }
        }
        let last = page.events.last().map(|event| (event.position, event.id));
        (news, last)
    }

    fn read(&mut self, events: usize) {
        let (news, last) = self.page(self.board.position, events);
        if let Some(last) = last {
            self.board.hear(&news, last);
        }
    }

    fn catch_up(&mut self, index: usize, events: usize) {
        let Some(behind) = self.board.lanes[index].behind() else {
            return;
        };
        let place = self.board.lanes[index].place.clone();
        let (mut found, last) = self.pending.remove(&index).unwrap_or_else(|| {
            let (news, last) = self.page(behind, events);
            let mine = |news: &News| match &news.fact {
                Fact::Opened(opened) => opened.due.iter().any(|due| due.place == place),
                Fact::Failed { place: of, .. } | Fact::Closed { place: of, .. } => *of == place,
                Fact::Destination(_) | Fact::NotUnderstood => false,
            };
            let last = last.map_or(behind, |(position, _)| position);
            (news.into_iter().filter(mine).collect(), last)
        });
        let reader = self.board.position;
        if self.board.lanes[index].catch_up(&mut found, last, reader) == CatchUp::Full {
            self.pending.insert(index, (found, last));
        }
    }

    fn work(&mut self, index: usize, ends: bool) {
        let Some(entry) = self.board.lanes[index].queue.take(FOREVER) else {
            return;
        };
        let after = self.attempt(&entry.stream, entry.round, NAMES[index], ends);
        self.board.lanes[index].finish(entry.opened_at, after);
    }

    /// What a fold of all streams says is open at a destination: opened at, stream, round, failures, due.
    fn open(&self, at: &str) -> Vec<(Position, StreamName, EventId, u32, Timestamp)> {
        let mut open = Vec::new();
        for stream in &self.streams {
            let state = self.state(stream);
            if let Some(part) = state.destinations.get(&name(at))
                && part.work == Work::Open
            {
                let attempts = u32::try_from(part.attempts.len()).unwrap();
                let round = part.round.opened_by;
                open.push((part.round.opened_at, stream.clone(), round, attempts, part.due_at));
            }
        }
        open.sort();
        open
    }

    /// Nothing that was read is lost, and nothing is held that does not fit.
    fn check(&self) {
        for (lane, at) in self.board.lanes.iter().zip(NAMES) {
            let held = lane.queue.entries();
            assert!(held.len() <= self.window_max);
            let upto = lane
                .behind()
                .unwrap_or(self.board.position)
                .min(self.board.position);
            for (opened_at, stream, round, ..) in self.open(at) {
                let found = held
                    .iter()
                    .any(|entry| entry.round == round && *entry.stream == stream);
                assert!(found || opened_at > upto, "{stream} is lost at {at}");
                assert!(
                    lane.mark(self.board.position) <= before(opened_at),
                    "the mark is ahead"
                );
            }
        }
    }

    /// Reads all there is and works off what does not fit, then compares.
    fn settle(&mut self) {
        let head = self.log.head().now_or_never().unwrap().unwrap();
        for _ in 0..10_000 {
            if self.board.position == head && self.board.lanes.iter().all(Lane::keeps_up) {
                break;
            }
            self.read(3);
            for index in 0..NAMES.len() {
                self.catch_up(index, 3);
                if self.pending.contains_key(&index) {
                    self.work(index, true);
                }
            }
            if self.log.head().now_or_never().unwrap().unwrap() != head {
                return self.settle();
            }
        }
        for (lane, at) in self.board.lanes.iter().zip(NAMES) {
            let held = lane.queue.entries().into_iter();
            let held = held.map(|e| {
                (
                    e.opened_at,
                    e.stream.as_ref().clone(),
                    e.round,
                    e.attempts,
                    e.due_at,
                )
            });
            assert!(lane.keeps_up());
            assert_eq!(held.collect::<Vec<_>>(), self.open(at));
            assert_eq!(
                lane.queue.retrying(),
                self.open(at).iter().filter(|open| open.3 > 0).count()
            );
        }
        let dead = self.streams.iter().filter(|stream| {
            let state = self.state(stream);
            state.destinations.values().any(|part| part.work == Work::Dead)
        });
        let mut dead: Vec<StreamName> = dead.cloned().collect();
        let letters = self.board.dead.all().into_iter();
        let mut remembered: Vec<StreamName> = letters.map(|letter| letter.stream.as_ref().clone()).collect();
        dead.sort();
        remembered.sort();
        assert_eq!(remembered, dead);
    }
}

fn some(bits: u8) -> impl Iterator<Item = &'static str> {
    NAMES
        .into_iter()
        .enumerate()
        .filter(move |(bit, _)| bits >> bit & 1 == 1)
        .map(|(_, name)| name)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..4).prop_map(|due| Step::Deliver { due }),
        1 => (any::<usize>(), 0_u8..4).prop_map(|(which, at)| Step::Replay { which, at }),
        2 => (any::<usize>(), any::<usize>(), any::<bool>())
            .prop_map(|(which, at, ends)| Step::Elsewhere { which, at, ends }),
        3 => (1_usize..5).prop_map(|events| Step::Read { events }),
        3 => (any::<usize>(), 1_usize..5).prop_map(|(lane, events)| Step::CatchUp { lane, events }),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(lane, ends)| Step::Work { lane, ends }),
    ]
}

proptest! {
    #[test]
    fn the_index_is_what_a_fold_of_all_streams_says(
        steps in prop::collection::vec(step(), 0..100),
        window_max in prop_oneof![1_usize..5, Just(1000)],
        ordered in any::<bool>(),
    ) {
        let ordering = if ordered { Ordering::Repository } else { Ordering::None };
        let mut world = World::new(window_max, ordering);
        for step in &steps {
            world.step(step);
            if matches!(step, Step::Read { .. } | Step::CatchUp { .. } | Step::Work { .. }) {
                world.check();
            }
        }
        world.settle();
    }
}
