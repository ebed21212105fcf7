//! What the log puts together on purpose: appends into one sync, events into one table of the index.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::testing::TestDelivery;
use domain::{
    ContentHash, ContentKey, EventId, EventLog, Expected, Position, Revision, StreamName, TenantId, Timestamp,
};
use uuid::Uuid;

use super::{Bench, clock, small};
use crate::log::content_keys::{ContentKeys, delivery_key};
use crate::log::file::Files;
use crate::log::index::{Index, TABLE_EVENTS};
use crate::log::indexer::Indexer;
use crate::log::keys::EventKey;
use crate::log::pending::Pending;
use crate::log::power_cut::Disk;
use crate::log::recent::Recent;
use crate::log::{LogOptions, SegmentedLog};

#[tokio::test]
async fn syncs_begin_no_sooner_after_each_other_than_the_settings_say() {
    let interval = Duration::from_millis(50);
    let options = LogOptions {
        sync_interval_us: 50_000,
        ..small()
    };
    let log = SegmentedLog::open_on(Disk::empty(), None, options, clock()).unwrap();
    let started = Instant::now();
    for _ in 0..4 {
        log.append(TestDelivery::new("push", "{}").append())
            .await
            .unwrap();
    }
    assert!(started.elapsed() >= interval * 3, "{:?}", started.elapsed());
    log.close().await;
}

/// As many appends as those that were answered come again, one after another: they share a sync, with whom they shared the last one.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_come_again_are_gathered_into_one_batch() {
    let disk = Disk::empty();
    let options = LogOptions {
        gather_us: 60_000_000,
        sync_interval_us: 0,
        ..small()
    };
    let log = SegmentedLog::open_on(Arc::clone(&disk) as Arc<dyn Files>, None, options, clock()).unwrap();
    let append = || {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(TestDelivery::new("push", "{}").append()).await })
    };
    let until = async |what: &str, is_so: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}");
            tokio::task::yield_now().await;
        }
    };
    // The first is being synced while two more come: they are the next batch.
    let before = disk.faults().syncs.load(Ordering::SeqCst);
    disk.faults().shut_gate();
    let first = append();
    let is_synced = || disk.faults().syncs.load(Ordering::SeqCst) > before;
    until("the first is synced", &is_synced).await;
    let two = [append(), append()];
    until("two wait", &|| log.health().queue_len >= 2).await;
    disk.faults().open_gate();
    for answered in [first].into_iter().chain(two) {
        answered.await.unwrap().unwrap();
    }
    // One of the two comes again, and is not served before the other one does.
    let third = append();
    for _ in 0..20_000 {
        assert!(!third.is_finished(), "it is served alone");
        tokio::task::yield_now().await;
    }
    let fourth = append();
    third.await.unwrap().unwrap();
    fourth.await.unwrap().unwrap();
    let segment = log.shared.segments.all().remove(0);
    let batch_of = |position| segment.locate(&*log.shared.files, position).unwrap().unwrap();
    assert_eq!((batch_of(2), batch_of(4)), (batch_of(3), batch_of(5)));
    assert!(batch_of(1) < batch_of(2) && batch_of(3) < batch_of(4));
    log.close().await;
}

#[test]
fn an_index_with_nothing_to_add_does_not_stay_awake() {
    let options = LogOptions {
        index_delay_ms: 3_600_000,
        ..small()
    };
    let bench = Bench::open_with(&Disk::empty(), options).unwrap();
    let indexer = Indexer::new(Arc::clone(&bench.shared), PathBuf::new());
    let started = Instant::now();
    indexer.gather();
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "it looks for an hour"
    );
}

#[tokio::test]
async fn a_writer_that_waits_for_the_index_does_not_wait_until_enough_is_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions {
        index_delay_ms: 3_600_000,
        unindexed_max: 4,
        ..small()
    };
    let log = SegmentedLog::open(folder.path(), options, clock()).await.unwrap();
    for _ in 0..12 {
        log.append(TestDelivery::new("push", "{}").append())
            .await
            .unwrap();
    }
    log.close().await;
}

const SENDERS: u64 = TABLE_EVENTS as u64 / 2;

/// Events with streams, ids and bodies that come again.
fn keys() -> Vec<Arc<EventKey>> {
    (1..=TABLE_EVENTS as u64 + 100).map(key).map(Arc::new).collect()
}

fn key(position: u64) -> EventKey {
    let sender = position % SENDERS;
    let content = ContentKey {
        tenant: TenantId::default(),
        source: "github".parse().unwrap(),
        body_sha256: ContentHash::of(&(position % 1000).to_le_bytes()),
        sender_id: (sender != 7).then(|| format!("id-{sender}")),
        received_at: Timestamp::from_micros(position.cast_signed()),
        window_ms: 0,
    };
    // The first half begins a stream each, the rest follows in the same ones.
    let revision = (position - 1) / SENDERS;
    EventKey {
        position: Position::new(position),
        revision: Revision::new(revision),
        id: EventId::new(Uuid::from_u128(u128::from(position))),
        stream: stream((position - 1) % SENDERS),
        recorded_at: Timestamp::from_micros(position.cast_signed()),
        duplicate_of: position.is_multiple_of(3).then(|| stream(0)),
        content: (revision == 0 || position.is_multiple_of(2)).then(|| ContentKeys::of(&content)),
    }
}

fn stream(n: u64) -> StreamName {
    format!("delivery-default.github.41.{n}").parse().unwrap()
}

#[test]
fn the_index_answers_the_same_however_many_events_were_added_at_once() {
    let (one_by_one, at_once) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pieces = Index::open(one_by_one.path(), &small()).unwrap();
    let whole = Index::open(at_once.path(), &small()).unwrap();
    let keys = keys();
    for piece in keys.chunks(700) {
        pieces.apply(piece).unwrap();
    }
    // Some in memory before and after the table, and the whole once more: adding again changes nothing.
    whole.apply(&keys[..500]).unwrap();
    for _ in 0..2 {
        whole.apply(&keys).unwrap();
    }
    whole.apply(&keys[keys.len() - 3..]).unwrap();
    let mut found = 0;
    for key in &keys {
        assert_eq!(
            whole.head(&key.stream).unwrap(),
            pieces.head(&key.stream).unwrap()
        );
        let [theirs, ours] =
            [&pieces, &whole].map(|i| i.positions(&key.stream, Revision::new(0), 9).unwrap());
        assert_eq!(ours, theirs);
        let Some(content) = &key.content else {
            continue;
        };
        assert_eq!(
            whole.body(&content.body).unwrap(),
            pieces.body(&content.body).unwrap()
        );
        let Some(sender) = &content.sender else {
            continue;
        };
        assert_eq!(
            whole.original(&sender.original).unwrap(),
            pieces.original(&sender.original).unwrap()
        );
        let [theirs, ours] = [&pieces, &whole].map(|i| i.deliveries(&sender.delivery, 9).unwrap());
        assert_eq!(ours, theirs);
        found += ours.len();
    }
    assert!(found > keys.len() / 2, "{found} deliveries found");
}

#[test]
fn an_indexer_with_nothing_to_do_leaves_the_room_for_what_comes() {
    let mut recent = Recent::from(Pending::with_room(1000));
    assert!(recent.begin_indexing(Pending::default()).is_empty());
    assert!(recent.room() >= 1000, "it was made for what comes");
}

/// Appends to a stream; what is told of it must not depend on how much of it is being indexed.
#[test]
fn what_is_being_indexed_is_known_as_before() {
    let disk = Disk::empty();
    let mut bench = Bench::open(&disk).unwrap();
    let delivery = TestDelivery::new("push", "{}");
    let stream = delivery.received().stream();
    bench.append(&delivery);
    let part = bench
        .shared
        .change_recent(|recent| recent.begin_indexing(Pending::default()));
    assert_eq!(part.events().count(), 1);
    let mut second = TestDelivery::new("push", "{2}").append();
    (second.stream, second.expected, second.content) =
        (stream.clone(), Expected::Revision(Revision::new(0)), None);
    let mut marked = TestDelivery {
        event_id: EventId::new(Uuid::from_u128(77)),
        ..delivery.clone()
    }
    .append();
    marked.stream = "delivery-default.github.42.1".parse().unwrap();
    // The next event of its stream, the first one again, and another stream with its id.
    let answers = bench.commit(&[second, delivery.append(), marked]);
    let [second, first, marked] = answers.try_into().unwrap();
    assert_eq!(second.unwrap().unwrap().revision, Revision::new(1));
    assert_eq!(first.unwrap().unwrap().first, Position::new(1));
    assert_eq!(marked.unwrap().unwrap().duplicate_of, Some(stream.clone()));
    // What came meanwhile is not taken for indexed, and one part is asked for again until it is done.
    assert!(Arc::ptr_eq(
        &part,
        &bench
            .shared
            .change_recent(|recent| recent.begin_indexing(Pending::default()))
    ));
    let whole = [
        (Revision::new(0), Position::new(1)),
        (Revision::new(1), Position::new(2)),
    ];
    let recent = bench.shared.recent();
    assert_eq!(recent.positions(&stream, Revision::new(0)), whole);
    assert_eq!(recent.after(Position::START).count(), 3);
    assert!(recent.covers(Position::START));
    let known = delivery_key(&TenantId::default(), &delivery.delivery_id);
    assert_eq!(recent.deliveries(&known).len(), 2);
    drop(recent);
    bench.shared.change_recent(Recent::end_indexing);
    let recent = bench.shared.recent();
    assert_eq!((recent.len(), recent.covers(Position::START)), (2, false));
    assert!(recent.covers(Position::new(1)));
    assert_eq!(recent.positions(&stream, Revision::new(0)), whole[1..]);
}
