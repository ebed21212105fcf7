//! What is projected, and into what: the example payloads of GitHub, and a ClickHouse of our own.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use domain::testing::{MemoryLog, TestDelivery};
use domain::{Clock as _, EventLog as _, Position, Query, Tables};
use infra::clickhouse::{ClickHouse, ClickHouseOptions};
use infra::engine::{EngineOptions, Engines};
use projections::models;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Clockwork;

pub(crate) struct Store {
    engines: Engines,
    _directory: TempDir,
}

#[derive(Deserialize)]
struct Count {
    n: u64,
}

impl Store {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let options = EngineOptions {
            data_dir: directory.path().to_owned(),
            engines_dir: engines_dir(),
            ..EngineOptions::default()
        };
        let program = Path::new(env!("CARGO_BIN_EXE_hooklog"));
        let engines = Engines::start(&options, program)
            .await
            .expect("the engines start");
        Self {
            engines,
            _directory: directory,
        }
    }

    pub(crate) async fn stop(self) {
        self.engines.shutdown().await;
    }

    pub(crate) fn options(&self) -> ClickHouseOptions {
        let endpoints = self.engines.endpoints();
        let clickhouse = endpoints.clickhouse.as_ref().expect("ClickHouse runs");
        ClickHouseOptions {
            url: clickhouse.url.clone(),
            user: clickhouse.user.clone(),
            password: clickhouse.password.clone(),
            token: Some(clickhouse.token.clone()),
            ..ClickHouseOptions::default()
        }
    }

    pub(crate) fn tables(&self) -> ClickHouse {
        ClickHouse::new(self.options()).expect("a client of ClickHouse")
    }

    /// Nothing is left of the run before.
    pub(crate) async fn empty(&self) {
        let drop = Query::new("DROP DATABASE IF EXISTS hooklog SYNC");
        self.tables()
            .execute(&drop)
            .await
            .expect("the database is dropped");
    }

    /// Whether every partition of every read model holds everything up to a position.
    pub(crate) async fn holds(&self, head: Position, partitions: u32) -> bool {
        let query = Query::new(
            "SELECT count() AS n FROM hooklog.projection_progress FINAL WHERE upto = {head:UInt64}",
        );
        let tables = self.tables();
        let tables: &dyn Tables = &tables;
        let found: Vec<Count> = tables.query(&query.bind("head", head)).await.unwrap_or_default();
        let wanted = models::factories().len() as u64 * u64::from(partitions);
        found.first().is_some_and(|found| found.n == wanted)
    }
}

/// Puts so many deliveries into a log, each of an example payload under an id of its own; returns the bytes of their bodies.
pub(crate) async fn fill(log: &MemoryLog, deliveries: u64) -> u64 {
    let examples = examples();
    let mut bytes = 0;
    for (_, example) in (0..deliveries).zip(examples.iter().cycle()) {
        let mut delivery = example.clone();
        let fresh = TestDelivery::new(&example.event, Bytes::new());
        (delivery.event_id, delivery.delivery_id) = (fresh.event_id, fresh.delivery_id);
        delivery.received_at = Clockwork.now();
        bytes += delivery.body.len() as u64;
        log.append(delivery.append()).await.expect("it is appended");
    }
    bytes
}

#[derive(Deserialize)]
struct Example {
    event: String,
    body: String,
}

fn examples() -> Vec<TestDelivery> {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools");
    let tools = output(Command::new("bash").arg(programs.join("setup.sh")));
    let printed = output(
        Command::new("node")
            .arg(programs.join("examples.mjs"))
            .arg("a secret of the benchmark")
            .env("HOOKLOG_TEST_TOOLS", tools.trim()),
    );
    let lines = printed.lines().map(|line| {
        let example: Example = serde_json::from_str(line).expect("a delivery a line");
        let payload: Value = serde_json::from_str(&example.body).expect("a payload");
        let text = |pointer: &str| {
            payload
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let mut delivery = TestDelivery::new(&example.event, example.body);
        delivery.window_ms = 0;
        delivery.action = text("/action");
        delivery.repository = text("/repository/full_name");
        delivery
    });
    lines.collect()
}

fn output(command: &mut Command) -> String {
    let done = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
    String::from_utf8(done.stdout).expect("text")
}

/// Where `make engines` puts them.
fn engines_dir() -> PathBuf {
    #[allow(
        clippy::disallowed_methods,
        reason = "as the Makefile has them; no settings of the product"
    )]
    let variable = |name: &str| std::env::var_os(name);
    variable("HOOKLOG_ENGINES").map_or_else(
        || PathBuf::from(variable("HOME").expect("a home")).join(".cache/hooklog/engines"),
        PathBuf::from,
    )
}
