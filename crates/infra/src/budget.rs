//! The disk budget: how much room the data directory has left, and who gives way first.
//!
//! When it gets tight the stream shrinks, because the log can fill it again; at the floor the log takes nothing more
//! and says so, before the disk is so full that nothing works. It recovers by itself when there is room again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::FanOutError;
use tokio_util::sync::CancellationToken;

use crate::jetstream::JetStream;

/// Settings of the disk budget.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskBudgetOptions {
    /// The most bytes that the data directory may take; `None` for what the disk has.
    pub bytes_max: Option<u64>,
    /// Below this many bytes left the stream shrinks.
    pub tight_bytes: u64,
    /// Below this many bytes left nothing is appended.
    pub floor_bytes: u64,
    /// How often it is measured, in milliseconds.
    pub check_interval_ms: u64,
    /// The least that the stream is left with, in bytes.
    pub stream_bytes_min: u64,
}

impl Default for DiskBudgetOptions {
    fn default() -> Self {
        Self {
            bytes_max: None,
            tight_bytes: 2 * 1024 * 1024 * 1024,
            floor_bytes: 512 * 1024 * 1024,
            check_interval_ms: 5_000,
            stream_bytes_min: 16 * 1024 * 1024,
        }
    }
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Room {
    /// Enough.
    Plenty = 0,
    /// Whoever can do with less should.
    Tight = 1,
    /// Nothing may grow any more.
    Floor = 2,
}

/// Says how much room there is, as cheaply as reading a number.
#[derive(Debug, Clone, Default)]
pub struct RoomHandle(Arc<AtomicU8>);

impl RoomHandle {
    /// How much room there was when it was last measured.
    #[must_use]
    pub fn room(&self) -> Room {
        match self.0.load(Ordering::Relaxed) {
            0 => Room::Plenty,
            1 => Room::Tight,
            _ => Room::Floor,
        }
    }

    /// Whether the log and the body store may still grow.
    #[must_use]
    pub fn allows_append(&self) -> bool {
        self.room() != Room::Floor
    }

    /// Says how much room there is; for the watcher, and for tests of those who ask.
    pub fn set(&self, room: Room) {
        self.0.store(room as u8, Ordering::Relaxed);
    }
}

/// A stream that can do with less.
#[async_trait]
pub trait Shrink: Send + Sync {
    /// Its full size, in bytes.
    fn full_bytes(&self) -> u64;

    /// Keeps at most that many bytes from now on.
    async fn shrink_to(&self, bytes_max: u64) -> Result<(), FanOutError>;
}

#[async_trait]
impl Shrink for JetStream {
    fn full_bytes(&self) -> u64 {
        self.full_bytes_max()
    }

    async fn shrink_to(&self, bytes_max: u64) -> Result<(), FanOutError> {
        self.set_bytes_max(bytes_max).await
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Bytes that the data directory takes; only counted when it has a limit of its own.
    pub used_bytes: Option<u64>,
    /// Bytes that are free on the disk.
    pub free_bytes: u64,
    /// Bytes that may still be written.
    pub left_bytes: u64,
}

/// Watches the room of a data directory.
pub struct DiskBudget {
    options: DiskBudgetOptions,
    path: PathBuf,
    handle: RoomHandle,
}

impl DiskBudget {
    /// A watcher that has measured once, so that its handle is right from the start.
    ///
    /// # Errors
    /// When the disk can't be asked.
    pub fn build(options: DiskBudgetOptions, data_dir: impl Into<PathBuf>) -> std::io::Result<Self> {
        let budget = Self {
            options,
            path: data_dir.into(),
            handle: RoomHandle::default(),
        };
        let measured = measure(&budget.options, &budget.path)?;
        budget.take(measured);
        Ok(budget)
    }

    /// The answer, for those who grow.
    #[must_use]
    pub fn handle(&self) -> RoomHandle {
        self.handle.clone()
    }

    /// Measures again and again until told to stop, and shrinks the stream while room is tight.
    pub async fn run(self, stream: Option<Arc<dyn Shrink>>, shutdown: CancellationToken) {
        let interval = Duration::from_millis(self.options.check_interval_ms.max(100));
        loop {
            let (options, path) = (self.options.clone(), self.path.clone());
            match tokio::task::spawn_blocking(move || measure(&options, &path)).await {
                Ok(Ok(measured)) => self.take(measured),
                Ok(Err(error)) => tracing::warn!(%error, "room on the disk could not be measured"),
                Err(error) => tracing::warn!(%error, "room on the disk could not be measured"),
            }
            if let Some(stream) = &stream {
                self.adapt(stream.as_ref()).await;
            }
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn take(&self, measured: Measured) {
        let before = self.handle.room();
        let room = room_after(before, measured.left_bytes, &self.options);
        self.handle.set(room);
        #[allow(
            clippy::cast_precision_loss,
            reason = "a gauge; bytes to the last one don't matter"
        )]
        metrics::gauge!("hooklog_disk_left_bytes").set(measured.left_bytes as f64);
        metrics::gauge!("hooklog_disk_room").set(f64::from(room as u8));
        if room > before {
            tracing::warn!(
                ?room,
                left_bytes = measured.left_bytes,
                free_bytes = measured.free_bytes,
                "disk is filling up"
            );
        } else if room < before {
            tracing::info!(?room, left_bytes = measured.left_bytes, "room on the disk again");
        }
    }

    async fn adapt(&self, stream: &dyn Shrink) {
        let full = stream.full_bytes();
        let least = self.options.stream_bytes_min.min(full);
        let wanted = match self.handle.room() {
            Room::Plenty => full,
            Room::Tight => (full / 4).max(least),
            Room::Floor => least,
        };
        if let Err(error) = stream.shrink_to(wanted).await {
            tracing::warn!(%error, wanted, "stream could not be resized");
        }
    }
}

/// The next room. A tenth above a threshold is needed to leave it, so that it does not flap.
fn room_after(before: Room, left_bytes: u64, options: &DiskBudgetOptions) -> Room {
    let above = |bytes: u64, held: bool| {
        let needed = if held {
            bytes.saturating_add(bytes / 10)
        } else {
            bytes
        };
        left_bytes >= needed
    };
    if !above(options.floor_bytes, before == Room::Floor) {
        Room::Floor
    } else if !above(options.tight_bytes, before != Room::Plenty) {
        Room::Tight
    } else {
        Room::Plenty
    }
}

/// Bytes that are free for us on the disk of a path.
///
/// # Errors
/// When the disk can't be asked.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn measure(options: &DiskBudgetOptions, path: &Path) -> std::io::Result<Measured> {
    let free_bytes = free_bytes(path)?;
    let used_bytes = match options.bytes_max {
        Some(_) => Some(used_below(path)?),
        None => None,
    };
    let left = options.bytes_max.zip(used_bytes);
    let left_bytes = left.map_or(free_bytes, |(max, used)| max.saturating_sub(used).min(free_bytes));
    Ok(Measured {
        used_bytes,
        free_bytes,
        left_bytes,
    })
}

/// Bytes on disk of everything below a directory; what vanishes while it is counted doesn't count.
fn used_below(path: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut used = 0_u64;
    let mut directories = vec![path.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            used = used.saturating_add(metadata.blocks().saturating_mul(512));
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn options() -> DiskBudgetOptions {
        DiskBudgetOptions {
            bytes_max: None,
            tight_bytes: 1000,
            floor_bytes: 100,
            check_interval_ms: 100,
            stream_bytes_min: 10,
        }
    }

    #[test]
    fn room_gets_less_at_a_threshold_and_more_only_well_above_it() {
        let check = |before, left, expected| {
            assert_eq!(
                room_after(before, left, &options()),
                expected,
                "{left} left, {before:?} before"
            );
        };
        check(Room::Plenty, 1000, Room::Plenty);
        check(Room::Plenty, 999, Room::Tight);
        check(Room::Plenty, 99, Room::Floor);
        check(Room::Tight, 1050, Room::Tight);
        check(Room::Tight, 1100, Room::Plenty);
        check(Room::Floor, 105, Room::Floor);
        check(Room::Floor, 110, Room::Tight);
        check(Room::Floor, 5000, Room::Plenty);
    }

    #[test]
    fn a_limit_of_the_directory_counts_what_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("log")).unwrap();
        std::fs::write(directory.path().join("log/segment"), vec![1; 300_000]).unwrap();
        let mut options = options();
        assert!(measure(&options, directory.path()).unwrap().used_bytes.is_none());
        options.bytes_max = Some(310_000);
        let measured = measure(&options, directory.path()).unwrap();
        assert!(measured.used_bytes.unwrap() >= 300_000, "{measured:?}");
        assert!(measured.left_bytes < 10_000, "{measured:?}");
        options.floor_bytes = 20_000;
        let budget = DiskBudget::build(options, directory.path()).unwrap();
        assert!(!budget.handle().allows_append());
    }

    struct Stream(AtomicU64);

    #[async_trait]
    impl Shrink for Stream {
        fn full_bytes(&self) -> u64 {
            400
        }

        async fn shrink_to(&self, bytes_max: u64) -> Result<(), FanOutError> {
            self.0.store(bytes_max, Ordering::SeqCst);
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_stream_gives_way_first() {
        let directory = tempfile::tempdir().unwrap();
        let budget = DiskBudget::build(options(), directory.path()).unwrap();
        let stream = Stream(AtomicU64::new(0));
        for (room, expected) in [(Room::Tight, 100), (Room::Floor, 10), (Room::Plenty, 400)] {
            budget.handle.set(room);
            budget.adapt(&stream).await;
            assert_eq!(stream.0.load(Ordering::SeqCst), expected, "{room:?}");
            assert_eq!(budget.handle().allows_append(), room != Room::Floor);
        }
    }

    #[tokio::test]
    async fn the_watcher_ends_when_told_to() {
        let directory = tempfile::tempdir().unwrap();
        let budget = DiskBudget::build(DiskBudgetOptions::default(), directory.path()).unwrap();
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let run = budget.run(None, shutdown);
        tokio::time::timeout(Duration::from_secs(10), run)
            .await
            .expect("it went on");
    }
}
