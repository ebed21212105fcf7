//! Notes in files: one file a name, replaced as a whole.
//!
//! A note only saves work. So it is never backed up, a damaged one is for its reader to find out, and nothing here tries
//! twice.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{CheckpointError, Checkpoints};

use crate::data_dir::write_atomically;

/// The largest note in bytes.
pub const NOTE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The longest name.
const NAME_BYTES_MAX: usize = 100;

/// Notes in a directory, each as `<name>.json`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DirectoryCheckpoints {
    directory: Arc<Path>,
    note_bytes_max: u64,
}

impl DirectoryCheckpoints {
    /// Uses a directory that is there already, and removes what a crash left half-written in it. Blocks.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn open(directory: &Path) -> io::Result<Self> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // As `write_atomically` names its files before they are whole.
            if entry.file_name().to_string_lossy().starts_with('.') {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self {
            directory: directory.into(),
            note_bytes_max: NOTE_BYTES_MAX,
        })
    }

    /// The file of a note. A name is never a path.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain) {
            Ok(self.directory.join(format!("{name}.json")))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "its name is not 1 to 100 of the characters a-z, 0-9, - and _",
            ))
        }
    }

    fn read(&self, name: &str) -> io::Result<Option<Bytes>> {
        let file = match fs::File::open(self.path(name)?) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut note = Vec::new();
        file.take(self.note_bytes_max.saturating_add(1))
            .read_to_end(&mut note)?;
        self.check_size(note.len())?;
        Ok(Some(note.into()))
    }

    fn write(&self, name: &str, note: &[u8]) -> io::Result<()> {
        let path = self.path(name)?;
        self.check_size(note.len())?;
        write_atomically(&path, note, 0o600)
    }

    fn check_size(&self, bytes: usize) -> io::Result<()> {
        if bytes as u64 > self.note_bytes_max {
            let text = format!("it is over {} bytes", self.note_bytes_max);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }

    /// Runs file access where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        operation: &'static str,
        access: impl FnOnce(&Self, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, CheckpointError> {
        let (notes, owned) = (self.clone(), name.to_owned());
        let done = tokio::task::spawn_blocking(move || access(&notes, &owned)).await;
        done.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
            .map_err(|source| CheckpointError {
                name: name.to_owned(),
                operation,
                source,
            })
    }
}

#[async_trait]
impl Checkpoints for DirectoryCheckpoints {
    async fn load(&self, name: &str) -> Result<Option<Bytes>, CheckpointError> {
        self.blocking(name, "read", Self::read).await
    }

    async fn store(&self, name: &str, note: Bytes) -> Result<(), CheckpointError> {
        self.blocking(name, "written", move |notes, name| notes.write(name, &note))
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::data_dir::DataDir;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_note_is_kept_over_restarts_and_replaced_as_a_whole() {
        let parent = tempfile::tempdir().unwrap();
        let data = DataDir::open(parent.path()).unwrap();
        let notes = DirectoryCheckpoints::open(&data.checkpoints()).unwrap();
        assert_eq!(notes.load("reactors").await.unwrap(), None);
        for note in [&b"{\"a\":1}"[..], b"{}", b""] {
            notes
                .store("reactors", Bytes::copy_from_slice(note))
                .await
                .unwrap();
            let again = DirectoryCheckpoints::open(&data.checkpoints()).unwrap();
            assert_eq!(again.load("reactors").await.unwrap().unwrap(), note);
        }
        assert_eq!(notes.load("other").await.unwrap(), None);
        assert_eq!(names(&data.checkpoints()), ["reactors.json"]);
        let mode = fs::metadata(data.checkpoints().join("reactors.json"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_failed_store_leaves_the_note_before_it() {
        let parent = tempfile::tempdir().unwrap();
        let notes = DirectoryCheckpoints {
            note_bytes_max: 10,
            ..DirectoryCheckpoints::open(parent.path()).unwrap()
        };
        notes.store("a", Bytes::from_static(b"0123456789")).await.unwrap();
        let error = notes
            .store("a", Bytes::from_static(b"0123456789x"))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the checkpoint a can't be written");
        assert_eq!(notes.load("a").await.unwrap().unwrap(), "0123456789");
        fs::write(parent.path().join("a.json"), "0123456789x").unwrap();
        let error = notes.load("a").await.unwrap_err();
        assert!(error.source.to_string().contains("over 10 bytes"), "{error:?}");
        // Something in its way: the rename fails, and nothing half-written stays.
        fs::create_dir(parent.path().join("b.json")).unwrap();
        notes.store("b", Bytes::from_static(b"1")).await.unwrap_err();
        let mut left = names(parent.path());
        left.sort();
        assert_eq!(left, ["a.json", "b.json"]);
    }

    #[tokio::test]
    async fn what_a_crash_left_half_written_is_no_note_and_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("a.json"), "1").unwrap();
        fs::write(parent.path().join(".a.json.0190"), "half").unwrap();
        let notes = DirectoryCheckpoints::open(parent.path()).unwrap();
        assert_eq!(notes.load("a").await.unwrap().unwrap(), "1");
        assert_eq!(names(parent.path()), ["a.json"]);
    }

    #[tokio::test]
    async fn a_name_is_never_a_path() {
        let parent = tempfile::tempdir().unwrap();
        let notes = DirectoryCheckpoints::open(parent.path()).unwrap();
        for name in ["", "../x", "a/b", ".hidden", "A", "a.b", &"a".repeat(101)] {
            let error = notes.store(name, Bytes::new()).await.unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput, "{name}");
            assert!(notes.load(name).await.is_err(), "{name}");
        }
        assert!(names(parent.path()).is_empty());
    }
}
