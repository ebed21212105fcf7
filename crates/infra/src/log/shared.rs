//! What the log's threads and its callers share.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use domain::{LogId, Position};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::file::{Files, LockGuard};
use super::index::Index;
use super::newest::NewestBatches;
use super::options::LogOptions;
use super::pending::Pending;
use super::queue::Queue;
use super::recent::Recent;
use super::segment::Segments;
use super::signal::Signal;
use super::space::Space;

pub(crate) struct Shared {
    pub(crate) id: LogId,
    pub(crate) options: LogOptions,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) segments: Segments,
    pub(crate) queue: Queue,
    pub(crate) space: Space,
    /// Durable, but not yet in the index.
    pub(crate) recent: RwLock<Recent>,
    /// The last of what is durable, for those who keep up.
    pub(crate) newest: NewestBatches,
    /// Something became durable: for the indexer.
    pub(crate) appended: Signal,
    /// Something was indexed: for a writer that waits for it.
    pub(crate) indexed: Signal,
    /// Position of the last durable event.
    pub(crate) head: watch::Sender<Position>,
    /// Set when the log is closing: waits for more end.
    pub(crate) closing: CancellationToken,
    unwritable: Mutex<Option<String>>,
    // Before the lock: the index must be closed when the lock is given up.
    index: RwLock<Slot>,
    lock: Mutex<Option<LockGuard>>,
}

/// Where the index is.
enum Slot {
    /// There is none; nothing is ever dropped from what is not yet indexed.
    Absent,
    Open(Arc<Index>),
    /// It is being repaired, or the log is closed. What it knew can't be told, so nothing is decided without it.
    Closed,
}

/// The index can't be asked now.
#[derive(Debug, thiserror::Error)]
#[error("the index of the log is closed")]
pub(crate) struct IndexClosed;

/// The parts of [`Shared`] that opening finds out.
pub(crate) struct Opened {
    pub(crate) id: LogId,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) segments: Segments,
    pub(crate) space: Space,
    pub(crate) recent: Pending,
    pub(crate) head: Position,
    pub(crate) index: Option<Index>,
    pub(crate) lock: LockGuard,
}

impl Shared {
    pub(crate) fn new(opened: Opened, options: LogOptions) -> Self {
        Self {
            id: opened.id,
            queue: Queue::new(options.queue_max, options.queue_bytes_max),
            files: opened.files,
            segments: opened.segments,
            space: opened.space,
            recent: RwLock::new(opened.recent.into()),
            newest: NewestBatches::within(options.newest_bytes_max),
            options,
            appended: Signal::default(),
            indexed: Signal::default(),
            head: watch::Sender::new(opened.head),
            closing: CancellationToken::new(),
            unwritable: Mutex::default(),
            index: RwLock::new(
                opened
                    .index
                    .map_or(Slot::Absent, |index| Slot::Open(Arc::new(index))),
            ),
            lock: Mutex::new(Some(opened.lock)),
        }
    }

    pub(crate) fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is durable but not yet indexed.
    pub(crate) fn change_recent<T>(&self, change: impl FnOnce(&mut Recent) -> T) -> T {
        change(&mut self.recent.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The index; none where there never was one.
    pub(crate) fn index(&self) -> Result<Option<Arc<Index>>, IndexClosed> {
        match &*self.index.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Absent => Ok(None),
            Slot::Open(index) => Ok(Some(Arc::clone(index))),
            Slot::Closed => Err(IndexClosed),
        }
    }

    pub(crate) fn has_index(&self) -> bool {
        !matches!(self.index(), Ok(None))
    }

    /// Takes the index away, if it is open, once nobody uses it.
    pub(crate) fn close_index(&self) {
        let slot = {
            let mut slot = self.index.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, Slot::Closed)
        };
        if let Slot::Open(mut index) = slot {
            // Readers hold it for the time of one look-up.
            while Arc::get_mut(&mut index).is_none() {
                std::thread::yield_now();
            }
        }
    }

    pub(crate) fn set_index(&self, index: Index) {
        let slot = Slot::Open(Arc::new(index));
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = slot;
    }

    /// Why nothing can be written until a restart, if so.
    pub(crate) fn unwritable(&self) -> Option<String> {
        self.unwritable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Refuses all appends from now on. The first reason stays.
    pub(crate) fn poison(&self, why: String) {
        tracing::error!(why, "the log can't be written any more: restart to recover");
        let mut unwritable = self.unwritable.lock().unwrap_or_else(PoisonError::into_inner);
        unwritable.get_or_insert(why);
    }

    /// Position of the last durable event.
    pub(crate) fn head_now(&self) -> Position {
        *self.head.borrow()
    }

    /// Gives up index and lock; the threads must have ended.
    pub(crate) fn release(&self) {
        self.close_index();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
