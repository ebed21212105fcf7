//! No engine outlives the process that started it, and no two run on the same data.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use infra::engine::{EngineError, EngineOptions, Engines};
use rustix::process::Signal;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{Client, PROGRAM, Running, below, engines_dir, options, runs, signal, until};

/// A process with both engines below it.
async fn parent(dir: &Path) -> (Child, serde_json::Value) {
    let mut child = Command::new(PROGRAM)
        .arg("serve")
        .args([dir, &engines_dir()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .await
        .unwrap();
    (
        child,
        serde_json::from_str(&line).expect("the parent prints where its engines are"),
    )
}

#[tokio::test]
async fn a_killed_parent_takes_its_engines_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = parent(dir.path()).await;
    let pid = child.id().unwrap();
    let engines = below(pid);
    assert_eq!(
        engines.len(),
        3,
        "ClickHouse, the NATS server and its wrapper: {engines:?}"
    );
    let killed = Instant::now();
    signal(pid, Signal::KILL);
    until("all engines are gone", Duration::from_secs(3), || {
        !engines.iter().copied().any(runs)
    })
    .await;
    assert!(killed.elapsed() < Duration::from_secs(3));
    child.wait().await.unwrap();

    // A successor gets going at once, on the same data.
    let (mut child, _) = parent(dir.path()).await;
    signal(child.id().unwrap(), Signal::INT);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_stopped_parent_leaves_no_process_and_keeps_secrets_and_data() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, first) = parent(dir.path()).await;
    let pid = child.id().unwrap();
    let engines = below(pid);
    signal(pid, Signal::INT);
    assert!(child.wait().await.unwrap().success());
    assert!(!engines.iter().copied().any(runs));

    let (mut child, second) = parent(dir.path()).await;
    for key in ["token", "password", "url"] {
        assert_eq!(first[key], second[key], "{key}");
    }
    signal(child.id().unwrap(), Signal::INT);
    child.wait().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_is_quick_and_leaves_no_process() {
    let running = Running::both().await;
    assert_eq!(below(std::process::id()).len(), 3);
    let began = Instant::now();
    running.engines.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(below(std::process::id()), [0_u32; 0]);
    running.engines.shutdown().await;
}

/// Starts a statement and waits until ClickHouse is busy with it.
async fn begun(running: &Running, sql: &'static str) -> tokio::task::JoinHandle<(u16, String)> {
    let owner = Client::owner(&running.clickhouse_endpoint());
    let watcher = Client::owner(&running.clickhouse_endpoint());
    let answer = tokio::spawn(async move { owner.ask(sql).await });
    let deadline = Instant::now() + Duration::from_secs(10);
    let busy =
        "SELECT count() FROM system.processes WHERE query LIKE '%function_sleep%' AND query_id != queryID()";
    while watcher.succeeds(busy).await == "0" {
        assert!(Instant::now() < deadline, "the statement never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    answer
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_queries() {
    let running = Running::clickhouse().await;
    let sql = "SELECT sum(sleepEachRow(1)) FROM numbers(1000) \
               SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 5000000";
    let query = begun(&running, sql).await;
    let began = Instant::now();
    running.engines.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(below(std::process::id()), [0_u32; 0]);
    assert!(!query.is_finished() || query.await.is_err());
}

#[tokio::test]
async fn a_shutdown_lets_inserts_finish() {
    let running = Running::clickhouse().await;
    let owner = Client::owner(&running.clickhouse_endpoint());
    owner.succeeds("CREATE DATABASE hooklog ENGINE = Atomic").await;
    owner
        .succeeds("CREATE TABLE hooklog.t (a UInt64) ENGINE = MergeTree ORDER BY a")
        .await;
    let sql = "INSERT INTO hooklog.t SELECT sleepEachRow(0.2) FROM numbers(4) \
               SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 5000000";
    let insert = begun(&running, sql).await;
    running.engines.shutdown().await;
    let (status, text) = insert.await.unwrap();
    assert_eq!(status, 200, "{text}");
    drop(running.engines);
    let again = Engines::start(&running.options, Path::new(PROGRAM))
        .await
        .unwrap();
    let owner = Client::owner(again.endpoints().clickhouse.as_ref().unwrap());
    assert_eq!(owner.succeeds("SELECT count() FROM hooklog.t").await, "4");
    again.shutdown().await;
}

#[tokio::test]
async fn dropped_engines_are_gone_as_well() {
    let running = Running::both().await;
    let engines = below(std::process::id());
    drop(running);
    until("all engines are gone", Duration::from_secs(3), || {
        !engines.iter().copied().any(runs)
    })
    .await;
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let running = Running::both().await;
    for name in ["nats", "clickhouse"] {
        let second = EngineOptions {
            nats: name == "nats",
            clickhouse: name == "clickhouse",
            ..options(running.dir.path())
        };
        let error = Engines::start(&second, Path::new(PROGRAM)).await.unwrap_err();
        assert!(matches!(error, EngineError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("in use by another process"), "{error}");
    }
    let statuses = running.engines.status();
    assert!(statuses.iter().all(|status| status.restarts == 0), "{statuses:?}");
    let owner = Client::owner(&running.clickhouse_endpoint());
    assert_eq!(owner.succeeds("SELECT 1").await, "1");
    let token = running.nats_endpoint().token.expose_secret().to_owned();
    async_nats::ConnectOptions::with_token(token)
        .connect(&running.nats_endpoint().url)
        .await
        .unwrap();
    running.engines.shutdown().await;
}

#[tokio::test]
async fn when_one_engine_can_not_be_started_the_other_is_not_left_running() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    // NATS can't have its folder.
    std::fs::create_dir_all(dir.path().join("nats")).unwrap();
    std::fs::write(dir.path().join("nats/data"), "in the way").unwrap();
    let error = Engines::start(&options, Path::new(PROGRAM)).await.unwrap_err();
    assert!(error.to_string().contains("nats/data"), "{error}");
    until("no engine is left", Duration::from_secs(3), || {
        below(std::process::id()).is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_ends_while_starting_is_reported_with_its_last_words() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        clickhouse: false,
        nats_message_bytes_max: u32::MAX,
        ..options(dir.path())
    };
    let error = Engines::start(&options, Path::new(PROGRAM)).await.unwrap_err();
    let EngineError::Ended { detail, .. } = &error else {
        panic!("{error}");
    };
    assert!(detail.contains("max_payload"), "{error}");
}

#[tokio::test]
async fn without_a_cached_engine_and_with_fetching_off_the_reasons_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        engines_dir: dir.path().join("empty"),
        fetch: false,
        nats: false,
        ..options(dir.path())
    };
    let error = Engines::start(&options, Path::new(PROGRAM)).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("fetching is turned off") && cause.contains("on PATH"),
        "{cause}"
    );
}
