//! What everything live shares: the ring, the log behind it, the places of clients, and the end.

use std::sync::Arc;

use domain::EventLog;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::options::LiveOptions;
use super::places::Places;
use super::ring::Ring;

/// What everything live shares.
pub(crate) struct Hub {
    pub(crate) options: LiveOptions,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ring: Ring,
    /// Turns at reading the log for clients that are behind the ring.
    pub(crate) reads: Semaphore,
    pub(crate) streams: Arc<Places>,
    pub(crate) sockets: Arc<Places>,
    /// Every stream ends.
    pub(crate) stop: CancellationToken,
}

impl Hub {
    pub(crate) fn new(options: LiveOptions, log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            ring: Ring::new(options.ring_events_max, options.ring_bytes_max),
            reads: Semaphore::new(options.log_reads_max.max(1)),
            streams: Places::new("sse", options.streams_max, options.streams_per_client_max),
            sockets: Places::new("socketio", options.sockets_max, options.sockets_per_address_max),
            stop: CancellationToken::new(),
            options,
        }
    }
}
