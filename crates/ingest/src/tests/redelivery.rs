//! A dead letter that its sender delivers again is tried again, once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::testing::{Ending, ManualClock, MemoryLog, attempted, decide_and_append, replayed};
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, DeliveryOutcome, DeliveryReplayRequested,
    DeliveryState, DeliveryStatus, EventLog, Expected, LogHealth, LogId, LogPage, Outcome, PageLimit,
    Position, ReadError, RecordedEvent, ReplayTo, Revision, Spacing, StreamName, Timestamp, load_delivery,
};
use futures_util::future::join_all;
use tokio::sync::{Barrier, Notify};

use super::rig::{Delivery, Reply, Rig, SECRET};

/// What happens to an append that expects a revision.
enum Act {
    /// It waits for others at the same place, then is made.
    Meet(Arc<Barrier>),
    /// It is never made nor answered.
    Hang,
    /// It is made and never answered.
    HangAfter,
    /// It is refused for now.
    Unavailable,
    /// Its outcome is unknown, and it was made or not.
    Unknown(bool),
    /// Somebody asks for a replay first.
    Overtaken,
}

/// A log that fails as told.
struct Staged {
    log: Arc<MemoryLog>,
    acts: Mutex<VecDeque<Act>>,
    hanging: Notify,
    unreadable: Mutex<bool>,
    /// The revisions from which streams were read.
    read_from: Mutex<Vec<u64>>,
}

#[async_trait]
impl EventLog for Staged {
    fn id(&self) -> LogId {
        self.log.id()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if append.expected == Expected::NoStream {
            return self.log.append(append).await;
        }
        let act = self.acts.lock().unwrap().pop_front();
        match act {
            None => self.log.append(append).await,
            Some(Act::Meet(barrier)) => {
                barrier.wait().await;
                self.log.append(append).await
            }
            Some(Act::Hang) => {
                self.hanging.notify_one();
                std::future::pending().await
            }
            Some(Act::HangAfter) => {
                self.log.append(append).await?;
                self.hanging.notify_one();
                std::future::pending().await
            }
            Some(Act::Unavailable) => Err(AppendError::Unavailable("set so by the test".into())),
            Some(Act::Unknown(made)) => {
                if made {
                    self.log.append(append).await?;
                }
                Err(AppendError::Unknown("set so by the test".into()))
            }
            Some(Act::Overtaken) => {
                let stream = append.stream.clone();
                let orders = ["orders".to_owned()];
                decide_and_append(&*self.log, &stream, |_| replayed(ReplayTo::Processing, &orders)).await;
                self.log.append(append).await
            }
        }
    }
    async fn read_stream(
        &self,
        s: &StreamName,
        f: Revision,
        l: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        if *self.unreadable.lock().unwrap() {
            return Err(ReadError::Unavailable("set so by the test".into()));
        }
        self.read_from.lock().unwrap().push(f.get());
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

/// A delivery due at `orders` and `chat` that was received once, in front of a log that fails as told.
struct Case {
    rig: Rig,
    log: Arc<Staged>,
    delivery: Delivery,
    stream: StreamName,
}

impl Case {
    async fn received(acts: Vec<Act>) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_763_766_000_000)));
        let memory = Arc::new(MemoryLog::with_gaps(
            LogId::new(uuid::Uuid::from_u128(7)),
            Arc::<ManualClock>::clone(&clock),
            3,
        ));
        let log = Arc::new(Staged {
            log: Arc::clone(&memory),
            acts: Mutex::new(acts.into()),
            hanging: Notify::new(),
            unreadable: Mutex::new(false),
            read_from: Mutex::default(),
        });
        let rig = Rig::over(Arc::<Staged>::clone(&log), memory, clock, |_, _| {});
        rig.due.set(&["orders", "chat"]);
        let delivery = Delivery::push();
        rig.send(delivery.clone()).await.data();
        let stream = rig.only().await.1.stream();
        Self {
            rig,
            log,
            delivery,
            stream,
        }
    }

    /// Given up at `orders`, done at `chat`.
    async fn dead(acts: Vec<Act>) -> Self {
        let case = Self::received(acts).await;
        case.ends("chat", Ending::Delivered).await;
        case.ends("orders", Ending::GivenUp).await;
        case
    }

    async fn ends(&self, destination: &str, ending: Ending) {
        let at = Timestamp::from_millis(1_763_766_001_000);
        let command = |state: &DeliveryState| attempted(state, destination, ending, at).unwrap();
        decide_and_append(&*self.rig.log, &self.stream, command)
            .await
            .unwrap();
    }

    async fn again(&self) -> Reply {
        self.rig.send(self.delivery.clone()).await
    }

    async fn state(&self) -> DeliveryState {
        let state = load_delivery(&*self.rig.log, &self.stream, None).await;
        state.unwrap().unwrap()
    }

    /// The requests to try it again.
    async fn requests(&self) -> Vec<DeliveryReplayRequested> {
        let events = self.rig.events().await;
        let outcomes = events.iter().filter_map(DeliveryOutcome::of);
        let requests = outcomes.filter_map(|outcome| match outcome.unwrap().outcome {
            Outcome::ReplayRequested(request) => Some(request),
            Outcome::Failed(_) | Outcome::Processed(_) | Outcome::DeadLettered(_) => None,
        });
        requests.collect()
    }

    /// Answered as a repeat, which queued a retry or did not.
    #[track_caller]
    fn assert_repeat(reply: &Reply, queued: bool) {
        assert_eq!(reply.data()["duplicate"], true);
        assert_eq!(reply.data()["position"], 3, "that of the receipt");
        let message = reply.json["message"].as_str().unwrap();
        assert_eq!(message.contains("a retry is queued"), queued, "{message}");
    }
}

#[tokio::test]
async fn a_dead_letter_delivered_again_is_tried_again_where_it_was_given_up() {
    let case = Case::dead(Vec::new()).await;
    assert_eq!(case.state().await.status(), DeliveryStatus::Dead);
    Case::assert_repeat(&case.again().await, true);
    let expected = DeliveryReplayRequested {
        to: ReplayTo::Processing,
        destinations: vec!["orders".parse().unwrap()],
        replay: None,
        requested_by: "sender".into(),
        reason: Some("the sender delivered it again".into()),
    };
    assert_eq!(case.requests().await, [expected]);
    assert_eq!(case.state().await.status(), DeliveryStatus::Processing);
    // It is being tried: a further repeat changes nothing.
    Case::assert_repeat(&case.again().await, false);
    assert_eq!(case.requests().await.len(), 1);
    // Given up once more, it is tried once more.
    case.ends("orders", Ending::GivenUp).await;
    Case::assert_repeat(&case.again().await, true);
    assert_eq!(case.requests().await.len(), 2);
}

#[tokio::test]
async fn what_was_not_given_up_is_not_tried_again() {
    for endings in [
        vec![],
        vec![Ending::Fails],
        vec![Ending::Delivered],
        vec![Ending::Fails, Ending::Skipped],
    ] {
        let case = Case::received(Vec::new()).await;
        for ending in &endings {
            case.ends("orders", *ending).await;
        }
        let before = case.rig.events().await.len();
        Case::assert_repeat(&case.again().await, false);
        assert_eq!(case.rig.events().await.len(), before, "{endings:?}");
    }
}

#[tokio::test]
async fn a_repeat_of_what_is_not_dead_reads_no_more_than_the_last_outcome() {
    let case = Case::received(Vec::new()).await;
    let read_by_a_repeat = async || {
        case.log.read_from.lock().unwrap().clear();
        Case::assert_repeat(&case.again().await, false);
        std::mem::take(&mut *case.log.read_from.lock().unwrap())
    };
    assert!(
        read_by_a_repeat().await.is_empty(),
        "nothing but the receipt is there"
    );
    case.ends("orders", Ending::Fails).await;
    assert_eq!(read_by_a_repeat().await, [1]);
    case.ends("orders", Ending::Delivered).await;
    case.ends("chat", Ending::Delivered).await;
    assert_eq!(read_by_a_repeat().await, [3]);
}

#[tokio::test]
async fn only_a_verified_repeat_counts() {
    let case = Case::dead(Vec::new()).await;
    let mut forged = case.delivery.clone();
    forged.sign("another");
    case.rig.send(forged).await.assert(401, "SIGNATURE_INVALID");
    assert!(case.requests().await.is_empty());
    // The id decides, whatever the body says, as for any repeat.
    let mut changed = case.delivery.clone();
    changed.body = b"{}".to_vec();
    changed.sign(SECRET);
    Case::assert_repeat(&case.rig.send(changed).await, true);
}

#[tokio::test]
async fn of_many_repeats_at_once_one_queues_a_retry() {
    const AT_ONCE: usize = 16;
    let barrier = Arc::new(Barrier::new(AT_ONCE));
    let case = Case::dead((0..AT_ONCE).map(|_| Act::Meet(Arc::clone(&barrier))).collect()).await;
    let replies = join_all((0..AT_ONCE).map(|_| case.again())).await;
    let queued = replies.iter().filter(|reply| {
        assert_eq!(reply.data()["duplicate"], true);
        reply.json["message"].as_str().unwrap().contains("queued")
    });
    assert_eq!(queued.count(), 1);
    assert_eq!(case.requests().await.len(), 1);
}

#[tokio::test]
async fn a_repeat_that_another_request_overtakes_asks_for_nothing_more() {
    let case = Case::dead(vec![Act::Overtaken]).await;
    Case::assert_repeat(&case.again().await, false);
    assert_eq!(case.requests().await.len(), 1);
}

#[tokio::test]
async fn a_crash_in_between_neither_loses_the_retry_nor_queues_two() {
    for (act, queued_then) in [(Act::Hang, true), (Act::HangAfter, false)] {
        let case = Case::dead(vec![act]).await;
        tokio::select! {
            biased;
            reply = case.again() => panic!("answered without an answer of the log: {reply:?}"),
            () = case.log.hanging.notified() => {}
        }
        Case::assert_repeat(&case.again().await, queued_then);
        assert_eq!(case.requests().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_unknown_outcome_is_asked_again_with_the_same_event() {
    for made in [false, true] {
        let case = Case::dead(vec![Act::Unknown(made), Act::Unknown(made)]).await;
        Case::assert_repeat(&case.again().await, true);
        assert_eq!(case.requests().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_the_log_can_not_take_sends_the_sender_away_to_come_back() {
    for act in [Act::Unavailable, Act::Hang] {
        let case = Case::dead(vec![act]).await;
        let reply = case.again().await;
        reply.assert(503, "NOT_WRITABLE");
        assert_eq!(reply.header("retry-after"), Some("5"));
        assert!(case.requests().await.is_empty());
        Case::assert_repeat(&case.again().await, true);
    }
    let case = Case::dead(Vec::new()).await;
    *case.log.unreadable.lock().unwrap() = true;
    case.again().await.assert(503, "NOT_WRITABLE");
    *case.log.unreadable.lock().unwrap() = false;
    Case::assert_repeat(&case.again().await, true);
}

#[tokio::test]
async fn a_delivery_with_an_event_of_a_newer_version_is_still_a_plain_repeat() {
    let case = Case::dead(Vec::new()).await;
    let state = case.state().await;
    let mut append = Append {
        stream: case.stream.clone(),
        expected: Expected::Revision(state.revision),
        events: vec![],
        content: None,
    };
    append.events.push(domain::NewEvent {
        id: domain::EventId::new(uuid::Uuid::from_u128(9)),
        event_type: "DeliveryFailed".parse().unwrap(),
        schema: 9,
        metadata: bytes::Bytes::from_static(b"{\"of\":\"the future\"}"),
        data: domain::EventData::Inline(bytes::Bytes::new()),
    });
    case.rig.log.append(append).await.unwrap();
    Case::assert_repeat(&case.again().await, false);
}
