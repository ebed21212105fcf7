//! Copying a file and hashing what was copied.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use domain::{ContentHash, ContentHasher};

const PIECE_BYTES: usize = 1024 * 1024;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) bytes: u64,
    pub(super) sha256: ContentHash,
}

/// Copies at most `bytes_max` bytes into a new file and syncs it.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    bytes_max: u64,
    mut progress: impl FnMut(u64),
) -> io::Result<Copied> {
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    let copied = each_piece(from, bytes_max, |piece| {
        target.write_all(piece)?;
        progress(piece.len() as u64);
        Ok(())
    })?;
    target.sync_all()?;
    Ok(copied)
}

/// Hashes a whole file.
pub(super) fn hash(path: &Path, mut progress: impl FnMut(u64)) -> io::Result<Copied> {
    each_piece(path, u64::MAX, |piece| {
        progress(piece.len() as u64);
        Ok(())
    })
}

fn each_piece(
    from: &Path,
    bytes_max: u64,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Copied> {
    let mut source = File::open(from)?.take(bytes_max);
    let mut hasher = ContentHasher::default();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let n = match source.read(&mut buffer) {
            Ok(0) => {
                let sha256 = hasher.finish();
                return Ok(Copied { bytes, sha256 });
            }
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = buffer.get(..n).unwrap_or_default();
        hasher.update(piece);
        take(piece)?;
        bytes += n as u64;
    }
}
