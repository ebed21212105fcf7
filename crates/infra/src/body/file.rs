//! Names and bytes of the store's files, away from the async threads.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use domain::{BodyError, ContentHash, ContentHasher};

/// How much is read at a time while hashing.
const PIECE_BYTES: usize = 256 * 1024;

/// Where a body is below the store: `ab/cdef…`, so that no directory grows beyond what file systems like.
pub(super) fn relative_path(hash: &ContentHash) -> PathBuf {
    let name = hash.to_string();
    let (directory, file) = name.split_at_checked(2).unwrap_or((&name, ""));
    Path::new(directory).join(file)
}

/// The hash that a directory and a file name spell; `None` for a file that is not one of ours.
pub(super) fn hash_of_names(directory: &str, file: &str) -> Option<ContentHash> {
    let name = format!("{directory}{file}");
    let hash: ContentHash = name.parse().ok()?;
    (directory.len() == 2 && hash.to_string() == name).then_some(hash)
}

/// Makes a directory, or finds it made. One whose name could not be made durable is taken back: found by the next who
/// asks, it would pass for durable.
pub(super) fn make_durable(path: &Path, sync_parent: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => sync_parent().inspect_err(|_| drop(fs::remove_dir(path))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn io_failed(operation: &'static str) -> impl FnOnce(io::Error) -> BodyError {
    move |source| {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if full.contains(&source.kind()) {
            BodyError::NoRoom(format!("{operation}: {source}"))
        } else {
            BodyError::Io { operation, source }
        }
    }
}

/// Runs file operations where they may block.
pub(super) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BodyError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(io_failed(operation))
}

/// Reads up to `bytes_max` bytes from an offset; fewer only at the end of the file.
pub(super) fn read_at(file: &File, offset: u64, bytes_max: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; bytes_max];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}

/// SHA-256 and length of a whole file.
pub(crate) fn hash_of(file: &File) -> io::Result<(ContentHash, u64)> {
    let mut hasher = ContentHasher::default();
    let mut offset = 0;
    loop {
        let piece = read_at(file, offset, PIECE_BYTES)?;
        if piece.is_empty() {
            return Ok((hasher.finish(), offset));
        }
        hasher.update(&piece);
        offset += piece.len() as u64;
    }
}

/// Every body of a store: its hash, its file and what the file system says of it. What vanishes meanwhile is skipped.
pub(super) fn each_body(
    store: &Path,
    mut visit: impl FnMut(ContentHash, &Path, &fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    for directory in fs::read_dir(store)? {
        let directory = directory?;
        let Some(prefix) = directory
            .file_name()
            .to_str()
            .filter(|name| name.len() == 2)
            .map(str::to_owned)
        else {
            continue;
        };
        for file in fs::read_dir(directory.path())? {
            let file = file?;
            let name = file.file_name();
            let Some(hash) = name.to_str().and_then(|name| hash_of_names(&prefix, name)) else {
                continue;
            };
            match file.metadata() {
                Ok(metadata) => visit(hash, &file.path(), &metadata)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Bytes of all bodies.
pub(super) fn kept_bytes(store: &Path) -> io::Result<u64> {
    let mut sum = 0_u64;
    each_body(store, |_, _, metadata| {
        sum = sum.saturating_add(metadata.len());
        Ok(())
    })?;
    Ok(sum)
}
