//! A log that shows less than it did, or what nobody understands, and a clock that is behind it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, Checkpoints, Clock, DeliveryReceived,
    DeliveryStatus, Destinations, EventId, EventLog, LogHealth, LogId, LogPage, PageLimit, Position,
    ReadError, RecordedEvent, Revision, Spacing, StreamName, Timestamp,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::doubles::*;
use crate::DestinationPlan;
use crate::runtime::{ReactorPorts, Reactors};

/// The log of a bench, as somebody sees it who does not see all.
struct View {
    inner: Arc<FaultyLog>,
    /// So many reads of a delivery show its receipt alone.
    stale: AtomicUsize,
    /// Nobody understands the receipts.
    garbled: AtomicBool,
    /// Nobody understands the receipt of this one.
    garbled_one: Mutex<Option<StreamName>>,
}

impl View {
    fn of(bench: &Bench) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(&bench.log),
            stale: AtomicUsize::new(0),
            garbled: AtomicBool::new(false),
            garbled_one: Mutex::default(),
        })
    }

    fn garble(&self, event: &mut RecordedEvent) {
        let one = self.garbled_one.lock().unwrap();
        let mine = self.garbled.load(Ordering::SeqCst) || one.as_ref() == Some(&event.stream);
        if mine && event.event_type.as_str() == DeliveryReceived::TYPE {
            event.metadata = Bytes::from_static(b"{\"reactorsDue\":7}");
        }
    }
}

#[async_trait]
impl EventLog for View {
    fn id(&self) -> LogId {
        self.inner.id()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.inner.append(append).await
    }
    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut events = self.inner.read_stream(stream, from, limit).await?;
        let less = |left: usize| left.checked_sub(1);
        let stale = self.stale.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        if stream.category() == "delivery" && stale.is_ok() {
            events.retain(|event| event.event_type.as_str() != "DeliveryReplayRequested");
        }
        events.iter_mut().for_each(|event| self.garble(event));
        Ok(events)
    }
    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        let mut page = self.inner.read_all(after, limit).await?;
        page.events.iter_mut().for_each(|event| self.garble(event));
        Ok(page)
    }
    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        self.inner.read_category(category, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.inner.head().await
    }
    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        self.inner.wait_past(position).await
    }
    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        self.inner.tail_start(bytes).await
    }
    fn spacing(&self) -> Spacing {
        self.inner.spacing()
    }
    fn health(&self) -> LogHealth {
        self.inner.health()
    }
}

/// A clock that is behind another one.
struct Behind(Arc<TokioClock>, i64);

impl Clock for Behind {
    fn now(&self) -> Timestamp {
        self.0.now().plus_millis(-self.1)
    }
}

fn run(bench: &Bench, log: Arc<View>, behind_ms: i64, plans: Vec<DestinationPlan>) -> Running {
    let clock = Arc::new(Behind(Arc::clone(&bench.clock), behind_ms));
    run_by(bench, log, clock, plans)
}

fn run_by(bench: &Bench, log: Arc<View>, clock: Arc<dyn Clock>, plans: Vec<DestinationPlan>) -> Running {
    let ports = ReactorPorts {
        log,
        checkpoints: Arc::clone(&bench.checkpoints) as Arc<dyn Checkpoints>,
        clock,
        new_id: Arc::new(|| EventId::new(Uuid::now_v7())),
        leases: Arc::new(domain::Unshared),
    };
    let (reactors, handle) = Reactors::build(bench.options.clone(), plans, ports).unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(reactors.run(stop.clone()));
    Running { handle, stop, task }
}

/// A clock that panics once, when told to.
struct Panicky(Arc<TokioClock>, AtomicBool);

impl Clock for Panicky {
    fn now(&self) -> Timestamp {
        assert!(!self.1.swap(false, Ordering::SeqCst), "set so by the test");
        self.0.now()
    }
}

async fn processed(bench: &Bench, stream: &StreamName) -> bool {
    bench.state(stream).await.status() == DeliveryStatus::Processed
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_shows_less_than_before_is_looked_at_again() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let view = View::of(&bench);
    let running = run(&bench, Arc::clone(&view), 0, vec![bench.plan("ci", &target)]);
    let stream = bench.deliver("a", &["ci"]).await;
    until("it is processed", async || processed(&bench, &stream).await).await;
    view.stale.store(3, Ordering::SeqCst);
    bench.replay(&stream, &["ci"]).await;
    pass(Duration::from_secs(60)).await;
    assert_eq!(target.got().len(), 2, "the replay was taken for done");
    assert!(processed(&bench, &stream).await);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_the_log_delays_no_first_attempt() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let running = run(
        &bench,
        View::of(&bench),
        3_600_000,
        vec![bench.plan("ci", &target)],
    );
    let stream = bench.deliver("a", &["ci"]).await;
    pass(Duration::from_secs(5)).await;
    assert_eq!(target.got().len(), 1);
    bench.replay(&stream, &["ci"]).await;
    pass(Duration::from_secs(5)).await;
    assert_eq!(target.got().len(), 2);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_not_understood_is_taken_up_by_a_version_that_does() {
    let bench = Bench::new();
    let (ci, cd) = (
        Arc::new(ScriptedTarget::default()),
        Arc::new(ScriptedTarget::default()),
    );
    let view = View::of(&bench);
    view.garbled.store(true, Ordering::SeqCst);
    let running = run(&bench, Arc::clone(&view), 0, vec![bench.plan("ci", &ci)]);
    let first = bench.deliver("a", &["ci", "cd"]).await;
    pass(Duration::from_secs(20)).await;
    assert!(ci.got().is_empty());
    *view.garbled_one.lock().unwrap() = Some(first.clone());
    view.garbled.store(false, Ordering::SeqCst);
    let second = bench.deliver("b", &["ci", "cd"]).await;
    until("the next one goes out", async || ci.got().len() == 1).await;
    pass(Duration::from_secs(20)).await;
    running.stop().await;

    *view.garbled_one.lock().unwrap() = None;
    let plans = vec![bench.plan("ci", &ci), bench.plan("cd", &cd)];
    let running = run(&bench, view, 0, plans);
    until("all of it went out", async || {
        processed(&bench, &first).await && processed(&bench, &second).await
    })
    .await;
    assert_eq!((ci.got().len(), cd.got().len()), (2, 2), "nothing was done twice");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_waits_for_a_person_is_told_of() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let view = View::of(&bench);
    let running = run(&bench, Arc::clone(&view), 0, vec![bench.plan("ci", &target)]);
    bench.log.corrupt(Some(bench.deliver("a", &["ci"]).await));
    pass(Duration::from_secs(10)).await;
    let status = running.handle.list().await.remove(0);
    assert_eq!(status.open, 1);
    assert!(status.last_error.is_some_and(|error| error.contains("person")));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_that_breaks_does_not_end_the_handing_on() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let clock = Arc::new(Panicky(Arc::clone(&bench.clock), AtomicBool::new(false)));
    let plans = vec![bench.plan("ci", &target)];
    let running = run_by(&bench, View::of(&bench), Arc::clone(&clock) as _, plans);
    let first = bench.deliver("a", &["ci"]).await;
    until("it is processed", async || processed(&bench, &first).await).await;
    clock.1.store(true, Ordering::SeqCst);
    pass(Duration::from_secs(30)).await;
    assert!(!clock.1.load(Ordering::SeqCst), "nothing broke");
    let second = bench.deliver("b", &["ci"]).await;
    until("the next one is processed", async || {
        processed(&bench, &second).await
    })
    .await;
    // What keeps the note goes on too.
    let notes = || bench.checkpoints.1.lock().unwrap().len();
    let before = notes();
    bench.deliver("c", &["ci"]).await;
    pass(Duration::from_secs(30)).await;
    assert!(notes() > before);
    assert_eq!(target.got().len(), 3, "nothing was done twice");
    running.stop().await;
}
