//! What every adapter of the log promises, as tests. [`run_all`] runs them against fresh logs.
#![expect(clippy::unwrap_used, reason = "a contract suite fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a contract suite fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{ManualClock, TestDelivery};
use crate::{
    Append, AppendError, Appended, BodyRef, Clock, ContentHash, EventData, EventId, EventLog, Expected,
    FindDeliveries, NewEvent, PageLimit, Position, RecordedEvent, Revision, StreamName, TenantId, Timestamp,
};

/// A log under test.
pub trait ContractLog: EventLog + FindDeliveries + 'static {}

impl<L: EventLog + FindDeliveries + 'static> ContractLog for L {}

/// A log with the clock it was made with.
pub struct Subject {
    /// The log, empty.
    pub log: Arc<dyn ContractLog>,
    /// Its clock.
    pub clock: Arc<ManualClock>,
}

const DEADLINE: Duration = Duration::from_secs(20);

/// Runs every rule, each against a fresh log that `make` gives.
///
/// # Panics
/// When the log breaks a rule.
pub async fn run_all<F>(make: F)
where
    F: AsyncFn(Arc<dyn Clock>) -> Arc<dyn ContractLog>,
{
    macro_rules! rules {
        ($($rule:ident),+ $(,)?) => {$(
            let clock = Arc::new(ManualClock::at(start()));
            let log = make(Arc::clone(&clock) as Arc<dyn Clock>).await;
            let rule = tokio::time::timeout(DEADLINE, Box::pin($rule(Subject { log, clock })));
            assert!(rule.await.is_ok(), concat!(stringify!($rule), " did not end in time"));
        )+};
    }
    rules!(
        a_new_log_is_empty,
        an_event_is_read_back_byte_for_byte,
        positions_grow_and_revisions_are_dense,
        a_stream_that_is_there_conflicts_with_no_stream,
        a_wrong_revision_conflicts,
        an_append_without_events_is_invalid,
        a_retry_with_the_same_ids_gets_the_first_answer,
        a_retry_must_repeat_the_whole_append_at_its_place,
        a_refused_append_leaves_nothing,
        a_page_is_bounded_but_never_empty,
        a_stream_is_read_from_a_revision,
        recorded_at_never_goes_back,
        a_waiter_is_woken_by_the_next_event,
        one_of_many_appends_with_one_key_wins,
        the_same_body_within_the_window_is_marked,
        the_same_body_outside_the_window_is_not_marked,
        a_mark_always_names_the_unmarked_original,
        the_same_sender_id_under_another_hook_is_marked_for_ever,
        content_is_compared_within_tenant_and_source,
        deliveries_are_found_by_their_senders_id,
        the_tail_is_no_longer_than_asked,
        health_shows_the_head,
    );
}

fn start() -> Timestamp {
    Timestamp::from_millis(1_763_766_000_000)
}

fn event(n: u128, data: &'static [u8]) -> NewEvent {
    NewEvent {
        id: EventId::new(uuid::Uuid::from_u128(n)),
        event_type: "ThingHappened".parse().unwrap(),
        schema: 3,
        metadata: Bytes::from_static(b"{\"n\":1}"),
        data: EventData::Inline(Bytes::from_static(data)),
    }
}

fn append(stream: &str, expected: Expected, events: Vec<NewEvent>) -> Append {
    Append {
        stream: stream.parse().unwrap(),
        expected,
        events,
        content: None,
    }
}

const fn at(revision: u64) -> Expected {
    Expected::Revision(Revision::new(revision))
}

async fn all(log: &dyn ContractLog) -> Vec<RecordedEvent> {
    let page = log.read_all(Position::START, PageLimit::default()).await.unwrap();
    page.events
}

async fn receive(log: &dyn ContractLog, delivery: &TestDelivery) -> Appended {
    log.append(delivery.append()).await.unwrap()
}

async fn a_new_log_is_empty(subject: Subject) {
    let log = subject.log;
    assert_eq!(log.head().await, Ok(Position::START));
    let page = log.read_all(Position::START, PageLimit::default()).await.unwrap();
    assert_eq!((page.events.len(), page.head), (0, Position::START));
    let stream = "replay-default.x".parse().unwrap();
    let events = log.read_stream(&stream, Revision::new(0), PageLimit::default());
    assert_eq!(events.await, Ok(Vec::new()));
    assert_eq!(log.tail_start(1000).await, Ok(Position::START));
}

async fn an_event_is_read_back_byte_for_byte(subject: Subject) {
    let inline = TestDelivery::new("push", (0..=255_u8).cycle().take(5000).collect::<Vec<_>>());
    let stored = TestDelivery::new("push", Bytes::from_static(b"large"));
    let body = BodyRef {
        sha256: ContentHash::of(b"large"),
        bytes: 3_000_000,
    };
    let mut stored_append = stored.append();
    stored_append.events[0].data = EventData::Stored(body);
    let first = receive(&*subject.log, &inline).await;
    let second = subject.log.append(stored_append).await.unwrap();
    let events = all(&*subject.log).await;
    for (read, (sent, appended)) in events.iter().zip([(&inline, &first), (&stored, &second)]) {
        let received = sent.received();
        assert_eq!(read.position, appended.first);
        assert_eq!(read.stream, received.stream());
        assert_eq!(read.revision, Revision::new(0));
        assert_eq!(read.id, sent.event_id);
        assert_eq!(read.event_type.as_str(), "DeliveryReceived");
        assert_eq!(read.schema, 1);
        assert_eq!(read.recorded_at, start());
        assert_eq!(read.duplicate_of, None);
        assert_eq!(read.metadata, received.to_metadata());
    }
    assert_eq!(events[0].data, EventData::Inline(inline.body.clone()));
    assert_eq!(events[1].data, EventData::Stored(body));
    assert_eq!(events.len(), 2);
}

async fn positions_grow_and_revisions_are_dense(subject: Subject) {
    let log = &*subject.log;
    let both = vec![event(1, b"a"), event(2, b"b")];
    let first = log
        .append(append("replay-default.a", Expected::NoStream, both))
        .await
        .unwrap();
    assert!(first.first < first.last);
    assert_eq!(first.revision, Revision::new(1));
    let other = log.append(append(
        "replay-default.b",
        Expected::NoStream,
        vec![event(3, b"c")],
    ));
    let other = other.await.unwrap();
    let third = log
        .append(append("replay-default.a", at(1), vec![event(4, b"d")]))
        .await
        .unwrap();
    assert!(first.last < other.first && other.first == other.last && other.last < third.first);
    assert_eq!(third.revision, Revision::new(2));
    let events = all(log).await;
    let positions: Vec<Position> = events.iter().map(|e| e.position).collect();
    assert_eq!(positions, [first.first, first.last, other.first, third.first]);
    assert_eq!(log.head().await, Ok(third.last));
    let stream = "replay-default.a".parse().unwrap();
    let stream = log
        .read_stream(&stream, Revision::new(0), PageLimit::default())
        .await
        .unwrap();
    let revisions: Vec<u64> = stream.iter().map(|e| e.revision.get()).collect();
    assert_eq!(revisions, [0, 1, 2]);
}

async fn a_stream_that_is_there_conflicts_with_no_stream(subject: Subject) {
    let log = &*subject.log;
    let delivery = TestDelivery::new("push", "{}");
    let first = receive(log, &delivery).await;
    let mut again = delivery.append();
    again.events[0].id = EventId::new(uuid::Uuid::from_u128(99));
    let conflict = AppendError::Conflict {
        current: Revision::new(0),
        first: first.first,
    };
    assert_eq!(log.append(again).await, Err(conflict));
    assert_eq!(all(log).await.len(), 1);
}

async fn a_wrong_revision_conflicts(subject: Subject) {
    let log = &*subject.log;
    let both = vec![event(1, b"a"), event(2, b"b")];
    let first = log
        .append(append("replay-default.a", Expected::NoStream, both))
        .await
        .unwrap();
    for wrong in [at(0), at(2), at(u64::MAX)] {
        let conflict = AppendError::Conflict {
            current: Revision::new(1),
            first: first.first,
        };
        let answer = log
            .append(append("replay-default.a", wrong, vec![event(9, b"x")]))
            .await;
        assert_eq!(answer, Err(conflict), "{wrong:?}");
    }
    let nothing = AppendError::Conflict {
        current: Revision::new(0),
        first: Position::START,
    };
    let answer = log
        .append(append("replay-default.none", at(0), vec![event(9, b"x")]))
        .await;
    assert_eq!(answer, Err(nothing));
    assert_eq!(all(log).await.len(), 2);
}

async fn an_append_without_events_is_invalid(subject: Subject) {
    let answer = subject
        .log
        .append(append("replay-default.a", Expected::NoStream, Vec::new()))
        .await;
    assert!(
        matches!(&answer, Err(error @ AppendError::Invalid(_)) if !error.retry()),
        "{answer:?}"
    );
}

async fn a_retry_with_the_same_ids_gets_the_first_answer(subject: Subject) {
    let log = &*subject.log;
    let delivery = TestDelivery::new("push", "{}");
    let stream = delivery.received().stream();
    let first = receive(log, &delivery).await;
    subject.clock.advance_millis(1000);
    assert_eq!(receive(log, &delivery).await, first);
    let both = || append(stream.as_str(), at(0), vec![event(1, b"a"), event(2, b"b")]);
    let second = log.append(both()).await.unwrap();
    assert_eq!(log.append(both()).await, Ok(second));
    // The first append is still recognised, with later events behind it.
    assert_eq!(receive(log, &delivery).await, first);
    assert_eq!(all(log).await.len(), 3);
    let marked = TestDelivery {
        hook: Some("42".into()),
        event_id: EventId::new(uuid::Uuid::from_u128(7)),
        ..delivery.clone()
    };
    let answer = receive(log, &marked).await;
    assert_eq!(answer.duplicate_of, Some(stream));
    assert_eq!(receive(log, &marked).await, answer);
}

async fn a_retry_must_repeat_the_whole_append_at_its_place(subject: Subject) {
    let log = &*subject.log;
    let both = vec![event(1, b"a"), event(2, b"b")];
    log.append(append("replay-default.a", Expected::NoStream, both))
        .await
        .unwrap();
    let refused = [
        (Expected::NoStream, vec![event(1, b"a"), event(3, b"c")]),
        (
            Expected::NoStream,
            vec![event(1, b"a"), event(2, b"b"), event(3, b"c")],
        ),
        (Expected::NoStream, vec![event(2, b"b")]),
        (at(1), vec![event(2, b"b")]),
    ];
    for (expected, events) in refused {
        let fits = expected == at(1);
        let answer = log.append(append("replay-default.a", expected, events)).await;
        // An id at another place is another event: what fits is written.
        assert_eq!(answer.is_ok(), fits, "{expected:?} {answer:?}");
    }
    let part = log
        .append(append(
            "replay-default.a",
            Expected::NoStream,
            vec![event(1, b"a")],
        ))
        .await;
    assert_eq!(part.map(|appended| appended.revision), Ok(Revision::new(0)));
}

async fn a_refused_append_leaves_nothing(subject: Subject) {
    let log = &*subject.log;
    let delivery = TestDelivery::new("push", "{\"a\":1}");
    let mut wrong = delivery.append();
    wrong.expected = at(4);
    assert!(log.append(wrong).await.is_err());
    // Nor is its content remembered.
    let other = TestDelivery::new("push", "{\"a\":1}");
    assert_eq!(receive(log, &other).await.duplicate_of, None);
    let found = log
        .by_sender_id(&TenantId::default(), &delivery.delivery_id, 5)
        .await;
    assert_eq!(found, Ok(Vec::new()));
}

async fn a_page_is_bounded_but_never_empty(subject: Subject) {
    let log = &*subject.log;
    for n in 0..10 {
        receive(log, &TestDelivery::new("push", vec![b'a' + n; 10_000])).await;
    }
    let events = all(log).await;
    let size = events[0].metadata.len() + 10_000;
    let page = |events, bytes| PageLimit { events, bytes };
    for (limit, expected) in [
        (page(3, usize::MAX), 3),
        (page(100, 1), 1),
        (page(100, 2 * size + 100), 2),
    ] {
        let got = log.read_all(Position::START, limit).await.unwrap();
        assert_eq!(got.events, events[..expected], "{limit:?}");
        assert_eq!(got.head, events[9].position);
    }
    let mut after = Position::START;
    let mut read = Vec::new();
    loop {
        let got = log.read_all(after, page(4, usize::MAX)).await.unwrap();
        let Some(last) = got.events.last() else { break };
        after = last.position;
        read.extend(got.events);
    }
    assert_eq!(read, events);
    let beyond = log
        .read_all(Position::new(u64::MAX), PageLimit::default())
        .await
        .unwrap();
    assert_eq!(beyond.events, []);
}

async fn a_stream_is_read_from_a_revision(subject: Subject) {
    let log = &*subject.log;
    let first = vec![event(0, b"a"), event(1, b"b")];
    log.append(append("replay-default.a", Expected::NoStream, first))
        .await
        .unwrap();
    for n in 2..6_u8 {
        let one = vec![event(n.into(), b"c")];
        log.append(append("replay-default.a", at(u64::from(n) - 1), one))
            .await
            .unwrap();
    }
    let stream: StreamName = "replay-default.a".parse().unwrap();
    for (from, events_max, expected) in [
        (0, 10, 0..6),
        (0, 2, 0..2),
        (3, 10, 3..6),
        (5, 1, 5..6),
        (6, 9, 6..6),
    ] {
        let limit = PageLimit {
            events: events_max,
            ..PageLimit::default()
        };
        let read = log
            .read_stream(&stream, Revision::new(from), limit)
            .await
            .unwrap();
        let revisions: Vec<u64> = read.iter().map(|e| e.revision.get()).collect();
        assert_eq!(
            revisions,
            expected.collect::<Vec<_>>(),
            "from {from}, at most {events_max}"
        );
    }
}

async fn recorded_at_never_goes_back(subject: Subject) {
    let log = &*subject.log;
    for step in [0, 5000, -60_000, -1, 56_000, 10] {
        subject.clock.advance_millis(step);
        receive(log, &TestDelivery::new("push", step.to_string())).await;
    }
    let times: Vec<i64> = all(log)
        .await
        .iter()
        .map(|e| e.recorded_at.millis_since(start()))
        .collect();
    assert_eq!(times, [0, 5000, 5000, 5000, 5000, 5000]);
}

async fn a_waiter_is_woken_by_the_next_event(subject: Subject) {
    let log = subject.log;
    let waiting = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.wait_past(Position::START).await }
    });
    let appended = receive(&*log, &TestDelivery::new("push", "{}")).await;
    assert_eq!(waiting.await.unwrap(), Ok(appended.last));
    assert_eq!(log.wait_past(Position::START).await, Ok(appended.last));
}

async fn one_of_many_appends_with_one_key_wins(subject: Subject) {
    let delivery = TestDelivery::new("push", "{}");
    let tries = (0..64).map(|n| {
        let mut append = delivery.append();
        append.events[0].id = EventId::new(uuid::Uuid::from_u128(1000 + n));
        let log = Arc::clone(&subject.log);
        tokio::spawn(async move { log.append(append).await })
    });
    let tries: Vec<_> = tries.collect();
    let (mut won, mut conflicts) = (Vec::new(), Vec::new());
    for answer in tries {
        match answer.await.unwrap() {
            Ok(appended) => won.push(appended.first),
            Err(AppendError::Conflict { first, .. }) => conflicts.push(first),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((won.len(), conflicts.len()), (1, 63));
    assert!(conflicts.iter().all(|first| *first == won[0]));
    assert_eq!(all(&*subject.log).await.len(), 1);
}

fn later(delivery: &TestDelivery, ms: i64) -> TestDelivery {
    TestDelivery {
        received_at: delivery.received_at.plus_millis(ms),
        ..TestDelivery::new(&delivery.event, delivery.body.clone())
    }
}

fn stream_of(delivery: &TestDelivery) -> Option<StreamName> {
    Some(delivery.received().stream())
}

async fn the_same_body_within_the_window_is_marked(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    assert_eq!(receive(log, &original).await.duplicate_of, None);
    for ms in [0, 1, 60_000, -60_000] {
        let repeat = later(&original, ms);
        assert_eq!(
            receive(log, &repeat).await.duplicate_of,
            stream_of(&original),
            "{ms} ms later"
        );
    }
    let other = TestDelivery::new("push", "{\"a\":2}");
    assert_eq!(receive(log, &other).await.duplicate_of, None);
    let marks: Vec<bool> = all(log).await.iter().map(|e| e.duplicate_of.is_some()).collect();
    assert_eq!(marks, [false, true, true, true, true, false]);
}

async fn the_same_body_outside_the_window_is_not_marked(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    receive(log, &original).await;
    let off = TestDelivery {
        window_ms: 0,
        ..later(&original, 0)
    };
    assert_eq!(receive(log, &off).await.duplicate_of, None);
    let late = later(&original, 60_001);
    assert_eq!(receive(log, &late).await.duplicate_of, None);
    // It is the original of those that follow.
    let repeat = later(&original, 120_001);
    assert_eq!(receive(log, &repeat).await.duplicate_of, stream_of(&late));
}

async fn a_mark_always_names_the_unmarked_original(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    receive(log, &original).await;
    let repeat = later(&original, 40_000);
    assert_eq!(receive(log, &repeat).await.duplicate_of, stream_of(&original));
    // The window runs from the original, not from the repeat.
    let third = later(&original, 80_000);
    assert_eq!(receive(log, &third).await.duplicate_of, None);
    // The id of a marked delivery under another hook leads to the original too.
    let other_hook = TestDelivery {
        hook: Some("42".into()),
        delivery_id: repeat.delivery_id.clone(),
        ..TestDelivery::new("push", "{\"b\":1}")
    };
    assert_eq!(receive(log, &other_hook).await.duplicate_of, stream_of(&original));
}

async fn the_same_sender_id_under_another_hook_is_marked_for_ever(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    receive(log, &original).await;
    let other_hook = TestDelivery {
        event_id: EventId::new(uuid::Uuid::from_u128(5)),
        hook: Some("42".into()),
        received_at: original.received_at.plus_millis(1_000_000_000),
        window_ms: 0,
        ..original.clone()
    };
    assert_eq!(receive(log, &other_hook).await.duplicate_of, stream_of(&original));
}

async fn content_is_compared_within_tenant_and_source(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    receive(log, &original).await;
    let other_source = TestDelivery {
        source: "github-2".into(),
        event_id: EventId::new(uuid::Uuid::from_u128(5)),
        ..original.clone()
    };
    assert_eq!(receive(log, &other_source).await.duplicate_of, None);
    let mut other_tenant = later(&original, 0).append();
    other_tenant.stream = format!("delivery-team-b.{}", other_tenant.stream.id())
        .parse()
        .unwrap();
    if let Some(content) = &mut other_tenant.content {
        content.tenant = "team-b".parse().unwrap();
        content.sender_id = Some(original.delivery_id.clone());
    }
    let answer = log.append(other_tenant).await.unwrap();
    assert_eq!(answer.duplicate_of, None);
}

async fn deliveries_are_found_by_their_senders_id(subject: Subject) {
    let log = &*subject.log;
    let tenant = TenantId::default();
    let mut streams = Vec::new();
    for (n, source, hook) in [(1, "github", "9"), (2, "github", "41"), (3, "acme", "5")] {
        let delivery = TestDelivery {
            event_id: EventId::new(uuid::Uuid::from_u128(n)),
            source: source.into(),
            hook: Some(hook.into()),
            delivery_id: "72d3162e".into(),
            ..TestDelivery::new("push", n.to_string())
        };
        receive(log, &delivery).await;
        streams.push(delivery.received().stream());
    }
    receive(log, &TestDelivery::new("push", "other")).await;
    assert_eq!(
        log.by_sender_id(&tenant, "72d3162e", 10).await,
        Ok(streams.clone())
    );
    assert_eq!(
        log.by_sender_id(&tenant, "72d3162e", 2).await,
        Ok(streams[..2].to_vec())
    );
    assert_eq!(log.by_sender_id(&tenant, "72d3162", 10).await, Ok(Vec::new()));
    let other: TenantId = "team-b".parse().unwrap();
    assert_eq!(log.by_sender_id(&other, "72d3162e", 10).await, Ok(Vec::new()));
}

async fn the_tail_is_no_longer_than_asked(subject: Subject) {
    let log = &*subject.log;
    for n in 0..20_u8 {
        receive(log, &TestDelivery::new("push", vec![n + 1; 5000])).await;
    }
    assert_eq!(log.tail_start(u64::MAX).await, Ok(Position::START));
    assert_eq!(log.tail_start(0).await, log.head().await);
    for bytes in [1, 20_000, 60_000] {
        let start = log.tail_start(bytes).await.unwrap();
        let page = log.read_all(start, PageLimit::default()).await.unwrap();
        let sizes = page
            .events
            .iter()
            .map(|e| e.metadata.len() as u64 + e.data.byte_len());
        let size: u64 = sizes.sum();
        assert!(size <= bytes, "{size} of {bytes}");
        // Adapters count in blocks and batches; they must not give away most of the tail.
        assert!(bytes < 20_000 || size >= bytes / 4, "{size} of {bytes}");
    }
}

async fn health_shows_the_head(subject: Subject) {
    let log = &*subject.log;
    let appended = receive(log, &TestDelivery::new("push", "{}")).await;
    let health = log.health();
    assert_eq!((health.head, health.unwritable), (appended.last, None));
    assert!(health.queue_max > 0);
    assert_eq!(log.id(), log.id());
}
