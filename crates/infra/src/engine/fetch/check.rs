//! Whether a file is the pinned one. Hashing half a gigabyte takes a second, so the result is kept beside it,
//! for as long as size and time of the file stay the same.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::FetchError;
use super::package::Package;

/// What was found when the file was hashed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    sha256: String,
    size_bytes: u64,
    modified_s: i64,
    modified_ns: i64,
}

/// Whether the file is there and is the pinned one.
pub(super) fn is_good(file: &Path, package: &Package) -> Result<bool, FetchError> {
    let metadata = match fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(FetchError::file(file)(error)),
    };
    let stamp = fs::read(stamp_path(file))
        .ok()
        .and_then(|text| serde_json::from_slice::<Stamp>(&text).ok());
    if let Some(stamp) = stamp
        && stamp == Stamp::of(&metadata, stamp.sha256.clone())
    {
        return Ok(package.sha256.is_none_or(|pinned| pinned == stamp.sha256));
    }
    match stamp_now(file, package) {
        Ok(()) => Ok(true),
        // It is fetched anew.
        Err(FetchError::Checksum { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the file durable, checks it, and remembers that it is good.
pub(super) fn stamp(file: &Path, package: &Package) -> Result<(), FetchError> {
    File::open(file)
        .and_then(|file| file.sync_all())
        .map_err(FetchError::file(file))?;
    stamp_now(file, package)
}

fn stamp_now(file: &Path, package: &Package) -> Result<(), FetchError> {
    let metadata = fs::metadata(file).map_err(FetchError::file(file))?;
    let found = hash(file).map_err(FetchError::file(file))?;
    if let Some(expected) = package.sha256
        && expected != found
    {
        return Err(FetchError::Checksum {
            path: file.to_owned(),
            expected,
            found,
        });
    }
    let path = stamp_path(file);
    let content = serde_json::to_vec(&Stamp::of(&metadata, found)).map_err(std::io::Error::from);
    // A cache that can't be written to is good enough to read from.
    match content.and_then(|content| fs::write(&path, content)) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        written => written.map_err(FetchError::file(&path)),
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata, sha256: String) -> Self {
        Self {
            sha256,
            size_bytes: metadata.len(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        }
    }
}

fn stamp_path(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".stamp.json");
    file.with_file_name(name)
}

fn hash(file: &Path) -> std::io::Result<String> {
    let mut file = File::open(file)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0_u8; 1 << 20];
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(chunk.get(..length).unwrap_or_default());
    }
}
