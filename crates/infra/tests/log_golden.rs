//! Every event ever written stays readable: a log written by the first version opens, and gives the same events.
//!
//! The fixture is written once, by `cargo test -p infra --test log_golden -- --ignored`, and never again for a format
//! that was released: a new format gets a new folder beside it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::testing::{ManualClock, TestDelivery};
use domain::{
    Append, BodyRef, Clock, ContentHash, EventData, EventId, EventLog, Expected, NewEvent, PageLimit,
    Position, RecordedEvent, Revision, Timestamp,
};
use infra::log::{LogOptions, SegmentedLog, dump, verify};
use serde_json::{Value, json};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/segment_format_1")
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_763_766_000_000)))
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 64 * 1024,
        fill_ahead_bytes: 0,
        fill_step_bytes: 4096,
        ..LogOptions::default()
    }
}

fn line(event: &RecordedEvent) -> Value {
    let data = match &event.data {
        EventData::Inline(bytes) => {
            json!({ "sha256": ContentHash::of(bytes), "bytes": bytes.len(), "stored": false })
        }
        EventData::Stored(body) => json!({ "sha256": body.sha256, "bytes": body.bytes, "stored": true }),
    };
    json!({
        "position": event.position,
        "stream": event.stream,
        "revision": event.revision,
        "id": event.id,
        "type": event.event_type,
        "schema": event.schema,
        "recordedAt": event.recorded_at,
        "duplicateOf": event.duplicate_of,
        "metadata": serde_json::from_slice::<Value>(&event.metadata).unwrap(),
        "data": data,
    })
}

fn expected() -> Vec<Value> {
    let text = std::fs::read_to_string(golden().join("events.ndjson")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn copy_of_golden() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

#[tokio::test]
async fn the_golden_log_opens_and_gives_the_same_events() {
    let folder = copy_of_golden();
    let dumped: Vec<Value> = dump(folder.path(), Position::START, usize::MAX)
        .unwrap()
        .map(|event| line(&event.unwrap()))
        .collect();
    assert_eq!(dumped, expected());
    let report = verify(folder.path()).unwrap();
    assert_eq!((report.problem, report.events), (None, expected().len() as u64));

    let log = SegmentedLog::open(folder.path(), options(), clock())
        .await
        .unwrap();
    let page = log.read_all(Position::START, PageLimit::default()).await.unwrap();
    let read: Vec<Value> = page.events.iter().map(line).collect();
    assert_eq!(read, expected());
    for event in page.events {
        let stream = log
            .read_stream(&event.stream, event.revision, PageLimit::default())
            .await
            .unwrap();
        assert_eq!(stream.first(), Some(&event));
    }
    // And it goes on: what it knows is still known.
    let again = log.append(deliveries()[0].append()).await.unwrap();
    assert_eq!(again.first, Position::new(1));
    let repeat = TestDelivery::new("push", deliveries()[0].body.clone());
    let repeat = log.append(repeat.append()).await.unwrap();
    assert_eq!(repeat.duplicate_of, Some(deliveries()[0].received().stream()));
    log.close().await;
}

#[test]
fn the_golden_log_has_an_event_of_every_type_and_schema() {
    let mut kinds: Vec<String> = expected()
        .iter()
        .map(|e| format!("{} {}", e["type"], e["schema"]))
        .collect();
    kinds.dedup();
    let received = format!(
        "\"{}\" {}",
        domain::DeliveryReceived::TYPE,
        domain::DeliveryReceived::SCHEMA
    );
    assert!(kinds.contains(&received), "{received} is not in {kinds:?}");
    let metadata = expected()[0]["metadata"].clone();
    let received: domain::DeliveryReceived = serde_json::from_value(metadata).unwrap();
    assert_eq!(received, deliveries()[0].received());
}

/// Deliveries with fixed ids.
fn deliveries() -> Vec<TestDelivery> {
    let delivery = |n: u128, body: &'static [u8]| TestDelivery {
        event_id: EventId::new(uuid::Uuid::from_u128(n)),
        delivery_id: format!("72d3162e-cc78-11e3-81ab-4c9367dc{n:04}"),
        ..TestDelivery::new("push", body)
    };
    vec![
        delivery(1, br#"{"ref":"refs/heads/main","zen":"Speak like a human."}"#),
        delivery(2, b"\xff\xfe\x00 not text \x00\x01"),
        // The same body as the first: marked.
        delivery(3, br#"{"ref":"refs/heads/main","zen":"Speak like a human."}"#),
        delivery(4, b""),
    ]
}

#[tokio::test]
#[ignore = "writes the fixture; for a new format only"]
async fn write_the_golden_log() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let log = SegmentedLog::open(folder.path(), options(), Arc::clone(&clock) as Arc<dyn Clock>)
        .await
        .unwrap();
    for delivery in deliveries() {
        clock.advance_millis(1500);
        log.append(delivery.append()).await.unwrap();
    }
    let mut stored = TestDelivery {
        event_id: EventId::new(uuid::Uuid::from_u128(5)),
        delivery_id: "large".into(),
        ..TestDelivery::new("push", "large")
    }
    .append();
    stored.events[0].data = EventData::Stored(BodyRef {
        sha256: ContentHash::of(b"large"),
        bytes: 20_000_000,
    });
    let stream = stored.stream.clone();
    log.append(stored).await.unwrap();
    let follow_up = |n| NewEvent {
        id: EventId::new(uuid::Uuid::from_u128(n)),
        event_type: "ThingHappened".parse().unwrap(),
        schema: 7,
        metadata: format!("{{\"n\":{n}}}").into(),
        data: EventData::Inline("{}".into()),
    };
    let append = Append {
        stream,
        expected: Expected::Revision(Revision::new(0)),
        events: vec![follow_up(6), follow_up(7)],
        content: None,
    };
    log.append(append).await.unwrap();
    log.close().await;
    std::fs::create_dir_all(golden()).unwrap();
    for name in ["FORMAT", "0000000001.segment"] {
        std::fs::copy(folder.path().join(name), golden().join(name)).unwrap();
    }
    let lines = dump(folder.path(), Position::START, usize::MAX).unwrap();
    let lines: Vec<String> = lines
        .map(|event| format!("{}\n", line(&event.unwrap())))
        .collect();
    std::fs::write(golden().join("events.ndjson"), lines.concat()).unwrap();
}
