//! The port to large bodies, kept outside the log under their SHA-256.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ContentHash;

/// Names a body in the body store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BodyRef {
    /// SHA-256 of the body, its name.
    pub sha256: ContentHash,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Why a body could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// No body of that name: the event that names it is older than the store, or the store was damaged.
    #[error("body {0} is not in the body store")]
    Missing(ContentHash),
    /// The quota for uploads or the disk's floor is reached; try again later.
    #[error("the body store has no room: {0}")]
    NoRoom(String),
    /// The store failed; try again later.
    #[error("body store {operation} failed")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// Keeps large bodies, content-addressed. Putting an existing one refreshes it.
#[async_trait]
pub trait BodyStore: Send + Sync {
    /// Opens an upload into a temporary place, counted against the quota.
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError>;

    /// Reads at most `bytes_max` bytes from `offset`; empty at the end.
    async fn read(&self, body: &BodyRef, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError>;

    /// Bytes kept, for metrics and the disk budget.
    async fn stored_bytes(&self) -> Result<u64, BodyError>;
}

/// An upload under way. Dropped without [`BodyUpload::commit`], it leaves nothing behind.
#[async_trait]
pub trait BodyUpload: Send {
    /// Takes the next piece.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BodyError>;

    /// Reads back what was written so far, so that facts can be taken from it before it is kept.
    async fn read(&mut self, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError>;

    /// Makes the body durable under its hash: synced, renamed, its directory synced. Only for verified bodies.
    async fn commit(self: Box<Self>) -> Result<BodyRef, BodyError>;
}
