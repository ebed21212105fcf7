//! The relay beside a bare publisher with message ids: the same bodies, the same server, the same kind of stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::{self, message::PublishMessage, stream};
use bytes::Bytes;
use domain::{EventLog as _, FanOut as _, Position, Unshared};
use infra::engine::NatsEndpoint;
use infra::jetstream::{JetStream, JetStreamOptions};
use infra::log::SegmentedLog;
use projections::{Relay, RelayOptions};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use crate::Bench;
use crate::delivery::{Mould, SystemClock};
use crate::logs::{self, Until};
use crate::report::{Figure, Goal, Report};
use crate::spread::{Rounded, Spread};
use crate::{disk_room, engines};

/// As many as the relay has under way.
const WINDOW: usize = 512;
const BARE_STREAM: &str = "BARE";
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let (folder, engine_folder) = (bench.folder("relay"), bench.folder("relay-engines"));
    let log = logs::open(&folder).await;
    let moulds = bench.payloads.examples.iter().map(Mould::of).collect();
    logs::fill(&log, moulds, 64, 0, Until::Count(bench.mode.events)).await;
    let running = engines::start(&engine_folder, true, false).await;
    let nats = running.endpoints().nats.clone().expect("NATS was asked for");
    let bodies: Vec<Bytes> = bench
        .payloads
        .examples
        .iter()
        .map(|of| of.body.clone().into())
        .collect();
    let events = bench.mode.events;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for run in 0..bench.mode.pairs {
        ours.push(events as f64 / relay(&log, &nats).await.as_secs_f64());
        bare.push(events as f64 / publish(&nats, &bodies, events, run).await.as_secs_f64());
    }
    running.shutdown().await;
    log.close().await;
    report.figure(Figure::beside(
        "relay ÷ bare publisher with message ids",
        "/s",
        &ours,
        &bare,
        Goal::AtLeast(0.80),
    ));
    report.section(
        "Relaying",
        &format!(
            "{events} deliveries of real payloads, from the log to an empty stream on the embedded NATS server, until the last one is acknowledged. The \
             bare publisher sends the same bodies from memory, {WINDOW} under way, each with a message id and no other header."
        ),
    );
    let us = |rates: &[f64]| Rounded(1e6 / Spread::of(rates.iter().copied()).median());
    report.gap(format!(
        "**Relaying**: {} µs a delivery beside {} µs. The relay reads the log, builds an envelope, and names the expected sequence and message before it; the server checks \
         each of them. Pages (1,000 events or 4 MiB) run into each other: nothing waits for the answers to one before the next is sent.",
        us(&ours),
        us(&bare)
    ));
    disk_room(&[&folder, &engine_folder]);
}

/// Publishes a log to an empty stream.
pub(crate) async fn relay(log: &Arc<SegmentedLog>, nats: &NatsEndpoint) -> Duration {
    let options = JetStreamOptions::default().embedded(nats.url.clone(), nats.token.clone());
    let stream = JetStream::connect(options).await.expect("NATS is there");
    let deadline = Instant::now() + PATIENCE;
    while !stream.is_connected() {
        assert!(Instant::now() < deadline, "NATS was never reached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What the run before left behind is gone before this one begins.
    stream.rebind(log.id()).await.expect("the stream is emptied");
    let head = log.head().await.expect("a head");
    let (relay, handle) = Relay::build(
        RelayOptions::default(),
        Arc::clone(log) as _,
        Arc::new(stream) as _,
        Arc::new(SystemClock),
        &Unshared,
    );
    let stop = CancellationToken::new();
    let began = Instant::now();
    let running = tokio::spawn(relay.run(stop.clone()));
    while handle.status().position < head {
        assert!(Instant::now() < deadline, "the relay never came to the end");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = began.elapsed();
    stop.cancel();
    running.await.expect("the relay ends");
    assert!(head > Position::START, "there is something to relay");
    took
}

async fn publish(nats: &NatsEndpoint, bodies: &[Bytes], events: u64, run: usize) -> Duration {
    let client = async_nats::ConnectOptions::with_token(nats.token.expose_secret().to_owned());
    let client = client.connect(&nats.url).await.expect("NATS is there");
    let context = jetstream::new(client);
    let _none_before = context.delete_stream(BARE_STREAM).await;
    let config = stream::Config {
        name: BARE_STREAM.to_owned(),
        subjects: vec!["bare.>".to_owned()],
        max_bytes: JetStreamOptions::default().bytes_max as i64,
        discard: stream::DiscardPolicy::Old,
        allow_direct: true,
        ..stream::Config::default()
    };
    context.create_stream(config).await.expect("a stream");
    let began = Instant::now();
    let mut window = VecDeque::with_capacity(WINDOW);
    for number in 0..events {
        if window.len() == WINDOW
            && let Some(oldest) = window.pop_front()
        {
            acknowledged(oldest).await;
        }
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{run}:{number}"));
        let body = bodies[number as usize % bodies.len()].clone();
        let message = PublishMessage::build().payload(body).headers(headers);
        let sent = context
            .send_publish("bare.default.github.issues.opened", message)
            .await;
        window.push_back(sent.expect("NATS takes it"));
    }
    for ack in window {
        acknowledged(ack).await;
    }
    let took = began.elapsed();
    context.delete_stream(BARE_STREAM).await.expect("the stream goes");
    took
}

async fn acknowledged(ack: jetstream::context::PublishAckFuture) {
    let ack = ack.into_future().await.expect("an acknowledgement");
    assert!(!ack.duplicate, "an id came twice");
}
