//! What no durable writer can leave out, and nothing else: a bounded queue, one buffer with a checksum, one write, one sync,
//! and an answer to each. No index, no deduplication, no decisions, no metrics.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use infra::log::LogOptions;
use tokio::sync::{mpsc, oneshot};

use super::disk::{BLOCK_BYTES, Ground, Pen};

const QUEUE: usize = 4096;
/// Length and checksum of a batch.
const HEAD_BYTES: usize = 8;

struct Kept {
    metadata: Vec<u8>,
    body: Bytes,
    answer: oneshot::Sender<()>,
}

/// The way to the one writer, which ends with it.
#[derive(Clone)]
pub(crate) struct Keeper(mpsc::Sender<Kept>);

impl Keeper {
    pub(crate) fn start(folder: &Path, ground: Ground) -> (Self, JoinHandle<()>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let folder: PathBuf = folder.to_owned();
        let writer = std::thread::spawn(move || write(&folder, ground, queue));
        (Self(sender), writer)
    }

    /// Answers once it is on the disk.
    pub(crate) async fn keep(&self, metadata: Vec<u8>, body: Bytes) {
        let (answer, answered) = oneshot::channel();
        let kept = Kept {
            metadata,
            body,
            answer,
        };
        assert!(self.0.send(kept).await.is_ok(), "the writer lives");
        answered.await.expect("the disk keeps it");
    }
}

fn write(folder: &Path, ground: Ground, mut queue: mpsc::Receiver<Kept>) {
    // As the log: no two syncs begin within this time.
    let interval = Duration::from_micros(LogOptions::default().sync_interval_us);
    let mut pen = if ground == Ground::Grown {
        Pen::grown(folder)
    } else {
        Pen::prepared(folder)
    };
    let (mut buffer, mut answers) = (Vec::new(), Vec::new());
    while let Some(first) = queue.blocking_recv() {
        let begun = Instant::now();
        buffer.clear();
        buffer.resize(HEAD_BYTES, 0);
        let mut next = Some(first);
        while let Some(kept) = next {
            buffer.extend_from_slice(&(kept.metadata.len() as u32).to_le_bytes());
            buffer.extend_from_slice(&(kept.body.len() as u32).to_le_bytes());
            buffer.extend_from_slice(&kept.metadata);
            buffer.extend_from_slice(&kept.body);
            answers.push(kept.answer);
            next = queue.try_recv().ok();
        }
        let length = (buffer.len() - HEAD_BYTES) as u32;
        let sum = crc32c::crc32c(&buffer[HEAD_BYTES..]);
        buffer[..4].copy_from_slice(&length.to_le_bytes());
        buffer[4..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
        buffer.resize(buffer.len().next_multiple_of(BLOCK_BYTES), 0);
        pen.write(&buffer);
        for answer in answers.drain(..) {
            let _asker_gone = answer.send(());
        }
        std::thread::sleep(interval.saturating_sub(begun.elapsed()));
        std::thread::yield_now();
    }
}
