//! How long after its answer a delivery is with a subscriber of the stream, and in the tables, at a steady rate.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::{
    self,
    consumer::pull::{Ordered as Messages, OrderedConfig},
};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::{Connection, Template};
use crate::report::{Figure, Goal, Report};
use crate::server::Server;
use crate::spread::Spread;
use crate::tables::Store;
use crate::{Bench, disk_room};

const PER_SECOND: f64 = 1000.0;
const CONNECTIONS: usize = 64;
const ASK_EVERY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// When each delivery, by position, was seen somewhere.
type Seen = Arc<Mutex<HashMap<u64, Instant>>>;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let folder = bench.folder("visible");
    let server = Server::start(&folder, "").await;
    let (mut subscriber, mut tables) = (Vec::new(), Vec::new());
    for run in 0..bench.mode.pairs {
        server.settled().await;
        let (to_subscriber, to_tables) = one(bench, &server, &folder, run).await;
        subscriber.push(to_subscriber.percentile(0.99));
        tables.push(to_tables.percentile(0.99));
    }
    report.figure(Figure::alone(
        "ack → NATS subscriber at 1,000/s, p99",
        " ms",
        &subscriber,
        Goal::AtMost(20.0),
    ));
    report.figure(Figure::alone(
        "ack → visible in ClickHouse at 1,000/s, p99",
        " ms",
        &tables,
        Goal::AtMost(500.0),
    ));
    report.section(
        "Live",
        &format!(
            "All roles and engines; an open loop of {PER_SECOND} deliveries/s with real payloads, {} s a run, {} runs. The subscriber is an ordered consumer of the stream; a delivery \
             that is with it before its answer is with the sender counts as 0. The table `deliveries` is asked every {} ms for its last position, which is part of the figure.",
            bench.mode.visible.as_secs(),
            bench.mode.pairs,
            ASK_EVERY.as_millis()
        ),
    );
    server.stop().await;
    disk_room(&[&folder]);
}

/// One run: latencies in milliseconds to the subscriber and to the tables.
async fn one(bench: &Bench, server: &Server, folder: &Path, run: usize) -> (Spread, Spread) {
    let store = Store::of(&folder.join("data"));
    let table = store.model("deliveries").await;
    let last = store
        .number(&format!("SELECT max(position) FROM hooklog.{table}"))
        .await;
    let (answered, heard) = (Seen::default(), Seen::default());
    let stop = CancellationToken::new();
    let messages = subscribe(&folder.join("data")).await;
    let listening = listen(messages, last, Arc::clone(&heard));
    let looked = Arc::new(Mutex::new(Vec::new()));
    let looking = look(store, table, last, Arc::clone(&looked));
    let tasks = [
        tokio::spawn(stop.clone().run_until_cancelled_owned(listening)),
        tokio::spawn(stop.clone().run_until_cancelled_owned(looking)),
    ];
    send(bench, server, &format!("visible-{run}"), &answered).await;
    let answered = std::mem::take(&mut *answered.lock().unwrap_or_else(PoisonError::into_inner));
    let newest = answered.keys().copied().max().unwrap_or(0);
    let deadline = Instant::now() + PATIENCE;
    let arrived = || {
        let looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        let in_tables = looked.last().is_some_and(|(position, _)| *position >= newest);
        in_tables
            && heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains_key(&newest)
    };
    while !arrived() {
        assert!(Instant::now() < deadline, "the last delivery never arrived");
        tokio::time::sleep(ASK_EVERY).await;
    }
    stop.cancel();
    for task in tasks {
        task.await.expect("it goes on until then");
    }
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    let looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
    let after = |position: u64, at: Option<Instant>| {
        let since = at.map(|at| at.saturating_duration_since(answered[&position]));
        since.map_or(f64::INFINITY, |since| since.as_secs_f64() * 1000.0)
    };
    let in_tables = |position: u64| {
        let at = looked.partition_point(|(upto, _)| *upto < position);
        looked.get(at).map(|(_, at)| *at)
    };
    (
        Spread::of(
            answered
                .keys()
                .map(|position| after(*position, heard.get(position).copied())),
        ),
        Spread::of(
            answered
                .keys()
                .map(|position| after(*position, in_tables(*position))),
        ),
    )
}

/// Subscribes to what is published from now on.
async fn subscribe(data: &Path) -> Messages {
    let text = std::fs::read_to_string(data.join("engines.json")).expect("the server wrote it down");
    let engines: Value = serde_json::from_str(&text).expect("json");
    let token = engines["nats"]["token"].as_str().expect("a token").to_owned();
    let url = engines["nats"]["url"].as_str().expect("an address");
    let connecting = async_nats::ConnectOptions::with_token(token).connect(url).await;
    let context = jetstream::new(connecting.expect("NATS is there"));
    let stream = context.get_stream("HOOKLOG").await.expect("the stream is there");
    let config = OrderedConfig {
        deliver_policy: jetstream::consumer::DeliverPolicy::New,
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    consumer.messages().await.expect("messages")
}

async fn listen(mut messages: Messages, last: u64, heard: Seen) {
    while let Some(message) = messages.next().await {
        let at = Instant::now();
        let message = message.expect("a message");
        let headers = message.headers.as_ref();
        let position =
            headers.and_then(|headers| headers.get("Hooklog-Position")?.as_str().parse::<u64>().ok());
        if let Some(position) = position.filter(|position| *position > last) {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.entry(position).or_insert(at);
        }
    }
}

async fn look(store: Store, table: String, mut last: u64, looked: Arc<Mutex<Vec<(u64, Instant)>>>) {
    loop {
        let question = format!(
            "SELECT max(position) FROM hooklog.{table} WHERE tenant = 'default' AND position > {last}"
        );
        let found = store.number(&question).await;
        if found > last {
            last = found;
            looked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((found, Instant::now()));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Sends at the rate, and notes when each was answered.
async fn send(bench: &Bench, server: &Server, run: &str, answered: &Seen) {
    let examples = bench.payloads.examples.iter();
    let templates: Arc<Vec<Template>> = Arc::new(
        examples
            .map(|example| {
                Template::new(
                    &example.event,
                    &example.signature,
                    example.body.clone().into_bytes(),
                    run,
                )
            })
            .collect(),
    );
    let due = Arc::new(Semaphore::new(0));
    let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(server.address())
            .await
            .expect("the server accepts");
        let (templates, due, next) = (Arc::clone(&templates), Arc::clone(&due), Arc::clone(&next));
        let answered = Arc::clone(answered);
        tasks.spawn(async move {
            let mut head = Vec::new();
            while let Ok(permit) = due.acquire().await {
                permit.forget();
                let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let template = &templates[number as usize % templates.len()];
                template.head_of(number, &mut head);
                let answer = connection
                    .exchange(&head, &template.body)
                    .await
                    .expect("an answer");
                let at = Instant::now();
                assert_eq!(answer.status, 200);
                let json: Value = serde_json::from_slice(answer.body).expect("json");
                let position = json["data"]["position"].as_u64().expect("a position");
                answered
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(position, at);
            }
        });
    }
    let began = Instant::now();
    let count = (bench.mode.visible.as_secs_f64() * PER_SECOND) as u32;
    for number in 0..count {
        tokio::time::sleep_until((began + Duration::from_secs_f64(f64::from(number) / PER_SECOND)).into())
            .await;
        due.add_permits(1);
    }
    while next.load(std::sync::atomic::Ordering::Relaxed) < u64::from(count) {
        tokio::time::sleep(ASK_EVERY).await;
    }
    due.close();
    tasks.join_all().await;
}
