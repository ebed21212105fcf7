//! What was seen of a request's body before it was turned away.

use bytes::Bytes;
use domain::ContentHash;

/// The longest body that is remembered: no setting keeps longer ones.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What is known of a body. Nothing, before any of it was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// How much of it was read, in bytes.
    pub(crate) bytes: Option<u64>,
    /// SHA-256 of that.
    pub(crate) sha256: Option<ContentHash>,
    /// The whole, where it is short enough.
    pub(crate) body: Option<Bytes>,
}

impl Seen {
    /// A part of it was read, or the whole.
    pub(crate) fn read(&mut self, bytes: u64, sha256: ContentHash) {
        (self.bytes, self.sha256) = (Some(bytes), Some(sha256));
    }

    /// All of it is in memory.
    pub(crate) fn whole(&mut self, body: &Bytes) {
        self.body = (body.len() <= BODY_BYTES_MAX).then(|| body.clone());
    }
}
