//! Compares what was acknowledged with the log, the stream, the tables and the destination.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::{Clock, EventLog as _, LiveEvents as _, PageLimit, Position, RecordedEvent, Timestamp};
use infra::eventstore::{EventStoreLog, EventStoreOptions};
use infra::jetstream::{JetStream, JetStreamOptions};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::SOON;
use crate::harness::eventually;
use crate::nats::{Nats, TOKEN};
use crate::observe::Tables;
use crate::sender::Sent;
use crate::world::World;

const RECEIVED: &str = "DeliveryReceived";
const PROCESSED: &str = "DeliveryProcessed";
/// How long a stream is listened to that should say nothing more.
const SILENCE: Duration = Duration::from_millis(500);

struct Clockwork;

impl Clock for Clockwork {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }
}

/// What the log says of one delivery.
#[derive(Default)]
struct Told {
    received: Vec<u64>,
    is_marked: bool,
    processed: usize,
    others: Vec<String>,
}

impl World {
    async fn open_log(&self) -> Arc<EventStoreLog> {
        let options = EventStoreOptions {
            url: self.log.url().into(),
            ..EventStoreOptions::default()
        };
        EventStoreLog::open(options, Arc::new(Clockwork)).await.unwrap()
    }

    async fn events(&self) -> Vec<RecordedEvent> {
        let (log, mut events) = (self.open_log().await, Vec::<RecordedEvent>::new());
        loop {
            let after = events.last().map_or(Position::START, |last| last.position);
            let page = log.read_all(after, PageLimit::default()).await.unwrap();
            if page.events.is_empty() {
                return events;
            }
            events.extend(page.events);
        }
    }

    /// Each acknowledged delivery is in the log once, at the position that its answer named; nothing else is there; of
    /// equal bodies one is unmarked; each unmarked one was handed on, under one key, and has one outcome.
    pub(crate) async fn reconcile(&self, sent: &Sent) {
        let told = eventually("every delivery was handed on", SOON, || async {
            let told = told(&self.events().await);
            let open = told.values().find(|told| !told.is_marked && told.processed == 0);
            match open {
                Some(open) => Err(format!("the one at {:?} is not", open.received)),
                None => Ok(told),
            }
        })
        .await;
        let mut unmarked = BTreeMap::<[u8; 32], usize>::new();
        let mut lost = Vec::new();
        for (id, acknowledged) in &sent.acknowledged {
            match told.get(id) {
                Some(told) if told.received == [acknowledged.position] => {
                    let body = Sha256::digest(acknowledged.delivery.body.as_bytes()).into();
                    *unmarked.entry(body).or_default() += usize::from(!told.is_marked);
                }
                Some(told) => lost.push(format!("{id}: {:?} in the log", told.received)),
                None => lost.push(format!("{id}: not in the log")),
            }
        }
        assert!(lost.is_empty(), "lost or doubled: {lost:#?}");
        assert_eq!(told.len(), sent.acknowledged.len(), "deliveries in the log");
        assert!(unmarked.values().all(|count| *count == 1), "{unmarked:?}");
        let odd = |told: &&Told| !told.others.is_empty() || told.processed != usize::from(!told.is_marked);
        let odd: Vec<_> = told
            .values()
            .filter(odd)
            .map(|told| (&told.received, told.processed, &told.others))
            .collect();
        assert!(odd.is_empty(), "outcomes: {odd:?}");
        self.was_handed_on(&told);
        eprintln!(
            "the log holds what was acknowledged, each once; {} of them are marked",
            told.values().filter(|t| t.is_marked).count()
        );
    }

    fn was_handed_on(&self, told: &BTreeMap<String, Told>) {
        let mut keys = BTreeMap::<String, BTreeSet<String>>::new();
        let taken = self.receiver.taken();
        for request in &taken {
            let delivery = request.header("x-github-delivery").unwrap().to_owned();
            let key = request.idempotency_key().to_owned();
            keys.entry(delivery).or_default().insert(key);
        }
        for (delivery, keys) in &keys {
            assert_eq!(keys.len(), 1, "{delivery} was handed on under {keys:?}");
        }
        let unmarked = told.iter().filter(|(_, told)| !told.is_marked);
        let unmarked: BTreeSet<_> = unmarked.map(|(id, _)| id).collect();
        assert_eq!(keys.keys().collect::<BTreeSet<_>>(), unmarked);
        eprintln!("handed on: {} deliveries, {} requests", keys.len(), taken.len());
    }

    /// Every table equals a fold of the log, as each process says that answers questions.
    fn tables_are_the_log(&self) {
        for query in self.queries() {
            let url = query.server().base();
            let verified = query
                .server()
                .launch()
                .run(&["projections", "verify", "all", "--url", &url]);
            let text = String::from_utf8_lossy(&verified.stdout).into_owned();
            let said = String::from_utf8_lossy(&verified.stderr).into_owned();
            assert!(
                verified.status.success() && text.lines().all(|line| line.starts_with("ok")),
                "{text}{said}"
            );
        }
    }

    /// Stream and tables hold what the log says, and what those of a process hold that was left alone.
    pub(crate) async fn is_as_undisturbed(&self) {
        // Who asks for that is taken down in the log, so it comes first.
        self.tables_are_the_log();
        let events = self.events().await;
        let head = events.last().expect("the log is not empty").position;
        eventually("the tables hold the log", SOON, || async {
            match self.tables().reached().await? {
                reached if reached >= head.get() => Ok(()),
                reached => Err(format!("they hold it up to {reached} of {head}")),
            }
        })
        .await;
        stream_is(&self.nats, &events).await;
        let views = views(self.tables()).await;
        self.undisturbed(head.get(), async |nats, tables| {
            stream_is(nats, &events).await;
            let undisturbed = crate::reconcile::views(tables).await;
            assert_eq!(
                views.keys().collect::<Vec<_>>(),
                undisturbed.keys().collect::<Vec<_>>()
            );
            for (name, rows) in &views {
                let other = &undisturbed[name];
                let differ = rows.iter().zip(other).find(|(row, other)| row != other);
                assert_eq!((rows.len(), differ), (other.len(), None), "{name}");
            }
        })
        .await;
        let rows: usize = views.values().map(Vec::len).sum();
        eprintln!(
            "{} events, and {rows} rows of {} views, are those of an undisturbed run",
            events.len(),
            views.len()
        );
    }
}

/// A stream holds the events of the log, each once, in its order.
async fn stream_is(nats: &Nats, events: &[RecordedEvent]) {
    let options = JetStreamOptions {
        url: nats.url(),
        token: Some(TOKEN.into()),
        ..JetStreamOptions::default()
    };
    let stream = JetStream::connect(options).await.unwrap();
    let mut live = eventually("the stream can be read", SOON, || async {
        stream
            .follow(Position::START)
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    let mut previous = Position::START;
    for event in events {
        let next = tokio::time::timeout(SOON, live.next()).await;
        let message = next.expect("the stream goes on").unwrap();
        assert_eq!((message.previous, &message.event), (previous, event));
        previous = event.position;
    }
    let more = tokio::time::timeout(SILENCE, live.next()).await;
    assert!(more.is_err(), "the stream holds more than the log: {more:?}");
}

fn told(events: &[RecordedEvent]) -> BTreeMap<String, Told> {
    let mut names = BTreeMap::<String, String>::new();
    let mut told = BTreeMap::<String, Told>::new();
    for event in events {
        let stream = event.stream.to_string();
        if !stream.starts_with("delivery-") {
            continue;
        }
        let kind = event.event_type.as_str();
        if kind == RECEIVED {
            let facts: Value = serde_json::from_slice(&event.metadata).unwrap();
            let id = facts["deliveryId"].as_str().unwrap().to_owned();
            names.insert(stream.clone(), id);
        }
        let told = told.entry(names[&stream].clone()).or_default();
        match kind {
            RECEIVED => {
                told.received.push(event.position.get());
                told.is_marked = event.duplicate_of.is_some();
            }
            PROCESSED => told.processed += 1,
            other => told.others.push(other.to_owned()),
        }
    }
    told
}

/// The rows of every view, in an order of their own.
async fn views(tables: &Tables) -> BTreeMap<String, Vec<String>> {
    let names = "SELECT name FROM system.tables WHERE database = 'hooklog' AND engine = 'View' ORDER BY name";
    let names = tables.ask(names).await.unwrap();
    let mut views = BTreeMap::new();
    for name in names.lines() {
        let rows = tables
            .ask(&format!("SELECT * FROM hooklog.{name} FORMAT JSONEachRow"))
            .await;
        let mut rows: Vec<_> = rows.unwrap().lines().map(str::to_owned).collect();
        rows.sort();
        views.insert(name.to_owned(), rows);
    }
    assert!(!views.is_empty(), "there are views");
    views
}
