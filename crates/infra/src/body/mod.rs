//! The body store: large bodies as files named by their SHA-256, in a directory of their own.
//!
//! A body is visible under its name only when it is whole and synced. Never here: deleting; sweeping moves to a trash
//! folder, and only when somebody asks for it.

mod file;
mod object;
mod sweep;
mod upload;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{BodyError, BodyRef, BodyStore, BodyUpload, ContentHash};
use tokio::sync::OnceCell;

use crate::budget::RoomHandle;
use crate::data_dir::sync_directory;
use file::{blocking, io_failed, kept_bytes, make_durable, read_at, relative_path};
pub use object::{ObjectBodyStore, ObjectStoreError};
pub use sweep::{SWEEP_AGE, Swept};
use upload::Upload;

/// Where uploads are until they are kept.
const INCOMING: &str = "incoming";

/// Settings of the body store.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BodyOptions {
    /// The object store that several processes share; empty is the directory of this process alone.
    pub url: String,
    /// The most bytes that all uploads under way may take together.
    pub uploads_bytes_max: u64,
    /// How many bytes of an upload are gathered in memory before they are written.
    pub write_piece_bytes: usize,
    /// The most bytes that one read returns, whatever is asked for.
    pub read_piece_bytes_max: usize,
}

impl Default for BodyOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            uploads_bytes_max: 2 * 1024 * 1024 * 1024,
            write_piece_bytes: 256 * 1024,
            read_piece_bytes_max: 4 * 1024 * 1024,
        }
    }
}

/// Bodies in a directory. Cheap to clone.
#[derive(Clone)]
pub struct DirectoryBodyStore {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for DirectoryBodyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DirectoryBodyStore")
            .field(&self.shared.directory)
            .finish()
    }
}

/// What the store and its uploads have in common.
struct Shared {
    directory: PathBuf,
    options: BodyOptions,
    room: RoomHandle,
    /// Bytes of the uploads under way.
    uploads_bytes: AtomicU64,
    /// Bytes kept when they were first counted, and what came and went since the store was opened.
    counted: OnceCell<i64>,
    changed: AtomicI64,
    /// Held while a body gets its name or loses it, so that a sweep never takes one that was just refreshed.
    naming: Mutex<()>,
}

impl DirectoryBodyStore {
    /// Opens the store of a directory that this process owns, and clears what uploads left behind in a crash.
    ///
    /// # Errors
    /// When the directory can't be made or cleared.
    pub fn open(
        directory: impl Into<PathBuf>,
        options: BodyOptions,
        room: RoomHandle,
    ) -> Result<Self, BodyError> {
        let store = Self::at(directory.into(), options, room);
        let incoming = store.shared.directory.join(INCOMING);
        fs::create_dir_all(&incoming).map_err(io_failed("create incoming"))?;
        let left = fs::read_dir(&incoming).map_err(io_failed("read incoming"))?;
        let mut cleared = 0_u64;
        for entry in left {
            let path = entry.map_err(io_failed("read incoming"))?.path();
            fs::remove_file(&path).map_err(io_failed("clear incoming"))?;
            cleared += 1;
        }
        if cleared > 0 {
            tracing::info!(cleared, "unfinished uploads removed");
        }
        sync_directory(&store.shared.directory).map_err(io_failed("sync the store"))?;
        Ok(store)
    }

    /// Opens the store of a directory that another process may own; only for reading.
    #[must_use]
    pub fn open_for_reading(directory: impl Into<PathBuf>) -> Self {
        let room = RoomHandle::default();
        room.set(crate::budget::Room::Floor);
        Self::at(directory.into(), BodyOptions::default(), room)
    }

    fn at(directory: PathBuf, options: BodyOptions, room: RoomHandle) -> Self {
        let shared = Shared {
            directory,
            options,
            room,
            uploads_bytes: AtomicU64::new(0),
            counted: OnceCell::new(),
            changed: AtomicI64::new(0),
            naming: Mutex::new(()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Reads a whole body and says whether it is what its name promises.
    ///
    /// # Errors
    /// When it is missing or can't be read.
    pub async fn verify_body(&self, body: &BodyRef) -> Result<bool, BodyError> {
        let (path, body) = (self.path_of(&body.sha256), *body);
        blocking("verify a body", move || {
            let file = File::open(&path)?;
            let (hash, bytes) = file::hash_of(&file)?;
            Ok(hash == body.sha256 && bytes == body.bytes)
        })
        .await
        .map_err(missing(body.sha256, &self.shared.directory))
    }

    /// Begins an upload, unless there is no room.
    async fn begin_upload(&self) -> Result<Upload, BodyError> {
        if !self.shared.room.allows_append() {
            return Err(BodyError::NoRoom("the disk budget is used up".into()));
        }
        Upload::begin(Arc::clone(&self.shared)).await
    }

    fn options(&self) -> &BodyOptions {
        &self.shared.options
    }

    fn path_of(&self, hash: &ContentHash) -> PathBuf {
        self.shared.directory.join(relative_path(hash))
    }
}

impl Shared {
    fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self) -> PathBuf {
        self.directory.join(INCOMING)
    }

    fn bytes_changed(&self, by: u64, grown: bool) {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        self.changed
            .fetch_add(if grown { by } else { -by }, Ordering::Relaxed);
    }

    /// Counts bytes of an upload against the quota, all or none.
    fn reserve(&self, bytes: u64) -> Result<(), BodyError> {
        let max = self.options.uploads_bytes_max;
        let reserved = self
            .uploads_bytes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                taken.checked_add(bytes).filter(|sum| *sum <= max)
            });
        match reserved {
            Ok(_) => Ok(()),
            Err(taken) => Err(BodyError::NoRoom(format!(
                "uploads under way take {taken} of {max} bytes"
            ))),
        }
    }

    fn release(&self, bytes: u64) {
        self.uploads_bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Gives a synced file its name, over an older one of the same name: that refreshes it, and heals it if it was
    /// damaged. Durable when it returns.
    fn keep(&self, temporary: &Path, body: &BodyRef) -> io::Result<()> {
        let path = self.directory.join(relative_path(&body.sha256));
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let naming = self.naming();
        // Nobody finds the new directory before it is durable: they wait for the lock.
        make_durable(parent, || sync_directory(&self.directory))?;
        let before = fs::metadata(&path).map_or(0, |old| old.len());
        fs::rename(temporary, &path)?;
        drop(naming);
        sync_directory(parent)?;
        self.bytes_changed(before, false);
        self.bytes_changed(body.bytes, true);
        Ok(())
    }
}

/// Tells a body that is not there from a store that is not there, such as a disk not mounted: what is missing is
/// projected without, for good.
fn missing(hash: ContentHash, directory: &Path) -> impl FnOnce(BodyError) -> BodyError {
    let incoming = directory.join(INCOMING);
    move |error| {
        let not_found =
            matches!(&error, BodyError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
        if not_found && incoming.is_dir() {
            BodyError::Missing(hash)
        } else {
            error
        }
    }
}

#[async_trait]
impl BodyStore for DirectoryBodyStore {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        Ok(Box::new(self.begin_upload().await?))
    }

    async fn read(&self, body: &BodyRef, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        let left = usize::try_from(body.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(bytes_max).min(self.shared.options.read_piece_bytes_max);
        let path = self.path_of(&body.sha256);
        blocking("read a body", move || {
            let file = File::open(&path)?;
            let bytes = read_at(&file, offset, wanted)?;
            // Shorter than its name promises: damaged, and not to be taken for the end.
            if bytes.len() < wanted {
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                Ok(bytes)
            }
        })
        .await
        .map_err(missing(body.sha256, &self.shared.directory))
    }

    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        let count = || {
            let directory = self.shared.directory.clone();
            // Taken before counting; what comes meanwhile may count twice until the next start.
            let changed = self.shared.changed.load(Ordering::Relaxed);
            async move {
                let kept = blocking("count bodies", move || kept_bytes(&directory)).await?;
                Ok::<i64, BodyError>(i64::try_from(kept).unwrap_or(i64::MAX).saturating_sub(changed))
            }
        };
        let counted = *self.shared.counted.get_or_try_init(count).await?;
        let now = counted.saturating_add(self.shared.changed.load(Ordering::Relaxed));
        Ok(u64::try_from(now).unwrap_or(0))
    }
}
