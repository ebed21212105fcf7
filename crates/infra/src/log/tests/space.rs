//! The ground ahead of the writer.

use domain::testing::TestDelivery;

use super::{Bench, small};
use crate::log::LogOptions;
use crate::log::power_cut::Disk;
use crate::log::segment::segment_name;

/// A disk whose filler keeps far ahead.
fn prepared() -> LogOptions {
    LogOptions {
        fill_ahead_bytes: 16 * 1024,
        ..small()
    }
}

#[test]
fn the_writer_goes_over_to_a_segment_that_is_ready_rather_than_share_a_file_with_the_filler() {
    let disk = Disk::empty();
    let mut bench = Bench::open_with(&disk, prepared()).unwrap();
    bench.append(&TestDelivery::new("push", vec![b'a'; 9_000]));
    while bench.shared.space.fill_ahead() {}
    let mut lengths = Vec::new();
    while bench.shared.segments.all().len() < 4 {
        bench.append(&TestDelivery::new("push", vec![b'b'; 9_000]));
        while bench.shared.space.fill_ahead() {}
        let name = segment_name(bench.shared.segments.all().len() as u64);
        lengths.push((name.clone(), disk.content(&name).len()));
    }
    let grown = |segment| {
        let name = segment_name(segment);
        lengths
            .iter()
            .filter(|(of, _)| *of == name)
            .map(|(_, len)| *len)
            .collect::<Vec<_>>()
    };
    // The first began with nothing prepared, and the filler goes on in it only until there is another one to go over to. The others
    // are as large as they will be when they are begun.
    assert!(grown(1).iter().all(|len| *len < 64 * 1024), "{lengths:?}");
    for segment in 2..=3 {
        let lengths = grown(segment);
        assert!(lengths.iter().all(|len| *len == lengths[0]), "{lengths:?}");
        assert!(lengths[0] > 48 * 1024, "{lengths:?}");
    }
    assert!(Bench::open(&disk.copied()).unwrap().events().len() > 12);
}
