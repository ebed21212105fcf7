//! Ports that misbehave: a stream that drops, moves and is wiped, and tables that fail in doubt or vanish.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{ManualClock, MemoryLog, TestDelivery};
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, ContentHash, EventLog, LogId, Position, RecordedEvent,
    Timestamp,
};

mod stream;
mod tables;

pub(crate) use stream::{FakeStream, Followed, read};
pub(crate) use tables::FakeTables;

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

/// A log whose positions count events.
pub(crate) fn dense_log() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(log_id(1), clock()))
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

/// Waits as [`until`], for an hour of the paused clock.
pub(crate) async fn until_longer(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..36_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it never happened: {what}");
}

/// A body store with at most one body in it, which can be out of order.
#[derive(Default)]
pub(crate) struct FakeBodies {
    pub(crate) down: AtomicBool,
    pub(crate) body: Mutex<Option<Bytes>>,
}

#[async_trait]
impl BodyStore for FakeBodies {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        Err(BodyError::NoRoom("set so by the test".into()))
    }
    async fn read(&self, body: &BodyRef, offset: u64, _: usize) -> Result<Bytes, BodyError> {
        if self.down.load(Ordering::SeqCst) {
            let source = std::io::Error::other("set so by the test");
            let operation = "read";
            return Err(BodyError::Io { operation, source });
        }
        let kept = self.body.lock().unwrap();
        let found = kept
            .as_ref()
            .filter(|kept| ContentHash::of(kept) == body.sha256)
            .ok_or(BodyError::Missing(body.sha256))?;
        Ok(found.slice(usize::try_from(offset).unwrap()..))
    }
    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        Ok(0)
    }
}

/// Keeps gauges, by name and labels, and forgets all other metrics.
#[derive(Default)]
pub(crate) struct Gauges(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Gauges {
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        let gauges = self.0.lock().unwrap();
        let gauge = gauges.get(name)?;
        Some(f64::from_bits(gauge.load(Ordering::SeqCst)))
    }
}

impl metrics::Recorder for Gauges {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        metrics::Counter::noop()
    }
    fn register_gauge(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        let labels: String = key.labels().map(|l| format!(" {}", l.value())).collect();
        let mut gauges = self.0.lock().unwrap();
        let gauge = gauges.entry(format!("{}{labels}", key.name())).or_default();
        metrics::Gauge::from_arc(Arc::clone(gauge))
    }
    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}
