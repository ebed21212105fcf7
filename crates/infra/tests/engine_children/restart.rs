//! Killed engines come back: same port, same secrets, same data.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use futures_util::StreamExt as _;
use infra::engine::EngineState;
use rustix::process::Signal;
use secrecy::ExposeSecret as _;

use crate::harness::{Client, Running, below, runs, signal, until};

#[tokio::test]
async fn a_killed_clickhouse_is_back_with_its_data() {
    let running = Running::clickhouse().await;
    let owner = Client::owner(&running.clickhouse_endpoint());
    owner.succeeds("CREATE DATABASE hooklog ENGINE = Atomic").await;
    owner
        .succeeds("CREATE TABLE hooklog.t (a UInt64) ENGINE = MergeTree ORDER BY a")
        .await;
    for round in 1..=2 {
        owner
            .succeeds(&format!("INSERT INTO hooklog.t SELECT {round}"))
            .await;
        let (pid, port) = (running.pid("clickhouse"), running.status("clickhouse").port);
        signal(pid, Signal::KILL);
        running.restarted("clickhouse", round).await;
        assert_ne!(running.pid("clickhouse"), pid);
        assert_eq!(running.status("clickhouse").port, port);
        assert_eq!(
            owner.succeeds("SELECT count() FROM hooklog.t").await,
            round.to_string()
        );
    }
    running.engines.shutdown().await;
}

#[tokio::test]
async fn a_killed_nats_is_back_with_its_data_and_a_connected_client_goes_on() {
    let running = Running::nats().await;
    let endpoint = running.nats_endpoint();
    let token = endpoint.token.expose_secret().to_owned();
    let client = async_nats::ConnectOptions::with_token(token)
        .connect(&endpoint.url)
        .await
        .unwrap();
    let context = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::stream::Config {
        name: "T".to_owned(),
        subjects: vec!["t.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    context
        .publish("t.a", "kept".into())
        .await
        .unwrap()
        .await
        .unwrap();

    // First the wrapper, which must take the server with it; then the server itself.
    let wrapper = running.pid("nats");
    let server = below(wrapper);
    assert_eq!(server.len(), 1, "{server:?}");
    signal(wrapper, Signal::KILL);
    running.restarted("nats", 1).await;
    assert!(!runs(server[0]));
    let server = below(running.pid("nats"));
    signal(server[0], Signal::KILL);
    running.restarted("nats", 2).await;

    until("the client has connected again", Duration::from_secs(10), || {
        context.client().connection_state() == async_nats::connection::State::Connected
    })
    .await;
    let mut stream = context.get_stream("T").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
    let consumer = stream
        .create_consumer(async_nats::jetstream::consumer::pull::OrderedConfig::default())
        .await
        .unwrap();
    let message = consumer.messages().await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(message.payload.as_ref(), b"kept");
    running.engines.shutdown().await;
}

/// A stopped process is the plainest engine that runs and does not answer.
#[tokio::test]
async fn an_engine_that_hangs_is_killed_and_started_again() {
    let running = Running::with(|options| options.silence_timeout_ms = 300).await;
    for name in ["nats", "clickhouse"] {
        let wrapper = running.pid(name);
        for pid in below(wrapper).into_iter().chain([wrapper]) {
            signal(pid, Signal::STOP);
        }
        running.restarted(name, 1).await;
        assert_ne!(running.pid(name), wrapper);
    }
    running.engines.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_somebody_stops_politely_comes_back_too() {
    let running = Running::both().await;
    for name in ["nats", "clickhouse"] {
        signal(running.pid(name), Signal::TERM);
        running.restarted(name, 1).await;
    }
    running.engines.shutdown().await;
}

#[tokio::test]
async fn a_port_taken_meanwhile_is_named_and_waited_for() {
    let running = Running::with(|options| {
        options.clickhouse = false;
        options.backoff_ms_min = 500;
        options.backoff_ms_max = 500;
    })
    .await;
    let port = running.status("nats").port;
    signal(running.pid("nats"), Signal::KILL);
    let mut thief = None;
    until("the port is free", Duration::from_secs(5), || {
        thief = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        thief.is_some()
    })
    .await;
    until(
        "the status says who is in the way",
        Duration::from_secs(5),
        || {
            let status = running.status("nats");
            status.state == EngineState::Waiting
                && status
                    .reason
                    .is_some_and(|reason| reason.contains(&format!("port {port}")))
        },
    )
    .await;
    drop(thief);
    until("it is back", Duration::from_secs(10), || {
        running.status("nats").state == EngineState::Ready
    })
    .await;
    assert_eq!(running.status("nats").port, port);
    running.engines.shutdown().await;
}
