//! A process: a thread with a runtime of its own, which can be stopped in the middle of whatever it does.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::{EventLog, FanOut, Holder, Leases, LiveEvents, Onlooker, Tables};
use infra::clickhouse::ClickHouse;
use infra::jetstream::{JetStream, NatsLeases};
use infra::lease::{LeaseKeeper, LeaseOptions};
use projections::{
    ProjectionState, Projector, ProjectorHandle, ProjectorOptions, ProjectorPorts, Relay, RelayHandle,
    RelayOptions, RelayState, RelayStatus, VerifyReport, models,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{Clockwork, NoBodies, Parts, World};

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Everything,
    Relay,
    Projections,
    /// It only asks how they are, and for rebuilds.
    Asks,
}

pub(crate) struct Process {
    name: &'static str,
    stop: CancellationToken,
    kill: CancellationToken,
    /// Holds the thread until it is dropped.
    orders: tokio::sync::mpsc::UnboundedSender<Receiver<()>>,
    asleep: Mutex<Option<Sender<()>>>,
    relay: Option<RelayHandle>,
    projector: Option<ProjectorHandle>,
    thread: Option<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(name: &'static str, does: Does, parts: Parts) -> Self {
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        #[expect(clippy::disallowed_methods, reason = "a handful of orders of a test")]
        let (orders, mut received) = tokio::sync::mpsc::unbounded_channel::<Receiver<()>>();
        let (ready, started) = mpsc::channel();
        let (stopped, killed) = (stop.clone(), kill.clone());
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.spawn(async move {
                while let Some(until) = received.recv().await {
                    // The only thread of this process sleeps, and with it everything.
                    let _ = until.recv();
                }
            });
            runtime.block_on(async {
                tokio::select! {
                    () = run(does, parts, stopped, ready) => {}
                    () = killed.cancelled() => {}
                }
            });
            // What is left of it never runs again.
            runtime.shutdown_background();
        });
        let (relay, projector) = started.recv().unwrap();
        Self {
            name,
            stop,
            kill,
            orders,
            asleep: Mutex::default(),
            relay,
            projector,
            thread: Some(thread.unwrap()),
        }
    }

    /// Stops it in the middle of its work, as SIGSTOP does.
    pub(crate) fn sleep(&self) {
        let (wake, until) = mpsc::channel();
        *self.asleep.lock().unwrap() = Some(wake);
        self.orders.send(until).unwrap();
    }

    /// Lets it go on where it was.
    pub(crate) fn wake(&self) {
        self.asleep.lock().unwrap().take();
    }

    /// It dies at once, and gives nothing back.
    pub(crate) fn kill(mut self) {
        self.kill.cancel();
        self.thread.take().unwrap().join().unwrap();
    }

    /// It finishes what it does, and gives its leases back.
    pub(crate) fn stop(mut self) {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
    }

    pub(crate) fn relay(&self) -> Option<RelayStatus> {
        self.relay.as_ref().map(RelayHandle::status)
    }

    fn projector(&self) -> &ProjectorHandle {
        self.projector.as_ref().expect("it knows the projections")
    }

    /// It knows its place: somebody works, and it is this one or another.
    pub(crate) async fn stands_by_or_works(&self, world: &World) {
        world
            .until("it knows its place", || {
                self.relay()
                    .is_some_and(|status| status.state == RelayState::Live || status.active.is_some())
            })
            .await;
    }

    /// It is the one that publishes.
    pub(crate) async fn publishes(&self, world: &World) {
        let what = format!("{} publishes", self.name);
        world
            .until(&what, || {
                let states = [RelayState::Live, RelayState::CatchingUp];
                self.relay().is_some_and(|status| states.contains(&status.state))
            })
            .await;
    }

    /// As far as this process sees, all projections hold what the log held when this was asked.
    pub(crate) async fn has_caught_up(&self, world: &World) {
        let head = world.log.health().head;
        let what = format!("{} sees the projections at {head}", self.name);
        let seen = || {
            let statuses = self.projector().status();
            statuses.iter().all(|status| {
                status.position >= head
                    && status.rebuild.is_none()
                    && status.state != ProjectionState::Waiting
            })
        };
        world
            .until_or(&what, seen, || format!("{:#?}", self.projector().status()))
            .await;
    }

    pub(crate) async fn asks_build(&self, world: &World, build: u32) {
        let what = format!("{} sees build {build}", self.name);
        let seen = || {
            let statuses = self.projector().status();
            statuses
                .iter()
                .all(|status| status.build == build && status.rebuild.is_none())
        };
        world
            .until_or(&what, seen, || format!("{:#?}", self.projector().status()))
            .await;
    }

    pub(crate) async fn rebuild_all(&self) -> Vec<(String, u32)> {
        let begun = self.projector().rebuild_all().await;
        begun
            .into_iter()
            .map(|(name, build)| (name, build.unwrap()))
            .collect()
    }

    /// Every table equals a fold of the log.
    pub(crate) async fn tables_are_the_log(&self) {
        for status in self.projector().status() {
            let report: VerifyReport = self.projector().verify(&status.name).await.unwrap();
            assert!(report.is_equal(), "{}: {report:#?}", self.name);
        }
    }
}

type Handles = (Option<RelayHandle>, Option<ProjectorHandle>);

async fn run(does: Does, parts: Parts, stop: CancellationToken, ready: Sender<Handles>) {
    let stream = JetStream::connect(parts.nats.clone()).await.unwrap();
    let holder = Holder {
        instance: Uuid::now_v7(),
        host: "here".into(),
        roles: String::new(),
    };
    let options = LeaseOptions {
        ttl_ms: 1500,
        unreachable_ms: 1500,
        ..LeaseOptions::default()
    };
    let in_nats = Arc::new(NatsLeases::new(&options.bucket));
    in_nats.set(stream.clone());
    let log: Arc<dyn EventLog> = parts.log;
    let leases = LeaseKeeper::new(in_nats, log.id(), holder, options);
    let stream = Arc::new(stream);
    let mut tasks = tokio::task::JoinSet::new();
    let mut handles: Handles = (None, None);
    if matches!(does, Does::Everything | Does::Relay) {
        let fanout = Arc::clone(&stream) as Arc<dyn FanOut>;
        let options = RelayOptions::default();
        let (relay, handle) = Relay::build(options, Arc::clone(&log), fanout, Arc::new(Clockwork), &leases);
        handles.0 = Some(handle);
        tasks.spawn(relay.run(stop.clone()));
    }
    if does != Does::Relay {
        let shared: Arc<dyn Leases> = Arc::new(leases.clone());
        let ports = ProjectorPorts {
            log,
            live: stream as Arc<dyn LiveEvents>,
            tables: Arc::new(ClickHouse::new(parts.clickhouse).expect("a client of ClickHouse"))
                as Arc<dyn Tables>,
            bodies: Arc::new(NoBodies),
            clock: Arc::new(Clockwork),
            leases: if does == Does::Asks {
                Arc::new(Onlooker)
            } else {
                shared
            },
        };
        let options = ProjectorOptions {
            partitions: parts.partitions,
            block_size: 64,
            look_ms: 300,
            ..ProjectorOptions::default()
        };
        let (projector, handle) = Projector::build(options, models::factories(), ports);
        handles.1 = Some(handle);
        tasks.spawn(projector.run(stop.clone()));
    }
    ready.send(handles).unwrap();
    while tasks.join_next().await.is_some() {}
    leases.close().await;
    // The connection says good-bye.
    tokio::time::sleep(Duration::from_millis(10)).await;
}
