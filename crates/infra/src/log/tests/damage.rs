//! Damage: what is a torn write is cut, all else is refused by name.

use std::sync::Arc;

use domain::testing::TestDelivery;
use domain::{PageLimit, Position, ReadError};

use super::Bench;
use crate::log::error::OpenError;
use crate::log::format::{BATCH_HEADER_BYTES, BLOCK_BYTES, SECTOR_BYTES};
use crate::log::power_cut::{Dice, Disk};
use crate::log::read::read_all;

const FIRST: &str = "0000000001.segment";

/// A log of some batches, and where each starts and ends in the first segment.
fn log_of(bodies: &[usize]) -> (Arc<Disk>, Vec<(usize, usize)>) {
    let disk = Disk::empty();
    let mut bench = Bench::open(&disk).unwrap();
    let mut batches = Vec::new();
    for (n, len) in (1..).zip(bodies) {
        bench.append(&TestDelivery::new("push", vec![n; *len]));
    }
    let segment = bench.shared.segments.all().remove(0);
    let reader = segment.reader(&*disk).unwrap();
    let mut offset = BLOCK_BYTES;
    for _ in bodies {
        let Ok(batch) = reader.batch(offset) else { break };
        let start = usize::try_from(offset).unwrap();
        batches.push((start, start + batch.bytes.len()));
        offset = batch.header.end(offset);
    }
    (disk, batches)
}

fn refusal(disk: &Arc<Disk>) -> Option<(u64, u64)> {
    match Bench::open(disk) {
        Ok(_) => None,
        Err(OpenError::Corrupt(damage)) => Some((damage.segment, damage.offset)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_tail_torn_at_any_sector_of_the_last_batch_is_cut() {
    let (disk, batches) = log_of(&[3000, 100, 9000]);
    let (start, end) = batches[2];
    assert!(end - start > 9000);
    for sector in (start..end).step_by(SECTOR_BYTES) {
        let torn = disk.copied();
        torn.damage(FIRST, |bytes| bytes[sector..sector + SECTOR_BYTES].fill(0));
        let mut bench = Bench::open(&torn).unwrap_or_else(|error| panic!("sector at {sector}: {error}"));
        assert_eq!(bench.events().len(), 2, "sector at {sector}");
        let rest = torn.content(FIRST)[start..].iter().all(|byte| *byte == 0);
        assert!(rest, "what was torn is not cleared");
        // The place is used again, by a shorter batch.
        let appended = bench.append(&TestDelivery::new("push", "{}"));
        assert_eq!(appended.first, Position::new(3));
        drop(bench);
        assert_eq!(Bench::open(&torn).unwrap().events().len(), 3);
    }
}

#[test]
fn a_tail_that_ends_with_the_file_is_cut() {
    let (disk, batches) = log_of(&[3000, 9000]);
    for len in [batches[1].0 + 100, batches[1].0 + 5000, batches[1].1 - 1] {
        let short = disk.copied();
        short.damage(FIRST, |bytes| bytes.truncate(len));
        if let Some(place) = refusal(&short) {
            // Part of a sector of the last batch is there: no power cut leaves that behind.
            assert_eq!(place, (1, batches[1].0 as u64), "cut to {len}");
        }
    }
    let short = disk.copied();
    short.damage(FIRST, |bytes| bytes.truncate(batches[1].0 + 8 * SECTOR_BYTES));
    assert_eq!(Bench::open(&short).unwrap().events().len(), 1);
}

#[test]
fn a_bit_flipped_in_acknowledged_data_is_refused_by_name() {
    let (disk, batches) = log_of(&[700, 1, 5000]);
    let mut dice = Dice::seeded(7);
    for (start, end) in batches {
        for at in start..end {
            let flipped = disk.copied();
            let bit = 1 << dice.below(8);
            flipped.damage(FIRST, |bytes| bytes[at] ^= bit);
            assert_eq!(
                refusal(&flipped),
                Some((1, start as u64)),
                "bit {bit} of byte {at}"
            );
        }
    }
}

#[test]
fn a_bit_flipped_in_a_segment_header_is_refused() {
    let (disk, _) = log_of(&[700]);
    for at in 0..76 {
        let flipped = disk.copied();
        flipped.damage(FIRST, |bytes| bytes[at] ^= 1);
        match Bench::open(&flipped) {
            Err(OpenError::Corrupt(damage)) => assert_eq!((damage.segment, damage.offset), (1, 0)),
            Err(OpenError::Newer { .. }) if (8..12).contains(&at) => {}
            other => panic!("byte {at}: {:?}", other.err()),
        }
    }
}

#[test]
fn zeroes_in_the_middle_of_the_log_are_damage_and_no_torn_write() {
    let (disk, batches) = log_of(&[700, 5000, 20]);
    for (start, end) in batches.into_iter().take(2) {
        for sector in (start..end).step_by(SECTOR_BYTES) {
            let holed = disk.copied();
            holed.damage(FIRST, |bytes| bytes[sector..sector + SECTOR_BYTES].fill(0));
            assert_eq!(refusal(&holed), Some((1, start as u64)), "sector at {sector}");
        }
    }
}

#[test]
fn a_batch_that_stands_where_another_should_is_damage() {
    let (disk, batches) = log_of(&[20, 30, 20_000, 20_000, 20_000]);
    drop(Bench::open(&disk).unwrap());
    let ((first, _), (second, end)) = (batches[0], batches[1]);
    // A write that went astray: its checksums are right, and what follows continues it.
    disk.damage(FIRST, |bytes| bytes.copy_within(second..end, first));
    let bench = Bench::open(&disk).unwrap();
    let read = read_all(&bench.shared, Position::START, PageLimit::default());
    let Err(ReadError::Corrupt(what)) = read else {
        panic!("read all the same");
    };
    assert!(
        what.contains("segment 1") && what.contains(&first.to_string()),
        "{what}"
    );
}

#[test]
fn damage_in_a_sealed_segment_is_refused_when_it_is_read() {
    let (disk, batches) = log_of(&[20_000; 6]);
    let (start, end) = batches[1];
    let flipped = disk.copied();
    flipped.damage(FIRST, |bytes| bytes[start + BATCH_HEADER_BYTES + 500] ^= 4);
    assert!(end > start + 600);
    // Without its key file the segment is scanned at open.
    assert_eq!(refusal(&flipped), Some((1, start as u64)));
    let sealed = disk.copied();
    drop(Bench::open(&sealed).unwrap());
    let bench = Bench::open(&sealed).unwrap();
    sealed.damage(FIRST, |bytes| bytes[start + BATCH_HEADER_BYTES + 500] ^= 4);
    let read = read_all(&bench.shared, Position::START, PageLimit::default());
    let Err(ReadError::Corrupt(what)) = read else {
        panic!("read all the same");
    };
    assert!(
        what.starts_with(&format!("segment 1 at offset {start}:")),
        "{what}"
    );
}

#[test]
fn a_damaged_key_file_is_written_again() {
    let (disk, _) = log_of(&[20_000; 6]);
    let whole = Bench::open(&disk).unwrap().events();
    let keys = "0000000001.keys";
    let len = disk.content(keys).len();
    for at in [0, 30, 90, 4096, 4100, 4096 + 40, len - 1] {
        let damaged = disk.copied();
        damaged.damage(keys, |bytes| bytes[at] ^= 1);
        let bench = Bench::open(&damaged).unwrap();
        assert_eq!(bench.events(), whole);
        assert_eq!(damaged.content(keys), disk.content(keys), "byte {at}");
    }
}

#[test]
fn a_body_cannot_pass_for_a_batch() {
    let (disk, batches) = log_of(&[700, 700]);
    // A body that holds a whole block of another log, header and all, where blocks start.
    let foreign = log_of(&[700]).0.content(FIRST)[4096..8192].to_vec();
    let mut bench = Bench::open(&disk).unwrap();
    let mut body = vec![b'x'; 16 * 1024];
    for at in 0..3 {
        body[at * 4096 + 3000..at * 4096 + 3000 + 1096].copy_from_slice(&foreign[..1096]);
    }
    bench.append(&TestDelivery::new("push", body));
    drop(bench);
    let torn = disk.copied();
    let third = batches[1].0 + 4096;
    torn.damage(FIRST, |bytes| bytes[third + 1024..third + 1536].fill(0));
    assert_eq!(Bench::open(&torn).unwrap().events().len(), 2);
}
