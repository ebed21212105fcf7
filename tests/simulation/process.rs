//! One life of the process: production code wired as `src/compose.rs` does, over the ports of this world.

use std::sync::Arc;
use std::time::Duration;

use domain::{EventLog, NameReactors, PageLimit, Position, ReplayEvent};
use infra::log::simulated::SimulatedLog;
use ingest::{Ingest, IngestOptions, Secret, SourceOptions};
use projections::{
    ProjectionState, Projector, ProjectorHandle, ProjectorOptions, ProjectorPorts, Relay, RelayHandle,
    RelayOptions, RelayState, models,
};
use tokio_util::sync::CancellationToken;

use crate::bodies::BodiesPort;
use crate::chaos::{Subject, chaos, resume_all};
use crate::clickhouse::TablesPort;
use crate::destinations::{self, Reacting};
use crate::jetstream::{JetStream, StreamPort};
use crate::log::{self, LogPort};
use crate::sender;
use crate::world::{Death, World, WorldClock};

/// How long everything may take to come to rest once nothing goes wrong any more.
const REST_WITHIN: Duration = Duration::from_secs(300);

/// How long a wiped engine may stay unnoticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);

/// How a life ended.
pub enum Life {
    /// In a crash; the next one follows.
    Died,
    /// Everything is done and at rest; here is the log to look into.
    AtRest(Arc<SimulatedLog>),
    /// It never came to rest.
    Restless(Arc<SimulatedLog>, String),
}

/// What can be asked of a running process.
pub struct Running {
    pub log: Arc<SimulatedLog>,
    pub relay: RelayHandle,
    pub projector: ProjectorHandle,
    reacting: Arc<Reacting>,
}

/// Lives until the process dies, or until all is done.
pub async fn live(world: Arc<World>) -> Life {
    let life = world.begin_life();
    world.say(format!("*** life {life} begins"));
    let Some(log) = open(&world) else {
        return Life::Died;
    };
    let running = start(&world, &log);
    let rest = tokio::select! {
        biased;
        () = world.death() => return Life::Died,
        rest = tokio::time::timeout(REST_WITHIN, rest(&world, &running)) => rest,
    };
    match rest {
        Ok(()) => Life::AtRest(log),
        Err(_) => Life::Restless(log, running.story()),
    }
}

/// Opens the log; the power may go meanwhile.
fn open(world: &Arc<World>) -> Option<Arc<SimulatedLog>> {
    let disk = world.disk();
    if world.fails(10) {
        disk.cut_after(world.between(1, 8));
    }
    let opened = SimulatedLog::open(&disk, log::options(), Arc::new(WorldClock(Arc::clone(world))));
    match opened {
        Ok(log) if !disk.is_off() => {
            disk.heal();
            Some(log)
        }
        Ok(_) => {
            world.count("power cuts while opening");
            world.die(Death::PowerCut);
            None
        }
        Err(_) if disk.is_off() => {
            world.count("power cuts while opening");
            world.die(Death::PowerCut);
            None
        }
        Err(error) => panic!("the log does not open: {error}"),
    }
}

fn start(world: &Arc<World>, log: &Arc<SimulatedLog>) -> Running {
    let shutdown = CancellationToken::new();
    let port = LogPort::new(world, log);
    let clock = Arc::new(WorldClock(Arc::clone(world)));
    let bodies = Arc::new(BodiesPort(Arc::clone(world)));
    let stream = Arc::new(StreamPort(Arc::clone(world)));
    tokio::spawn(log::writer(Arc::clone(world), Arc::clone(log)));
    tokio::spawn(log::stragglers(Arc::clone(world), Arc::clone(log)));
    tokio::spawn(JetStream::serve(Arc::clone(world)));

    let options = RelayOptions {
        page_events_max: 7,
        tail_check_ms: 2000,
        retry_ms_max: 1000,
        ..RelayOptions::default()
    };
    let (relay, relay_handle) = Relay::build(
        options,
        Arc::clone(&port) as Arc<dyn EventLog>,
        Arc::clone(&stream) as Arc<dyn domain::FanOut>,
        Arc::clone(&clock) as Arc<dyn domain::Clock>,
        &domain::Unshared,
    );
    tokio::spawn(relay.run(shutdown.clone()));
    let reacting = Arc::new(destinations::start(world, &port, &bodies));

    let ports = ProjectorPorts {
        log: Arc::clone(&port) as Arc<dyn EventLog>,
        live: stream,
        tables: Arc::new(TablesPort(Arc::clone(world))),
        bodies: Arc::clone(&bodies) as Arc<dyn domain::BodyStore>,
        clock: Arc::clone(&clock) as Arc<dyn domain::Clock>,
        leases: Arc::new(domain::Unshared),
    };
    let (projector, projector_handle) = Projector::build(projector_options(), models::factories(), ports);
    tokio::spawn(projector.run(shutdown));

    let router = Arc::clone(&reacting.router) as Arc<dyn NameReactors>;
    let ingest = ingest(port, bodies, clock, router);
    let senders = world.ledger.lock().unwrap().deliveries.len();
    for n in 0..senders {
        tokio::spawn(sender::sender(Arc::clone(world), ingest.clone(), n));
    }
    tokio::spawn(chaos(Arc::new(Subject {
        world: Arc::clone(world),
        projector: projector_handle.clone(),
        reacting: Arc::clone(&reacting),
    })));
    Running {
        log: Arc::clone(log),
        relay: relay_handle,
        projector: projector_handle,
        reacting,
    }
}

/// Small batches and blocks, so that a run has many of them.
fn projector_options() -> ProjectorOptions {
    ProjectorOptions {
        batch_events_max: 9,
        batch_wait_ms: 40,
        block_size: 8,
        partitions: 2,
        silent_ms: 300,
        retry_ms_max: 1000,
        check_ms: 2000,
        drop_after_ms: 1000,
        ..ProjectorOptions::default()
    }
}

fn ingest(
    log: Arc<LogPort>,
    bodies: Arc<BodiesPort>,
    clock: Arc<WorldClock>,
    reactors: Arc<dyn NameReactors>,
) -> Ingest {
    let options = IngestOptions {
        inline_bytes_max: 16_384,
        dedup_window_ms: 5000,
        ..IngestOptions::default()
    };
    let secret = Secret::new("first", sender::SECRET);
    let source = SourceOptions::new("github".parse().unwrap(), vec![secret]);
    Ingest::build(options, vec![source], log, bodies, clock, reactors).unwrap()
}

/// Waits until everything is done, twice in a row at the same head.
async fn rest(world: &Arc<World>, running: &Running) {
    let mut before: Option<Position> = None;
    let mut blow = Some(world.between(0, 3));
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let head = running.head();
        if world.is_calm() {
            resume_all(&running.reacting).await;
        }
        let at_rest = world.is_calm()
            && sender::all_done(world)
            && running.is_at_rest(head)
            && running.open_replays().await == 0;
        if at_rest && before == Some(head) {
            // All is well, and then somebody wipes an engine although nothing is going on.
            match blow.take() {
                None => return,
                Some(0) => world.stream.wipe(),
                Some(1) => world.tables.wipe(),
                Some(_) => {}
            }
            tokio::time::sleep(NOTICED_WITHIN).await;
        }
        before = at_rest.then_some(head);
        if at_rest {
            // Whatever was still under way somewhere arrives now.
            world.tables.settle();
        }
    }
}

impl Running {
    fn head(&self) -> Position {
        self.log.health().head
    }

    fn is_at_rest(&self, head: Position) -> bool {
        let relay = self.relay.status();
        let live = relay.state == RelayState::Live && relay.position == head;
        let reactors = self.reacting.reactors.status();
        let reacted = reactors.ready && reactors.position == head && reactors.open == 0;
        live && reacted
            && self.projector.status().iter().all(|projection| {
                projection.state == ProjectionState::Live
                    && projection.position == head
                    && projection.rebuild.is_none()
            })
    }

    /// Replays that have not ended, by the log.
    async fn open_replays(&self) -> usize {
        let mut open = std::collections::BTreeSet::new();
        let mut after = Position::START;
        loop {
            let page = self.log.read_all(after, PageLimit::default()).await.unwrap();
            let Some(last) = page.events.last() else {
                return open.len();
            };
            after = last.position;
            for event in &page.events {
                match ReplayEvent::of(event).transpose().unwrap() {
                    Some(ReplayEvent::Requested(_)) => {
                        open.insert(event.stream.clone());
                    }
                    Some(ReplayEvent::Completed(_) | ReplayEvent::Cancelled(_) | ReplayEvent::Failed(_)) => {
                        open.remove(&event.stream);
                    }
                    Some(ReplayEvent::Progressed(_)) | None => {}
                }
            }
        }
    }

    fn story(&self) -> String {
        format!(
            "head {}, reactors {:?}, relay {:?}, projections {:?}",
            self.head(),
            self.reacting.reactors.status(),
            self.relay.status(),
            self.projector.status()
        )
    }
}
