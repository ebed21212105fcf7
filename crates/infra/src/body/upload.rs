//! An upload: written to a temporary file while it is hashed, kept under its hash or gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{BodyError, BodyRef, BodyUpload, ContentHasher};

use super::Shared;
use super::file::{blocking, read_at};

/// An upload under way.
pub(super) struct Upload {
    shared: Arc<Shared>,
    path: PathBuf,
    /// `None` after a write that failed or was given up in the middle: nobody knows what is in the file then.
    writing: Option<Writing>,
    gathered: BytesMut,
    reserved: u64,
}

struct Writing {
    file: File,
    hasher: ContentHasher,
    written: u64,
}

impl Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Upload {
    pub(super) async fn begin(shared: Arc<Shared>) -> Result<Self, BodyError> {
        let path = shared.incoming().join(uuid::Uuid::now_v7().to_string());
        let mut upload = Self {
            shared,
            path: path.clone(),
            writing: None,
            gathered: BytesMut::new(),
            reserved: 0,
        };
        let file = blocking("begin an upload", move || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
        });
        upload.writing = Some(Writing {
            file: file.await?,
            hasher: ContentHasher::default(),
            written: 0,
        });
        Ok(upload)
    }

    /// Runs work on the file on a thread that may block; the file is lost if it fails or is given up.
    async fn with_file<T: Send + 'static>(
        &mut self,
        operation: &'static str,
        work: impl FnOnce(&mut Writing) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BodyError> {
        let Some(mut writing) = self.writing.take() else {
            let source = io::Error::other("an earlier write failed or was given up");
            return Err(BodyError::Io { operation, source });
        };
        let done = blocking(operation, move || {
            work(&mut writing).map(|value| (value, writing))
        });
        let (value, writing) = done.await?;
        self.writing = Some(writing);
        Ok(value)
    }

    /// What was written, which stays where it is.
    pub(super) async fn finish(&mut self) -> Result<BodyRef, BodyError> {
        self.flush().await?;
        self.with_file("hash a body", |writing| {
            Ok(BodyRef {
                sha256: writing.hasher.clone().finish(),
                bytes: writing.written,
            })
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), BodyError> {
        let piece = self.gathered.split().freeze();
        if piece.is_empty() && self.writing.is_some() {
            return Ok(());
        }
        self.with_file("write a body", move |writing| writing.write(&piece))
            .await
    }
}

#[async_trait]
impl BodyUpload for Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BodyError> {
        self.shared.reserve(bytes.len() as u64)?;
        self.reserved += bytes.len() as u64;
        if self.gathered.len() + bytes.len() < self.shared.options.write_piece_bytes {
            self.gathered.extend_from_slice(&bytes);
            return Ok(());
        }
        if self.gathered.is_empty() {
            return self
                .with_file("write a body", move |writing| writing.write(&bytes))
                .await;
        }
        self.gathered.extend_from_slice(&bytes);
        self.flush().await
    }

    async fn read(&mut self, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        self.flush().await?;
        let most = bytes_max.min(self.shared.options.read_piece_bytes_max);
        self.with_file("read an upload", move |writing| {
            let left = usize::try_from(writing.written.saturating_sub(offset)).unwrap_or(usize::MAX);
            read_at(&writing.file, offset, left.min(most))
        })
        .await
    }

    async fn commit(mut self: Box<Self>) -> Result<BodyRef, BodyError> {
        self.flush().await?;
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        let began = std::time::Instant::now();
        let body = self
            .with_file("keep a body", move |writing| {
                writing.file.sync_data()?;
                let body = BodyRef {
                    sha256: writing.hasher.clone().finish(),
                    bytes: writing.written,
                };
                shared.keep(&path, &body)?;
                Ok(body)
            })
            .await?;
        metrics::counter!("hooklog_bodies_kept_total").increment(1);
        metrics::counter!("hooklog_bodies_kept_bytes_total").increment(body.bytes);
        metrics::histogram!("hooklog_body_keep_duration_seconds").record(began.elapsed().as_secs_f64());
        Ok(body)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.shared.release(self.reserved);
        // Kept ones have another name by now. What can't be removed is cleared at the next start.
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, path = %self.path.display(), "upload could not be removed"),
        }
    }
}
