//! A process that projects: a thread with a runtime of its own, and the leases of its share of the partitions.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{MemoryLog, TestLeases};
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, Clock, FanOutError, LeaseName, Leases, LiveEvents,
    LiveSubscription, Position, SharedWork, Timestamp, Unshared,
};
use infra::clickhouse::{ClickHouse, ClickHouseOptions};
use projections::{Projector, ProjectorOptions, ProjectorPorts, models};
use tokio_util::sync::CancellationToken;

use crate::Way;

/// The system's clock.
pub(crate) struct Clockwork;

impl Clock for Clockwork {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time after 1970");
        Timestamp::from_micros(i64::try_from(since.as_micros()).expect("a time of today"))
    }
}

/// Bodies are in the events here.
struct NoBodies;

#[async_trait]
impl BodyStore for NoBodies {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        Err(BodyError::NoRoom("there is no body store here".into()))
    }

    async fn read(&self, body: &BodyRef, _: u64, _: usize) -> Result<Bytes, BodyError> {
        Err(BodyError::Missing(body.sha256))
    }

    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        Ok(0)
    }
}

/// Nobody publishes: all is read from the log.
struct NoStream;

#[async_trait]
impl LiveEvents for NoStream {
    async fn follow(&self, _: Position) -> Result<Box<dyn LiveSubscription>, FanOutError> {
        Err(FanOutError::Unavailable("there is no stream here".into()))
    }
}

pub(crate) struct Process {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Process {
    /// Starts one of those of a way, which has every partition that is its turn.
    pub(crate) fn start(way: Way, nth: u32, log: Arc<MemoryLog>, clickhouse: ClickHouseOptions) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            // As `serve` has it.
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let ports = ProjectorPorts {
                log,
                live: Arc::new(NoStream),
                tables: Arc::new(ClickHouse::new(clickhouse).expect("a client of ClickHouse")),
                bodies: Arc::new(NoBodies),
                clock: Arc::new(Clockwork),
                leases: leases(way, nth),
            };
            let options = ProjectorOptions {
                partitions: way.partitions,
                // The others hear at once that the first has made the builds.
                look_ms: 50,
                ..ProjectorOptions::default()
            };
            let (projector, _) = Projector::build(options, models::factories(), ports);
            runtime.block_on(projector.run(stopped));
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) {
        self.stop.cancel();
        self.thread.join().expect("it ends");
    }
}

fn leases(way: Way, nth: u32) -> Arc<dyn Leases> {
    if way.processes == 1 {
        return Arc::new(Unshared);
    }
    let leases = TestLeases::new();
    for part in (0..way.partitions).filter(|part| part % way.processes == nth) {
        leases.give(LeaseName::new(SharedWork::Project, part));
    }
    Arc::new(leases)
}
