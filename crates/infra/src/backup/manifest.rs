//! What a backup holds, file by file. It is written last: without it a backup is not whole.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use domain::{ContentHash, LogId, Position, Timestamp};
use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::data_dir::write_atomically;

/// Name of the manifest's file.
pub(super) const MANIFEST: &str = "MANIFEST.json";

/// The format of backups that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Format of the backup.
    pub format: u32,
    /// The log that was backed up.
    pub log_id: LogId,
    /// Position of the last event in the backup.
    pub head: Position,
    /// When the backup was begun.
    pub created_at: Timestamp,
    /// The version of hooklog that made it.
    pub version: String,
    /// Every file.
    pub files: Vec<ManifestFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestFile {
    /// Its path below the backup and below the data directory, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: ContentHash,
}

impl Manifest {
    pub(super) fn new(log_id: LogId, head: Position, created_at: Timestamp) -> Self {
        Self {
            format: FORMAT,
            log_id,
            head,
            created_at,
            version: env!("CARGO_PKG_VERSION").into(),
            files: Vec::new(),
        }
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn write(&self, backup: &Path) -> Result<(), BackupError> {
        let path = backup.join(MANIFEST);
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        text.and_then(|text| write_atomically(&path, &text, 0o600))
            .map_err(BackupError::io("write", &path))
    }

    pub(super) fn read(backup: &Path) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let path = backup.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::NoBackup(backup.to_path_buf()));
            }
            Err(error) => return Err(BackupError::io("read", &path)(error)),
        };
        let unreadable = |error: serde_json::Error| BackupError::io("read", &path)(error.into());
        // The format alone first: a newer manifest may look otherwise.
        let Format { format } = serde_json::from_slice(&text).map_err(unreadable)?;
        if format > FORMAT {
            return Err(BackupError::Newer {
                found: format,
                known: FORMAT,
            });
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(unreadable)?;
        match manifest.files.iter().find(|file| !is_plain(&file.path)) {
            Some(file) => Err(BackupError::Damaged {
                path: PathBuf::from(&file.path),
                what: "the manifest names a path outside of the backup",
            }),
            None => Ok(manifest),
        }
    }
}

/// Whether a path stays below the directory that it is joined to.
fn is_plain(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leaves_the_directory() {
        for good in ["FORMAT", "log/0000000001.segment", "bodies/ab/cd"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "."] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
