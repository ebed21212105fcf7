//! The port to notes that only save work: how far a reader of the log is. Losing one costs time, never an event.

use async_trait::async_trait;
use bytes::Bytes;

/// Why a note can't be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint {name} can't be {operation}")]
pub struct CheckpointError {
    /// Its name.
    pub name: String,
    /// What was being done: `read` or `written`.
    pub operation: &'static str,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

/// Keeps small notes by name. A note is replaced as a whole or not at all; after a power cut an older one may be back.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Reads a note; `None` when there is none.
    async fn load(&self, name: &str) -> Result<Option<Bytes>, CheckpointError>;

    /// Replaces a note.
    async fn store(&self, name: &str, note: Bytes) -> Result<(), CheckpointError>;
}
