//! A log is moved to a cluster and back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use domain::testing::{Ending, ManualClock, TestDelivery, attempted, decide_and_append};
use domain::{
    BodyRef, BodyStore as _, ContentHash, DeliveryReceived, EventData, EventId, EventLog, PageLimit,
    Position, RecordedEvent, TenantId,
};
use infra::body::{BodyOptions, DirectoryBodyStore};
use infra::budget::RoomHandle;
use infra::eventstore::{EventStoreLog, EventStoreOptions};
use infra::log::{LogOptions, SegmentedLog};
use infra::migrate::{Bodies, MigrateError, Migrated, TakeOver, migrate};

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

/// Long bodies on both sides.
struct Stores {
    from: DirectoryBodyStore,
    to: DirectoryBodyStore,
}

impl Stores {
    fn in_folder(folder: &Path) -> Self {
        let open = |name| {
            DirectoryBodyStore::open(folder.join(name), BodyOptions::default(), RoomHandle::default())
                .unwrap()
        };
        Self {
            from: open("bodies"),
            to: open("bodies-there"),
        }
    }

    fn there(&self) -> Bodies<'_> {
        Bodies {
            from: &self.from,
            to: &self.to,
        }
    }

    fn back(&self) -> Bodies<'_> {
        Bodies {
            from: &self.to,
            to: &self.from,
        }
    }
}

async fn moved(from: &dyn EventLog, to: &dyn TakeOver, bodies: &Bodies<'_>) -> Migrated {
    migrate(from, to, bodies, &|_| {}).await.unwrap()
}

/// Moves about half of a log, then stops as if killed.
async fn moved_half_way(from: &dyn EventLog, to: &dyn TakeOver, bodies: &Bodies<'_>, half: u64) {
    let done = AtomicU64::new(0);
    let progress = |events| done.store(events, Ordering::SeqCst);
    tokio::select! {
        moved = migrate(from, to, bodies, &progress) => panic!("moved whole: {moved:?}"),
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
    let stores = Stores::in_folder(folder.path());
    let original = embedded(&folder.path().join("original"), &clock).await;
    fill(&original, &clock).await;
    let expected = all(&*original).await;
    let half = expected.len() as u64 / 2;

    let there = cluster(&server, "there").await;
    moved_half_way(&*original, &*there, &stores.there(), half).await;
    // By another process, as the first one is gone.
    let there_again = cluster(&server, "there").await;
    let first = moved(&*original, &*there_again, &stores.there()).await;
    assert!(
        first.found >= half && first.events == expected.len() as u64,
        "{first:?}"
    );
    assert_ne!(there.id(), original.id());

    let back_path = folder.path().join("back");
    let back = embedded(&back_path, &clock).await;
    moved_half_way(&*there, &*back, &stores.back(), half).await;
    back.close().await;
    let back = embedded(&back_path, &clock).await;
    let second = moved(&*there, &*back, &stores.back()).await;
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
    assert_eq!(
        moved(&*original, &*there, &stores.there()).await.found,
        first.events
    );
    super::harness::receive(&there, &TestDelivery::new("push", "used since")).await;
    let refused = migrate(&*original, &*there, &stores.there(), &|_| {}).await;
    assert!(
        matches!(refused, Err(MigrateError::Different { .. })),
        "{refused:?}"
    );
}

async fn keep(store: &DirectoryBodyStore, body: &[u8]) -> BodyRef {
    let mut upload = store.begin().await.unwrap();
    upload.write(Bytes::copy_from_slice(body)).await.unwrap();
    upload.commit().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_long_bodies_that_a_log_names_move_with_it() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::in_folder(folder.path());
    let original = embedded(&folder.path().join("original"), &server.clock).await;
    let long = vec![7_u8; 3 * 1024 * 1024];
    let kept = keep(&stores.from, &long).await;
    let lost = BodyRef {
        sha256: ContentHash::of(b"of which nothing is left"),
        bytes: 24,
    };
    for body in [kept, lost] {
        let mut append = TestDelivery::new("push", body.sha256.to_string()).append();
        append.events[0].data = EventData::Stored(body);
        original.append(append).await.unwrap();
    }
    let there = cluster(&server, "long").await;
    let done = moved(&*original, &*there, &stores.there()).await;
    assert_eq!((done.events, done.bodies, done.bodies_lost), (2, 1, 1));
    let mut read = Vec::new();
    while let piece = stores
        .to
        .read(&kept, read.len() as u64, usize::MAX)
        .await
        .unwrap()
        && !piece.is_empty()
    {
        read.extend(piece);
    }
    assert!(read == long, "the body is there, byte for byte");

    // A body that was damaged there is seen by the next look, and put again by nobody but who moves its event.
    let again = moved(&*original, &*there, &stores.there()).await;
    assert_eq!((again.found, again.bodies), (2, 1));
}
