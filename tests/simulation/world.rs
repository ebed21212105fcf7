//! The world around Hooklog: time, chance, what goes wrong, and what outlives a crash.
//!
//! Each call of a port is a step. A step may take a while, so that others come in between, and may be the one at which the
//! process dies: then nothing of that life goes on, and the next one begins with what is durable.

use std::collections::VecDeque;
use std::fmt::Display;
use std::hash::Hasher as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain::{Clock, EventId, Timestamp};
use infra::log::simulated::SimulatedDisk;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bodies::Bodies;
use crate::chaos::Plan;
use crate::clickhouse::ClickHouse;
use crate::dice::Dice;
use crate::jetstream::JetStream;
use crate::log::LateAppends;
use crate::notes::Notes;
use crate::odds::Odds;
use crate::receiver::Receivers;
use crate::sender::Ledger;

/// The last steps that a failure tells of.
const STEPS_TOLD: usize = 400;
/// After so many lives none ends by itself any more, only by what is planned.
const SHORT_LIVES_MAX: u32 = 15;
/// When the world begins.
const BEGINNING_MS: i64 = 1_763_766_000_000;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// kill -9: what was written is still there.
    Kill,
    /// The power goes: of what was not synced, each sector survives or not.
    PowerCut,
}

/// What outlives a crash, and what decides.
pub struct World {
    pub odds: Odds,
    pub plan: Mutex<Plan>,
    pub ledger: Mutex<Ledger>,
    pub stream: JetStream,
    pub tables: ClickHouse,
    pub notes: Notes,
    pub bodies: Bodies,
    pub late_appends: LateAppends,
    pub receivers: Receivers,
    pub told: bool,
    /// In which life each event was handed to the log.
    pub handed: Mutex<std::collections::BTreeMap<EventId, u32>>,
    state: Mutex<State>,
    died: Notify,
    /// What must never happen, as soon as it was seen.
    violations: Mutex<Vec<String>>,
    pub counts: Mutex<std::collections::BTreeMap<&'static str, u64>>,
    calm: AtomicBool,
}

struct State {
    dice: Dice,
    disk: SimulatedDisk,
    /// Time that passed before this life.
    before: Duration,
    /// When this life began, on the clock of its runtime.
    since: Option<Instant>,
    /// What the clock is off, in milliseconds.
    skew_ms: i64,
    life: u32,
    steps: u64,
    /// The step at which this life ends.
    last_step: Option<u64>,
    death: Option<Death>,
    trace: VecDeque<String>,
    digest: std::hash::DefaultHasher,
    log_down_until: Duration,
}

impl World {
    pub fn new(seed: u64, told: bool) -> Arc<Self> {
        let mut dice = Dice::seeded(seed);
        let odds = Odds::drawn(&mut dice);
        let ledger = Ledger::drawn(&mut dice, &odds);
        let plan = Plan::drawn(&mut dice, &odds);
        Arc::new(Self {
            plan: Mutex::new(plan),
            ledger: Mutex::new(ledger),
            stream: JetStream::new(dice.between(40_000, 400_000)),
            tables: ClickHouse::default(),
            notes: Notes::default(),
            bodies: Bodies::default(),
            late_appends: LateAppends::default(),
            receivers: Receivers::default(),
            told,
            handed: Mutex::default(),
            state: Mutex::new(State {
                disk: SimulatedDisk::empty(),
                before: Duration::ZERO,
                since: None,
                skew_ms: 0,
                life: 0,
                steps: 0,
                last_step: None,
                death: None,
                trace: VecDeque::new(),
                digest: std::hash::DefaultHasher::new(),
                log_down_until: Duration::ZERO,
                dice,
            }),
            odds,
            died: Notify::new(),
            violations: Mutex::default(),
            counts: Mutex::default(),
            calm: AtomicBool::new(false),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Begins a life, on the runtime that it will have.
    pub fn begin_life(&self) -> u32 {
        let mut state = self.state();
        state.since = Some(Instant::now());
        state.life += 1;
        state.death = None;
        state.last_step = None;
        if !self.is_calm() && state.life < SHORT_LIVES_MAX && state.dice.percent(60) {
            state.last_step = Some(state.steps + state.dice.between(1, self.odds.life_steps));
        }
        state.life
    }

    /// Ends a life: what is durable stays.
    pub fn end_life(&self) {
        let mut state = self.state();
        state.before = state.elapsed();
        state.since = None;
        state.disk.heal();
        let death = state.death;
        if death == Some(Death::PowerCut) {
            let seed = state.dice.roll();
            state.disk = state.disk.after_power_cut(seed);
        }
        state.disk.set_full(false);
        let mut dice = Dice::seeded(state.dice.roll());
        drop(state);
        if death == Some(Death::PowerCut) {
            self.notes.after_power_cut(&mut dice);
        }
        self.bodies.after_crash();
        self.late_appends.after_crash(self.elapsed(), &mut dice);
        self.tables.after_crash(self, &mut dice);
        self.stream.after_crash(self.elapsed(), &mut dice);
    }

    /// The end of the last life; time stands.
    pub fn end(&self) {
        let mut state = self.state();
        state.before = state.elapsed();
        state.since = None;
    }

    /// A step of the code under test: it may take a while, and it may be the last one.
    pub async fn step(&self, what: impl Display + Send) {
        if self.take_step(&what) {
            std::future::pending::<()>().await;
        }
        match self.pause() {
            None => {}
            Some(Duration::ZERO) => tokio::task::yield_now().await,
            Some(pause) => tokio::time::sleep(pause).await,
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Counts a step; whether nothing goes on.
    fn take_step(&self, what: &dyn Display) -> bool {
        if self.is_dead() {
            return true;
        }
        self.say(what);
        let mut state = self.state();
        state.steps += 1;
        if state.last_step.is_some_and(|last| state.steps >= last) {
            let death = if state.dice.percent(50) {
                Death::Kill
            } else {
                Death::PowerCut
            };
            drop(state);
            self.die(death);
            return true;
        }
        false
    }

    fn pause(&self) -> Option<Duration> {
        let mut state = self.state();
        match state.dice.below(100) {
            0..55 => None,
            55..80 => Some(Duration::ZERO),
            80..97 => Some(Duration::from_micros(state.dice.between(10, 5000))),
            97..99 => Some(Duration::from_millis(state.dice.between(5, 50))),
            _ if self.is_calm() => None,
            _ => Some(Duration::from_millis(
                state.dice.between(50, self.odds.pause_ms_max),
            )),
        }
    }

    /// The process dies, now.
    pub fn die(&self, death: Death) {
        let mut state = self.state();
        if state.death.is_some() {
            return;
        }
        state.death = Some(death);
        drop(state);
        self.say(format!("*** the process dies: {death:?}"));
        self.count(match death {
            Death::Kill => "kills",
            Death::PowerCut => "power cuts",
        });
        self.died.notify_one();
    }

    pub fn is_dead(&self) -> bool {
        self.state().death.is_some()
    }

    /// Waits for the end of this life.
    pub async fn death(&self) {
        while !self.is_dead() {
            self.died.notified().await;
        }
    }

    /// From now on nothing goes wrong any more.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
        let mut state = self.state();
        state.last_step = None;
        state.log_down_until = Duration::ZERO;
        state.disk.set_full(false);
        drop(state);
        self.say("*** calm");
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// Whether something of so many in a hundred goes wrong.
    pub fn fails(&self, percent: u64) -> bool {
        !self.is_calm() && percent > 0 && self.state().dice.percent(percent)
    }

    /// A choice that is nobody's fault.
    pub fn between(&self, from: u64, to: u64) -> u64 {
        self.state().dice.between(from, to)
    }

    pub fn disk(&self) -> SimulatedDisk {
        self.state().disk.clone()
    }

    pub fn life(&self) -> u32 {
        self.state().life
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.state().elapsed()
    }

    /// The log refuses for a while.
    pub fn log_down_for(&self, time: Duration) {
        let mut state = self.state();
        state.log_down_until = state.elapsed() + time;
    }

    pub fn is_log_down(&self) -> bool {
        let state = self.state();
        state.elapsed() < state.log_down_until
    }

    /// Moves the clock, forth or back.
    pub fn skew(&self, ms: i64) {
        self.state().skew_ms += ms;
    }

    /// Takes down what happens.
    pub fn say(&self, what: impl Display) {
        let mut state = self.state();
        let line = format!(
            "{:>3}.{:<6} {:>10.4}s {what}",
            state.life,
            state.steps,
            state.elapsed().as_secs_f64()
        );
        state.digest.write(line.as_bytes());
        if self.told {
            println!("{line}");
            return;
        }
        state.trace.push_back(line);
        if state.trace.len() > STEPS_TOLD {
            state.trace.pop_front();
        }
    }

    /// A hash over everything that happened.
    pub fn digest(&self) -> u64 {
        self.state().digest.finish()
    }

    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// The last steps, for a person to read.
    pub fn last_steps(&self) -> String {
        self.state()
            .trace
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// Something that must never happen was seen.
    pub fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        self.say(format!("!!! {what}"));
        self.violations.lock().unwrap().push(what);
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// Counts what a run came by, so that a model in which nothing happens is found out.
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }
}

impl State {
    fn elapsed(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// The time of the world, as the process reads it.
pub struct WorldClock(pub Arc<World>);

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let state = self.0.state();
        let micros = i64::try_from(state.elapsed().as_micros()).unwrap();
        Timestamp::from_micros(BEGINNING_MS * 1000 + micros).plus_millis(state.skew_ms)
    }
}
