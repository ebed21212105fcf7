//! Rules of reading: what is shown, in which order, in which pieces.

use std::sync::Arc;

use bytes::Bytes;

use super::{Subject, all, append, at, event, receive, start};
use crate::testing::TestDelivery;
use crate::{
    BodyRef, ContentHash, EventData, EventId, Expected, PageLimit, Position, Revision, StreamName, TenantId,
};

pub(super) async fn a_new_log_is_empty(subject: Subject) {
    let log = subject.log;
    assert_eq!(log.head().await, Ok(Position::START));
    let page = log.read_all(Position::START, PageLimit::default()).await.unwrap();
    assert_eq!((page.events.len(), page.head), (0, Position::START));
    let stream = "replay-default.x".parse().unwrap();
    let events = log.read_stream(&stream, Revision::new(0), PageLimit::default());
    assert_eq!(events.await, Ok(Vec::new()));
    assert_eq!(log.tail_start(1000).await, Ok(Position::START));
}

pub(super) async fn an_event_is_read_back_byte_for_byte(subject: Subject) {
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

pub(super) async fn positions_grow_and_revisions_are_dense(subject: Subject) {
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

pub(super) async fn a_page_is_bounded_but_never_empty(subject: Subject) {
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

pub(super) async fn a_stream_is_read_from_a_revision(subject: Subject) {
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

pub(super) async fn recorded_at_never_goes_back(subject: Subject) {
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

pub(super) async fn a_waiter_is_woken_by_the_next_event(subject: Subject) {
    let log = subject.log;
    let waiting = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.wait_past(Position::START).await }
    });
    let appended = receive(&*log, &TestDelivery::new("push", "{}")).await;
    assert_eq!(waiting.await.unwrap(), Ok(appended.last));
    assert_eq!(log.wait_past(Position::START).await, Ok(appended.last));
}

pub(super) async fn deliveries_are_found_by_their_senders_id(subject: Subject) {
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

pub(super) async fn the_tail_is_no_longer_than_asked(subject: Subject) {
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

pub(super) async fn health_shows_the_head(subject: Subject) {
    let log = &*subject.log;
    let appended = receive(log, &TestDelivery::new("push", "{}")).await;
    let health = log.health();
    assert_eq!((health.head, health.unwritable), (appended.last, None));
    assert!(health.queue_max > 0);
    assert_eq!(log.id(), log.id());
}
