//! Deliveries that somebody asked to be published again.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::testing::{decide_and_append, replayed};
use domain::{
    AppendError, Appended, BodyRef, Category, CategoryPage, ContentHash, DeliveryOutcome, EventData, EventId,
    Expected, LogHealth, LogId, Message, Outcome, RecordedEvent, ReplayTo, Revision, Spacing, StreamName,
    load_delivery,
};

use super::*;

/// A log whose streams can't be read, for now or for ever.
struct Streamless {
    log: Arc<MemoryLog>,
    unavailable: AtomicBool,
    corrupt: AtomicBool,
}

#[async_trait]
impl EventLog for Streamless {
    fn id(&self) -> LogId {
        self.log.id()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.log.append(append).await
    }
    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(ReadError::Unavailable("set so by the test".into()));
        }
        if self.corrupt.load(Ordering::SeqCst) {
            return Err(ReadError::Corrupt("set so by the test".into()));
        }
        self.log.read_stream(stream, from, limit).await
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

/// A delivery, and a request to publish it again at once.
async fn asked_for(log: &MemoryLog, body: &str, data: Option<EventData>) -> StreamName {
    let mut append = TestDelivery::new("push", body.to_owned()).append();
    if let Some(data) = data {
        append.events[0].data = data;
    }
    let stream = append.stream.clone();
    log.append(append).await.unwrap();
    ask(log, &stream).await;
    stream
}

async fn ask(log: &MemoryLog, stream: &StreamName) {
    decide_and_append(log, stream, |_| replayed(ReplayTo::Subjects, &[]))
        .await
        .expect("each request is another replay");
}

fn header(message: &Message, name: &str) -> Option<String> {
    let found = message.headers.iter().find(|h| h.0 == name);
    found.map(|h| h.1.clone())
}

fn message_at(stream: &FakeStream, n: usize) -> Message {
    stream.state().messages[n].1.clone()
}

#[tokio::test(start_paused = true)]
async fn a_delivery_asked_for_is_published_again_with_its_body_at_the_position_of_the_request() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    append(log.as_ref(), 2).await;
    let small = asked_for(&log, r#"{"n":1}"#, None).await;
    let stored = EventData::Stored(BodyRef {
        sha256: ContentHash::of(b"large"),
        bytes: 300_000,
    });
    asked_for(&log, "{}", Some(stored)).await;
    append(log.as_ref(), 2).await;
    // Long after the delivery, and a second time.
    ask(&log, &small).await;
    let relay = start(&log, &stream);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    for (original, request, body) in [(2, 3, r#"{"n":1}"#), (4, 5, ""), (2, 8, r#"{"n":1}"#)] {
        let (original, request) = (message_at(&stream, original), message_at(&stream, request));
        assert_eq!(
            (&original.subject, &original.payload),
            (&request.subject, &request.payload)
        );
        assert_eq!(request.payload, body.as_bytes());
        let dataref = header(&request, "ce-dataref");
        assert_eq!(dataref, header(&original, "ce-dataref"));
        assert_eq!(dataref.is_some(), body.is_empty());
        let position = header(&original, "Hooklog-Position");
        assert_eq!(header(&request, "Hooklog-Original-Position"), position);
        assert_eq!(header(&original, "Hooklog-Replay"), None);
        let live = crate::doubles::read(&request);
        let Outcome::ReplayRequested(asked) = DeliveryOutcome::of(&live.event).unwrap().unwrap().outcome
        else {
            panic!("read back as something else");
        };
        let replay = asked.replay.unwrap();
        assert_eq!(header(&request, "Hooklog-Replay"), Some(replay.to_string()));
    }
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_to_processing_stays_among_the_events_of_the_log() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    let delivery = TestDelivery::new("push", "{}").append();
    log.append(delivery.clone()).await.unwrap();
    decide_and_append(log.as_ref(), &delivery.stream, |_| {
        replayed(ReplayTo::Processing, &[])
    })
    .await;
    let relay = start(&log, &stream);
    relay.published_all(&log, &stream).await;
    let request = message_at(&stream, 1);
    assert_eq!(
        request.subject,
        "hooklog.log.v1.default.delivery.DeliveryReplayRequested"
    );
    assert_eq!(header(&request, "Hooklog-Replay"), None);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_delivery_can_not_be_read_leaves_no_hole() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    let readable = asked_for(&log, "{}", None).await;
    let state = load_delivery(log.as_ref(), &readable, None).await;
    let state = state.unwrap().unwrap();
    let request = state.decide(replayed(ReplayTo::Subjects, &[])).unwrap().unwrap();
    // The receipt of one is no JSON, that of another is not there at all.
    let mut odd = TestDelivery::new("push", "kept").append();
    odd.events[0].metadata = "not json".into();
    log.append(odd.clone()).await.unwrap();
    for (stream, expected) in [
        (odd.stream, Expected::Revision(Revision::new(0))),
        (
            TestDelivery::new("push", "{}").append().stream,
            Expected::NoStream,
        ),
    ] {
        let append = Append {
            stream,
            expected,
            events: vec![request.to_event(EventId::new(uuid::Uuid::new_v4()))],
            content: None,
        };
        log.append(append).await.unwrap();
    }
    append(log.as_ref(), 1).await;
    let relay = start(&log, &stream);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    for unread in [3, 4] {
        let message = message_at(&stream, unread);
        assert_eq!(
            message.subject,
            "hooklog.log.v1.default.delivery.DeliveryReplayRequested"
        );
        assert_eq!(header(&message, "Hooklog-Replay"), None);
    }
    let shown = header(&message_at(&stream, 1), "Hooklog-Original-Position");
    assert_eq!(shown, Some("7".to_owned()));
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_can_not_be_read_now_is_waited_for_and_a_damaged_one_is_not() {
    for damaged in [false, true] {
        let (memory, stream) = (gapful_log(), FakeStream::new(1));
        asked_for(&memory, "{}", None).await;
        let log = Arc::new(Streamless {
            log: Arc::clone(&memory),
            unavailable: AtomicBool::new(!damaged),
            corrupt: AtomicBool::new(damaged),
        });
        let events: Arc<dyn EventLog> = Arc::<Streamless>::clone(&log);
        let (relay, handle) = Relay::build(
            options(),
            events,
            Arc::<FakeStream>::clone(&stream),
            clock(),
            &Unshared,
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(relay.run(stop.clone()));
        let running = Running { handle, stop, task };
        if !damaged {
            until("the relay waits", async || {
                running.handle.status().state == RelayState::Waiting
            })
            .await;
            log.unavailable.store(false, Ordering::SeqCst);
        }
        running.published_all(&memory, &stream).await;
        check(&memory, &stream, true).await;
        let shown = header(&message_at(&stream, 1), "Hooklog-Replay");
        assert_eq!(shown.is_none(), damaged);
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_for_large_deliveries_are_published_in_pieces_that_fit_into_memory() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    let body = format!("\"{}\"", "x".repeat(200_000));
    let delivery = TestDelivery::new("push", body.clone()).append();
    log.append(delivery.clone()).await.unwrap();
    for _ in 0..20 {
        ask(&log, &delivery.stream).await;
    }
    let options = RelayOptions {
        page_events_max: 1000,
        page_bytes_max: 500_000,
        ..RelayOptions::default()
    };
    let relay = start_with(options, &log, &stream);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    let most = stream.state().published.iter().copied().max().unwrap();
    assert!(most <= 500_000 + body.len(), "{most} bytes at once");
    relay.stop().await;
}
