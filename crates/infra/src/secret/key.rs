//! The key that secrets are encrypted with, and where it is read from.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of a key for AES-256.
pub(super) const KEY_BYTES: usize = 32;
/// Longer files hold no key.
const FILE_BYTES_MAX: usize = 1024;
const ID_BYTES: usize = 8;
/// So that what is shown of a key is the hash of nothing else.
const ID_LABEL: &[u8] = b"hooklog master key id\0";
/// Whoever else may read the file has the key.
const OTHERS: u32 = 0o077;

/// A key that secrets are encrypted with. It is wiped from memory when it is not used any more.
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    id: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is no key.
    #[error(
        "{place} holds no key: it has to be 32 bytes in hex or base64; make one with: openssl rand -hex 32"
    )]
    Form {
        /// Where it was read.
        place: String,
    },
    /// Others could have read it.
    #[error("{} may be read by others: chmod 600 it", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be read.
    #[error("the key file {} can't be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl MasterKey {
    /// A key of its bytes.
    #[must_use]
    pub fn new(mut bytes: [u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new()
            .chain_update(ID_LABEL)
            .chain_update(bytes)
            .finalize();
        let id = hex::encode(digest.get(..ID_BYTES).unwrap_or_default());
        let key = Self {
            bytes: Zeroizing::new(bytes),
            id,
        };
        bytes.zeroize();
        key
    }

    /// Reads a key: 32 bytes in hex or base64.
    ///
    /// # Errors
    /// Names the place, never what stands there.
    pub fn parse(text: &str, place: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let decoded = hex::decode(text)
            .ok()
            .or_else(|| STANDARD.decode(text).ok())
            .or_else(|| URL_SAFE_NO_PAD.decode(text).ok())
            .map(Zeroizing::new);
        let bytes = decoded.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok());
        bytes.map(Self::new).ok_or_else(|| KeyError::Form {
            place: place.to_owned(),
        })
    }

    /// What may be known of it: what is encrypted says by this which key opens it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Reads a key from a file that nobody else may read: its 32 bytes, or their text.
///
/// # Errors
/// When it can't be read, may be read by others, or holds no key.
pub fn read_key_file(path: &Path) -> Result<MasterKey, KeyError> {
    let io = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if metadata.permissions().mode() & OTHERS != 0 {
        let path = path.to_owned();
        return Err(KeyError::Readable { path });
    }
    let form = || KeyError::Form {
        place: path.display().to_string(),
    };
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX as u64 {
        return Err(form());
    }
    let mut content = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
    file.take(metadata.len()).read_to_end(&mut content).map_err(io)?;
    // A word of 32 letters is none: somebody typed it.
    let is_typed = content
        .iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    if let Ok(bytes) = <[u8; KEY_BYTES]>::try_from(content.as_slice())
        && !is_typed
    {
        return Ok(MasterKey::new(bytes));
    }
    let text = std::str::from_utf8(&content).map_err(|_| form())?;
    MasterKey::parse(text, &path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_key_is_the_same_in_every_form() {
        let bytes: Vec<u8> = hex::decode(HEX).unwrap();
        let id = MasterKey::parse(HEX, "x").unwrap().id().to_owned();
        for text in [
            format!(" {HEX}\n"),
            STANDARD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            assert_eq!(MasterKey::parse(&text, "x").unwrap().id(), id);
        }
        for content in [HEX.as_bytes(), &bytes] {
            let (_folder, path) = file(content, 0o600);
            assert_eq!(read_key_file(&path).unwrap().id(), id);
        }
    }

    #[test]
    fn a_phrase_is_no_key_though_it_has_the_length_of_one() {
        for phrase in [&b"correct horse battery staple, yes"[..32], &HEX.as_bytes()[..32]] {
            let (_folder, path) = file(phrase, 0o600);
            assert!(matches!(read_key_file(&path), Err(KeyError::Form { .. })));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_shown() {
        for bad in ["", "swordfish", &HEX[2..], &format!("{HEX}00")] {
            let error = MasterKey::parse(bad, "the variable HOOKLOG_SECRET_KEY").unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(said.contains("HOOKLOG_SECRET_KEY"), "{said}");
            assert!(bad.is_empty() || !said.contains(bad), "{said}");
        }
        let key = MasterKey::parse(HEX, "x").unwrap();
        assert!(!format!("{key:?}").contains("0001"), "{key:?}");
    }

    #[test]
    fn a_file_that_others_may_read_is_no_place_for_a_key() {
        for mode in [0o644, 0o640, 0o604] {
            let (_folder, path) = file(HEX.as_bytes(), mode);
            let error = read_key_file(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        let (_folder, path) = file(&[b'a'; 2000], 0o600);
        assert!(matches!(read_key_file(&path), Err(KeyError::Form { .. })));
        assert!(matches!(
            read_key_file(&path.with_extension("none")),
            Err(KeyError::Io { .. })
        ));
    }
}
