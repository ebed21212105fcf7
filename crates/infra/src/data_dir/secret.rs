//! Secrets that are made when first needed and kept in files that only we may read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::{DataDirError, io_error, write_atomically};

pub(super) fn generated(directory: &Path, name: &str) -> Result<(SecretString, PathBuf), DataDirError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(DataDirError::SecretName(name.to_owned()));
    }
    read_or_made(directory.join(name))
}

/// The secret in a file, made of 32 random bytes as hex when there is none.
pub(super) fn read_or_made(path: PathBuf) -> Result<(SecretString, PathBuf), DataDirError> {
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = hex::encode(rand::random::<[u8; 32]>());
            write_atomically(&path, format!("{text}\n").as_bytes(), 0o600)
                .map_err(io_error("write", &path))?;
            text
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    match text.trim() {
        "" => Err(DataDirError::EmptySecret { path }),
        text => Ok((SecretString::from(text), path)),
    }
}
