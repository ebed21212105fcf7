//! Following the stream in order, from a position on, through restarts of the server.

use std::time::Duration;

use async_nats::datetime::DateTime;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::stream::Stream;
use async_trait::async_trait;
use domain::{FanOutError, LiveEvent, LiveSubscription, Position, event_of};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::JetStream;
use super::error::request_failed;
use super::stream::first_after;

/// Between two tries to follow a stream that can't be reached.
const RESUME_PAUSE: Duration = Duration::from_millis(100);

/// An ordered subscription to the whole stream.
pub(super) struct Subscription {
    jetstream: JetStream,
    /// `None` while the server or its consumer is gone.
    messages: Option<Ordered>,
    /// The sequence that comes next; everything before it was handed on.
    next_sequence: u64,
    /// By when it was created a stream that was wiped and filled again is told from the one we follow.
    stream_created: DateTime,
    check_at: Instant,
    losses: watch::Receiver<u64>,
}

impl JetStream {
    pub(super) async fn subscribe(&self, after: Position) -> Result<Subscription, FanOutError> {
        let stream = self.stream().await?;
        let next_sequence = first_after(&stream, after).await?;
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        Ok(Subscription {
            losses,
            messages: Some(self.messages_from(&stream, next_sequence).await?),
            jetstream: self.clone(),
            next_sequence,
            stream_created: stream.cached_info().created,
            check_at: Instant::now() + self.quiet_check(),
        })
    }

    async fn messages_from(&self, stream: &Stream, start_sequence: u64) -> Result<Ordered, FanOutError> {
        let config = OrderedConfig {
            description: Some("hooklog".into()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            max_batch: i64::from(self.options.follow_messages_max),
            ..OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await;
        let consumer = consumer.map_err(|error| request_failed("follow the stream", &error))?;
        let messages = consumer.messages().await;
        messages.map_err(|error| FanOutError::Unavailable(format!("follow the stream: {error}")))
    }

    fn quiet_check(&self) -> Duration {
        Duration::from_millis(self.options.quiet_check_ms)
    }
}

impl Subscription {
    /// A message in its turn; `None` for one that was handed on before or is not ours.
    fn taken(&mut self, message: &async_nats::jetstream::Message) -> Option<LiveEvent> {
        let sequence = match message.info() {
            Ok(info) => info.stream_sequence,
            Err(error) => {
                tracing::warn!(%error, "a message without its place in the stream");
                self.messages = None;
                return None;
            }
        };
        if sequence < self.next_sequence {
            // The client begins at the start when it recreates a consumer that never delivered anything.
            self.messages = None;
            return None;
        }
        self.next_sequence = sequence + 1;
        let headers = message.headers.clone().unwrap_or_default();
        let header = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
        match event_of(header, message.payload.clone()) {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::warn!(sequence, %error, "a message on our subjects is not ours, skipped");
                metrics::counter!("hooklog_jetstream_foreign_messages_total").increment(1);
                None
            }
        }
    }

    /// The stream, if it can be reached.
    ///
    /// # Errors
    /// When it is not the one we follow any more: there is nothing to wait for here.
    async fn same_stream(&mut self) -> Result<Option<Stream>, FanOutError> {
        let stream = match self.jetstream.while_connected(self.jetstream.stream()).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "followed stream can't be reached");
                return Ok(None);
            }
        };
        let info = stream.cached_info();
        if info.created != self.stream_created || info.state.last_sequence + 1 < self.next_sequence {
            return Err(FanOutError::Unavailable(
                "the stream was made anew, follow it again".into(),
            ));
        }
        Ok(Some(stream))
    }

    /// A new consumer for what comes next, after the old one was lost with its server.
    async fn resume(&mut self) -> Result<(), FanOutError> {
        if let Some(stream) = self.same_stream().await? {
            let messages = self.jetstream.messages_from(&stream, self.next_sequence);
            match self.jetstream.while_connected(messages).await {
                Ok(messages) => self.messages = Some(messages),
                Err(error) => tracing::debug!(%error, "stream can't be followed yet"),
            }
        }
        if self.messages.is_none() {
            tokio::time::sleep(RESUME_PAUSE).await;
        }
        self.check_at = Instant::now() + self.jetstream.quiet_check();
        Ok(())
    }
}

#[async_trait]
impl LiveSubscription for Subscription {
    async fn next(&mut self) -> Result<LiveEvent, FanOutError> {
        loop {
            let Some(messages) = &mut self.messages else {
                self.resume().await?;
                continue;
            };
            let message = tokio::select! {
                biased;
                message = messages.next() => message,
                // Consumers don't outlive their server, and the client takes long to notice.
                _ = self.losses.changed() => {
                    self.messages = None;
                    continue;
                }
                () = tokio::time::sleep_until(self.check_at) => {
                    self.same_stream().await?;
                    self.check_at = Instant::now() + self.jetstream.quiet_check();
                    continue;
                }
            };
            self.check_at = Instant::now() + self.jetstream.quiet_check();
            match message {
                Some(Ok(message)) => {
                    if let Some(event) = self.taken(&message) {
                        return Ok(event);
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "consumer lost");
                    self.messages = None;
                }
                None => self.messages = None,
            }
        }
    }
}
