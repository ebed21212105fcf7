//! A log is moved to a cluster and back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::testing::{Ending, ManualClock, TestDelivery, attempted, decide_and_append};
use domain::{ContentKey, DeliveryReceived, EventId, EventLog, PageLimit, Position, RecordedEvent, TenantId};
use infra::eventstore::{EventStoreLog, EventStoreOptions};
use infra::log::{LogOptions, SegmentedLog};
use infra::migrate::{MigrateError, Migrated, TakeOver, migrate};

use super::harness::{Server, options, start};

/// How many deliveries there are; more in a drill.
fn deliveries() -> usize {
    let knob = std::env::var_os("HOOKLOG_MIGRATED_DELIVERIES");
    knob.map_or(1000, |knob| knob.to_str().unwrap().parse().unwrap())
}

async fn embedded(path: &Path, clock: &Arc<ManualClock>) -> Arc<SegmentedLog> {
    let options = LogOptions {
        segment_bytes: 4 * 1024 * 1024,
        ..LogOptions::default()
    };
    SegmentedLog::open(path, options, Arc::clone(clock) as _)
        .await
        .unwrap()
}

/// Deliveries with duplicates of both kinds, with outcomes, over an hour.
async fn fill(log: &SegmentedLog, clock: &ManualClock) {
    let mut appending = Vec::new();
    for n in 0..deliveries() {
        clock.advance_millis(if n % 10 == 0 { 37 } else { 0 });
        let delivery = TestDelivery {
            received_at: start().plus_millis(i64::try_from(n).unwrap() * 1000),
            due: if n % 5 == 0 { vec!["orders"] } else { Vec::new() },
            ..TestDelivery::new("push", format!("{{\"n\":{}}}", n / 3 * 3))
        };
        let again = TestDelivery {
            event_id: EventId::new(uuid::Uuid::new_v4()),
            hook: Some("42".into()),
            ..delivery.clone()
        };
        appending.push(log.append(delivery.append()));
        if n % 7 == 1 && n % 150 != 0 {
            appending.push(log.append(again.append()));
        }
        if appending.len() > 200 || n + 1 == deliveries() {
            for answer in futures_util::future::join_all(appending.drain(..)).await {
                answer.unwrap();
            }
        }
        if n % 150 == 0 {
            for answer in futures_util::future::join_all(appending.drain(..)).await {
                answer.unwrap();
            }
            let stream = delivery.received().stream();
            let at = delivery.received_at;
            decide_and_append(log, &stream, |state| {
                attempted(state, "orders", Ending::Delivered, at).unwrap()
            })
            .await;
        }
    }
}

fn content_of(event: &RecordedEvent) -> Option<ContentKey> {
    let received = DeliveryReceived::of(event)?.ok()?;
    Some(ContentKey {
        tenant: received.tenant,
        source: received.source,
        body_sha256: received.sha256,
        sender_id: received.delivery_id,
        received_at: received.received_at,
        window_ms: 0,
    })
}

async fn moved(from: &dyn EventLog, to: &dyn TakeOver) -> Migrated {
    migrate(from, to, &content_of, &|_| {}).await.unwrap()
}

/// Moves about half of a log, then stops as if killed.
async fn moved_half_way(from: &dyn EventLog, to: &dyn TakeOver, half: u64) {
    let done = AtomicU64::new(0);
    let progress = |events| done.store(events, Ordering::SeqCst);
    tokio::select! {
        moved = migrate(from, to, &content_of, &progress) => panic!("moved whole: {moved:?}"),
        () = async {
            while done.load(Ordering::SeqCst) < half {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        } => {}
    }
}

async fn all(log: &dyn EventLog) -> Vec<RecordedEvent> {
    let (mut after, mut events) = (Position::START, Vec::new());
    loop {
        let page = log.read_all(after, PageLimit::default()).await.unwrap();
        let Some(last) = page.events.last() else {
            return events;
        };
        after = last.position;
        events.extend(page.events);
    }
}

async fn cluster(server: &Server, prefix: &str) -> Arc<EventStoreLog> {
    let options = EventStoreOptions {
        stream_prefix: prefix.into(),
        ..options(&server.node.url())
    };
    server.log_with(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_moved_there_and_back_is_the_same_also_when_it_was_cut_short() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::clone(&server.clock);
    let original = embedded(&folder.path().join("original"), &clock).await;
    fill(&original, &clock).await;
    let expected = all(&*original).await;
    let half = expected.len() as u64 / 2;

    let there = cluster(&server, "there").await;
    moved_half_way(&*original, &*there, half).await;
    // By another process, as the first one is gone.
    let there_again = cluster(&server, "there").await;
    let first = moved(&*original, &*there_again).await;
    assert!(
        first.found >= half && first.events == expected.len() as u64,
        "{first:?}"
    );
    assert_ne!(there.id(), original.id());

    let back_path = folder.path().join("back");
    let back = embedded(&back_path, &clock).await;
    moved_half_way(&*there, &*back, half).await;
    back.close().await;
    let back = embedded(&back_path, &clock).await;
    let second = moved(&*there, &*back).await;
    assert_eq!((second.events, second.sha256), (first.events, first.sha256));
    let same = |event: &RecordedEvent| RecordedEvent {
        position: Position::START,
        ..event.clone()
    };
    let events = all(&*back).await;
    assert!(events.iter().map(same).eq(expected.iter().map(same)));

    // What is looked up by content is known in both: a repeat is marked as it would have been.
    let last = DeliveryReceived::of(expected.last().unwrap()).unwrap().unwrap();
    let id = last.delivery_id.clone().unwrap();
    for log in [&*there as &dyn domain::testing::contract::ContractLog, &*back] {
        let found = log.by_sender_id(&TenantId::default(), &id, 10).await.unwrap();
        assert!(found.contains(&last.stream()), "{found:?}");
    }
    // A second move finds everything, and one into another log is refused.
    assert_eq!(moved(&*original, &*there).await.found, first.events);
    super::harness::receive(&there, &TestDelivery::new("push", "used since")).await;
    let refused = migrate(&*original, &*there, &content_of, &|_| {}).await;
    assert!(
        matches!(refused, Err(MigrateError::Different { .. })),
        "{refused:?}"
    );
}
