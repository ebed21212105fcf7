//! The fan-out: one JetStream stream that the relay fills from the log, and that workers and live consumers follow.
//!
//! It holds nothing that the log doesn't, and may be wiped at any time. Never here: deciding what to publish, or
//! reading the log when something is missing; the relay and the workers do that.

mod checkpoint;
mod connect;
mod error;
mod follow;
mod lease;
mod options;
mod publish;
pub mod rejected;
#[cfg(feature = "testing")]
pub mod simulated;
mod stream;
mod subject;

#[cfg(test)]
pub(crate) mod tests;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::{Client, ServerAddr};
use async_trait::async_trait;
use domain::{FanOut, FanOutError, FanOutTail, LiveEvents, LiveSubscription, LogId, Position, Publishing};
use tokio::sync::watch;

pub use checkpoint::NatsCheckpoints;
pub use lease::NatsLeases;
pub use options::JetStreamOptions;
pub use subject::Subjects;

/// A JetStream server or cluster. Cheap to clone; the connection is kept up in the background.
#[derive(Clone)]
pub struct JetStream {
    client: Client,
    context: Context,
    options: Arc<JetStreamOptions>,
    /// Grows whenever the connection is lost, so that nobody waits for answers that can't come any more.
    losses: watch::Receiver<u64>,
    trouble: connect::Trouble,
    /// What the stream should keep at most; less than the setting while the disk is tight.
    bytes_max: Arc<AtomicU64>,
}

impl JetStream {
    /// Starts to connect and returns; a server that is not there yet is tried again until it is.
    ///
    /// # Errors
    /// When the options are wrong: addresses or credentials that can't be read.
    pub async fn connect(options: JetStreamOptions) -> Result<Self, FanOutError> {
        let (lost, losses) = watch::channel(0);
        let trouble = connect::Trouble::default();
        let connect = connect::options(&options, lost, trouble.clone())?;
        let addresses = options
            .url
            .split(',')
            .map(|url| url.trim().parse::<ServerAddr>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| FanOutError::Refused(format!("address of the NATS server: {error}")))?;
        let client = connect
            .connect(addresses)
            .await
            .map_err(|error| FanOutError::Unavailable(format!("connect: {error}")))?;
        let ack_timeout = Duration::from_millis(options.ack_timeout_ms);
        let context = async_nats::jetstream::context::ContextBuilder::new()
            .timeout(Duration::from_millis(options.request_timeout_ms))
            .ack_timeout(ack_timeout)
            // Given-up publishes hold their permits until their time is over.
            .max_ack_inflight(options.window_messages_max.max(1).saturating_mul(4))
            .build(client.clone());
        Ok(Self {
            client,
            context,
            losses,
            trouble,
            bytes_max: Arc::new(AtomicU64::new(options.bytes_max)),
            options: Arc::new(options),
        })
    }

    /// Whether the connection is up now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Makes the stream keep no more than that many bytes, at once and from now on: what the disk budget asks for.
    ///
    /// # Errors
    /// When the server can't be reached or refuses; the size is as before then, and may be asked for again.
    pub async fn set_bytes_max(&self, bytes_max: u64) -> Result<(), FanOutError> {
        let before = self.bytes_max.swap(bytes_max, Ordering::SeqCst);
        if before == bytes_max {
            return Ok(());
        }
        let resized = self.while_connected(self.ensure_stream()).await;
        match &resized {
            Ok(_) => tracing::info!(before, bytes_max, "size of the stream changed"),
            Err(_) => self.bytes_max.store(before, Ordering::SeqCst),
        }
        resized.map(|_| ())
    }

    /// The size of the stream while there is room, as set.
    #[must_use]
    pub fn full_bytes_max(&self) -> u64 {
        self.options.bytes_max
    }

    /// Runs requests, but not beyond the connection: their answers would never come.
    async fn while_connected<T>(
        &self,
        requests: impl Future<Output = Result<T, FanOutError>> + Send,
    ) -> Result<T, FanOutError> {
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        self.connected()?;
        tokio::select! {
            biased;
            answer = requests => answer,
            _ = losses.changed() => Err(FanOutError::Unavailable("connection lost".into())),
        }
    }

    fn connected(&self) -> Result<(), FanOutError> {
        if self.is_connected() {
            Ok(())
        } else {
            let why = self.trouble.text();
            let why = if why.is_empty() { why } else { format!(": {why}") };
            Err(FanOutError::Unavailable(format!("not connected{why}")))
        }
    }
}

#[async_trait]
impl FanOut for JetStream {
    async fn tail(&self) -> Result<FanOutTail, FanOutError> {
        self.while_connected(self.read_tail()).await
    }

    async fn rebind(&self, log: LogId) -> Result<FanOutTail, FanOutError> {
        self.while_connected(async {
            self.bind(log).await?;
            self.read_tail().await
        })
        .await
    }

    fn publish_after(&self, sequence: u64) -> Box<dyn Publishing> {
        Box::new(publish::Window::after(sequence, self.clone()))
    }

    fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl LiveEvents for JetStream {
    async fn follow(&self, after: Position) -> Result<Box<dyn LiveSubscription>, FanOutError> {
        let subscription = self.while_connected(self.subscribe(after)).await?;
        Ok(Box::new(subscription))
    }
}
