//! Lets a sender whose body is refused finish sending it, so that it gets to read the answer.
//!
//! Closing a connection with unread data on it makes the system throw away what the other side has not read yet, the
//! answer included. So what is left is read and thrown away: bounded in bytes, time and number.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::body::Incoming;
use crate::options::IngestOptions;

/// The most connections that are read to their end at once.
const AT_ONCE_MAX: usize = 64;

/// Reads the rest of refused bodies.
pub(crate) struct Linger {
    places: Arc<Semaphore>,
    bytes_max: u64,
    timeout: Duration,
}

impl Linger {
    /// Within these limits.
    pub(crate) fn new(options: &IngestOptions) -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            bytes_max: options.linger_bytes_max,
            timeout: Duration::from_millis(options.linger_timeout_ms),
        }
    }

    /// Reads the rest of a body in the background, if there is a place for it.
    pub(crate) fn on(&self, mut incoming: Incoming) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let (bytes_max, timeout) = (self.bytes_max, self.timeout);
        tokio::spawn(async move {
            let drained = async {
                let mut bytes = 0;
                while let Some(Ok(piece)) = incoming.next().await {
                    bytes += piece.len() as u64;
                    if bytes > bytes_max {
                        break;
                    }
                }
            };
            // Whether it came to its end or not, nothing follows from it.
            drop(tokio::time::timeout(timeout, drained).await);
            drop(place);
        });
    }
}
