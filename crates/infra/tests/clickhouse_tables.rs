//! The tables against the real, embedded ClickHouse.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::{Query, Rows, TableError, Tables};
use infra::clickhouse::{ClickHouse, ClickHouseOptions};
use infra::engine::{EngineOptions, Engines};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use uuid::Uuid;

struct Server {
    _engines: Engines,
    _directory: TempDir,
    options: ClickHouseOptions,
}

impl Server {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = std::env::var_os("HOOKLOG_ENGINES").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/hooklog/engines"),
            PathBuf::from,
        );
        let options = EngineOptions {
            data_dir: directory.path().to_owned(),
            engines_dir: cache,
            nats: false,
            clickhouse_memory_bytes_max: 1 << 30,
            ..EngineOptions::default()
        };
        let engines = Engines::start(&options, Path::new(env!("CARGO_BIN_EXE_hooklog-engine")))
            .await
            .unwrap();
        let endpoint = engines.endpoints().clickhouse.clone().unwrap();
        let options = ClickHouseOptions {
            url: endpoint.url,
            user: endpoint.user,
            password: endpoint.password,
            token: Some(endpoint.token),
            ..ClickHouseOptions::default()
        };
        let server = Self {
            _engines: engines,
            _directory: directory,
            options,
        };
        server.tables().ping().await.unwrap();
        server
    }

    fn tables(&self) -> ClickHouse {
        ClickHouse::new(self.options.clone()).unwrap()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    position: u64,
    id: Uuid,
    #[serde(serialize_with = "ticks")]
    at: String,
    kind: String,
    labels: Vec<String>,
    duration_ms: Option<u32>,
}

/// A `DateTime64(6)`.
fn ticks<S: serde::Serializer>(time: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let time: domain::Timestamp = time.parse().unwrap();
    serializer.serialize_i64(time.as_micros())
}

fn row(position: u64) -> Row {
    Row {
        position,
        id: "0197c1f2-0000-7000-8000-000000000001".parse().unwrap(),
        at: "2026-07-01T12:34:56.123456Z".into(),
        kind: "it's a\ttab, a \\ and a ☃\n?".into(),
        labels: vec!["a'b".into(), "linux".into()],
        duration_ms: (position > 1).then_some(7),
    }
}

async fn create(tables: &ClickHouse) {
    let statement = "CREATE TABLE IF NOT EXISTS hooklog.events_s1_b1 (position UInt64, id UUID, \
        at DateTime64(6, 'UTC'), kind LowCardinality(String), labels Array(String), duration_ms Nullable(UInt32)) \
        ENGINE = ReplacingMergeTree ORDER BY position";
    tables.execute(&Query::new(statement)).await.unwrap();
}

#[derive(Serialize)]
struct Misspelt {
    pozition: u64,
}

#[derive(Serialize)]
struct TooNarrow {
    position: u8,
}

fn rows(range: std::ops::RangeInclusive<u64>) -> Rows {
    let mut rows = Rows::default();
    for position in range {
        rows.push(&row(position)).unwrap();
    }
    rows
}

async fn read(tables: &ClickHouse, query: &Query) -> Vec<Row> {
    let tables: &dyn Tables = tables;
    tables.query(query).await.unwrap()
}

#[derive(Deserialize)]
struct Count {
    n: u64,
}

async fn count(tables: &ClickHouse, sql: &str) -> u64 {
    let tables: &dyn Tables = tables;
    tables.query::<Count>(&Query::new(sql)).await.unwrap()[0].n
}

/// That is how of several processes which make a build one gets its number.
#[tokio::test]
async fn a_table_that_is_there_is_not_made_again() {
    let server = Server::start().await;
    let tables = server.tables();
    let claim = Query::new("CREATE TABLE hooklog.t_s1_b1 (a UInt8) ENGINE = ReplacingMergeTree ORDER BY a");
    tables.execute(&claim).await.unwrap();
    let again = tables.execute(&claim).await;
    assert!(matches!(again, Err(TableError::Refused(_))), "{again:?}");
}

#[tokio::test]
async fn rows_come_back_as_they_went_in() {
    let server = Server::start().await;
    let tables = server.tables();
    create(&tables).await;
    let mut all = rows(1..=3);
    all.push(&row(u64::MAX)).unwrap();
    tables.insert("events_s1_b1", all).await.unwrap();
    let everything = Query::new("SELECT * FROM events_s1_b1 ORDER BY position");
    assert_eq!(
        read(&tables, &everything).await,
        [row(1), row(2), row(3), row(u64::MAX)]
    );

    let query = Query::new(
        "SELECT * FROM hooklog.events_s1_b1 WHERE position >= {from:UInt64} AND kind = {kind:String} \
         AND hasAll(labels, {labels:Array(String)}) AND at = {at:DateTime64(6, 'UTC')} ORDER BY position LIMIT {limit:UInt32}",
    );
    let query = query
        .bind("from", 2)
        .bind("kind", row(1).kind)
        .bind("labels", r"['a\'b']")
        .bind("at", "2026-07-01 12:34:56.123456")
        .bind("limit", 2);
    assert_eq!(read(&tables, &query).await, [row(2), row(3)]);
    assert!(
        read(
            &tables,
            &Query::new("SELECT * FROM events_s1_b1 WHERE position = 9")
        )
        .await
        .is_empty()
    );
}

#[tokio::test]
async fn a_full_batch_is_one_block() {
    let server = Server::start().await;
    let tables = server.tables();
    create(&tables).await;
    let mut batch = Rows::default();
    for position in 1..=10_000 {
        let kind = "x".repeat(700);
        batch
            .push(&Row {
                kind,
                ..row(position)
            })
            .unwrap();
    }
    tables.insert("hooklog.events_s1_b1", batch).await.unwrap();
    assert_eq!(
        count(&tables, "SELECT count() AS n FROM events_s1_b1").await,
        10_000
    );
    let parts = "SELECT max(max_block_number) AS n FROM system.parts WHERE table = 'events_s1_b1' AND active";
    assert_eq!(count(&tables, parts).await, 1, "it was cut into several blocks");
}

#[tokio::test]
async fn what_will_never_succeed_is_refused() {
    let server = Server::start().await;
    let tables = server.tables();
    create(&tables).await;
    let refused = |result: Result<(), TableError>, why: &str| {
        assert!(
            matches!(&result, Err(TableError::Refused(text)) if text.contains(why)),
            "{why}: {result:?}"
        );
    };
    let mut misspelt = Rows::default();
    misspelt.push(&Misspelt { pozition: 2 }).unwrap();
    refused(tables.insert("events_s1_b1", misspelt).await, "pozition");
    let mut too_narrow = Rows::default();
    too_narrow.push(&TooNarrow { position: 2 }).unwrap();
    refused(
        tables.insert("events_s1_b1", too_narrow).await,
        "Cannot read all data",
    );
    refused(tables.insert("missing_s1_b1", rows(1..=1)).await, "missing_s1_b1");
    refused(tables.execute(&Query::new("SELEC 1")).await, "Syntax");
    refused(
        tables.read_only().insert("events_s1_b1", rows(1..=1)).await,
        "readonly",
    );
    let stranger = ClickHouse::new(ClickHouseOptions {
        password: "wrong".into(),
        ..server.options.clone()
    })
    .unwrap();
    refused(stranger.ping().await, "Authentication");
    let stranger = ClickHouse::new(ClickHouseOptions {
        token: None,
        ..server.options.clone()
    })
    .unwrap();
    refused(stranger.ping().await, "");
    assert_eq!(count(&tables, "SELECT count() AS n FROM events_s1_b1").await, 0);
    assert_eq!(
        count(&tables.read_only(), "SELECT count() AS n FROM events_s1_b1").await,
        0
    );
}

#[tokio::test]
async fn a_statement_nobody_waits_for_does_not_go_on() {
    let server = Server::start().await;
    let tables = server.tables();
    create(&tables).await;
    let endless = Query::new(
        "SELECT sum(sipHash64(number)) AS n FROM numbers(1000000000000) SETTINGS max_rows_to_read = 0",
    );
    let given_up = tokio::time::timeout(Duration::from_millis(300), tables.query_json(&endless)).await;
    assert!(given_up.is_err(), "{given_up:?}");
    gone(&tables).await;
    let hurried = ClickHouse::new(ClickHouseOptions {
        query_timeout_ms: 300,
        ..server.options.clone()
    })
    .unwrap();
    let late = hurried.query_json(&endless).await;
    assert!(matches!(late, Err(TableError::Unavailable(_))), "{late:?}");
    gone(&tables).await;
}

async fn gone(tables: &ClickHouse) {
    let running = "SELECT count() AS n FROM system.processes WHERE query LIKE '%numbers(1000000000000)%' \
                   AND query NOT LIKE '%processes%'";
    let deadline = Instant::now() + Duration::from_secs(10);
    while count(tables, running).await > 0 {
        assert!(Instant::now() < deadline, "the statement still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_statement_is_bounded_in_memory_and_answer() {
    let server = Server::start().await;
    let small = ClickHouse::new(ClickHouseOptions {
        query_memory_bytes_max: 20_000_000,
        answer_bytes_max: 1000,
        ..server.options.clone()
    })
    .unwrap();
    create(&small).await;
    let greedy = Query::new("SELECT groupArray(number) AS n FROM numbers(100000000)");
    let answer = small.query_json(&greedy).await;
    assert!(
        matches!(&answer, Err(TableError::Unavailable(text)) if text.contains("emory")),
        "{answer:?}"
    );
    let long = small
        .query_json(&Query::new("SELECT number FROM numbers(1000)"))
        .await;
    assert!(
        matches!(&long, Err(TableError::Refused(text)) if text.contains("1000 bytes")),
        "{long:?}"
    );
}

#[tokio::test]
async fn a_database_that_was_dropped_comes_back_with_the_next_table() {
    let server = Server::start().await;
    let tables = server.tables();
    create(&tables).await;
    tables
        .execute(&Query::new("DROP DATABASE hooklog SYNC"))
        .await
        .unwrap();
    create(&tables).await;
    tables.insert("events_s1_b1", rows(1..=5)).await.unwrap();
    let engine = "SELECT count() AS n FROM system.databases WHERE name = 'hooklog' AND engine = 'Atomic'";
    assert_eq!(count(&tables, engine).await, 1);
}
