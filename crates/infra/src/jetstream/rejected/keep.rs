//! Writes rejected requests from the queue to the stream.

use std::time::Duration;

use async_nats::jetstream::message::PublishMessage;
use domain::{FanOutError, RejectedRequest};
use metrics::counter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::queue::dropped;
use super::{RejectedOptions, ensure_stream, wire};
use crate::jetstream::JetStream;
use crate::jetstream::error::publish_failed;

/// The most requests written at once.
const BATCH_MAX: usize = 64;
/// Between two tries while the server is away. Meanwhile the queue fills, and beyond it requests are dropped.
const RETRY: Duration = Duration::from_millis(200);
/// How often a batch is tried before it is dropped. A server that is there but takes nothing must not hold the newer ones.
const TRIES_MAX: u32 = 25;

/// Writes what is in the queue.
pub struct RejectedKeeper {
    queue: mpsc::Receiver<RejectedRequest>,
    options: RejectedOptions,
}

impl RejectedKeeper {
    pub(super) const fn new(queue: mpsc::Receiver<RejectedRequest>, options: RejectedOptions) -> Self {
        Self { queue, options }
    }

    /// What it was built with.
    #[must_use]
    pub const fn options(&self) -> &RejectedOptions {
        &self.options
    }

    /// Writes until told to stop. What is in the queue then is dropped.
    pub async fn run(mut self, jetstream: JetStream, shutdown: CancellationToken) {
        let working = self.work(&jetstream);
        tokio::select! {
            () = working => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn work(&mut self, jetstream: &JetStream) {
        // The stream is there before the first request is: an operator sees it, and reading finds it.
        self.prepare(jetstream).await;
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let all = batch.len() as u64;
            match self.write(jetstream, &batch).await {
                Ok(refused) => {
                    counter!("hooklog_rejected_kept_total").increment(all - refused);
                    dropped("refused", refused);
                }
                Err(error) => {
                    tracing::warn!(%error, count = all, "rejected requests can't be kept");
                    dropped("unavailable", all);
                }
            }
            batch.clear();
        }
    }

    async fn prepare(&self, jetstream: &JetStream) {
        loop {
            match jetstream
                .while_connected(ensure_stream(jetstream, &self.options))
                .await
            {
                Ok(_) => return,
                Err(FanOutError::Unavailable(_) | FanOutError::Moved) => {}
                Err(error) => {
                    tracing::error!(%error, "rejected requests can't be kept");
                    return;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Writes a batch; how many of it the stream never takes.
    async fn write(&self, jetstream: &JetStream, batch: &[RejectedRequest]) -> Result<u64, FanOutError> {
        let mut tries = 1;
        loop {
            let published = jetstream.while_connected(publish(jetstream, batch)).await;
            match published {
                Err(FanOutError::Unavailable(_)) if tries < TRIES_MAX => tries += 1,
                // The same error as above, or one that no further try mends.
                done => return done,
            }
            tokio::time::sleep(RETRY).await;
            // It may have been deleted.
            let _ = jetstream
                .while_connected(ensure_stream(jetstream, &self.options))
                .await;
        }
    }
}

/// Publishes all, then waits for all; how many were refused for good. A request that was written before is known by its id, so
/// that after an error all may be published again.
async fn publish(jetstream: &JetStream, batch: &[RejectedRequest]) -> Result<u64, FanOutError> {
    let (mut acks, mut refused) = (Vec::with_capacity(batch.len()), 0);
    for request in batch {
        let message = PublishMessage::build()
            .message_id(request.request_id.to_string())
            .payload(wire::write(request));
        let sent = jetstream
            .context
            .send_publish(wire::subject(request), message)
            .await;
        match sent {
            Ok(ack) => acks.push(ack),
            Err(error) => refused += refused_for_good(publish_failed(&error))?,
        }
    }
    for ack in acks {
        if let Err(error) = ack.await {
            refused += refused_for_good(publish_failed(&error))?;
        }
    }
    Ok(refused)
}

/// One that no further try mends costs itself and none of the others.
fn refused_for_good(error: FanOutError) -> Result<u64, FanOutError> {
    match error {
        FanOutError::Refused(why) => {
            tracing::warn!(why, "a rejected request can't be kept");
            Ok(1)
        }
        error @ (FanOutError::Unavailable(_) | FanOutError::Moved) => Err(error),
    }
}
