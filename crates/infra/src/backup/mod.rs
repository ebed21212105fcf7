//! Backup of a data directory, live or not, and its restore.
//!
//! Log first, then bodies, then secrets: whatever body an event of the copied log names was kept before that event was
//! written. JetStream and ClickHouse are not in it, because the log fills them again. Never here: changing the source.

mod copy;
mod manifest;

#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use domain::Timestamp;

use crate::data_dir::{DataDirError, read_format, sync_directory};
use crate::log::OpenError;
use crate::log::extent::extents;
use copy::{Copied, copy, hash};
pub use manifest::{Manifest, ManifestFile};

/// Says which data directory it is; restored last, so that a restore that was cut off is not taken for one.
const FORMAT_FILE: &str = "FORMAT";

/// Why a backup or a restore failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The source is not a data directory of a version we know.
    #[error("the source is no usable data directory")]
    Source(#[from] DataDirError),
    /// The log of the source can't be read.
    #[error("the log can't be backed up")]
    Log(#[from] OpenError),
    /// The target is there and not empty.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// There is no backup, or one that was cut off.
    #[error("{0} holds no finished backup (it has no MANIFEST.json)")]
    NoBackup(PathBuf),
    /// A newer version made the backup.
    #[error("the backup has format {found}, this version knows up to {known}: use a newer hooklog")]
    Newer {
        /// Its format.
        found: u32,
        /// The newest format this version knows.
        known: u32,
    },
    /// A file of the backup is not what the manifest says.
    #[error("{path}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file system said no.
    #[error("{operation} {path}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl BackupError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }
}

/// What a backup or a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The manifest of the backup.
    pub manifest: Manifest,
    /// Bodies whose bytes are not what their name says: damaged in the source, and copied as they are.
    pub damaged_bodies: Vec<String>,
}

/// Copies a data directory into a new or empty one. Blocks; the source may be in use. `progress` is told of every piece
/// with its bytes.
///
/// # Errors
/// When the source is damaged or unreadable, or the target not empty or not writable. What was copied by then stays, but
/// is no backup without its manifest.
pub fn backup(
    data_dir: &Path,
    target: &Path,
    created_at: Timestamp,
    mut progress: impl FnMut(u64),
) -> Result<Report, BackupError> {
    if read_format(data_dir)?.is_none() {
        let path = data_dir.join(FORMAT_FILE);
        return Err(BackupError::io("read", &path)(io::ErrorKind::NotFound.into()));
    }
    empty_directory(target)?;
    let log = extents(&data_dir.join("log"))?;
    let mut copying = Copying {
        from: data_dir,
        to: target,
        manifest: Manifest::new(log.log_id, log.head, created_at),
        progress: &mut progress,
    };
    for segment in &log.segments {
        copying.file(&format!("log/{}", segment.name), segment.bytes)?;
    }
    copying.file("log/FORMAT", u64::MAX)?;
    let damaged_bodies = copying.bodies()?;
    copying.directory("secrets")?;
    copying.file(FORMAT_FILE, u64::MAX)?;
    let manifest = copying.manifest;
    sync_all(target, &manifest)?;
    manifest.write(target)?;
    tracing::info!(head = %manifest.head, files = manifest.files.len(), bytes = manifest.bytes(), "backup finished");
    Ok(Report {
        manifest,
        damaged_bodies,
    })
}

/// Copies a backup into a new or empty directory, checking every file on the way. Blocks.
///
/// # Errors
/// When the backup is not whole or not what its manifest says, or the target not empty or not writable. A restore that
/// failed leaves no usable data directory.
pub fn restore(from: &Path, into: &Path, mut progress: impl FnMut(u64)) -> Result<Report, BackupError> {
    let manifest = Manifest::read(from)?;
    empty_directory(into)?;
    let is_format = |file: &&ManifestFile| file.path == FORMAT_FILE;
    let (format, others): (Vec<_>, Vec<_>) = manifest.files.iter().partition(is_format);
    for file in others {
        restore_file(from, into, file, &mut progress)?;
    }
    sync_all(into, &manifest)?;
    for file in format {
        restore_file(from, into, file, &mut progress)?;
    }
    sync_directory(into).map_err(BackupError::io("sync", into))?;
    tracing::info!(head = %manifest.head, files = manifest.files.len(), "backup restored");
    Ok(Report {
        manifest,
        damaged_bodies: Vec::new(),
    })
}

/// Reads every file of a backup and compares it with the manifest. Blocks.
///
/// # Errors
/// When the backup is not whole or not what its manifest says.
pub fn check(backup: &Path, mut progress: impl FnMut(u64)) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(backup)?;
    for file in &manifest.files {
        let path = backup.join(&file.path);
        let found = hash(&path, &mut progress).map_err(|error| unreadable(&path, error))?;
        same(&path, file, found)?;
    }
    Ok(manifest)
}

fn restore_file(
    from: &Path,
    into: &Path,
    file: &ManifestFile,
    progress: &mut impl FnMut(u64),
) -> Result<(), BackupError> {
    let (source, target) = (from.join(&file.path), into.join(&file.path));
    create_parent(&target)?;
    let copied = copy(&source, &target, u64::MAX, progress).map_err(|error| unreadable(&source, error))?;
    same(&source, file, copied)
}

fn unreadable(path: &Path, error: io::Error) -> BackupError {
    if error.kind() == io::ErrorKind::NotFound {
        let what = "the manifest names it, but it is not there";
        return BackupError::Damaged {
            path: path.to_path_buf(),
            what,
        };
    }
    BackupError::io("copy", path)(error)
}

fn same(path: &Path, file: &ManifestFile, found: Copied) -> Result<(), BackupError> {
    if (found.bytes, found.sha256) == (file.bytes, file.sha256) {
        return Ok(());
    }
    let what = "its bytes are not those of the manifest";
    Err(BackupError::Damaged {
        path: path.to_path_buf(),
        what,
    })
}

struct Copying<'a, P> {
    from: &'a Path,
    to: &'a Path,
    manifest: Manifest,
    progress: &'a mut P,
}

impl<P: FnMut(u64)> Copying<'_, P> {
    /// Copies the first bytes of a file and notes it in the manifest.
    fn file(&mut self, path: &str, bytes_max: u64) -> Result<Copied, BackupError> {
        let (source, target) = (self.from.join(path), self.to.join(path));
        create_parent(&target)?;
        let copied = copy(&source, &target, bytes_max, &mut *self.progress);
        let copied = copied.map_err(BackupError::io("copy", &source))?;
        self.manifest.files.push(ManifestFile {
            path: path.to_owned(),
            bytes: copied.bytes,
            sha256: copied.sha256,
        });
        Ok(copied)
    }

    /// Copies the files of a directory, if it is there.
    fn directory(&mut self, path: &str) -> Result<(), BackupError> {
        for name in names(&self.from.join(path))? {
            // Half-written files begin with a dot.
            if !name.starts_with('.') && self.from.join(path).join(&name).is_file() {
                self.file(&format!("{path}/{name}"), u64::MAX)?;
            }
        }
        Ok(())
    }

    /// Copies every body, and returns those that are damaged. One that is swept meanwhile is left out.
    fn bodies(&mut self) -> Result<Vec<String>, BackupError> {
        let mut damaged = Vec::new();
        let bodies = self.from.join("bodies");
        for prefix in names(&bodies)?.into_iter().filter(|name| name.len() == 2) {
            for name in names(&bodies.join(&prefix))? {
                let expected = format!("{prefix}{name}");
                let path = format!("bodies/{prefix}/{name}");
                match self.file(&path, u64::MAX) {
                    Ok(copied) if copied.sha256.to_string() == expected => {}
                    Ok(_) => {
                        tracing::warn!(body = %expected, "body is damaged in the source, copied as it is");
                        damaged.push(expected);
                    }
                    Err(BackupError::Io { source, .. })
                        if source.kind() == io::ErrorKind::NotFound && !self.from.join(&path).exists() =>
                    {
                        // The target's file was made before the source turned out to be gone.
                        fs::remove_file(self.to.join(&path))
                            .map_err(BackupError::io("remove", &self.to.join(&path)))?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(damaged)
    }
}

/// Names in a directory, sorted; none when it is not there.
fn names(directory: &Path) -> Result<Vec<String>, BackupError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BackupError::io("read", directory)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names
        .collect::<Result<_, _>>()
        .map_err(BackupError::io("read", directory))?;
    names.sort_unstable();
    Ok(names)
}

/// Makes sure that a directory is there and empty.
fn empty_directory(path: &Path) -> Result<(), BackupError> {
    make_directory(path)?;
    let others = names(path)?.into_iter().filter(|name| name != "lost+found");
    if others.count() > 0 {
        Err(BackupError::NotEmpty(path.to_path_buf()))
    } else {
        Ok(())
    }
}

fn create_parent(path: &Path) -> Result<(), BackupError> {
    path.parent().map_or(Ok(()), make_directory)
}

fn make_directory(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(BackupError::io("create", path))
}

/// Makes the names of all files durable.
fn sync_all(root: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let mut directories: Vec<PathBuf> = manifest
        .files
        .iter()
        .flat_map(|file| {
            Path::new(&file.path)
                .ancestors()
                .skip(1)
                .map(|dir| root.join(dir))
                .collect::<Vec<_>>()
        })
        .collect();
    directories.sort_unstable();
    directories.dedup();
    for directory in directories {
        sync_directory(&directory).map_err(BackupError::io("sync", &directory))?;
    }
    Ok(())
}
