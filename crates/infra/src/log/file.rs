//! All access to files of the log goes through here, so that tests can replace the disk by one that loses power.
//!
//! Blocking calls: from the log's own threads and `spawn_blocking` only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of files.
pub(crate) trait Files: Send + Sync {
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// Makes an empty file, in place of one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// The names in the folder.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Gives a file another name, in place of one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; one that is not there is fine.
    fn delete(&self, name: &str) -> io::Result<()>;
    /// Makes names durable.
    fn sync_folder(&self) -> io::Result<()>;
    /// Takes the exclusive lock of a file until the guard is dropped; `None` if another holds it.
    fn lock(&self, name: &str) -> io::Result<Option<LockGuard>>;
}

/// Holds a lock until dropped.
pub(crate) type LockGuard = Box<dyn Send + Sync>;

/// An open file.
pub(crate) trait LogFile: Send + Sync {
    /// Reads at an offset; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Reads at an offset behind what a buffer holds, as much as it has room for; fewer bytes only at the end of the file.
    fn read_behind(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        let held = buffer.len();
        buffer.resize(buffer.capacity(), 0);
        let read = self.read_at(buffer.get_mut(held..).unwrap_or_default(), offset);
        buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        read
    }
    /// Writes at an offset, perhaps only a part of the bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
}

impl dyn LogFile + '_ {
    /// Writes all the bytes.
    pub(crate) fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            bytes = bytes.get(written..).unwrap_or_default();
            offset += written as u64;
        }
        Ok(())
    }

    /// Reads up to `len` bytes, fewer at the end of the file.
    pub(crate) fn read_up_to(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut buffer = Vec::with_capacity(len);
        while buffer.len() < len {
            let behind = offset + buffer.len() as u64;
            match self.read_behind(&mut buffer, behind) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // There may be room for more than was asked for.
        buffer.truncate(len);
        Ok(buffer)
    }

    /// Writes zeroes from one offset to another.
    pub(crate) fn zero(&self, mut from: u64, to: u64) -> io::Result<()> {
        static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];
        while from < to {
            let len = usize::try_from(to - from).unwrap_or(usize::MAX).min(ZEROES.len());
            self.write_all_at(ZEROES.get(..len).unwrap_or_default(), from)?;
            from += len as u64;
        }
        Ok(())
    }
}

/// Writes a whole small file so that it is there entirely or not at all.
pub(crate) fn write_file(files: &dyn Files, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.new");
    let file = files.create(&temporary)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?;
    files.rename(&temporary, name)?;
    files.sync_folder()
}

/// The folder on the real disk.
#[derive(Debug)]
pub(crate) struct RealFiles {
    folder: PathBuf,
    write: bool,
}

impl RealFiles {
    /// For the process that owns the log; makes the folder.
    pub(crate) fn owned(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.into(),
            write: true,
        })
    }

    /// For looking on.
    pub(crate) fn read_only(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
            write: false,
        }
    }
}

impl Files for RealFiles {
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(self.write)
            .open(self.folder.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(RealFile(options.open(self.folder.join(name))?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.folder)?;
        let names = entries.map(|entry| entry.map(|e| e.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn lock(&self, name: &str) -> io::Result<Option<LockGuard>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(self.folder.join(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

struct RealFile(File);

impl LogFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buffer, offset)
    }

    // Without zeroing first what is then read over: for large batches that takes a good part of reading them.
    fn read_behind(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(
            &self.0,
            rustix::buffer::spare_capacity(buffer),
            offset,
        )?)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
