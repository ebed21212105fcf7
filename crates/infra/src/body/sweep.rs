//! Sweeping: bodies that no event names go to the trash, when somebody asks for it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use domain::{BodyError, ContentHash};

use super::DirectoryBodyStore;
use super::file::{blocking, each_body};
use crate::data_dir::sync_directory;

/// Younger bodies are never swept: the event that names one may still be on its way into the log.
pub const SWEEP_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Bodies looked at.
    pub seen: u64,
    /// Bodies moved to the trash.
    pub moved: u64,
    /// Their bytes.
    pub moved_bytes: u64,
    /// Bodies that no event names, too young to be moved.
    pub young: u64,
    /// Bodies that an event names and only the trash had: moved back.
    pub restored: u64,
}

impl DirectoryBodyStore {
    /// Moves bodies older than [`SWEEP_AGE`] that are not in `referenced` into a folder on the same file system.
    /// `referenced` must have been read from the whole log up to its head, by the process that owns the directory.
    ///
    /// # Errors
    /// When a file can't be read or moved; what was moved before stays in the trash.
    pub async fn sweep(
        &self,
        referenced: HashSet<ContentHash>,
        trash: impl AsRef<Path>,
        dry_run: bool,
    ) -> Result<Swept, BodyError> {
        let (shared, trash) = (Arc::clone(&self.shared), trash.as_ref().to_path_buf());
        blocking("sweep bodies", move || {
            let mut swept = Swept::default();
            let mut candidates = Vec::new();
            each_body(&shared.directory, |hash, path, metadata| {
                swept.seen += 1;
                if !referenced.contains(&hash) {
                    if is_old(metadata)? {
                        candidates.push((hash, path.to_path_buf()));
                    } else {
                        swept.young += 1;
                    }
                }
                Ok(())
            })?;
            fs::create_dir_all(&trash)?;
            for (hash, path) in candidates {
                let _naming = shared.naming();
                // It may have been refreshed since it was looked at.
                let metadata = fs::metadata(&path)?;
                if !is_old(&metadata)? {
                    swept.young += 1;
                    continue;
                }
                if !dry_run {
                    fs::rename(&path, trash.join(hash.to_string()))?;
                    shared.bytes_changed(metadata.len(), false);
                }
                swept.moved += 1;
                swept.moved_bytes += metadata.len();
            }
            sync_directory(&trash)?;
            Ok(swept)
        })
        .await
    }
}

/// A clock that was set back makes a body young, never old.
fn is_old(metadata: &fs::Metadata) -> io::Result<bool> {
    let age = SystemTime::now().duration_since(metadata.modified()?);
    Ok(age.is_ok_and(|age| age > SWEEP_AGE))
}
