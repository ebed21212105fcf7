//! Who may look into a large body. Parsed, it takes many times its size, so that only so many are looked into at once, for
//! all destinations together.

use std::sync::Arc;
use std::time::Duration;

use domain::{ErrorCode, Failure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bodies up to this size need no place, in bytes.
const SMALL_BYTES: u64 = 64 * 1024;
/// Large bodies that are looked into at once.
const LOOKS_MAX: usize = 2;

/// The places.
#[derive(Clone)]
pub(crate) struct Looks(Arc<Semaphore>);

/// A place, given back when its last clone is dropped: an evaluation that nobody waits for any more still holds it.
#[derive(Clone, Default)]
pub(crate) struct Place {
    /// None for a small body.
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LOOKS_MAX)))
    }

    /// A place for a body, waited for as long as `wait`.
    pub(crate) async fn place(&self, byte_len: u64, wait: Duration) -> Result<Place, Failure> {
        if byte_len <= SMALL_BYTES {
            return Ok(Place::default());
        }
        match timeout(wait, Arc::clone(&self.0).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place {
                _permit: Some(Arc::new(permit)),
            }),
            Ok(Err(_)) | Err(_) => Err(Failure::new(
                ErrorCode::ServiceUnavailable,
                "the body could not be looked into yet: others are",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_so_many_large_bodies_are_looked_into_at_once() {
        let (looks, wait) = (Looks::new(), Duration::from_secs(1));
        let mut places = Vec::new();
        for _ in 0..LOOKS_MAX {
            places.push(looks.place(SMALL_BYTES + 1, wait).await.ok());
        }
        let refused = looks.place(SMALL_BYTES + 1, wait).await.err().unwrap();
        assert!(refused.retryable, "{refused:?}");
        assert!(looks.place(SMALL_BYTES, wait).await.is_ok());
        let still_at_it = places.pop();
        let of_the_evaluation = still_at_it.clone();
        drop(still_at_it);
        assert!(looks.place(SMALL_BYTES + 1, wait).await.is_err());
        drop(of_the_evaluation);
        assert!(looks.place(SMALL_BYTES + 1, wait).await.is_ok());
    }
}
