//! Once in the log, and nothing answered that is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::testing::{ManualClock, MemoryLog};
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, EventId, EventLog, LogHealth, LogId, LogPage,
    PageLimit, Position, ReadError, RecordedEvent, Revision, Spacing, StreamName, Timestamp,
};
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::rig::{Delivery, Rig};

#[tokio::test]
async fn a_repeat_is_answered_with_the_first_position() {
    let rig = Rig::new();
    let delivery = Delivery::push();
    let first = rig.send(delivery.clone()).await;
    rig.send(Delivery::new("ping", "{}")).await.data();
    let again = rig.send(delivery.clone()).await;
    assert_eq!(again.data()["duplicate"], true);
    assert_eq!(
        (&again.data()["position"], &again.data()["id"]),
        (&first.data()["position"], &first.data()["id"])
    );
    // The id decides, for ever, whatever the body says.
    rig.clock.advance_millis(86_400_000 * 400);
    let mut changed = delivery;
    changed.body = b"{}".to_vec();
    changed.sign(super::rig::SECRET);
    assert_eq!(rig.send(changed).await.data()["duplicate"], true);
    assert_eq!(rig.events().await.len(), 2);
}

#[tokio::test]
async fn of_64_at_once_one_is_stored_and_63_are_duplicates() {
    let rig = Rig::new();
    let delivery = Delivery::push();
    let replies = join_all((0..64).map(|_| rig.send(delivery.clone()))).await;
    let duplicates = replies.iter().filter(|r| r.data()["duplicate"] == true).count();
    assert_eq!(duplicates, 63);
    assert!(replies.iter().all(|r| r.data()["position"] == 1));
    rig.only().await;
}

#[tokio::test]
async fn the_same_event_through_another_hook_is_stored_and_marked() {
    let rig = Rig::new();
    let one = Delivery::push().id("guid-1");
    rig.send(one.clone()).await.data();
    let other = rig.send(one.with("x-github-hook-id", "42")).await;
    assert_eq!(
        (&other.data()["duplicate"], &other.data()["duplicateOf"]),
        (&false.into(), &"github.41.guid-1".into())
    );
    assert_eq!(rig.events().await.len(), 2);
}

#[tokio::test]
async fn the_same_body_is_marked_within_the_window_only() {
    let rig = Rig::with(|_, source| source.dedup_window_ms = Some(1000));
    rig.send(Delivery::push().id("a")).await.data();
    rig.clock.advance_millis(900);
    assert_eq!(
        rig.send(Delivery::push().id("b")).await.data()["duplicateOf"],
        "github.41.a"
    );
    rig.clock.advance_millis(200);
    assert_eq!(
        rig.send(Delivery::push().id("c")).await.data().get("duplicateOf"),
        None
    );
}

#[tokio::test]
async fn while_the_log_is_unwritable_nothing_is_taken_or_remembered() {
    let rig = Rig::new();
    let delivery = Delivery::push();
    rig.log.set_unwritable(true);
    for _ in 0..3 {
        let reply = rig.send(delivery.clone()).await;
        reply.assert(503, "NOT_WRITABLE");
        assert_eq!(reply.header("retry-after"), Some("5"));
    }
    rig.log.set_unwritable(false);
    assert_eq!(rig.send(delivery).await.data()["duplicate"], false);
    rig.only().await;
}

/// A log that fails as told before it passes on.
struct Faulty {
    log: Arc<MemoryLog>,
    /// How many appends say that they do not know.
    unknown: AtomicUsize,
    /// Whether those appends were made all the same.
    made: bool,
    refuse: bool,
    ids: std::sync::Mutex<Vec<EventId>>,
    /// Appends wait for these.
    gate: Option<Semaphore>,
}

impl Faulty {
    fn new(log: Arc<MemoryLog>) -> Self {
        Self {
            log,
            unknown: AtomicUsize::new(0),
            made: false,
            refuse: false,
            ids: std::sync::Mutex::default(),
            gate: None,
        }
    }
}

#[async_trait]
impl EventLog for Faulty {
    fn id(&self) -> LogId {
        self.log.id()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        self.ids.lock().unwrap().push(append.events[0].id);
        if self.refuse {
            return Err(AppendError::Invalid("set so by the test".into()));
        }
        let fails = self
            .unknown
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if fails.is_err() || self.made {
            self.log.append(append).await?;
        }
        match fails {
            Ok(_) => Err(AppendError::Unknown("set so by the test".into())),
            Err(_) => Ok(Appended {
                first: Position::new(1),
                last: Position::new(1),
                revision: Revision::new(0),
                recorded_at: Timestamp::default(),
                duplicate_of: None,
            }),
        }
    }
    async fn read_stream(
        &self,
        s: &StreamName,
        f: Revision,
        l: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.log.read_stream(s, f, l).await
    }
    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        self.log.read_all(after, limit).await
    }
    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        self.log.read_category(category, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.log.head().await
    }
    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        self.log.wait_past(position).await
    }
    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        self.log.tail_start(bytes).await
    }
    fn spacing(&self) -> Spacing {
        self.log.spacing()
    }
    fn health(&self) -> LogHealth {
        self.log.health()
    }
}

fn faulty(change: impl FnOnce(&mut Faulty)) -> (Rig, Arc<Faulty>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_763_766_000_000)));
    let log = Arc::new(MemoryLog::new(
        LogId::new(uuid::Uuid::from_u128(7)),
        Arc::<ManualClock>::clone(&clock),
    ));
    let mut faulty = Faulty::new(Arc::clone(&log));
    change(&mut faulty);
    let faulty = Arc::new(faulty);
    (
        Rig::over(Arc::<Faulty>::clone(&faulty), log, clock, |_, _| {}),
        faulty,
    )
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_asked_again_with_the_same_event() {
    for made in [false, true] {
        let (rig, log) = faulty(|f| (f.unknown, f.made) = (AtomicUsize::new(3), made));
        assert_eq!(rig.send(Delivery::push()).await.data()["duplicate"], false);
        let ids = log.ids.lock().unwrap().clone();
        assert_eq!(ids.len(), 4);
        assert!(ids.iter().all(|id| *id == ids[0]));
        rig.only().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_is_no_success() {
    let (rig, _) = faulty(|f| (f.unknown, f.made) = (AtomicUsize::new(usize::MAX), true));
    let delivery = Delivery::push();
    let began = tokio::time::Instant::now();
    rig.send(delivery.clone()).await.assert(503, "NOT_WRITABLE");
    assert!(
        began.elapsed().as_millis() <= 8_000,
        "bounded by the time-out of appends"
    );
    // It was written after all: the sender's next try learns that.
    rig.only().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_never_answers_is_no_success() {
    let (rig, log) = faulty(|f| f.gate = Some(Semaphore::new(0)));
    rig.send(Delivery::push()).await.assert(503, "NOT_WRITABLE");
    assert!(log.ids.lock().unwrap().is_empty());
    assert_eq!(rig.ingest.in_flight(), 0);
}

#[tokio::test]
async fn what_the_log_refuses_for_ever_is_no_success() {
    let (rig, _) = faulty(|f| f.refuse = true);
    rig.send(Delivery::push()).await.assert(500, "NOT_STORABLE");
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_was_begun_and_refuses_the_rest() {
    let (rig, log) = faulty(|f| f.gate = Some(Semaphore::new(0)));
    let begun = {
        let (ingest, request) = (rig.ingest.clone(), Delivery::push().request());
        tokio::spawn(async move {
            super::rig::Reply::of(poem::Endpoint::get_response(&ingest, request).await).await
        })
    };
    while rig.ingest.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let drained = tokio::spawn({
        let ingest = rig.ingest.clone();
        async move { ingest.drain().await }
    });
    let refused = loop {
        let reply = rig.send(Delivery::push().at("/api/webhooks/nobody")).await;
        if reply.status != 404 {
            break reply;
        }
        tokio::task::yield_now().await;
    };
    refused.assert(503, "SHUTTING_DOWN");
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert!(!drained.is_finished());
    log.gate.as_ref().unwrap().add_permits(1);
    assert_eq!(begun.await.unwrap().data()["duplicate"], false);
    drained.await.unwrap();
    assert_eq!(rig.ingest.in_flight(), 0);
    rig.only().await;
}
