//! What the processes share: a log, NATS, ClickHouse, and deliveries that come in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{MemoryLog, TestDelivery};
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, Clock, EventLog, LiveEvents, LogId, PageLimit, Position,
    Timestamp,
};
use infra::clickhouse::{ClickHouse, ClickHouseOptions};
use infra::engine::{EngineOptions, Engines};
use infra::jetstream::{JetStream, JetStreamOptions};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::DEADLINE;
use crate::process::{Does, Process};

/// The system's clock.
pub(crate) struct Clockwork;

impl Clock for Clockwork {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }
}

/// Bodies are in the events here.
pub(crate) struct NoBodies;

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

/// What a process is made of.
pub(crate) struct Parts {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) nats: JetStreamOptions,
    pub(crate) clickhouse: ClickHouseOptions,
    pub(crate) partitions: u32,
}

pub(crate) struct World {
    pub(crate) log: Arc<MemoryLog>,
    engines: Engines,
    pub(crate) partitions: u32,
    _directory: TempDir,
}

/// Deliveries that keep coming.
pub(crate) struct Load {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Load {
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl World {
    pub(crate) async fn new(partitions: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = EngineOptions {
            data_dir: directory.path().to_owned(),
            engines_dir: engines_dir(),
            jetstream_bytes_max: 512 << 20,
            ..EngineOptions::default()
        };
        let program = Path::new(env!("CARGO_BIN_EXE_hooklog"));
        let engines = Engines::start(&options, program).await.unwrap();
        let log = MemoryLog::with_gaps(LogId::new(Uuid::now_v7()), Arc::new(Clockwork), 3);
        Self {
            log: Arc::new(log),
            engines,
            partitions,
            _directory: directory,
        }
    }

    pub(crate) async fn end(self) {
        self.engines.shutdown().await;
    }

    pub(crate) fn start(&self, name: &'static str, does: Does) -> Process {
        Process::start(name, does, self.parts())
    }

    pub(crate) fn tables(&self) -> ClickHouse {
        ClickHouse::new(self.parts().clickhouse).expect("a client of ClickHouse")
    }

    fn parts(&self) -> Parts {
        let endpoints = self.engines.endpoints();
        let (nats, clickhouse) = (
            endpoints.nats.as_ref().unwrap(),
            endpoints.clickhouse.as_ref().unwrap(),
        );
        Parts {
            log: Arc::clone(&self.log),
            nats: JetStreamOptions {
                url: nats.url.clone(),
                token: Some(nats.token.clone()),
                bytes_max: 64 << 20,
                ..JetStreamOptions::default()
            },
            clickhouse: ClickHouseOptions {
                url: clickhouse.url.clone(),
                user: clickhouse.user.clone(),
                password: clickhouse.password.clone(),
                token: Some(clickhouse.token.clone()),
                ..ClickHouseOptions::default()
            },
            partitions: self.partitions,
        }
    }

    /// Pushes, and jobs that are announced out of order and more than once, over several repositories.
    pub(crate) async fn deliver(&self, count: u64) {
        for n in 0..count {
            deliver_one(&self.log, n).await;
        }
    }

    pub(crate) fn keep_delivering(&self) -> Load {
        let stop = CancellationToken::new();
        let (log, stopped) = (Arc::clone(&self.log), stop.clone());
        let task = tokio::spawn(async move {
            for n in 1000.. {
                deliver_one(&log, n).await;
                let pause = sleep(std::time::Duration::from_millis(25));
                if stopped.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        });
        Load { stop, task }
    }

    /// The stream holds every event of the log, once, in its order, each with what precedes it.
    pub(crate) async fn stream_is_the_log(&self) {
        let stream = JetStream::connect(self.parts().nats).await.unwrap();
        self.until("the stream can be read", || stream.is_connected())
            .await;
        let mut live = stream.follow(Position::START).await.unwrap();
        let mut previous = Position::START;
        let mut after = Position::START;
        loop {
            let page = self.log.read_all(after, PageLimit::default()).await.unwrap();
            let Some(last) = page.events.last() else { break };
            after = last.position;
            for event in &page.events {
                let message = timeout(DEADLINE, live.next())
                    .await
                    .expect("the stream ends early")
                    .unwrap();
                assert_eq!((message.log_id, message.previous), (self.log.id(), previous));
                assert_eq!(&message.event, event);
                previous = event.position;
            }
        }
        let more = timeout(std::time::Duration::from_millis(300), live.next()).await;
        assert!(more.is_err(), "it holds more than the log: {more:?}");
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        self.until_or(what, holds, String::new).await;
    }

    pub(crate) async fn until_or(&self, what: &str, holds: impl Fn() -> bool, else_say: impl Fn() -> String) {
        let deadline = Instant::now() + DEADLINE;
        while !holds() {
            assert!(Instant::now() < deadline, "never: {what}\n{}", else_say());
            sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

async fn deliver_one(log: &MemoryLog, n: u64) {
    let mut delivery = if n.is_multiple_of(3) {
        let state = ["completed", "queued", "in_progress"][usize::try_from(n / 3 % 3).unwrap()];
        let mut delivery = TestDelivery::new("workflow_job", job(n / 9, state));
        delivery.action = Some(state.into());
        delivery
    } else {
        TestDelivery::new("push", format!("{{\"ref\":\"refs/heads/main\",\"n\":{n}}}"))
    };
    delivery.window_ms = 0;
    delivery.repository = Some(format!("octo-org/repo-{}", n % 5));
    delivery.received_at = Clockwork.now();
    log.append(delivery.append()).await.unwrap();
}

fn job(id: u64, state: &str) -> String {
    let ended = state == "completed";
    serde_json::json!({"action": state, "workflow_job": {
        "id": 500 + id, "run_id": 900, "run_attempt": 1, "name": "test", "workflow_name": "CI", "head_branch": "main",
        "head_sha": "e3103f8e", "status": state, "conclusion": ended.then_some("success"),
        "created_at": "2026-11-21T10:00:00Z", "started_at": "2026-11-21T10:00:20Z",
        "completed_at": ended.then_some("2026-11-21T10:03:20Z"), "labels": ["self-hosted"], "runner_id": 41,
        "runner_name": "runner-41", "runner_group_id": null, "runner_group_name": null,
        "html_url": "https://github.com/octo-org/octo-repo/actions/runs/900/job/501",
    }})
    .to_string()
}

/// Where `make engines` puts them.
fn engines_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name);
    variable("HOOKLOG_ENGINES").map_or_else(
        || PathBuf::from(variable("HOME").unwrap()).join(".cache/hooklog/engines"),
        PathBuf::from,
    )
}
