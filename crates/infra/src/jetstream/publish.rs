//! Publishing in order, many messages under way at once, and still without a hole.
//!
//! Each message says after which sequence it must be stored, and all but the first also after which message. So when
//! one is lost or rejected, the server rejects all that follow, and a second publisher with an older view of the
//! stream's end is rejected too: by the sequence alone, its window would in the end meet the stream's real end and go
//! on from there.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use async_nats::{HeaderMap, HeaderValue};
use domain::{FanOutError, Message};
use futures_util::future::join_all;
use tokio::sync::watch;

use super::JetStream;
use super::error::publish_failed;

const MESSAGE_ID: &str = "Nats-Msg-Id";
const EXPECTED_LAST_SEQUENCE: &str = "Nats-Expected-Last-Sequence";
const EXPECTED_LAST_MESSAGE_ID: &str = "Nats-Expected-Last-Msg-Id";

/// Messages published and not yet acknowledged, oldest first.
struct Window {
    pending: VecDeque<Pending>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
    losses: watch::Receiver<u64>,
}

struct Pending {
    ack: PublishAckFuture,
    sequence: u64,
    bytes: usize,
}

impl JetStream {
    pub(super) async fn publish_all(
        &self,
        expected_last_sequence: u64,
        messages: Vec<Message>,
    ) -> Result<u64, FanOutError> {
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        self.connected()?;
        let mut window = Window {
            pending: VecDeque::new(),
            bytes: 0,
            messages_max: self.options.window_messages_max.max(1),
            bytes_max: self.options.window_bytes_max,
            losses,
        };
        let count = messages.len() as u64;
        let result = self.fill(&mut window, expected_last_sequence, messages).await;
        match result {
            Ok(()) => metrics::counter!("hooklog_jetstream_published_total").increment(count),
            Err(error) => {
                window
                    .drain(Duration::from_millis(self.options.ack_timeout_ms))
                    .await;
                metrics::counter!("hooklog_jetstream_publish_errors_total", "kind" => kind(&error))
                    .increment(1);
                return Err(error);
            }
        }
        Ok(expected_last_sequence + count)
    }

    async fn fill(
        &self,
        window: &mut Window,
        expected_last_sequence: u64,
        messages: Vec<Message>,
    ) -> Result<(), FanOutError> {
        for prepared in all_prepared(expected_last_sequence, messages) {
            let Prepared {
                subject,
                publish,
                sequence,
                bytes,
            } = prepared?;
            while window.is_full(bytes) {
                window.settle_oldest().await?;
            }
            let sent = self.context.send_publish(subject, publish).await;
            window.push(Pending {
                ack: sent.map_err(|error| publish_failed(&error))?,
                sequence,
                bytes,
            });
        }
        while !window.pending.is_empty() {
            window.settle_oldest().await?;
        }
        Ok(())
    }
}

impl Window {
    fn is_full(&self, more_bytes: usize) -> bool {
        let bytes = self.bytes.saturating_add(more_bytes);
        self.pending.len() >= self.messages_max || (!self.pending.is_empty() && bytes > self.bytes_max)
    }

    fn push(&mut self, pending: Pending) {
        self.bytes += pending.bytes;
        self.pending.push_back(pending);
    }

    /// Waits for the oldest acknowledgement, which must be for exactly the sequence it was meant for.
    async fn settle_oldest(&mut self) -> Result<(), FanOutError> {
        let Some(oldest) = self.pending.pop_front() else {
            return Ok(());
        };
        self.bytes -= oldest.bytes;
        let answer = tokio::select! {
            biased;
            answer = oldest.ack.into_future() => answer,
            _ = self.losses.changed() => {
                return Err(FanOutError::Unavailable("publish: connection lost".into()));
            }
        };
        let ack = answer.map_err(|error| publish_failed(&error))?;
        as_meant(ack.sequence, ack.duplicate, oldest.sequence)
    }

    /// After an error: lets the rest come to an end, so that the stream's end does not move while it is read next.
    async fn drain(&mut self, at_most: Duration) {
        let rest = self.pending.drain(..).map(|pending| pending.ack.into_future());
        let rest = join_all(rest);
        tokio::select! {
            _ = rest => {}
            _ = self.losses.changed() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }
}

/// A message as NATS takes it.
pub(super) struct Prepared {
    pub(super) subject: String,
    pub(super) publish: PublishMessage,
    /// The sequence that it has to be stored with.
    pub(super) sequence: u64,
    /// Its size.
    pub(super) bytes: usize,
}

/// Messages in their order, each with what must stand before it.
pub(super) fn all_prepared(
    expected_last_sequence: u64,
    messages: Vec<Message>,
) -> impl Iterator<Item = Result<Prepared, FanOutError>> {
    let mut last_id = None;
    (expected_last_sequence..)
        .zip(messages)
        .map(move |(expected, message)| {
            let subject = message.subject.clone();
            let id = message.headers.iter().find(|header| header.0 == MESSAGE_ID);
            let id = id.map(|header| header.1.clone());
            let (publish, bytes) = prepared(message, expected, std::mem::replace(&mut last_id, id))?;
            Ok(Prepared {
                subject,
                publish,
                sequence: expected + 1,
                bytes,
            })
        })
}

/// Whether an acknowledgement says that a message is stored where it was meant to be. One that the server knew already
/// is not.
pub(super) const fn as_meant(sequence: u64, duplicate: bool, meant: u64) -> Result<(), FanOutError> {
    if duplicate || sequence != meant {
        return Err(FanOutError::Moved);
    }
    Ok(())
}

/// The message as NATS takes it, and its size.
fn prepared(
    message: Message,
    expected_last_sequence: u64,
    expected_last_id: Option<String>,
) -> Result<(PublishMessage, usize), FanOutError> {
    let mut headers = HeaderMap::new();
    let mut bytes = message.payload.len();
    for (name, value) in message.headers {
        bytes += name.len() + value.len() + 4;
        let value: HeaderValue = value
            .parse()
            .map_err(|_| FanOutError::Refused(format!("header {name} can't be sent")))?;
        headers.append(name, value);
    }
    headers.insert(EXPECTED_LAST_SEQUENCE, expected_last_sequence.to_string());
    if let Some(id) = expected_last_id {
        headers.insert(EXPECTED_LAST_MESSAGE_ID, id);
    }
    let publish = PublishMessage::build().payload(message.payload).headers(headers);
    Ok((publish, bytes))
}

const fn kind(error: &FanOutError) -> &'static str {
    match error {
        FanOutError::Moved => "moved",
        FanOutError::Unavailable(_) => "unavailable",
        FanOutError::Refused(_) => "refused",
    }
}
