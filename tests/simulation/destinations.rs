//! The destinations of this world, and the reactors and replays that serve them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Clock, EventId, EventLog, PublishError, PublishToSubject};
use reactors::destination::{Router, TargetPorts, plans};
use reactors::replay::{ReplayHandle, ReplayPorts, ReplayRunner};
use reactors::{
    DestinationOptions, DestinationPlan, Ordering, ReactorHandle, ReactorOptions, ReactorPorts, Reactors,
};
use tokio_util::sync::CancellationToken;
use uuid::{NoContext, Uuid};

use crate::bodies::BodiesPort;
use crate::log::LogPort;
use crate::notes::NotesPort;
use crate::receiver::Receiver;
use crate::world::{World, WorldClock};

/// Their names.
pub const NAMES: [&str; 3] = ["all", "ci", "docs"];

/// Small windows and short times, so that a run comes by every one of them.
pub fn options() -> ReactorOptions {
    ReactorOptions {
        retries_max: 3,
        retry_delay_ms: 300,
        retry_delay_ms_max: 3000,
        breaker_failures: 4,
        breaker_pause_ms: 1500,
        concurrency: 3,
        timeout_ms: 2000,
        window_max: 5,
        dead_letters_max: 3,
        checkpoint_interval_ms: 600,
        replay_rate_per_second: 12,
        replay_progress_interval_ms: 300,
        ..ReactorOptions::default()
    }
}

/// Attempts of a round at a destination.
pub fn attempts_max(destination: &str) -> usize {
    if destination == "ci" { 3 } else { 4 }
}

fn destination(name: &str) -> DestinationOptions {
    let json = serde_json::json!({ "name": name, "subject": format!("out.{name}") });
    serde_json::from_value(json).unwrap()
}

fn configured() -> Vec<DestinationOptions> {
    let [all, ci, docs] = NAMES.map(destination);
    let ci = DestinationOptions {
        events: vec!["workflow_job".into()],
        ordering: Ordering::Repository,
        retries_max: Some(2),
        ..ci
    };
    let docs = DestinationOptions {
        repositories: vec!["other/*".into()],
        rate_per_second: Some(20),
        concurrency: Some(1),
        ..docs
    };
    vec![all, ci, docs]
}

/// The receivers of this world stand in for subjects.
struct Nowhere;

#[async_trait]
impl PublishToSubject for Nowhere {
    async fn publish(&self, _: &str, _: Vec<(String, String)>, _: Bytes) -> Result<(), PublishError> {
        Err(PublishError::Unavailable("nothing is published here".into()))
    }
}

/// The reactors and the replays of a process, running.
pub struct Reacting {
    pub router: Arc<Router>,
    pub reactors: ReactorHandle,
    pub replays: ReplayHandle,
}

/// Starts them.
pub fn start(world: &Arc<World>, log: &Arc<LogPort>, bodies: &Arc<BodiesPort>) -> Reacting {
    let options = options();
    let bodies = Arc::clone(bodies) as Arc<dyn domain::BodyStore>;
    let ports = TargetPorts::new(bodies, Arc::new(Nowhere), "http://127.0.0.1:3000");
    let (plans, router) = plans(&options, &configured(), &ports).unwrap();
    let over = |plan: DestinationPlan| DestinationPlan {
        target: Arc::new(Receiver {
            world: Arc::clone(world),
            name: plan.name.to_string(),
        }),
        ..plan
    };
    let router = Arc::new(router);
    let ids = Arc::clone(world);
    let ports = ReactorPorts {
        log: Arc::clone(log) as Arc<dyn EventLog>,
        checkpoints: Arc::new(NotesPort(Arc::clone(world))),
        clock: Arc::new(WorldClock(Arc::clone(world))),
        new_id: Arc::new(move || EventId::new(new_id(&ids))),
        leases: Arc::new(domain::Unshared),
    };
    let plans = plans.into_iter().map(over).collect();
    let (reactors, handle) = Reactors::build(options.clone(), plans, ports).unwrap();
    let shutdown = CancellationToken::new();
    let (running, stop) = (Arc::clone(world), shutdown.clone());
    tokio::spawn(async move {
        let ended = reactors.run(stop).await;
        running.violation(format!("the reactors ended: {ended:?}"));
    });

    let ids = Arc::clone(world);
    let ports = ReplayPorts {
        log: Arc::clone(log) as Arc<dyn EventLog>,
        checkpoints: Arc::new(NotesPort(Arc::clone(world))),
        new_id: Arc::new(move || new_id(&ids)),
        router: Arc::clone(&router) as Arc<dyn reactors::replay::Wanting>,
        pace: Arc::new(handle.clone()),
        dead_letters: Arc::new(handle.clone()),
        leases: Arc::new(domain::Unshared),
    };
    let (runner, replays) = ReplayRunner::build(options, ports);
    tokio::spawn(runner.run(shutdown));
    Reacting {
        router,
        reactors: handle,
        replays,
    }
}

fn new_id(world: &Arc<World>) -> Uuid {
    let micros = u64::try_from(WorldClock(Arc::clone(world)).now().as_micros()).unwrap();
    let nanos = u32::try_from(micros % 1_000_000 * 1000).unwrap();
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, nanos))
}
