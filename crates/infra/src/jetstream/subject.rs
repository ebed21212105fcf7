//! Publishing to subjects that are not ours: the destinations of kind `subject`.
//!
//! What counts as published depends on who takes it. Where a stream takes the subject, its acknowledgement is waited for.
//! Where none does, core NATS keeps nothing: the server has to have it and somebody has to listen, else it is tried again
//! later. Either way an answer that does not come may hide a message that arrived, so that it may arrive twice.
//!
//! Never here: a message into our own stream, whose only publisher is the relay.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::jetstream::context::GetStreamByNameErrorKind;
use async_nats::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use async_trait::async_trait;
use bytes::Bytes;
use domain::{FanOutError, PublishError, PublishToSubject};
use futures_util::StreamExt;
use tokio::time::Instant;

use super::JetStream;
use super::error::publish_failed;

/// How long it is remembered which stream takes a subject.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// The most subjects of which it is remembered.
const KNOWN_MAX: usize = 1000;
/// The first word of the subjects of our own stream, there or not: a wiped stream comes back and takes them again.
const OURS: &str = "hooklog";
/// Headers that tell the server what to do begin with it.
const SERVER_HEADERS: &str = "nats-";
/// The only one of them that a destination may set: the id by which a stream recognises a repeat.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// Publishes to the subjects of others, over the connection of a [`JetStream`].
pub struct Subjects {
    jetstream: JetStream,
    known: Mutex<HashMap<String, Known>>,
}

/// The stream that takes a subject, if any does.
#[derive(Clone)]
struct Known {
    stream: Option<String>,
    until: Instant,
}

impl Subjects {
    /// Publishes over that connection, within its time-outs.
    #[must_use]
    pub fn new(jetstream: JetStream) -> Self {
        Self {
            jetstream,
            known: Mutex::default(),
        }
    }

    async fn publish_within(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let Some(stream) = self.stream_of(subject).await? else {
            let timeout_ms = self.jetstream.options.request_timeout_ms;
            let heard = self.publish_to_listeners(subject, headers, payload);
            return tokio::time::timeout(Duration::from_millis(timeout_ms), heard)
                .await
                .unwrap_or_else(|_| Err(unavailable("no answer in time")));
        };
        if stream == self.jetstream.options.stream {
            let text = format!("subject {subject} belongs to our own stream {stream}");
            return Err(PublishError::Refused(text));
        }
        let published = self.publish_to_stream(subject, headers, payload).await;
        if published.is_err() {
            // Perhaps the stream is gone.
            self.known().remove(subject);
        }
        published
    }

    /// The stream keeps it when this returns; one that it knew by its id counts too.
    async fn publish_to_stream(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let context = &self.jetstream.context;
        let sent = context.publish_with_headers(subject.to_owned(), headers, payload);
        let ack = sent.await.map_err(|error| failed(publish_failed(&error)))?;
        ack.await
            .map(drop)
            .map_err(|error| failed(publish_failed(&error)))
    }

    /// The server has it when this returns, and somebody listens. The server handles what a connection sends in order, so
    /// the echo of a second message says that the first was handled; where nobody listens it says so before.
    async fn publish_to_listeners(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let client = &self.jetstream.client;
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        client
            .publish_with_reply_and_headers(subject.to_owned(), inbox.clone(), headers, payload)
            .await
            .map_err(|error| match error.kind() {
                PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::InvalidSubject => {
                    PublishError::Refused(error.to_string())
                }
                PublishErrorKind::Send => unavailable(error),
            })?;
        client.publish(inbox, Bytes::new()).await.map_err(unavailable)?;
        match answers.next().await {
            Some(answer) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                Err(unavailable(format!("nobody listens on {subject}")))
            }
            // The echo, or a listener that answers.
            Some(_) => Ok(()),
            None => Err(unavailable("connection lost")),
        }
    }

    async fn stream_of(&self, subject: &str) -> Result<Option<String>, PublishError> {
        let now = Instant::now();
        let known = self.known().get(subject).cloned();
        if let Some(known) = known.filter(|known| known.until > now) {
            return Ok(known.stream);
        }
        let stream = match self.jetstream.context.stream_by_subject(subject).await {
            Ok(stream) => Some(stream),
            Err(error) => match error.kind() {
                GetStreamByNameErrorKind::NotFound => None,
                GetStreamByNameErrorKind::InvalidSubject => return Err(no_subject(subject)),
                GetStreamByNameErrorKind::Request | GetStreamByNameErrorKind::JetStream(_) => {
                    return Err(unavailable(error));
                }
            },
        };
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let entry = Known {
            stream: stream.clone(),
            until: now + KNOWN_FOR,
        };
        known.insert(subject.to_owned(), entry);
        Ok(stream)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PublishToSubject for Subjects {
    async fn publish(
        &self,
        subject: &str,
        headers: Vec<(String, String)>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        check_subject(subject)?;
        let headers = headers_of(headers)?;
        let published = async { Ok(self.publish_within(subject, headers, payload).await) };
        self.jetstream.while_connected(published).await.map_err(failed)?
    }
}

/// Refuses what is no subject, and what the server keeps for itself.
fn check_subject(subject: &str) -> Result<(), PublishError> {
    let word = |word: &str| {
        !word.is_empty()
            && word != "*"
            && word != ">"
            && !word.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    if subject.starts_with('$') || !subject.split('.').all(word) {
        return Err(no_subject(subject));
    }
    if subject.split('.').next() == Some(OURS) {
        let text = format!("subject {subject} is under {OURS}., where our own stream is");
        return Err(PublishError::Refused(text));
    }
    Ok(())
}

fn no_subject(subject: &str) -> PublishError {
    PublishError::Refused(format!("{subject:?} is no subject to publish to"))
}

/// The headers as NATS takes them. Those that would tell the server what to do are left out: a sender may have made them.
fn headers_of(headers: Vec<(String, String)>) -> Result<HeaderMap, PublishError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let ours = name == MESSAGE_ID;
        if !ours && name.to_ascii_lowercase().starts_with(SERVER_HEADERS) {
            continue;
        }
        let refused = || PublishError::Refused(format!("header {name:?} can't be sent"));
        if name.is_empty() {
            return Err(refused());
        }
        let value: HeaderValue = value.parse().map_err(|_| refused())?;
        map.append(name.parse::<HeaderName>().map_err(|_| refused())?, value);
    }
    Ok(map)
}

fn unavailable(error: impl ToString) -> PublishError {
    PublishError::Unavailable(error.to_string())
}

fn failed(error: FanOutError) -> PublishError {
    match error {
        FanOutError::Refused(text) => PublishError::Refused(text),
        FanOutError::Unavailable(text) => PublishError::Unavailable(text),
        FanOutError::Moved => unavailable("another publisher was faster"),
    }
}
