//! The disk alone: syncs of prepared ground, and the bare writer that the log is held against.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::spread::Spread;

/// How much is prepared at a time, and how far ahead: as the log does.
const STEP_BYTES: u64 = 4 << 20;
const AHEAD_BYTES: u64 = 32 << 20;
const BLOCK_BYTES: usize = 4096;

/// How long syncs took, in milliseconds: writes of `bytes` over ground that was prepared before, one after the other.
pub(crate) fn syncs(folder: &Path, bytes: usize, time: Duration) -> Spread {
    let file = File::create(folder.join("syncs")).expect("a file");
    let ground = 64 << 20;
    zero(&file, 0, ground);
    let bytes = bytes.next_multiple_of(BLOCK_BYTES);
    let content = content(bytes);
    let mut offset = 0;
    let mut taken = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        file.write_all_at(&content, offset).expect("the disk takes it");
        let began = Instant::now();
        file.sync_data().expect("the disk keeps it");
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
        offset += bytes as u64;
        if offset + bytes as u64 > ground {
            offset = 0;
        }
    }
    Spread::of(taken)
}

/// What is to be written, and in how many syncs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) syncs: u64,
}

/// How a bare writer prepares its file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ground {
    /// Not at all: the file grows.
    Grown,
    /// With zeroes, on a thread of its own, some way ahead.
    ZeroedAhead,
}

/// How long a bare writer takes, its preparing included.
pub(crate) fn bare_writer(folder: &Path, amount: Amount, ground: Ground) -> Duration {
    let path = folder.join("bare");
    let _none_before = std::fs::remove_file(&path);
    let file = File::create(&path).expect("a file");
    let each = (amount.bytes / amount.syncs.max(1)) as usize;
    let content = content(each);
    let (filled, used, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    std::thread::scope(|threads| {
        if matches!(ground, Ground::ZeroedAhead) {
            threads.spawn(|| {
                let mut at = 0;
                while !done.load(Ordering::Acquire) && at < amount.bytes + AHEAD_BYTES {
                    if at < used.load(Ordering::Acquire) + AHEAD_BYTES {
                        zero(&file, at, STEP_BYTES);
                        at += STEP_BYTES;
                        filled.store(at, Ordering::Release);
                    } else {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
            });
        }
        for sync in 0..amount.syncs {
            let offset = sync * each as u64;
            if matches!(ground, Ground::ZeroedAhead) {
                while filled.load(Ordering::Acquire) < offset + each as u64 {
                    std::thread::yield_now();
                }
            }
            file.write_all_at(&content, offset).expect("the disk takes it");
            file.sync_data().expect("the disk keeps it");
            used.store(offset + each as u64, Ordering::Release);
        }
        done.store(true, Ordering::Release);
    });
    let took = began.elapsed();
    let _gone = std::fs::remove_file(&path);
    took
}

fn zero(file: &File, from: u64, bytes: u64) {
    let zeroes = vec![0; 1 << 20];
    for at in (from..from + bytes).step_by(zeroes.len()) {
        file.write_all_at(&zeroes, at).expect("the disk takes it");
    }
    file.sync_data().expect("the disk keeps it");
}

/// Bytes that no disk can make smaller.
fn content(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(&mut next).take(bytes).collect()
}
