//! A world in memory for replays: a log that can be killed, a router, and somebody who is late.

mod causes;
mod orders;
mod property;
mod resuming;
mod running;
mod selection;
mod wire;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::testing::{
    Ending, ManualClock, MemoryCheckpoints, MemoryLog, Step, TestDelivery, decide_and_append,
};
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, DeliveryOutcome, DeliveryReceived, DeliveryState,
    DeliveryStatus, DestinationName, EventLog, LogHealth, LogId, LogPage, NewEvent, Outcome, PageLimit,
    Position, ReadError, RecordedEvent, ReplayFilter, ReplayId, ReplayOne, ReplayOrder, ReplayState,
    ReplayStatus, ReplayTo, Replays, Revision, Spacing, StreamName, TenantId, Timestamp, load_delivery,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::wire::Wire;
use super::*;

/// When the first delivery of a test is received.
const NOON: Timestamp = Timestamp::from_millis(1_763_812_800_000);

/// The settings of a test: `ci` wants everything, `cd` wants pushes, `other` is another tenant's.
struct Settings;

impl Wanting for Settings {
    fn wanting(&self, received: &DeliveryReceived) -> Vec<DestinationName> {
        if received.tenant.as_str() != "default" {
            return vec![name("other")];
        }
        let cd = (received.event == "push").then(|| name("cd"));
        [name("ci")].into_iter().chain(cd).collect()
    }

    fn is_destination(&self, tenant: &TenantId, name: &DestinationName) -> bool {
        match name.as_str() {
            "ci" | "cd" => tenant.as_str() == "default",
            other => other == "other" && tenant.as_str() != "default",
        }
    }
}

/// Shows the lag that it is told.
#[derive(Default)]
struct Lag(AtomicU64);

impl Pace for Lag {
    fn lag_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Remembers the dead letters that it is told.
#[derive(Default)]
struct Memory(Mutex<Option<RememberedDead>>);

impl DeadLetters for Memory {
    fn remembered(&self, _: &TenantId) -> Option<RememberedDead> {
        self.0.lock().unwrap().clone()
    }
}

/// What outlives a process.
struct World {
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    notes: Arc<MemoryCheckpoints>,
    lag: Arc<Lag>,
    memory: Arc<Memory>,
    options: ReactorOptions,
}

/// A process: a handle, and its runner once it is started.
struct Process {
    wire: Arc<Wire>,
    handle: ReplayHandle,
    runner: Option<ReplayRunner>,
    shutdown: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOON));
        let id = LogId::new(Uuid::from_u128(7));
        Self {
            log: Arc::new(MemoryLog::with_gaps(
                id,
                Arc::clone(&clock) as Arc<dyn domain::Clock>,
                3,
            )),
            clock,
            notes: Arc::new(MemoryCheckpoints::new()),
            lag: Arc::default(),
            memory: Arc::default(),
            options: ReactorOptions {
                replay_rate_per_second: 10_000,
                ..ReactorOptions::default()
            },
        }
    }

    /// A process whose runner has not begun.
    fn process(&self) -> Process {
        let wire = Wire::new(&self.log);
        let ports = ReplayPorts {
            log: Arc::clone(&wire) as Arc<dyn EventLog>,
            checkpoints: Arc::clone(&self.notes) as Arc<dyn Checkpoints>,
            new_id: Arc::new(Uuid::now_v7),
            router: Arc::new(Settings),
            pace: Arc::clone(&self.lag) as Arc<dyn Pace>,
            dead_letters: Arc::clone(&self.memory) as Arc<dyn DeadLetters>,
            leases: Arc::new(domain::Unshared),
        };
        let (runner, handle) = ReplayRunner::build(self.options.clone(), ports);
        Process {
            wire,
            handle,
            runner: Some(runner),
            shutdown: CancellationToken::new(),
            task: None,
        }
    }

    /// A process whose runner runs.
    fn started(&self) -> Process {
        let mut process = self.process();
        process.start();
        process
    }

    /// Puts a delivery into the log.
    async fn deliver(&self, delivery: &TestDelivery) -> StreamName {
        self.deliver_to("default", delivery).await
    }

    async fn deliver_to(&self, tenant: &str, delivery: &TestDelivery) -> StreamName {
        let mut received = delivery.received();
        received.tenant = tenant.parse().unwrap();
        let mut append = delivery.append();
        append.stream = received.stream();
        append.events[0].metadata = received.to_metadata();
        if let Some(content) = &mut append.content {
            content.tenant = received.tenant.clone();
        }
        self.log.append(append).await.unwrap();
        received.stream()
    }

    /// So many pushes, due at `ci`; a millisecond between each.
    async fn deliver_many(&self, count: usize) -> Vec<StreamName> {
        let mut streams = Vec::new();
        for n in 0..count {
            self.clock.advance_millis(1);
            streams.push(self.deliver(&push(n)).await);
        }
        streams
    }

    /// An attempt at a delivery.
    async fn attempt(&self, stream: &StreamName, destination: &str, ending: Ending) {
        let step = Step::Attempt(destination.to_owned(), ending);
        let command = |state: &DeliveryState| step.command(state, NOON).unwrap();
        decide_and_append(&*self.log, stream, command).await;
    }

    /// An event of a type, of which nobody can make anything.
    async fn garbage(&self, stream: &StreamName, event_type: &str) {
        let revision = self.events(stream).await.last().map(|event| event.revision);
        let append = Append {
            stream: stream.clone(),
            expected: revision.map_or(domain::Expected::NoStream, domain::Expected::Revision),
            events: vec![NewEvent {
                id: EventId::new(Uuid::now_v7()),
                event_type: event_type.parse().unwrap(),
                schema: 1,
                metadata: bytes::Bytes::from_static(b"{}"),
                data: domain::EventData::Inline(bytes::Bytes::new()),
            }],
            content: None,
        };
        self.log.append(append).await.unwrap();
    }

    async fn state(&self, stream: &StreamName) -> DeliveryState {
        let state = load_delivery(&*self.log, stream, None).await.unwrap();
        state.expect("a delivery")
    }

    async fn events(&self, stream: &StreamName) -> Vec<RecordedEvent> {
        let all = PageLimit {
            events: usize::MAX,
            bytes: usize::MAX,
        };
        self.log.read_stream(stream, Revision::new(0), all).await.unwrap()
    }

    async fn all(&self) -> Vec<RecordedEvent> {
        let all = PageLimit {
            events: usize::MAX,
            bytes: usize::MAX,
        };
        self.log.read_all(Position::START, all).await.unwrap().events
    }

    /// What a replay asked for: the stream, and the destinations, in the order of the log.
    async fn asked(&self, replay: ReplayId) -> Vec<(StreamName, Vec<String>)> {
        let mut asked = Vec::new();
        for event in self.all().await {
            if let Some(Ok(DeliveryOutcome {
                outcome: Outcome::ReplayRequested(request),
                ..
            })) = DeliveryOutcome::of(&event)
                && request.replay == Some(replay)
            {
                let names = request.destinations.iter().map(ToString::to_string);
                asked.push((event.stream, names.collect()));
            }
        }
        asked
    }

    async fn head(&self) -> Position {
        self.log.head().await.unwrap()
    }

    /// The dead letters of now, as the reactors would remember them.
    async fn remember(&self, streams: &[StreamName]) {
        let mut dead = Vec::new();
        for stream in streams {
            if self.state(stream).await.status() == DeliveryStatus::Dead {
                dead.push(stream.clone());
            }
        }
        let upto = self.head().await;
        *self.memory.0.lock().unwrap() = Some(RememberedDead { streams: dead, upto });
    }
}

impl Process {
    fn start(&mut self) {
        let runner = self.runner.take().expect("not started yet");
        let (shutdown, killed) = (self.shutdown.clone(), self.wire.killed.clone());
        self.task = Some(tokio::spawn(async move {
            // Dropping the runner drops whatever it was doing, as kill -9 does.
            tokio::select! {
                () = runner.run(shutdown) => {}
                () = killed.cancelled() => {}
            }
        }));
    }

    fn kill_after(&self, appends: u32, written: bool) {
        self.wire.faults().kill_after = Some((appends, written));
    }

    /// Waits until the runner has gone.
    async fn gone(&mut self) {
        let task = self.task.take().expect("a runner");
        within(task).await.unwrap();
    }

    async fn stop(&mut self) {
        self.shutdown.cancel();
        self.gone().await;
    }

    async fn start_replay(&self, order: ReplayOrder) -> ReplayId {
        self.handle.start(order).await.unwrap().requested.replay
    }

    /// Waits for the end of a replay.
    async fn ended(&self, replay: ReplayId) -> ReplayState {
        self.until(replay, |state| state.status != ReplayStatus::Running)
            .await
    }

    async fn until(&self, replay: ReplayId, holds: impl Fn(&ReplayState) -> bool) -> ReplayState {
        within(async {
            loop {
                let state = self.handle.state(&TenantId::default(), replay).await.unwrap();
                if holds(&state) {
                    return state;
                }
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// Carries out an order to its end.
    async fn carry_out(&self, order: ReplayOrder) -> ReplayState {
        let replay = self.start_replay(order).await;
        self.ended(replay).await
    }
}

/// Time is paused: an hour passes at once when nothing happens.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(3600), future)
        .await
        .expect("it happens within an hour")
}

fn name(name: &str) -> DestinationName {
    name.parse().unwrap()
}

fn push(n: usize) -> TestDelivery {
    TestDelivery {
        delivery_id: format!("d{n}"),
        received_at: NOON.plus_millis(i64::try_from(n).unwrap()),
        due: vec!["ci"],
        ..TestDelivery::new("push", format!("{{\"n\":{n}}}"))
    }
}

/// A replay of what fits, to processing.
fn order(filter: ReplayFilter) -> ReplayOrder {
    ReplayOrder {
        tenant: TenantId::default(),
        filter,
        to: ReplayTo::Processing,
        destinations: Vec::new(),
        dead_only: false,
        rate_per_second: None,
        to_position: None,
        requested_by: "olga".to_owned(),
        reason: Some("a test".to_owned()),
    }
}

fn everything() -> ReplayOrder {
    order(ReplayFilter::default())
}

fn one(delivery: &str) -> ReplayOne {
    ReplayOne {
        tenant: TenantId::default(),
        delivery: delivery.parse().unwrap(),
        to: ReplayTo::Processing,
        destinations: Vec::new(),
        requested_by: "olga".to_owned(),
        reason: None,
    }
}
