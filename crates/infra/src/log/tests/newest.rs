//! Reading from memory says the same as reading from the disk, or nothing.

use std::sync::atomic::Ordering;

use domain::testing::TestDelivery;
use domain::{PageLimit, Position};
use proptest::prelude::*;

use super::{Bench, small};
use crate::log::LogOptions;
use crate::log::newest::packed;
use crate::log::power_cut::Disk;
use crate::log::read::{read_all, read_newest};

fn keeping(newest_bytes_max: usize) -> LogOptions {
    LogOptions {
        newest_bytes_max,
        ..small()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_is_what_the_disk_says_wherever_and_however_much_is_asked(
        batches in prop::collection::vec(prop::collection::vec(0..9000_usize, 1..6), 1..20),
        newest_bytes_max in 0..100_000_usize,
        events in 0..9_usize,
        bytes in 0..30_000_usize,
    ) {
        let mut bench = Bench::open_with(&Disk::empty(), keeping(newest_bytes_max)).unwrap();
        let limit = PageLimit { events, bytes };
        for batch in &batches {
            let appends = batch.iter().map(|len| TestDelivery::new("push", vec![b'x'; *len]).append());
            bench.commit(&appends.collect::<Vec<_>>());
            let head = bench.shared.head_now();
            for after in 0..=head.get() + 1 {
                let of_disk = read_all(&bench.shared, Position::new(after), limit).unwrap();
                if let Some(page) = read_newest(&bench.shared, Position::new(after), limit) {
                    prop_assert_eq!(page.events, of_disk.events, "after {}", after);
                    prop_assert_eq!(page.head, head);
                }
            }
        }
    }
}

#[test]
fn whoever_keeps_up_needs_no_disk() {
    let disk = Disk::empty();
    let mut bench = Bench::open_with(&disk, keeping(usize::MAX)).unwrap();
    for n in 0..20 {
        let delivery = TestDelivery::new("push", format!("{n}"));
        bench.append(&delivery);
        let page = read_newest(&bench.shared, Position::new(n), PageLimit::default()).unwrap();
        let bodies: Vec<_> = page.events.iter().map(|event| event.data.clone()).collect();
        assert_eq!(bodies, [domain::EventData::Inline(delivery.body.clone())]);
    }
    let limit = PageLimit {
        events: usize::MAX,
        bytes: usize::MAX,
    };
    let all = read_newest(&bench.shared, Position::START, limit).unwrap();
    assert_eq!(all.events.len(), 20);
    // After a restart nothing is in memory yet.
    drop(bench);
    let bench = Bench::open_with(&disk, keeping(usize::MAX)).unwrap();
    assert!(read_newest(&bench.shared, Position::START, limit).is_none());
}

#[test]
fn memory_is_bounded_and_the_oldest_goes_first() {
    let mut bench = Bench::open_with(&Disk::empty(), keeping(10_000)).unwrap();
    for _ in 0..10 {
        bench.append(&TestDelivery::new("push", vec![b'x'; 3000]));
    }
    let known =
        |after: &u64| read_newest(&bench.shared, Position::new(*after), PageLimit::default()).is_some();
    let kept: Vec<u64> = (0..10).filter(known).collect();
    assert!((1..4).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept, (10 - kept.len() as u64..10).collect::<Vec<_>>());
    bench.append(&TestDelivery::new("push", vec![b'x'; 20_000]));
    let known = |after| read_newest(&bench.shared, Position::new(after), PageLimit::default()).is_some();
    assert!(!(0..11).any(known), "one that is too large leaves none");
}

#[test]
fn what_failed_to_be_synced_is_not_there() {
    let disk = Disk::empty();
    let mut bench = Bench::open_with(&disk, keeping(usize::MAX)).unwrap();
    bench.append(&TestDelivery::new("push", "kept"));
    disk.faults().syncs_fail.store(true, Ordering::SeqCst);
    let refused = bench.commit(&[TestDelivery::new("push", "lost").append()]);
    assert!(matches!(refused[..], [Some(Err(_))]), "{refused:?}");
    let page = read_newest(&bench.shared, Position::START, PageLimit::default()).unwrap();
    assert_eq!((page.events.len(), page.head), (1, Position::new(1)));
    let behind = read_newest(&bench.shared, Position::new(1), PageLimit::default()).unwrap();
    assert!(behind.events.is_empty(), "{behind:?}");
}

#[test]
fn what_is_kept_takes_hardly_more_than_its_length() {
    for (reserved, len) in [(1 << 20, 10_000), (4096, 700), (4096, 4000), (100, 0)] {
        let mut bytes = Vec::with_capacity(reserved);
        bytes.resize(len, 7_u8);
        let kept = packed(bytes);
        assert!(kept.capacity() <= len + len / 8, "{} for {len}", kept.capacity());
    }
}
