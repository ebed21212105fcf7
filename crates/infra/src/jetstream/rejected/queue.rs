//! The way in: a bounded queue that never makes anybody wait.

use domain::{KeepRejected, RejectedRequest};
use metrics::counter;
use tokio::sync::mpsc;

use super::{RejectedKeeper, RejectedOptions};

/// Takes rejected requests, whether NATS is there or not.
#[derive(Debug, Clone)]
pub struct RejectedQueue(mpsc::Sender<RejectedRequest>);

impl RejectedQueue {
    /// A queue, and what writes from it.
    #[must_use]
    pub fn new(options: RejectedOptions) -> (Self, RejectedKeeper) {
        let (sender, receiver) = mpsc::channel(options.queue_max.max(1));
        (Self(sender), RejectedKeeper::new(receiver, options))
    }
}

impl KeepRejected for RejectedQueue {
    fn keep(&self, request: RejectedRequest) {
        if self.0.try_send(request).is_err() {
            dropped("queue_full", 1);
        }
    }
}

/// Counts requests that were not kept, and why.
pub(super) fn dropped(why: &'static str, requests: u64) {
    counter!("hooklog_rejected_dropped_total", "why" => why).increment(requests);
}
