//! The data directory: one owner at a time, a known format, a place for everything.
//!
//! Never here: what the parts keep in their places. Whoever opens the directory holds it until dropped, or dead.

mod file;
mod secret;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use secrecy::SecretString;

pub use file::{sync_directory, write_atomically};

/// The format this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

const LOCK_FILE: &str = "LOCK";
const FORMAT_FILE: &str = "FORMAT";
const BODIES: &str = "bodies";
/// The file of the key of secrets; no name of a source has a dot.
const MASTER_KEY: &str = "master.key";

/// Why the directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds it.
    #[error("data directory {path} is in use{}", owner.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, if it said so.
        owner: Option<u32>,
    },
    /// A newer version of Hooklog wrote it.
    #[error(
        "data directory {path} has format {found}, this version knows up to {known}: use a newer hooklog"
    )]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this version knows.
        known: u32,
    },
    /// It holds something, but not ours.
    #[error("{path} is not a data directory of hooklog and not empty ({found:?} is in it)")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Something that was found in it.
        found: String,
    },
    /// A name that can't be a secret's file.
    #[error("{0:?} is no name for a secret")]
    SecretName(String),
    /// A file of a secret that holds none.
    #[error("secret {path} is empty: delete it to get a new one")]
    EmptySecret {
        /// The file.
        path: PathBuf,
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

/// The data directory, held by this process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock ends with the file, however the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if need be, takes its lock and checks its format.
    ///
    /// # Errors
    /// When another process holds it, a newer version wrote it, something else is in it, or the file system says no.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataDirError> {
        let path = path.as_ref().to_path_buf();
        create_private(&path)?;
        // Before the first file of ours is made: somebody may have given a wrong path.
        let format = read_format(&path)?;
        if format.is_none() {
            refuse_foreign(&path)?;
        }
        let lock = take_lock(&path)?;
        if format.is_none() && read_format(&path)?.is_none() {
            let text = format!("hooklog {FORMAT}\n");
            write_atomically(&path.join(FORMAT_FILE), text.as_bytes(), 0o600)
                .map_err(io_error("write", &path.join(FORMAT_FILE)))?;
        }
        let directory = Self { path, _lock: lock };
        for part in [
            directory.secrets(),
            directory.bodies(),
            directory.log(),
            directory.trash(),
            directory.checkpoints(),
            directory.run(),
        ] {
            create_private(&part)?;
        }
        sync_directory(&directory.path).map_err(io_error("sync", &directory.path))?;
        Ok(directory)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log's segments are.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where large bodies are.
    #[must_use]
    pub fn bodies(&self) -> PathBuf {
        self.path.join(BODIES)
    }

    /// Where the embedded NATS server keeps its streams.
    #[must_use]
    pub fn nats(&self) -> PathBuf {
        self.path.join("nats")
    }

    /// Where the embedded ClickHouse keeps its tables.
    #[must_use]
    pub fn clickhouse(&self) -> PathBuf {
        self.path.join("clickhouse")
    }

    /// Where generated secrets are.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// Where notes are that only save work; they are in no backup.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where long bodies are until a store that is shared has them.
    #[must_use]
    pub fn uploads(&self) -> PathBuf {
        self.path.join("uploads")
    }

    /// Where swept bodies go.
    #[must_use]
    pub fn trash(&self) -> PathBuf {
        self.path.join("trash")
    }

    /// The secret of that name, made of 32 random bytes as hex when it is asked for the first time; and its file,
    /// which only we may read.
    ///
    /// # Errors
    /// When its file can't be read or written, or is empty.
    pub fn generated_secret(&self, name: &str) -> Result<(SecretString, PathBuf), DataDirError> {
        secret::generated(&self.secrets(), name)
    }

    /// Where what belongs to the running program is, such as its socket; private.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// The file of the key that secrets of sources are encrypted with, made when it is asked for the first time. No source
    /// can have its name.
    ///
    /// # Errors
    /// When the file can't be read or written, or is empty.
    pub fn master_key(&self) -> Result<PathBuf, DataDirError> {
        secret::read_or_made(self.secrets().join(MASTER_KEY)).map(|(_, path)| path)
    }

    /// The same file, if it is there.
    #[must_use]
    pub fn master_key_file(&self) -> Option<PathBuf> {
        let path = self.secrets().join(MASTER_KEY);
        path.exists().then_some(path)
    }

    /// The secret that logins are signed with; made when it is asked for the first time, new after it was deleted.
    ///
    /// # Errors
    /// When its file can't be read or written, or is empty.
    pub fn session_secret(&self) -> Result<SecretString, DataDirError> {
        secret::generated(&self.run(), "session").map(|(secret, _)| secret)
    }
}

/// Reads the format of a directory that may be somebody else's; `None` when it says none.
pub(crate) fn read_format(path: &Path) -> Result<Option<u32>, DataDirError> {
    let file = path.join(FORMAT_FILE);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", &file)(error)),
    };
    let found = text
        .strip_prefix("hooklog ")
        .and_then(|n| n.trim().parse::<u32>().ok());
    match found {
        Some(found) if found > FORMAT => Err(DataDirError::NewerFormat {
            path: path.to_path_buf(),
            found,
            known: FORMAT,
        }),
        Some(found) => Ok(Some(found)),
        None => Err(DataDirError::Foreign {
            path: path.to_path_buf(),
            found: FORMAT_FILE.into(),
        }),
    }
}

fn refuse_foreign(path: &Path) -> Result<(), DataDirError> {
    let entries = fs::read_dir(path).map_err(io_error("read", path))?;
    for entry in entries {
        let name = entry.map_err(io_error("read", path))?.file_name();
        let name = name.to_string_lossy();
        // What a crash before FORMAT leaves, what a file system puts at the top of a volume, and the volume of bodies that
        // several processes share: it is mounted before the first start of each.
        let harmless =
            [LOCK_FILE, "lost+found", BODIES].contains(&name.as_ref()) || name.starts_with(".FORMAT.");
        if !harmless {
            return Err(DataDirError::Foreign {
                path: path.to_path_buf(),
                found: name.into_owned(),
            });
        }
    }
    Ok(())
}

fn take_lock(path: &Path) -> Result<File, DataDirError> {
    let file = path.join(LOCK_FILE);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file)
        .map_err(io_error("open", &file))?;
    if let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(io_error("lock", &file)(error.into()));
        }
        let mut text = String::new();
        // Only to name the owner: without it the answer is the same.
        let owner = lock
            .read_to_string(&mut text)
            .ok()
            .and_then(|_| text.trim().parse().ok());
        return Err(DataDirError::InUse {
            path: path.to_path_buf(),
            owner,
        });
    }
    lock.set_len(0).map_err(io_error("write", &file))?;
    writeln!(lock, "{}", std::process::id()).map_err(io_error("write", &file))?;
    Ok(lock)
}

/// Creates a directory that only we may enter; warns about one that others may.
fn create_private(path: &Path) -> Result<(), DataDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("create", path))?;
    let mode = fs::metadata(path)
        .map_err(io_error("read", path))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "others may enter this directory");
    }
    Ok(())
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_path_buf();
    move |source| DataDirError::Io {
        operation,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_directory_is_private_and_says_its_format() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let directory = DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(fs::read_to_string(path.join("FORMAT")).unwrap(), "hooklog 1\n");
        assert!(directory.bodies().is_dir() && directory.log().is_dir());
        drop(directory);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_second_opener_is_told_who_holds_it() {
        let parent = tempfile::tempdir().unwrap();
        let _held = DataDir::open(parent.path()).unwrap();
        let error = DataDir::open(parent.path()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.ends_with(&format!("is in use by process {}", std::process::id())),
            "{text}"
        );
    }

    #[test]
    fn a_newer_format_is_refused_naming_both() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("FORMAT"), "hooklog 2\n").unwrap();
        let text = DataDir::open(parent.path()).unwrap_err().to_string();
        assert!(text.contains("format 2") && text.contains("up to 1"), "{text}");
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("letters.txt"), "dear").unwrap();
        let error = DataDir::open(parent.path()).unwrap_err();
        assert!(error.to_string().contains("letters.txt"), "{error}");
        assert_eq!(
            fs::read_dir(parent.path()).unwrap().count(),
            1,
            "something was put into it"
        );
    }

    #[test]
    fn a_crash_before_the_format_was_written_does_no_harm() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("LOCK"), "1\n").unwrap();
        fs::create_dir(parent.path().join("lost+found")).unwrap();
        DataDir::open(parent.path()).unwrap();
    }

    #[test]
    fn a_volume_of_bodies_may_be_mounted_before_the_first_start() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("bodies")).unwrap();
        DataDir::open(parent.path()).unwrap();
    }

    #[test]
    fn a_secret_is_made_once_and_private() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDir::open(parent.path()).unwrap();
        let (secret, path) = directory.generated_secret("github").unwrap();
        assert_eq!(secret.expose_secret().len(), 64);
        assert_eq!(mode(&path), 0o600);
        let (again, _) = directory.generated_secret("github").unwrap();
        assert_eq!(again.expose_secret(), secret.expose_secret());
        let (other, _) = directory.generated_secret("nats-token").unwrap();
        assert_ne!(other.expose_secret(), secret.expose_secret());
        assert!(!format!("{secret:?}").contains(secret.expose_secret()));
    }

    #[test]
    fn a_secret_is_never_silently_replaced_and_its_name_never_a_path() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDir::open(parent.path()).unwrap();
        fs::write(directory.secrets().join("github"), " \n").unwrap();
        let empty = directory.generated_secret("github");
        assert!(matches!(empty, Err(DataDirError::EmptySecret { .. })));
        for name in ["", "../x", "a/b", ".hidden", "A"] {
            let refused = directory.generated_secret(name);
            assert!(matches!(refused, Err(DataDirError::SecretName(_))), "{name}");
        }
    }
}
