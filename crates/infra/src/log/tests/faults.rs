//! A disk that fails: what is not durable is never answered with success, shown or remembered.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::testing::{ManualClock, TestDelivery};
use domain::{
    AppendError, Clock, ContentHash, EventId, EventLog, FindDeliveries, PageLimit, Position, Revision,
    Timestamp,
};
use tokio::task::JoinHandle;

use super::{Bench, clock, small};
use crate::log::file::Files;
use crate::log::power_cut::Disk;
use crate::log::{LogOptions, SegmentedLog};

fn open(disk: &Arc<Disk>) -> Arc<SegmentedLog> {
    open_with(disk, small())
}

fn open_with(disk: &Arc<Disk>, options: LogOptions) -> Arc<SegmentedLog> {
    let files = Arc::clone(disk) as Arc<dyn Files>;
    SegmentedLog::open_on(files, None::<&Path>, options, clock()).unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::task::yield_now().await;
    }
}

type Tries = Vec<JoinHandle<Result<domain::Appended, AppendError>>>;

/// Appends one delivery many times at once, each time as another request would.
fn tries(log: &Arc<SegmentedLog>, delivery: &TestDelivery, count: u128) -> Tries {
    let one = |n| {
        let delivery = TestDelivery {
            event_id: EventId::new(uuid::Uuid::from_u128(n + 1)),
            ..delivery.clone()
        };
        let log = Arc::clone(log);
        tokio::spawn(async move { log.append(delivery.append()).await })
    };
    (0..count).map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_append_is_answered_before_the_sync() {
    let disk = Disk::empty();
    let log = open(&disk);
    let before = disk.faults().syncs.load(Ordering::SeqCst);
    disk.faults().shut_gate();
    let delivery = TestDelivery::new("push", "{}");
    let mut tries = tries(&log, &delivery, 64);
    until("a sync begins", || {
        disk.faults().syncs.load(Ordering::SeqCst) > before
    })
    .await;
    // The first sync hangs: whoever is in its batch waits, whoever is behind it waits in the queue.
    let in_first = 64 - log.health().queue_len;
    assert!(in_first >= 1);
    assert!(tries.iter().all(|t| !t.is_finished()));
    assert_eq!(log.head().await, Ok(Position::START));
    let page = log.read_all(Position::START, PageLimit::default()).await.unwrap();
    assert_eq!((page.events.len(), page.head), (0, Position::START));
    let found = log
        .by_sender_id(&"default".parse().unwrap(), &delivery.delivery_id, 9)
        .await;
    assert_eq!(found, Ok(Vec::new()));
    disk.faults().open_gate();
    let (mut won, mut conflicts) = (0, 0);
    for answer in tries.drain(..) {
        match answer.await.unwrap() {
            Ok(_) => won += 1,
            Err(AppendError::Conflict { .. }) => conflicts += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((won, conflicts), (1, 63));
    assert_eq!(log.head().await, Ok(Position::new(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_refuses_everyone_and_is_not_remembered() {
    let disk = Disk::empty();
    let log = open(&disk);
    let kept = TestDelivery::new("push", "kept");
    log.append(kept.append()).await.unwrap();
    disk.faults().syncs_fail.store(true, Ordering::SeqCst);
    let delivery = TestDelivery::new("push", "{}");
    for answer in tries(&log, &delivery, 64) {
        let answer = answer.await.unwrap();
        assert!(matches!(answer, Err(AppendError::Unavailable(_))), "{answer:?}");
    }
    assert_eq!(log.head().await, Ok(Position::new(1)));
    let stream = delivery.received().stream();
    let read = log
        .read_stream(&stream, Revision::new(0), PageLimit::default())
        .await;
    assert_eq!(read, Ok(Vec::new()));
    // A sync that would succeed now changes nothing: it would say nothing about what failed before.
    disk.faults().syncs_fail.store(false, Ordering::SeqCst);
    let why = log.health().unwritable.unwrap();
    assert!(why.contains("syncing failed"), "{why}");
    let again = log.append(kept.append()).await;
    assert!(matches!(again, Err(AppendError::Unavailable(_))), "{again:?}");
    let page = log.read_all(Position::START, PageLimit::default()).await.unwrap();
    assert_eq!(page.events.len(), 1);
    log.close().await;
    drop(log);
    // After the restart the batch is there wholly or not at all; either way the log takes appends again.
    for seed in 0..50 {
        let mut dice = crate::log::power_cut::Dice::seeded(seed);
        let mut bench = Bench::open(&disk.after_power_cut(&mut dice)).unwrap();
        let before = bench.events().len();
        assert!(before == 1 || before == 2, "{before}");
        let answer = bench.commit(&[delivery.append()]).remove(0).unwrap();
        match answer {
            Ok(appended) => assert_eq!((appended.first.get(), before), (2, 1)),
            Err(error) => assert!(
                matches!(error, AppendError::Conflict { .. }) && before == 2,
                "{error}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_conflict_with_an_unsynced_event_are_refused_with_it() {
    let disk = Disk::empty();
    let mut bench = Bench::open(&disk).unwrap();
    let kept = TestDelivery::new("push", "kept");
    bench.append(&kept);
    let (first, mut second) = (TestDelivery::new("push", "{}"), TestDelivery::new("push", "{}"));
    second.delivery_id.clone_from(&first.delivery_id);
    let stale = TestDelivery {
        event_id: EventId::new(uuid::Uuid::from_u128(77)),
        ..kept.clone()
    };
    disk.faults().syncs_fail.store(true, Ordering::SeqCst);
    let answers = bench.commit(&[first.append(), second.append(), stale.append()]);
    assert!(
        matches!(answers[0], Some(Err(AppendError::Unavailable(_)))),
        "{answers:?}"
    );
    assert!(
        matches!(answers[1], Some(Err(AppendError::Unavailable(_)))),
        "{answers:?}"
    );
    // This one rests on an event that is durable.
    assert!(
        matches!(answers[2], Some(Err(AppendError::Conflict { .. }))),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_recovers_by_itself() {
    let disk = Disk::empty();
    let log = open(&disk);
    let small = TestDelivery::new("push", "{\"n\":0}");
    log.append(small.append()).await.unwrap();
    disk.faults().full.store(true, Ordering::SeqCst);
    let large = TestDelivery::new("push", vec![b'x'; 20_000]);
    let refused = log.append(large.append()).await;
    let Err(AppendError::Unavailable(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("the disk is full"), "{why}");
    assert_eq!(log.health().unwritable, None);
    disk.faults().full.store(false, Ordering::SeqCst);
    let appended = log.append(large.append()).await.unwrap();
    assert_eq!(appended.first, Position::new(2));
    log.close().await;
    drop(log);
    assert_eq!(Bench::open(&disk).unwrap().events().len(), 2);
}

const FIRST: &str = "0000000001.segment";

/// A segment is filled at once, so that only writes of batches can fail.
fn filled() -> LogOptions {
    LogOptions {
        fill_step_bytes: 64 * 1024,
        ..small()
    }
}

#[test]
fn what_a_failed_write_leaves_behind_is_cleared_before_the_next() {
    let disk = Disk::empty();
    let mut bench = Bench::open_with(&disk, filled()).unwrap();
    bench.append(&TestDelivery::new("push", vec![b'a'; 20_000]));
    disk.faults().writes_fail.store(true, Ordering::SeqCst);
    let before = disk.content(FIRST);
    let refused = bench
        .commit(&[TestDelivery::new("push", vec![b'b'; 30_000]).append()])
        .remove(0);
    assert!(
        matches!(refused, Some(Err(AppendError::Unavailable(_)))),
        "{refused:?}"
    );
    assert!(disk.content(FIRST) != before, "the write left nothing behind");
    let still = bench
        .commit(&[TestDelivery::new("push", "{}").append()])
        .remove(0);
    assert!(
        matches!(still, Some(Err(AppendError::Unavailable(_)))),
        "{still:?}"
    );
    assert_eq!(bench.shared.unwritable(), None);
    disk.faults().writes_fail.store(false, Ordering::SeqCst);
    bench.append(&TestDelivery::new("push", "short"));
    drop(bench);
    assert_eq!(Bench::open(&disk).unwrap().events().len(), 2);
}

#[test]
fn a_failed_write_before_a_segment_ends_is_cleared_too() {
    let disk = Disk::empty();
    let mut bench = Bench::open_with(&disk, filled()).unwrap();
    bench.append(&TestDelivery::new("push", vec![b'a'; 20_000]));
    disk.faults().writes_fail.store(true, Ordering::SeqCst);
    bench.commit(&[TestDelivery::new("push", vec![b'b'; 20_000]).append()]);
    disk.faults().writes_fail.store(false, Ordering::SeqCst);
    bench.append(&TestDelivery::new("push", vec![b'c'; 50_000]));
    assert_eq!(bench.shared.segments.all().len(), 2);
    let first = disk.content(FIRST);
    assert!(first[28_672..].iter().all(|byte| *byte == 0));
    assert_eq!(Bench::open(&disk.copied()).unwrap().events().len(), 2);
}

#[test]
fn a_sync_of_the_filler_that_fails_refuses_the_batch_under_way() {
    let disk = Disk::empty();
    let options = LogOptions {
        fill_ahead_bytes: 32 * 1024,
        ..small()
    };
    let mut bench = Bench::open_with(&disk, options).unwrap();
    bench.append(&TestDelivery::new("push", "kept"));
    let shared = Arc::clone(&bench.shared);
    let before = disk.faults().syncs.load(Ordering::SeqCst);
    disk.faults().shut_gate();
    let append = TestDelivery::new("push", "{}").append();
    let writer = std::thread::spawn(move || bench.commit(&[append]).remove(0));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while disk.faults().syncs.load(Ordering::SeqCst) == before {
        assert!(std::time::Instant::now() < deadline, "the writer never syncs");
        std::thread::yield_now();
    }
    // The kernel gives up the batch, and tells the filler only.
    disk.faults().next_sync_fails.store(true, Ordering::SeqCst);
    shared.space.fill_ahead();
    assert!(!disk.faults().next_sync_fails.load(Ordering::SeqCst));
    disk.faults().open_gate();
    let answer = writer.join().unwrap();
    assert!(
        matches!(answer, Some(Err(AppendError::Unavailable(_)))),
        "{answer:?}"
    );
    assert_eq!(shared.head_now(), Position::new(1));
    assert!(shared.unwritable().is_some());
}

#[test]
fn nothing_goes_into_a_segment_once_the_next_one_has_its_name() {
    let disk = Disk::empty();
    let mut bench = Bench::open_with(&disk, filled()).unwrap();
    bench.append(&TestDelivery::new("push", vec![b'a'; 20_000]));
    disk.faults().folder_full.store(true, Ordering::SeqCst);
    let large = TestDelivery::new("push", vec![b'b'; 50_000]).append();
    let refused = bench.commit(&[large]).remove(0);
    assert!(
        matches!(refused, Some(Err(AppendError::Unavailable(_)))),
        "{refused:?}"
    );
    disk.faults().folder_full.store(false, Ordering::SeqCst);
    let answer = bench
        .commit(&[TestDelivery::new("push", "{}").append()])
        .remove(0);
    let kept = 1 + usize::from(matches!(answer, Some(Ok(_))));
    assert_eq!(Bench::open(&disk.copied()).unwrap().events().len(), kept);
}

#[test]
fn a_disk_that_takes_few_bytes_at_a_time_is_written_completely() {
    let disk = Disk::empty();
    let mut bench = Bench::open(&disk).unwrap();
    disk.faults().write_max.store(777, Ordering::SeqCst);
    let delivery = TestDelivery::new("push", vec![b'x'; 30_000]);
    bench.append(&delivery);
    drop(bench);
    let events = Bench::open(&disk).unwrap().events();
    assert_eq!(events[0].data.byte_len(), 30_000);
    assert_eq!(delivery.received().sha256, ContentHash::of(&vec![b'x'; 30_000]));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_its_bounds_the_queue_refuses_at_once() {
    for (options, expected) in [
        (
            LogOptions {
                queue_max: 5,
                ..small()
            },
            5,
        ),
        (
            LogOptions {
                queue_bytes_max: 10_000,
                ..small()
            },
            2,
        ),
    ] {
        let disk = Disk::empty();
        let log = open_with(&disk, options);
        let before = disk.faults().syncs.load(Ordering::SeqCst);
        disk.faults().shut_gate();
        let append = || TestDelivery::new("push", vec![b'x'; 3000]).append();
        let first = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.append(append()).await }
        });
        until("a sync begins", || {
            disk.faults().syncs.load(Ordering::SeqCst) > before
        })
        .await;
        let mut waiting = Vec::new();
        for n in 1..=expected {
            let log = Arc::clone(&log);
            let append = append();
            let behind = Arc::clone(&log);
            waiting.push(tokio::spawn(async move { behind.append(append).await }));
            until("it waits", || log.health().queue_len == n).await;
        }
        let refused = log.append(append()).await;
        assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
        disk.faults().open_gate();
        first.await.unwrap().unwrap();
        for answer in waiting {
            answer.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_finishes_what_was_accepted() {
    let disk = Disk::empty();
    let log = open(&disk);
    let before = disk.faults().syncs.load(Ordering::SeqCst);
    disk.faults().shut_gate();
    let accepted: Vec<_> = (0..10)
        .map(|n| {
            let (log, append) = (
                Arc::clone(&log),
                TestDelivery::new("push", n.to_string()).append(),
            );
            tokio::spawn(async move { log.append(append).await })
        })
        .collect();
    until("a sync begins", || {
        disk.faults().syncs.load(Ordering::SeqCst) > before
    })
    .await;
    disk.faults().open_gate();
    log.close().await;
    let mut finished = 0;
    for answer in accepted {
        match answer.await.unwrap() {
            Ok(_) => finished += 1,
            // It came after the close began.
            Err(error) => assert!(error.to_string().contains("closing"), "{error}"),
        }
    }
    assert!(finished >= 1);
    assert_eq!(log.head().await, Ok(Position::new(finished)));
}

#[test]
fn the_clock_of_a_restart_may_be_behind() {
    let disk = Disk::empty();
    let mut bench = Bench::open(&disk).unwrap();
    let recorded = bench.append(&TestDelivery::new("push", "{}")).recorded_at;
    // Seal the segment, so that the last time stands in an older one.
    bench.append(&TestDelivery::new("push", vec![b'x'; 50_000]));
    drop(bench);
    let past = Arc::new(ManualClock::at(Timestamp::from_millis(0))) as Arc<dyn Clock>;
    let files = Arc::clone(&disk) as Arc<dyn Files>;
    let (shared, writer) = crate::log::segmented::open_parts(files, None, small(), past).unwrap();
    let mut bench = Bench { shared, writer };
    let later = bench.append(&TestDelivery::new("push", "{\"a\":1}")).recorded_at;
    assert_eq!(later, recorded);
}

/// Fails in the middle of a batch.
struct BrokenClock;

impl Clock for BrokenClock {
    fn now(&self) -> Timestamp {
        panic!("there is no time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_writer_that_panicked() {
    let files = Disk::empty() as Arc<dyn Files>;
    let log = SegmentedLog::open_on(files, None::<&Path>, small(), Arc::new(BrokenClock)).unwrap();
    let append = |n: &str| log.append(TestDelivery::new("push", n.to_owned()).append());
    let both = async { (append("1").await, append("2").await) };
    let (first, second) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("somebody waits for ever");
    assert!(matches!(first, Err(AppendError::Unknown(_))), "{first:?}");
    // It may have come before the end was noticed.
    assert!(
        matches!(second, Err(AppendError::Unknown(_) | AppendError::Unavailable(_))),
        "{second:?}"
    );
    until("the health tells", || log.health().unwritable.is_some()).await;
}
