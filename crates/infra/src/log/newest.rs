//! The newest batches as they were written, in memory: whoever keeps up with the log reads them from here, without the disk, another
//! checksum, and a thread that may block.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::format::BatchHeader;
use super::segment::Batch;

/// The part of a batch that may be reserved beyond it while it is kept.
const ROOM_TO_SPARE: usize = 8;

/// Gives back what was reserved for more than there is: what is kept is counted by its length.
pub(crate) fn packed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.capacity() > bytes.len() + bytes.len() / ROOM_TO_SPARE {
        bytes.shrink_to_fit();
    }
    bytes
}

/// Some batches in a row up to the newest durable one.
#[derive(Debug)]
pub(crate) struct NewestBatches {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl NewestBatches {
    /// None yet, and never more than so many bytes of them.
    pub(crate) fn within(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the batch behind them, which is durable, and lets go of the oldest. One that is too large leaves none.
    pub(crate) fn push(&self, header: BatchHeader, bytes: Vec<u8>) {
        let bytes = packed(bytes).into();
        let batch = Batch { header, bytes };
        let mut kept = self.kept();
        kept.bytes += batch.bytes.len();
        kept.batches.push_back(batch);
        while kept.bytes > self.bytes_max
            && let Some(oldest) = kept.batches.pop_front()
        {
            kept.bytes -= oldest.bytes.len();
        }
    }

    /// The batch with a position, if it is here.
    pub(crate) fn holding(&self, position: u64) -> Option<Batch> {
        let kept = self.kept();
        let at = kept
            .batches
            .partition_point(|batch| batch.header.last_position() < position);
        let batch = kept.batches.get(at)?;
        batch.header.holds(position).then(|| batch.clone())
    }
}
