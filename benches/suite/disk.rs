//! The disk alone: syncs of prepared ground, and the bare writer that the log is held against.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::spread::Spread;

/// How much is prepared at a time, and how far ahead. The log takes smaller steps, which spare its p99 and cost more syncs.
const STEP_BYTES: u64 = 4 << 20;
const AHEAD_BYTES: u64 = 32 << 20;
/// How large a file is that is filled before it is written.
const PIECE_BYTES: u64 = 32 << 20;
pub(crate) const BLOCK_BYTES: usize = 4096;

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
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ground {
    /// Not at all: the file grows.
    Grown,
    /// With zeroes, on a thread of its own, some way ahead.
    ZeroedAhead,
    /// With zeroes as well, but in a file of its own that is written once it is whole.
    ZeroedApart,
}

/// Writes and syncs: one file that grows, or files that a thread fills with zeroes, one after the other.
pub(crate) struct Pen {
    prepared: Option<Receiver<File>>,
    preparing: Option<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
    file: Option<File>,
    offset: u64,
}

impl Pen {
    /// A file that grows.
    pub(crate) fn grown(folder: &Path) -> Self {
        Self {
            file: Some(File::create(folder.join("grown")).expect("a file")),
            prepared: None,
            preparing: None,
            ending: Arc::default(),
            offset: 0,
        }
    }

    /// Waits for the first file: the log has one as well once it is open.
    pub(crate) fn prepared(folder: &Path) -> Self {
        // One that is whole waits while the next is filled.
        let (sender, prepared) = mpsc::sync_channel::<File>(1);
        let (folder, ending) = (folder.to_owned(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&ending);
        let preparing = std::thread::spawn(move || {
            for number in 0_u64.. {
                let file = File::create(folder.join(format!("piece-{number}"))).expect("a file");
                for at in (0..PIECE_BYTES).step_by(STEP_BYTES as usize) {
                    if end.load(Ordering::Acquire) {
                        return;
                    }
                    zero(&file, at, STEP_BYTES);
                }
                if sender.send(file).is_err() {
                    return;
                }
            }
        });
        Self {
            file: prepared.recv().ok(),
            prepared: Some(prepared),
            preparing: Some(preparing),
            ending,
            offset: 0,
        }
    }

    /// Writes, and syncs.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(prepared) = &self.prepared
            && self.offset + bytes.len() as u64 > PIECE_BYTES
        {
            self.file = prepared.recv().ok();
            self.offset = 0;
        }
        let file = self.file.as_ref().expect("a prepared file");
        file.write_all_at(bytes, self.offset).expect("the disk takes it");
        file.sync_data().expect("the disk keeps it");
        self.offset += bytes.len() as u64;
    }
}

impl Drop for Pen {
    /// What goes on preparing would disturb the next run.
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        self.prepared = None;
        let _ended = self.preparing.take().map(JoinHandle::join);
    }
}

fn write_apart(folder: &Path, amount: Amount) -> Duration {
    let content = content((amount.bytes / amount.syncs.max(1)) as usize);
    let mut pen = Pen::prepared(folder);
    let began = Instant::now();
    for _ in 0..amount.syncs {
        pen.write(&content);
    }
    let took = began.elapsed();
    drop(pen);
    took
}

/// How long a bare writer takes, its preparing included but for the first file that is filled before.
pub(crate) fn bare_writer(folder: &Path, amount: Amount, ground: Ground) -> Duration {
    if matches!(ground, Ground::ZeroedApart) {
        return write_apart(folder, amount);
    }
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
