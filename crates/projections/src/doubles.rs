//! Ports that misbehave: a stream that drops, moves and is wiped, and tables that fail in doubt or vanish.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{ManualClock, MemoryLog, TestDelivery};
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, EventLog, FanOut, FanOutError, FanOutTail, LiveEvent,
    LiveEvents, LiveSubscription, LogId, Message, Position, Query, RecordedEvent, Rows, TableError, Tables,
    Timestamp, event_of,
};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Numbers that a seed repeats (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

pub(crate) fn log_id(n: u128) -> LogId {
    LogId::new(uuid::Uuid::from_u128(n))
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_763_766_000_000)))
}

pub(crate) fn gapful_log() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::with_gaps(log_id(1), clock(), 7))
}

/// Appends deliveries, small ones.
pub(crate) async fn append(log: &dyn EventLog, count: u64) {
    for n in 0..count {
        let mut delivery = TestDelivery::new("push", format!("{{\"n\":{n}}}"));
        delivery.window_ms = 0;
        log.append(delivery.append()).await.unwrap();
    }
}

pub(crate) async fn all_events(log: &dyn EventLog) -> Vec<RecordedEvent> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    loop {
        let after = events.last().map_or(Position::START, |e| e.position);
        let page = log.read_all(after, domain::PageLimit::default()).await.unwrap();
        if page.events.is_empty() {
            return events;
        }
        events.extend(page.events);
    }
}

/// Waits until something holds, for a minute of the paused clock.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..6000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it never happened: {what}");
}

/// The stream in memory.
pub(crate) struct FakeStream {
    state: Mutex<StreamState>,
    changed: watch::Sender<u64>,
}

pub(crate) struct StreamState {
    pub(crate) log_id: Option<LogId>,
    pub(crate) messages: Vec<(u64, Message)>,
    pub(crate) last_sequence: u64,
    pub(crate) bytes_max: u64,
    /// Percentage of calls that fail, in every way they can.
    pub(crate) faults: u64,
    /// Messages that subscriptions lose, in percent.
    pub(crate) drops: u64,
    pub(crate) down: bool,
    pub(crate) dice: Dice,
    epoch: u64,
}

impl FakeStream {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(StreamState {
                log_id: None,
                messages: Vec::new(),
                last_sequence: 0,
                bytes_max: u64::MAX,
                faults: 0,
                drops: 0,
                down: false,
                dice: Dice::new(seed),
                epoch: 0,
            }),
            changed: watch::Sender::new(0),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap()
    }

    /// Somebody deleted the stream.
    pub(crate) fn wipe(&self) {
        let mut state = self.state();
        (state.log_id, state.last_sequence) = (None, 0);
        state.messages.clear();
        state.epoch += 1;
        drop(state);
        self.changed.send_modify(|n| *n += 1);
    }

    /// The oldest messages are discarded; the sequence stays.
    pub(crate) fn purge(&self, keep: usize) {
        let mut state = self.state();
        let cut = state.messages.len().saturating_sub(keep);
        state.messages.drain(..cut);
    }

    /// Fills in an event without a relay.
    pub(crate) fn put(&self, log: LogId, event: &RecordedEvent, previous: Position) {
        let message = domain::message_of(event, log, previous, "http://h").unwrap();
        let mut state = self.state();
        state.log_id = Some(log);
        state.store(message);
        drop(state);
        self.changed.send_modify(|n| *n += 1);
    }

    pub(crate) fn live(&self) -> Vec<LiveEvent> {
        self.state().messages.iter().map(|(_, m)| read(m)).collect()
    }
}

pub(crate) fn read(message: &Message) -> LiveEvent {
    let find = |name: &str| message.headers.iter().find(|h| h.0 == name).map(|h| h.1.as_str());
    event_of(find, message.payload.clone()).unwrap()
}

impl StreamState {
    fn store(&mut self, message: Message) {
        self.last_sequence += 1;
        self.messages.push((self.last_sequence, message));
    }

    fn fails(&mut self) -> bool {
        self.down || self.faults > 0 && self.dice.chance(self.faults)
    }

    fn tail(&self) -> FanOutTail {
        FanOutTail {
            log_id: self.log_id,
            last_sequence: self.last_sequence,
            last_position: self.messages.last().map(|(_, m)| m.position),
        }
    }
}

fn unavailable() -> FanOutError {
    FanOutError::Unavailable("set so by the test".into())
}

#[async_trait]
impl FanOut for FakeStream {
    async fn tail(&self) -> Result<FanOutTail, FanOutError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        if state.fails() {
            Err(unavailable())
        } else {
            Ok(state.tail())
        }
    }

    async fn rebind(&self, log: LogId) -> Result<FanOutTail, FanOutError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        if state.fails() {
            return Err(unavailable());
        }
        state.log_id = Some(log);
        state.messages.clear();
        state.epoch += 1;
        let tail = state.tail();
        // Done, but nobody hears of it.
        if state.fails() {
            Err(unavailable())
        } else {
            Ok(tail)
        }
    }

    async fn publish(&self, expected_last_sequence: u64, messages: Vec<Message>) -> Result<u64, FanOutError> {
        let mut expected = expected_last_sequence;
        for message in messages {
            tokio::task::yield_now().await;
            let mut state = self.state();
            if state.fails() {
                return Err(unavailable());
            }
            if state.last_sequence != expected {
                return Err(FanOutError::Moved);
            }
            state.store(message);
            expected += 1;
            let lost = state.fails();
            drop(state);
            self.changed.send_modify(|n| *n += 1);
            if lost {
                return Err(unavailable());
            }
        }
        Ok(expected)
    }

    fn bytes_max(&self) -> u64 {
        self.state().bytes_max
    }
}

struct FakeSubscription {
    stream: Arc<FakeStream>,
    changed: watch::Receiver<u64>,
    epoch: u64,
    after: Position,
    sequence: u64,
}

/// The stream as followers hold it.
pub(crate) struct Followed(pub(crate) Arc<FakeStream>);

#[async_trait]
impl LiveEvents for Followed {
    async fn follow(&self, after: Position) -> Result<Box<dyn LiveSubscription>, FanOutError> {
        let mut state = self.0.state();
        if state.fails() {
            return Err(unavailable());
        }
        Ok(Box::new(FakeSubscription {
            stream: Arc::clone(&self.0),
            changed: self.0.changed.subscribe(),
            epoch: state.epoch,
            after,
            sequence: 0,
        }))
    }
}

#[async_trait]
impl LiveSubscription for FakeSubscription {
    async fn next(&mut self) -> Result<LiveEvent, FanOutError> {
        loop {
            {
                let mut state = self.stream.state();
                if state.epoch != self.epoch || state.fails() {
                    return Err(unavailable());
                }
                let next = state
                    .messages
                    .iter()
                    .find(|(s, m)| *s > self.sequence && m.position > self.after);
                if let Some((sequence, message)) = next.cloned() {
                    self.sequence = sequence;
                    let drops = state.drops;
                    if drops > 0 && state.dice.chance(drops) {
                        continue;
                    }
                    return Ok(read(&message));
                }
            }
            self.changed.changed().await.map_err(|_| unavailable())?;
        }
    }
}

/// Tables with the replacing engine, as ClickHouse has them, and a record of what was done.
pub(crate) struct FakeTables {
    state: Mutex<TablesState>,
}

pub(crate) struct TablesState {
    pub(crate) tables: BTreeMap<String, FakeTable>,
    pub(crate) views: BTreeMap<String, String>,
    pub(crate) inserts: Vec<String>,
    /// Percentage of statements and inserts that fail, before or after they are done.
    pub(crate) faults: u64,
    pub(crate) down: bool,
    pub(crate) dice: Dice,
}

#[derive(Default)]
pub(crate) struct FakeTable {
    order: Vec<String>,
    version: Option<String>,
    rows: Vec<Value>,
}

impl FakeTable {
    fn of(statement: &str) -> Self {
        let between = |from: &str| {
            let (_, rest) = statement.split_once(from)?;
            let (inside, _) = rest.split_once(')')?;
            Some(inside.split(',').map(|c| c.trim().to_owned()).collect::<Vec<_>>())
        };
        Self {
            order: between("ORDER BY (").unwrap_or_default(),
            version: between("ReplacingMergeTree(").and_then(|v| v.into_iter().next()),
            rows: Vec::new(),
        }
    }

    /// The rows as `FINAL` gives them: of a sort key the greatest version, of equals the last.
    pub(crate) fn finals(&self) -> Vec<Value> {
        let mut last: BTreeMap<String, &Value> = BTreeMap::new();
        for row in &self.rows {
            let key: Vec<String> = self.order.iter().map(|c| row[c].to_string()).collect();
            let version = |row: &Value| {
                let value = self.version.as_ref().map_or(&Value::Null, |v| &row[v]);
                (value.as_u64(), value.as_str().map(str::to_owned))
            };
            let kept = last.entry(key.join("|")).or_insert(row);
            if version(row) >= version(kept) {
                *kept = row;
            }
        }
        last.into_values().cloned().collect()
    }
}

impl FakeTables {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(TablesState {
                tables: BTreeMap::new(),
                views: BTreeMap::new(),
                inserts: Vec::new(),
                faults: 0,
                down: false,
                dice: Dice::new(seed),
            }),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, TablesState> {
        self.state.lock().unwrap()
    }

    pub(crate) fn wipe(&self) {
        let mut state = self.state();
        state.tables.clear();
        state.views.clear();
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.state().tables.keys().cloned().collect()
    }

    /// The final rows of a table, without some columns.
    pub(crate) fn finals(&self, table: &str, without: &str) -> Vec<Value> {
        let state = self.state();
        let mut rows = state.tables.get(table).map(FakeTable::finals).unwrap_or_default();
        for row in &mut rows {
            row.as_object_mut().unwrap().remove(without);
        }
        rows
    }
}

impl TablesState {
    fn fails(&mut self) -> Result<(), TableError> {
        if self.down || self.faults > 0 && self.dice.chance(self.faults) {
            return Err(TableError::Unavailable("set so by the test".into()));
        }
        Ok(())
    }

    fn run(&mut self, sql: &str) {
        let name = |rest: &str| rest.split_whitespace().next().unwrap_or_default().to_owned();
        if let Some(rest) = sql.strip_prefix("CREATE TABLE IF NOT EXISTS hooklog.") {
            self.tables
                .entry(name(rest))
                .or_insert_with(|| FakeTable::of(sql));
        } else if let Some(rest) = sql.strip_prefix("DROP TABLE IF EXISTS hooklog.") {
            self.tables.remove(&name(rest));
        } else if let Some(rest) = sql.strip_prefix("CREATE OR REPLACE VIEW hooklog.") {
            self.views.insert(name(rest), rest.to_owned());
        } else {
            assert!(sql.starts_with("CREATE DATABASE"), "{sql}");
        }
    }

    fn answer(&self, query: &Query) -> Result<Vec<Value>, TableError> {
        if query.sql.contains("FROM system.tables") {
            return Ok(self.tables.keys().map(|name| json!({ "name": name })).collect());
        }
        let param = |name: &str| query.params.iter().find(|p| p.0 == name).map(|p| p.1.clone());
        let (_, from) = query.sql.split_once("FROM hooklog.").unwrap();
        let table = from.split_whitespace().next().unwrap();
        let missing = || TableError::Refused(format!("no table {table}"));
        let mut rows = self.tables.get(table).ok_or_else(missing)?.finals();
        rows.retain(|row| param("projection").is_none_or(|p| row["projection"] == json!(p)));
        rows.retain(|row| param("build").is_none_or(|b| row["build"].to_string() == b));
        for row in &mut rows {
            if let Some(time) = row["updated_at"].as_str() {
                let time: Timestamp = format!("{}Z", time.replace(' ', "T")).parse().unwrap();
                row["updated_us"] = json!(time.as_micros());
            }
        }
        Ok(rows)
    }
}

#[async_trait]
impl Tables for FakeTables {
    async fn execute(&self, statement: &Query) -> Result<(), TableError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.fails()?;
        state.run(&statement.sql);
        state.fails()
    }

    async fn insert(&self, table: &str, rows: Rows) -> Result<(), TableError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.fails()?;
        let name = table.strip_prefix("hooklog.").unwrap().to_owned();
        state.inserts.push(name.clone());
        let missing = || TableError::Refused(format!("no table {name}"));
        let into = state.tables.get_mut(&name).ok_or_else(missing)?;
        let json = rows.into_json();
        into.rows.extend(
            serde_json::Deserializer::from_slice(&json)
                .into_iter()
                .map(Result::unwrap),
        );
        state.fails()
    }

    async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.fails()?;
        let rows = state.answer(query)?;
        Ok(rows
            .iter()
            .map(|row| format!("{row}\n"))
            .collect::<String>()
            .into())
    }
}

/// A body store that has nothing.
pub(crate) struct NoBodies;

#[async_trait]
impl BodyStore for NoBodies {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        Err(BodyError::NoRoom("set so by the test".into()))
    }
    async fn read(&self, body: &BodyRef, _: u64, _: usize) -> Result<Bytes, BodyError> {
        Err(BodyError::Missing(body.sha256))
    }
    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        Ok(0)
    }
}
