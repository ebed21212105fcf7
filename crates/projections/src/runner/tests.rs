use std::collections::BTreeMap;

use domain::testing::{ManualClock, MemoryLog, TestDelivery, decide_and_append, recorded, replayed};
use domain::{BodyRef, ContentHash, DeliveryReceived, EventData, RecordedEvent, ReplayTo, Unshared};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::builds::BUILDS;
use crate::doubles::{
    Dice, FakeBodies, FakeStream, FakeTables, Followed, Gauges, all_events, append, clock, gapful_log,
    log_id, until, until_longer,
};
use crate::model::{Projected, ReadModel, RowBatch, Table, View};
use crate::progress::PROGRESS;
use crate::relay::{Relay, RelayOptions};

mod batches;
mod faults;
mod load;
mod rebuilds;
mod shares;
mod statements;
mod stream;
mod swap;
mod upgrade;
mod verify;

const TABLES: &[Table] = &[
    Table {
        name: "facts",
        definition: "(position UInt64, id String, facts Bool, payload Nullable(String), upto UInt64)
            ENGINE = ReplacingMergeTree(upto) ORDER BY (position)",
    },
    Table {
        name: "counts",
        definition: "(block UInt64, total UInt64, upto UInt64) ENGINE = ReplacingMergeTree(upto) ORDER BY (block)",
    },
];

/// Those of a second model: names are never shared.
const OTHERS: &[Table] = &[
    Table {
        name: "other_facts",
        definition: TABLES[0].definition,
    },
    Table {
        name: "other_counts",
        definition: TABLES[1].definition,
    },
];

const VIEWS: &[View] = &[View {
    name: "all_counts",
    select: "SELECT * FROM {counts} FINAL",
}];

fn tables_of(model: &str) -> &'static [Table] {
    if model == "one" { TABLES } else { OTHERS }
}

/// Counts events by block, and lists them.
struct Counting {
    name: &'static str,
    schema: u16,
    block_size: u64,
    block: u64,
    total: u64,
    last: Option<Position>,
    /// Fails at this position.
    defect_at: Option<u64>,
}

impl ReadModel for Counting {
    fn name(&self) -> &'static str {
        self.name
    }
    fn schema(&self) -> u16 {
        self.schema
    }
    fn tables(&self) -> &'static [Table] {
        tables_of(self.name)
    }
    fn views(&self) -> &'static [View] {
        if self.name == "one" { VIEWS } else { &[] }
    }
    fn wants_payload(&self, _: &DeliveryReceived) -> bool {
        true
    }
    fn take(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError> {
        for one in events {
            let position = one.event.position;
            assert!(
                self.last.is_none_or(|last| last < position),
                "positions only grow"
            );
            self.last = Some(position);
            if self.defect_at == Some(position.get()) {
                return Err(TableError::Refused("a defect, set so by the test".into()));
            }
            let block = position.get() / self.block_size;
            if block != self.block {
                (self.block, self.total) = (block, 0);
            }
            self.total += 1;
            rows.push(
                self.tables()[0].name,
                &Fact::of(&one.event, one.received.is_some(), one.payload.as_deref()),
            )?;
            rows.push(
                self.tables()[1].name,
                &Count {
                    block,
                    total: self.total,
                    upto: position.get(),
                },
            )?;
        }
        Ok(())
    }
}

#[derive(serde::Serialize)]
struct Count {
    block: u64,
    total: u64,
    upto: u64,
}

#[derive(serde::Serialize)]
struct Fact {
    position: Position,
    id: String,
    facts: bool,
    payload: Option<String>,
    upto: Position,
}

impl Fact {
    fn of(event: &RecordedEvent, facts: bool, payload: Option<&[u8]>) -> Self {
        Self {
            position: event.position,
            id: event.id.to_string(),
            facts,
            payload: payload.map(|p| String::from_utf8_lossy(p).into_owned()),
            upto: event.position,
        }
    }
}

fn fact(event: &RecordedEvent, facts: bool, payload: Option<&[u8]>) -> Value {
    json!(Fact::of(event, facts, payload))
}

fn counting(name: &'static str, schema: u16) -> ModelFactory {
    defective(name, schema, None)
}

fn defective(name: &'static str, schema: u16, defect_at: Option<u64>) -> ModelFactory {
    Arc::new(move |shape| {
        Box::new(Counting {
            name,
            schema,
            block_size: shape.block_size,
            block: 0,
            total: 0,
            last: None,
            defect_at,
        })
    })
}

struct World {
    log: Arc<MemoryLog>,
    stream: Arc<FakeStream>,
    tables: Arc<FakeTables>,
    bodies: Arc<FakeBodies>,
    clock: Arc<ManualClock>,
}

struct Running {
    handle: ProjectorHandle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn options() -> ProjectorOptions {
    ProjectorOptions {
        batch_events_max: 6,
        block_size: 7,
        ..ProjectorOptions::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            log: gapful_log(),
            stream: FakeStream::new(seed),
            tables: FakeTables::new(seed + 1000),
            bodies: Arc::default(),
            clock: clock(),
        }
    }

    fn ports(&self, leases: Arc<dyn Leases>) -> ProjectorPorts {
        ProjectorPorts {
            log: Arc::<MemoryLog>::clone(&self.log),
            live: Arc::new(Followed(Arc::clone(&self.stream))),
            tables: Arc::<FakeTables>::clone(&self.tables),
            bodies: Arc::<FakeBodies>::clone(&self.bodies),
            clock: Arc::<ManualClock>::clone(&self.clock),
            leases,
        }
    }

    fn start_with(&self, options: ProjectorOptions, models: Vec<ModelFactory>) -> Running {
        Running::of(Projector::build(options, models, self.ports(Arc::new(Unshared))))
    }

    fn start(&self) -> Running {
        self.start_with(options(), vec![counting("one", 1)])
    }

    fn start_relay(&self) -> CancellationToken {
        let log = Arc::<MemoryLog>::clone(&self.log);
        let stream = Arc::<FakeStream>::clone(&self.stream);
        let (relay, _) = Relay::build(RelayOptions::default(), log, stream, clock(), &Unshared);
        let stop = CancellationToken::new();
        tokio::spawn(relay.run(stop.clone()));
        stop
    }

    /// The stream gets all events but some, as if the relay had lost them.
    async fn put_all_but(&self, missing: &[usize]) {
        let mut previous = Position::START;
        for (n, event) in all_events(self.log.as_ref()).await.iter().enumerate() {
            if !missing.contains(&n) {
                self.stream.put(self.log.id(), event, previous);
            }
            previous = event.position;
        }
    }

    fn active(&self, projection: &str) -> Option<(u64, u64)> {
        let rows = self.tables.finals(BUILDS, "");
        let active = rows
            .iter()
            .filter(|r| r["projection"] == json!(projection) && r["state"] == json!("active"));
        let newest = active.max_by_key(|r| r["updated_at"].as_str().unwrap().to_owned())?;
        Some((
            newest["schema"].as_u64().unwrap(),
            newest["build"].as_u64().unwrap(),
        ))
    }

    /// Positions per block: as many as seven events take.
    fn block_size(&self) -> u64 {
        self.log.spacing().positions(options().block_size)
    }

    /// The active tables equal a fold of the log.
    async fn equals_a_fold(&self, projection: &str) {
        let (schema, build) = self.active(projection).unwrap();
        let events = all_events(self.log.as_ref()).await;
        let block_size = self.block_size();
        let mut blocks: BTreeMap<u64, u64> = BTreeMap::new();
        let mut facts = BTreeMap::new();
        for event in &events {
            *blocks.entry(event.position.get() / block_size).or_default() += 1;
            let EventData::Inline(body) = &event.data else {
                panic!("a small body")
            };
            let mut fact = fact(event, true, Some(body));
            fact.as_object_mut().unwrap().remove("upto");
            facts.insert(event.position, fact);
        }
        let by = |rows: Vec<Value>, key: &str| -> BTreeMap<u64, Value> {
            rows.into_iter()
                .map(|row| (row[key].as_u64().unwrap(), row))
                .collect()
        };
        let found = by(
            self.tables.finals(
                &format!("{}_s{schema}_b{build}", tables_of(projection)[0].name),
                "upto",
            ),
            "position",
        );
        let expected: BTreeMap<u64, Value> = facts.into_iter().map(|(p, f)| (p.get(), f)).collect();
        let wrong: Vec<_> = expected.iter().filter(|(p, f)| found.get(p) != Some(f)).collect();
        assert!(
            wrong.is_empty() && found.len() == expected.len(),
            "{} of {}: {wrong:?}",
            wrong.len(),
            found.len()
        );
        let counts = by(
            self.tables.finals(
                &format!("{}_s{schema}_b{build}", tables_of(projection)[1].name),
                "upto",
            ),
            "block",
        );
        let expected = blocks
            .into_iter()
            .map(|(b, n)| (b, json!({"block": b, "total": n})));
        assert_eq!(counts, expected.collect());
    }
}

impl Running {
    fn of((projector, handle): (Projector, ProjectorHandle)) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(projector.run(stop.clone()));
        Self { handle, stop, task }
    }

    fn status(&self, name: &str) -> ProjectionStatus {
        self.handle.status().into_iter().find(|s| s.name == name).unwrap()
    }

    async fn caught_up(&self, world: &World) {
        let head = world.log.head().await.unwrap();
        let done = |s: &ProjectionStatus| {
            s.position == head && s.state == ProjectionState::Live && s.rebuild.is_none()
        };
        let since = tokio::time::Instant::now();
        while !self.handle.status().iter().all(done) {
            assert!(
                since.elapsed() < Duration::from_secs(90),
                "still behind: {:?}",
                self.handle.status()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_log_and_what_comes_later_reaches_the_tables() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let relay = world.start_relay();
    let running = world.start();
    running.caught_up(&world).await;
    append(world.log.as_ref(), 20).await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    let status = running.status("one");
    assert_eq!(
        (status.build, status.lag_events, status.error),
        (1, Some(0), None)
    );
    assert!(world.tables.state().views["all_counts"].contains("FROM hooklog.counts_s1_b1 FINAL"));
    running.stop().await;
    relay.cancel();
}

#[tokio::test(start_paused = true)]
async fn the_progress_row_is_written_after_the_rows_of_every_table() {
    let world = World::new(1);
    // Of the log four pages, of six events each, are a batch.
    append(world.log.as_ref(), 80).await;
    let running = world.start_with(options(), vec![counting("one", 1), counting("two", 1)]);
    running.caught_up(&world).await;
    let inserts = world.tables.state().inserts.clone();
    let batches: Vec<&[String]> = inserts.split(|table| table == PROGRESS).collect();
    let control = |table: &&String| *table != BUILDS && *table != crate::migration::MIGRATED;
    let rows = |batch: &&[String]| batch.iter().filter(control).count();
    assert_eq!(
        batches.iter().map(rows).collect::<Vec<_>>(),
        // The rows of three pages go ahead, those of the fourth with the progress; eight events are left.
        [16, 16, 16, 8, 0],
        "{inserts:?}"
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_read_is_left_out_and_stops_nothing() {
    let world = World::new(1);
    append(world.log.as_ref(), 2).await;
    let mut unreadable = TestDelivery::new("push", "{}").append();
    unreadable.events[0].metadata = "not json".into();
    world.log.append(unreadable).await.unwrap();
    let mut bodiless = TestDelivery::new("push", "{}").append();
    bodiless.events[0].data = EventData::Stored(BodyRef {
        sha256: ContentHash::of(b"gone"),
        bytes: 300_000,
    });
    world.log.append(bodiless).await.unwrap();
    append(world.log.as_ref(), 2).await;
    let running = world.start();
    running.caught_up(&world).await;
    let facts = world.tables.finals("facts_s1_b1", "");
    let odd: Vec<(u64, bool, bool)> = facts
        .iter()
        .map(|f| {
            (
                f["position"].as_u64().unwrap(),
                f["facts"] == json!(true),
                f["payload"].is_string(),
            )
        })
        .filter(|(_, facts, payload)| !facts || !payload)
        .collect();
    assert_eq!(
        (facts.len(), odd),
        (6, vec![(21, false, false), (28, true, false)])
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_published_again_is_no_delivery_to_the_tables() {
    let world = World::new(1);
    let relay = world.start_relay();
    let running = world.start();
    running.caught_up(&world).await;
    let delivery = TestDelivery::new("push", "{\"n\":1}").append();
    world.log.append(delivery.clone()).await.unwrap();
    decide_and_append(world.log.as_ref(), &delivery.stream, |_| {
        replayed(ReplayTo::Subjects, &[])
    })
    .await;
    running.caught_up(&world).await;
    let from_stream = world.tables.finals("facts_s1_b1", "");
    let shown = world.stream.state().messages[1].1.clone();
    assert_eq!(shown.payload, "{\"n\":1}", "it was shown with its body");
    let mut facts: Vec<(u64, bool, bool)> = from_stream
        .iter()
        .map(|row| {
            let position = row["position"].as_u64().unwrap();
            (position, row["facts"] == json!(true), row["payload"].is_string())
        })
        .collect();
    facts.sort_unstable();
    assert_eq!(facts, [(7, true, true), (14, false, false)]);
    // The log says the same.
    running.handle.rebuild("one").await.unwrap();
    until("the new build is active", async || {
        world.active("one") == Some((1, 2))
    })
    .await;
    running.caught_up(&world).await;
    assert_eq!(world.tables.finals("facts_s1_b2", ""), from_stream);
    running.stop().await;
    relay.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_defect_in_one_model_does_not_stop_the_others() {
    let world = World::new(1);
    append(world.log.as_ref(), 10).await;
    let running = world.start_with(options(), vec![defective("one", 1, Some(28)), counting("two", 1)]);
    until("the good one has caught up", async || {
        running.status("two").position.get() == 70
    })
    .await;
    until("the bad one says why", async || {
        running
            .status("one")
            .error
            .is_some_and(|e| e.contains("a defect"))
    })
    .await;
    let status = running.status("one");
    assert_eq!(status.state, ProjectionState::Waiting);
    assert!(
        status.position.get() < 28,
        "it claims what it has not got: {status:?}"
    );
    world.equals_a_fold("two").await;
    running.stop().await;
}
