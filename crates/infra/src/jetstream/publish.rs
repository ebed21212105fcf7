//! Publishing in order, many messages under way at once, and still without a hole.
//!
//! Each message says after which sequence it must be stored, and all but the first also after which message. So when
//! one is lost or rejected, the server rejects all that follow, and a second publisher with an older view of the
//! stream's end is rejected too: by the sequence alone, its window would in the end meet the stream's real end and go
//! on from there.
//!
//! So a message that is stored where it was meant to be says the same of all before it, and only some are asked about: an
//! answer to each would be one more message for each, to make, to carry and to wait for.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_MESSAGE_ID, NATS_EXPECTED_LAST_SEQUENCE};
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::{HeaderMap, HeaderName};
use async_trait::async_trait;
use domain::{FanOutError, Message, Publishing};
use futures_util::future::FutureExt as _;
use tokio::sync::watch;

use super::JetStream;
use super::error::{publish_failed, send_failed};

const MESSAGE_ID: &str = "Nats-Msg-Id";
/// How many messages of a full window are asked about: enough that room is made in small steps.
const ASKED_PER_WINDOW: usize = 16;

/// An acknowledgement that is waited for.
type Ack = <PublishAckFuture as IntoFuture>::IntoFuture;

/// Messages published and not yet acknowledged, oldest first, and what the next one has to follow.
pub(super) struct Window {
    jetstream: JetStream,
    chain: Chain,
    asking: Asking,
    /// The messages that were asked about.
    pending: VecDeque<Pending>,
    /// The last sequence sent.
    sent: u64,
    /// Sent and not known to be stored.
    bytes: usize,
    /// The last sequence acknowledged.
    stored: u64,
    /// The last one that was counted.
    counted: u64,
    losses: watch::Receiver<u64>,
    /// What went wrong. The messages behind it are not to be sent: they would be turned away, or leave a hole.
    broken: Option<FanOutError>,
}

/// A message that was asked about, with those before it that were not.
struct Pending {
    ack: Ack,
    sequence: u64,
    /// Of all of them.
    bytes: usize,
}

impl Window {
    pub(super) fn after(sequence: u64, jetstream: JetStream) -> Self {
        let options = &jetstream.options;
        Self {
            chain: Chain::after(sequence),
            asking: Asking::within(options.window_messages_max, options.window_bytes_max),
            pending: VecDeque::new(),
            sent: sequence,
            bytes: 0,
            stored: sequence,
            counted: sequence,
            losses: jetstream.losses.clone(),
            broken: None,
            jetstream,
        }
    }

    async fn fill(&mut self, messages: Vec<Message>) -> Result<(), FanOutError> {
        if self.pending.is_empty() {
            // No answer was lost with a connection on which none was waited for.
            self.losses.mark_unchanged();
        }
        self.jetstream.connected()?;
        self.settle_answered()?;
        let mut messages = messages.into_iter();
        let mut next = messages.next().map(|message| self.prepare(message)).transpose()?;
        while let Some(prepared) = next {
            // One ahead, so that the last one that is sent is asked about, whatever keeps those behind it from being sent.
            let following = messages.next().map(|message| self.prepare(message));
            let is_last = !matches!(following, Some(Ok(_)));
            while self.is_full(prepared.bytes) {
                self.settle_oldest().await?;
                self.settle_answered()?;
            }
            self.put(prepared, is_last).await?;
            next = following.transpose()?;
        }
        Ok(())
    }

    fn prepare(&mut self, message: Message) -> Result<Prepared, FanOutError> {
        let prepared = self.chain.next(message)?;
        let bytes_max = self.jetstream.client.max_payload();
        if prepared.bytes > bytes_max {
            let text = format!("a message of {} bytes, of at most {bytes_max}", prepared.bytes);
            return Err(FanOutError::Refused(text));
        }
        Ok(prepared)
    }

    async fn put(&mut self, prepared: Prepared, is_last: bool) -> Result<(), FanOutError> {
        let Prepared {
            subject,
            publish,
            sequence,
            bytes,
        } = prepared;
        if let Some(bytes) = self.asking.about(bytes, is_last) {
            let sent = self.jetstream.context.send_publish(subject, publish).await;
            let ack = sent.map_err(|error| publish_failed(&error))?.into_future();
            self.pending.push_back(Pending { ack, sequence, bytes });
        } else {
            let message = publish.outbound_message(subject);
            let headers = message.headers.unwrap_or_default();
            let client = &self.jetstream.client;
            let sending = client.publish_with_headers(message.subject, headers, message.payload);
            let at_most = Duration::from_millis(self.jetstream.options.ack_timeout_ms);
            let sent = tokio::time::timeout(at_most, sending).await;
            let late = |_| FanOutError::Unavailable("publish: nothing can be sent".into());
            sent.map_err(late)?.map_err(|error| send_failed(&error))?;
        }
        self.bytes += bytes;
        self.sent = sequence;
        Ok(())
    }

    /// Whether something has to be answered first. What nobody asked about yet is a small part of a window.
    fn is_full(&self, more_bytes: usize) -> bool {
        let options = &self.jetstream.options;
        let bytes = self.bytes.saturating_add(more_bytes);
        let messages = self.sent - self.stored;
        !self.pending.is_empty()
            && (messages >= options.window_messages_max as u64 || bytes > options.window_bytes_max)
    }

    /// Waits for the oldest acknowledgement.
    async fn settle_oldest(&mut self) -> Result<(), FanOutError> {
        let Some(oldest) = self.pending.front_mut() else {
            return Ok(());
        };
        let answer = tokio::select! {
            biased;
            answer = &mut oldest.ack => answer,
            _ = self.losses.changed() => {
                return Err(FanOutError::Unavailable("publish: connection lost".into()));
            }
        };
        self.take(answer)
    }

    /// Takes the acknowledgements that are there already.
    fn settle_answered(&mut self) -> Result<(), FanOutError> {
        while let Some(oldest) = self.pending.front_mut()
            && let Some(answer) = (&mut oldest.ack).now_or_never()
        {
            self.take(answer)?;
        }
        Ok(())
    }

    /// Takes the answer to the oldest message asked about, which must be stored with exactly the sequence it was meant for.
    fn take(&mut self, answer: Result<PublishAck, PublishError>) -> Result<(), FanOutError> {
        let Some(oldest) = self.pending.pop_front() else {
            return Ok(());
        };
        self.bytes -= oldest.bytes;
        let ack = answer.map_err(|error| publish_failed(&error))?;
        as_meant(ack.sequence, ack.duplicate, oldest.sequence)?;
        self.stored = oldest.sequence;
        Ok(())
    }

    /// What is known now. After an error it lets the rest come to an end, so that the stream's end does not move while it
    /// is read next; whoever gave up waiting for that goes on with it.
    async fn known(&mut self, done: Result<(), FanOutError>) -> Result<u64, FanOutError> {
        metrics::counter!("hooklog_jetstream_published_total").increment(self.stored - self.counted);
        self.counted = self.stored;
        if let (None, Err(error)) = (&self.broken, &done) {
            metrics::counter!("hooklog_jetstream_publish_errors_total", "kind" => kind(error)).increment(1);
            self.broken = Some(error.clone());
        }
        let Some(error) = self.broken.clone() else {
            return Ok(self.stored);
        };
        let at_most = Duration::from_millis(self.jetstream.options.ack_timeout_ms);
        let (pending, losses) = (&mut self.pending, &mut self.losses);
        let rest = async {
            // One that was answered leaves at once: it must not be asked again by whoever waits next.
            while let Some(oldest) = pending.front_mut() {
                let _answer = (&mut oldest.ack).await;
                pending.pop_front();
            }
        };
        tokio::select! {
            () = rest => {}
            _ = losses.changed() => {}
            () = tokio::time::sleep(at_most) => {}
        }
        self.pending.clear();
        Err(error)
    }
}

#[async_trait]
impl Publishing for Window {
    async fn send(&mut self, messages: Vec<Message>) -> Result<u64, FanOutError> {
        let done = match self.broken {
            None => self.fill(messages).await,
            Some(_) => Ok(()),
        };
        self.known(done).await
    }

    async fn settle(&mut self) -> Result<u64, FanOutError> {
        let mut done = Ok(());
        if self.broken.is_none() {
            if self.pending.is_empty() {
                std::future::pending::<()>().await;
            }
            done = self.settle_oldest().await;
            done = done.and_then(|()| self.settle_answered());
        }
        self.known(done).await
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

/// What the next message has to follow. It goes on from page to page: the server turns everything away behind a message
/// that it did not store, however much of it was sent before that was known.
pub(super) struct Chain {
    last_sequence: u64,
    /// `None` before the first message.
    last_id: Option<String>,
}

impl Chain {
    pub(super) const fn after(sequence: u64) -> Self {
        Self {
            last_sequence: sequence,
            last_id: None,
        }
    }

    /// A message with what must stand before it; the one after it must follow this one.
    pub(super) fn next(&mut self, message: Message) -> Result<Prepared, FanOutError> {
        let subject = message.subject.clone();
        let id = message.headers.iter().find(|header| header.0 == MESSAGE_ID);
        let id = id.map(|header| header.1.clone());
        let expected = self.last_sequence;
        let (publish, bytes) = prepared(message, expected, std::mem::replace(&mut self.last_id, id))?;
        self.last_sequence += 1;
        Ok(Prepared {
            subject,
            publish,
            sequence: self.last_sequence,
            bytes,
        })
    }
}

/// Which messages are asked about: the first of a publisher, whose error is the true one and not that something before it
/// is missing; the last of those that are sent together; and every so many between them.
pub(super) struct Asking {
    messages_max: usize,
    bytes_max: usize,
    /// Not asked about, since the last that was; `None` before the first message.
    unasked: Option<(usize, usize)>,
}

impl Asking {
    /// Often enough for a window of that size.
    pub(super) const fn within(window_messages: usize, window_bytes: usize) -> Self {
        Self {
            messages_max: window_messages / ASKED_PER_WINDOW,
            bytes_max: window_bytes / ASKED_PER_WINDOW,
            unasked: None,
        }
    }

    /// Whether to ask about the next message: the bytes that its acknowledgement is for then.
    pub(super) const fn about(&mut self, bytes: usize, is_last: bool) -> Option<usize> {
        let (messages, bytes, is_first) = match self.unasked {
            Some((messages, before)) => (messages + 1, before + bytes, false),
            None => (1, bytes, true),
        };
        if is_first || is_last || messages >= self.messages_max || bytes > self.bytes_max {
            self.unasked = Some((0, 0));
            return Some(bytes);
        }
        self.unasked = Some((messages, bytes));
        None
    }
}

/// Whether an acknowledgement says that a message is stored where it was meant to be. One that the server knew already
/// is not.
pub(super) const fn as_meant(sequence: u64, duplicate: bool, meant: u64) -> Result<(), FanOutError> {
    if duplicate || sequence != meant {
        return Err(FanOutError::Moved);
    }
    Ok(())
}

/// The message as NATS takes it, and its size on the wire.
fn prepared(
    message: Message,
    expected_last_sequence: u64,
    expected_last_id: Option<String>,
) -> Result<(PublishMessage, usize), FanOutError> {
    let mut headers = HeaderMap::new();
    let mut bytes = message.payload.len() + "NATS/1.0\r\n\r\n".len();
    let mut put = |name: HeaderName, value: String| {
        let text: &str = name.as_ref();
        bytes += text.len() + value.len() + ": \r\n".len();
        headers.insert(name, value);
    };
    for (name, value) in message.headers {
        // The client would panic.
        if value.contains(['\r', '\n']) {
            return Err(FanOutError::Refused(format!("header {name} can't be sent")));
        }
        put(HeaderName::from_static(name), value);
    }
    put(NATS_EXPECTED_LAST_SEQUENCE, expected_last_sequence.to_string());
    if let Some(id) = expected_last_id {
        put(NATS_EXPECTED_LAST_MESSAGE_ID, id);
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

#[cfg(test)]
mod tests {
    use async_nats::jetstream::context::PublishErrorKind;

    use super::*;
    use crate::jetstream::tests::server::Server;

    #[tokio::test]
    async fn waiting_for_what_an_error_leaves_under_way_can_be_given_up_and_begun_again() {
        let server = Server::start();
        let mut window = Window::after(0, server.connect().await);
        let refused = || Box::pin(async { Err(PublishError::new(PublishErrorKind::Other)) });
        let acks: [Ack; 3] = [refused(), refused(), Box::pin(std::future::pending())];
        window
            .pending
            .extend((1..).zip(acks).map(|(sequence, ack)| Pending {
                ack,
                sequence,
                bytes: 0,
            }));
        let short = Duration::from_millis(20);
        // The first is the error, the second is answered while the third is waited for.
        assert!(tokio::time::timeout(short, window.settle()).await.is_err());
        assert!(
            tokio::time::timeout(short, window.send(Vec::new()))
                .await
                .is_err()
        );
        assert_eq!(window.pending.len(), 1);
        assert!(window.broken.is_some());
    }
}
