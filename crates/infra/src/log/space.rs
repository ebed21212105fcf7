//! Room on the disk ahead of the writer: zeroes, written and synced in bounded steps, and the coming segment.
//!
//! A sync of a file waits for everything that was written to it, so the filler keeps to a file of its own: the coming segment grows in
//! step with the use of the current one, and once there is enough of it the writer goes over to it at the end of what the current one
//! has. Only where there is no such ground yet (the beginning of a log, or a writer that outruns the filler) does the filler go on in the
//! current file, beyond what is filled, while the writer stays below it: they never meet.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::file::{Files, LogFile};
use super::format::{BLOCK_BYTES, SegmentHeader};
use super::options::LogOptions;
use super::segment::segment_name;

const NEXT_NAME: &str = "next.segment";

/// The coming segment is begun when the current one is used up to this part.
const HARDLY_BEGUN: u64 = 8;

/// How long the filler sleeps after a failure, and the longest it sleeps without being woken.
const RETRY: Duration = Duration::from_secs(1);

struct Filled {
    file: Arc<dyn LogFile>,
    /// Zeroes are durable up to here.
    bytes: u64,
}

struct State {
    current: Filled,
    next: Option<Filled>,
}

/// The room ahead of the writer.
pub(crate) struct Space {
    files: Arc<dyn Files>,
    segment_bytes: u64,
    ahead_bytes: u64,
    step_bytes: u64,
    state: Mutex<State>,
    wake: Condvar,
    /// How far the current segment is filled and used, and the coming one filled, readable without the lock.
    filled: AtomicU64,
    used: AtomicU64,
    next_filled: AtomicU64,
    /// Bytes of all files of segments.
    stored: AtomicU64,
    closed: AtomicBool,
    /// The filler is syncing the file that the writer writes to.
    syncing: AtomicBool,
    /// Why such a sync failed.
    sync_failed: OnceLock<String>,
}

impl Space {
    /// Takes over the last segment, filled up to the length of its file.
    pub(crate) fn new(
        files: Arc<dyn Files>,
        options: &LogOptions,
        current: Arc<dyn LogFile>,
        used: u64,
        stored: u64,
    ) -> io::Result<Self> {
        // A file may end within a block after a crash; filling goes on at the boundary before it.
        let filled = current.len()?.max(used) / BLOCK_BYTES * BLOCK_BYTES;
        files.delete(NEXT_NAME)?;
        Ok(Self {
            files,
            segment_bytes: options.segment_bytes / BLOCK_BYTES * BLOCK_BYTES,
            ahead_bytes: options.fill_ahead_bytes,
            step_bytes: options.fill_step_bytes.max(BLOCK_BYTES) / BLOCK_BYTES * BLOCK_BYTES,
            state: Mutex::new(State {
                current: Filled {
                    file: current,
                    bytes: filled,
                },
                next: None,
            }),
            wake: Condvar::new(),
            filled: AtomicU64::new(filled),
            used: AtomicU64::new(used),
            next_filled: AtomicU64::new(0),
            stored: AtomicU64::new(stored),
            closed: AtomicBool::new(false),
            syncing: AtomicBool::new(false),
            sync_failed: OnceLock::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Size of a segment in bytes.
    pub(crate) const fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Where the current segment ends for the writer: its full size, or what is filled of it when the coming one is ready.
    pub(crate) fn capacity(&self) -> u64 {
        if !self.is_ready(self.next_filled.load(Ordering::Acquire)) {
            return self.segment_bytes;
        }
        self.filled.load(Ordering::Acquire).min(self.segment_bytes)
    }

    /// Whether a coming segment that is filled so far is worth going over to.
    fn is_ready(&self, next: u64) -> bool {
        next >= self.ahead_bytes.clamp(BLOCK_BYTES, self.segment_bytes)
    }

    /// Bytes on disk.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Makes sure that the current segment is filled up to an offset.
    pub(crate) fn ensure(&self, offset: u64) -> io::Result<()> {
        if self.filled.load(Ordering::Acquire) >= offset {
            return Ok(());
        }
        let mut state = self.state();
        while state.current.bytes < offset {
            self.fill_current(&mut state, |file| file.sync())?;
        }
        Ok(())
    }

    /// To be asked after every sync of a batch. A failed write-back is told to one sync of a file only: if that was the
    /// filler's, the sync of the batch succeeds although the batch may be lost.
    pub(crate) fn confirm(&self) -> io::Result<()> {
        if self.syncing.load(Ordering::SeqCst) {
            // Held by the filler until it knows.
            drop(self.state());
        }
        let failed = self.sync_failed.get();
        failed.map_or(Ok(()), |why| Err(io::Error::other(why.clone())))
    }

    fn sync_beside_writer(&self, file: &dyn LogFile) -> io::Result<()> {
        self.syncing.store(true, Ordering::SeqCst);
        let synced = file.sync();
        if let Err(error) = &synced {
            self.sync_failed.get_or_init(|| format!("filling ahead: {error}"));
        }
        self.syncing.store(false, Ordering::SeqCst);
        synced
    }

    /// Notes how far the writer is, and wakes the filler when it has something to do.
    pub(crate) fn used(&self, offset: u64) {
        self.used.store(offset, Ordering::Relaxed);
        let filled = self.filled.load(Ordering::Relaxed);
        let next = self.next_filled.load(Ordering::Relaxed);
        if self.current_wants(filled, next) || self.next_wanted(filled) > next {
            self.wake.notify_one();
        }
    }

    /// Whether the current segment is to be filled further.
    fn current_wants(&self, filled: u64, next: u64) -> bool {
        let ahead = self.used.load(Ordering::Relaxed) + self.ahead_bytes;
        !self.is_ready(next) && filled < self.segment_bytes.min(ahead)
    }

    /// How far the coming segment should be filled: as large a part of it as is used of the current one, and some more; nothing
    /// while the current one is hardly begun.
    fn next_wanted(&self, filled: u64) -> u64 {
        let used = self.used.load(Ordering::Relaxed);
        if self.ahead_bytes == 0 || used < filled / HARDLY_BEGUN {
            return 0;
        }
        let in_step = u128::from(used) * u128::from(self.segment_bytes) / u128::from(filled.max(1));
        let wanted = u64::try_from(in_step)
            .unwrap_or(u64::MAX)
            .saturating_add(self.ahead_bytes);
        wanted.min(self.segment_bytes) / BLOCK_BYTES * BLOCK_BYTES
    }

    fn fill_current(
        &self,
        state: &mut State,
        sync: impl FnOnce(&dyn LogFile) -> io::Result<()>,
    ) -> io::Result<()> {
        let from = state.current.bytes;
        let to = (from + self.step_bytes).min(self.segment_bytes.max(from + BLOCK_BYTES));
        fill(&mut state.current, to, sync)?;
        self.stored.fetch_add(to - from, Ordering::Relaxed);
        self.filled.store(to, Ordering::Release);
        Ok(())
    }

    fn fill_next(&self, state: &mut State, upto: u64) -> io::Result<()> {
        if state.next.is_none() {
            let file = self.files.create(NEXT_NAME)?;
            state.next = Some(Filled { file, bytes: 0 });
        }
        let Some(next) = &mut state.next else {
            return Ok(());
        };
        let from = next.bytes;
        let to = (from + self.step_bytes).min(upto);
        fill(next, to, |file| file.sync())?;
        self.stored.fetch_add(to - from, Ordering::Relaxed);
        self.next_filled.store(to, Ordering::Release);
        Ok(())
    }

    /// Turns the coming segment into the current one, with a durable header under its own name.
    pub(crate) fn rotate(&self, header: &SegmentHeader) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.state();
        if state.next.as_ref().is_none_or(|next| next.bytes < BLOCK_BYTES) {
            self.fill_next(&mut state, self.segment_bytes)?;
        }
        let next = state.next.take().ok_or(io::ErrorKind::NotFound)?;
        self.next_filled.store(0, Ordering::Release);
        let written = begin_segment(&*self.files, &next.file, NEXT_NAME, header);
        if let Err(error) = written {
            // The name may have changed already: the next try begins with a new file in its place.
            self.stored.fetch_sub(next.bytes, Ordering::Relaxed);
            return Err(error);
        }
        self.used.store(BLOCK_BYTES, Ordering::Relaxed);
        self.filled.store(next.bytes, Ordering::Release);
        let file = Arc::clone(&next.file);
        state.current = next;
        drop(state);
        self.wake.notify_one();
        Ok(file)
    }

    /// One step of filling ahead; whether there was something to do.
    fn step(&self, state: &mut State) -> io::Result<bool> {
        let (filled, next) = (
            state.current.bytes,
            state.next.as_ref().map_or(0, |next| next.bytes),
        );
        if self.current_wants(filled, next) {
            self.fill_current(state, |file| self.sync_beside_writer(file))?;
            return Ok(true);
        }
        let wanted = self.next_wanted(filled);
        if wanted <= next {
            return Ok(false);
        }
        self.fill_next(state, wanted).map(|()| true)
    }

    /// One step of the filler; whether there was something to do.
    fn work(&self) -> (MutexGuard<'_, State>, bool) {
        let mut state = self.state();
        let busy = self.step(&mut state).unwrap_or_else(|error| {
            tracing::warn!(%error, "the disk can't be filled ahead");
            false
        });
        (state, busy)
    }

    /// Fills one step ahead, as the filler would.
    #[cfg(test)]
    pub(crate) fn fill_ahead(&self) -> bool {
        self.work().1
    }

    /// Fills ahead until closed; runs on a thread of its own.
    pub(crate) fn run(&self) {
        while !self.closed.load(Ordering::Acquire) {
            let (mut state, busy) = self.work();
            if !busy {
                self.wake.wait_for(&mut state, RETRY);
            }
            // To the writer, if it waits: an unfair lock would be the filler's again before the writer has woken up, step after step.
            MutexGuard::unlock_fair(state);
        }
    }

    /// Ends the filler.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_all();
    }
}

fn fill(filled: &mut Filled, to: u64, sync: impl FnOnce(&dyn LogFile) -> io::Result<()>) -> io::Result<()> {
    filled.file.zero(filled.bytes, to)?;
    sync(&*filled.file)?;
    filled.bytes = to;
    Ok(())
}

/// Gives a file a durable header and its name as a segment.
pub(crate) fn begin_segment(
    files: &dyn Files,
    file: &Arc<dyn LogFile>,
    name: &str,
    header: &SegmentHeader,
) -> io::Result<()> {
    file.write_all_at(&header.encode(), 0)?;
    file.sync()?;
    files.rename(name, &segment_name(header.number))?;
    // Never taken for a full disk that recovers: the segment is there, so nothing may go into the one before it.
    files.sync_folder().map_err(io::Error::other)
}
