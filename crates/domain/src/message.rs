//! How an event travels on the fan-out: its subject, its headers, and the way back to the event.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    BodyRef, DeliveryReceived, DeliveryReplayRequested, EventData, EventId, EventType, LiveEvent, LogId,
    Position, RecordedEvent, Revision, StreamName, Timestamp, subject_part,
};

/// What no header may hold as it is, beside everything beyond ASCII.
const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'"').add(b'%');
/// What no CloudEvents attribute may: a space neither.
const NOT_IN_ATTRIBUTES: &AsciiSet = &NOT_IN_HEADERS.add(b' ');

/// A message to publish: a CloudEvent 1.0 in NATS binary mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Position of the event it carries.
    pub position: Position,
    /// The subject.
    pub subject: String,
    /// Headers, printable ASCII only.
    pub headers: Vec<(&'static str, String)>,
    /// The body, empty when it travels as a reference.
    pub payload: Bytes,
}

/// A message that is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A header is missing or unreadable.
    #[error("header {0} is missing or unreadable")]
    Header(&'static str),
    /// `Hooklog-Event` can't be read.
    #[error("header Hooklog-Event can't be read")]
    Envelope(#[from] serde_json::Error),
    /// What is to be published again is no delivery.
    #[error("the event at position {0} is no delivery")]
    NoDelivery(Position),
}

/// What a message shows: mostly the event that it carries.
struct Shown<'a> {
    event: &'a RecordedEvent,
    received: Option<&'a DeliveryReceived>,
    base_url: &'a str,
}

/// What `Hooklog-Event` carries: one line of ASCII JSON, enough to rebuild the event.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    log_id: LogId,
    stream: Cow<'a, StreamName>,
    revision: Revision,
    schema: u16,
    recorded_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    duplicate_of: Option<Cow<'a, StreamName>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    body: Option<BodyRef>,
    /// The event's own type, where the message shows another event: the delivery that a replay asks for. Payload,
    /// `ce-type` and `ce-time` are then that one's, and the event itself has no data.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    event_type: Option<Cow<'a, EventType>>,
    metadata: Cow<'a, RawValue>,
}

/// The subject of an event. Deliveries: `hooklog.v1.<tenant>.<source>.<event>.<action>.<owner>.<repo>`, all others:
/// `hooklog.log.v1.<tenant>.<category>.<Type>`.
#[must_use]
pub fn subject_of(event: &RecordedEvent, received: Option<&DeliveryReceived>) -> String {
    let Some(received) = received else {
        let (tenant, category) = (event.stream.tenant(), event.stream.category());
        return format!(
            "hooklog.log.v1.{}.{}.{}",
            subject_part(Some(tenant)),
            subject_part(Some(category)),
            event.event_type
        );
    };
    let repository = received.repository.as_deref().map(str::to_lowercase);
    let (owner, name) = match repository.as_deref() {
        Some(full) => full
            .split_once('/')
            .map_or((None, Some(full)), |(owner, name)| (Some(owner), Some(name))),
        None => (None, None),
    };
    format!(
        "hooklog.v1.{}.{}.{}.{}.{}.{}",
        received.tenant,
        received.source,
        subject_part(Some(&received.event)),
        subject_part(received.action.as_deref()),
        subject_part(owner),
        subject_part(name),
    )
}

/// The message of an event. `previous` is the position of the event before it in the log, 0 for none; `base_url` is
/// where the API is reached, for bodies that travel by reference.
///
/// # Errors
/// When the event's metadata is not JSON.
pub fn message_of(
    event: &RecordedEvent,
    log_id: LogId,
    previous: Position,
    base_url: &str,
) -> Result<Message, MessageError> {
    let received = DeliveryReceived::of(event).transpose()?;
    let metadata = serde_json::from_slice::<&RawValue>(&event.metadata)?;
    let shown = Shown {
        event,
        received: received.as_ref(),
        base_url,
    };
    assemble(event, &shown, metadata, log_id, previous)
}

/// The message of a request to publish a delivery again: on the delivery's subject, with its body and headers, at the
/// request's own position and under its own id. Read back, it is the request, so that nobody takes it for a delivery.
///
/// # Errors
/// When the metadata of either event can't be read, or the original is no delivery.
pub fn replayed_message_of(
    request: &RecordedEvent,
    replay: &DeliveryReplayRequested,
    original: &RecordedEvent,
    log_id: LogId,
    previous: Position,
    base_url: &str,
) -> Result<Message, MessageError> {
    let received = DeliveryReceived::of(original).ok_or(MessageError::NoDelivery(original.position))??;
    let metadata = serde_json::from_slice::<&RawValue>(&request.metadata)?;
    let shown = Shown {
        event: original,
        received: Some(&received),
        base_url,
    };
    let mut message = assemble(request, &shown, metadata, log_id, previous)?;
    // Without a replay of its own, a request still is one.
    let id = replay
        .replay
        .map_or_else(|| request.id.to_string(), |replay| replay.to_string());
    message.headers.push(("Hooklog-Replay", id));
    message
        .headers
        .push(("Hooklog-Original-Position", original.position.to_string()));
    Ok(message)
}

/// The message of an event whose metadata can't be read, so that the stream keeps its order without a hole: on the
/// subject of the log's own events, with its data, and with empty metadata where the event's own is not JSON.
///
/// # Errors
/// None is known; the type is that of writing JSON.
pub fn unreadable_message_of(
    event: &RecordedEvent,
    log_id: LogId,
    previous: Position,
) -> Result<Message, MessageError> {
    let none = RawValue::from_string("{}".to_owned())?;
    let metadata = serde_json::from_slice::<&RawValue>(&event.metadata).unwrap_or(&none);
    let shown = Shown {
        event,
        received: None,
        base_url: "",
    };
    assemble(event, &shown, metadata, log_id, previous)
}

fn assemble(
    event: &RecordedEvent,
    shown: &Shown<'_>,
    metadata: &RawValue,
    log_id: LogId,
    previous: Position,
) -> Result<Message, MessageError> {
    let (payload, body) = match &shown.event.data {
        EventData::Inline(bytes) => (bytes.clone(), None),
        EventData::Stored(body) => (Bytes::new(), Some(*body)),
    };
    let shows_another = shown.event.position != event.position;
    let envelope = Envelope {
        log_id,
        stream: Cow::Borrowed(&event.stream),
        revision: event.revision,
        schema: event.schema,
        recorded_at: event.recorded_at,
        duplicate_of: event.duplicate_of.as_ref().map(Cow::Borrowed),
        body: body.filter(|_| !shows_another),
        event_type: shows_another.then_some(Cow::Borrowed(&event.event_type)),
        metadata: Cow::Borrowed(metadata),
    };
    let mut headers = vec![
        ("Nats-Msg-Id", format!("{log_id}:{}", event.position)),
        ("Hooklog-Position", event.position.to_string()),
        ("Hooklog-Previous", previous.to_string()),
        ("Hooklog-Event", ascii_json(serde_json::to_string(&envelope)?)),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", event.id.to_string()),
        ("ce-type", shown.event.event_type.to_string()),
        ("ce-time", shown.event.recorded_at.to_string()),
    ];
    match shown.received {
        Some(received) => delivery_headers(received, body.map(|_| shown.base_url), &mut headers),
        None => headers.push((
            "ce-source",
            format!("/{}/{}", event.stream.tenant(), event.stream.category()),
        )),
    }
    Ok(Message {
        position: event.position,
        subject: subject_of(shown.event, shown.received),
        headers,
        payload,
    })
}

fn delivery_headers(
    received: &DeliveryReceived,
    by_reference: Option<&str>,
    headers: &mut Vec<(&'static str, String)>,
) {
    headers.push(("ce-source", format!("/{}/{}", received.tenant, received.source)));
    if let Some(repository) = &received.repository {
        headers.push(("ce-subject", encoded(repository, NOT_IN_ATTRIBUTES)));
    }
    let content_type = received.header("content-type").map(str::trim);
    if let Some(content_type) = content_type.filter(|content_type| !content_type.is_empty()) {
        headers.push(("content-type", encoded(content_type, NOT_IN_HEADERS)));
    }
    if let Some(delivery_id) = &received.delivery_id {
        headers.push(("Hooklog-Delivery-Id", encoded(delivery_id, NOT_IN_ATTRIBUTES)));
    }
    if let Some(base_url) = by_reference {
        let base_url = base_url.trim_end_matches('/');
        headers.push((
            "ce-dataref",
            format!("{base_url}/api/webhooks/events/{}/body", received.key),
        ));
    }
}

/// Rebuilds an event from its message.
///
/// # Errors
/// When the message lacks a header of ours or one can't be read.
pub fn event_of<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    payload: Bytes,
) -> Result<LiveEvent, MessageError> {
    fn parsed<T: std::str::FromStr>(value: Option<&str>, name: &'static str) -> Result<T, MessageError> {
        value
            .and_then(|v| v.parse().ok())
            .ok_or(MessageError::Header(name))
    }
    let envelope: Envelope =
        serde_json::from_str(header("Hooklog-Event").ok_or(MessageError::Header("Hooklog-Event"))?)?;
    let (event_type, data) = match (envelope.event_type, envelope.body) {
        // The payload is that of the delivery that it asks for.
        (Some(own), _) => (own.into_owned(), EventData::Inline(Bytes::new())),
        (None, body) => (
            parsed::<EventType>(header("ce-type"), "ce-type")?,
            body.map_or(EventData::Inline(payload), EventData::Stored),
        ),
    };
    let event = RecordedEvent {
        position: parsed::<Position>(header("Hooklog-Position"), "Hooklog-Position")?,
        stream: envelope.stream.into_owned(),
        revision: envelope.revision,
        id: parsed::<EventId>(header("ce-id"), "ce-id")?,
        event_type,
        schema: envelope.schema,
        recorded_at: envelope.recorded_at,
        duplicate_of: envelope.duplicate_of.map(Cow::into_owned),
        metadata: String::from(Box::<str>::from(envelope.metadata.into_owned())).into(),
        data,
    };
    let previous = parsed::<Position>(header("Hooklog-Previous"), "Hooklog-Previous")?;
    Ok(LiveEvent {
        log_id: envelope.log_id,
        event,
        previous,
    })
}

/// JSON with everything beyond ASCII escaped. Such characters stand only inside strings, where an escape means the same.
fn ascii_json(json: String) -> String {
    // Nearly all metadata is plain already.
    if json.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return json;
    }
    let mut ascii = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        // DEL is ASCII, but no header text. Line breaks and tabs stand only between tokens, where a space means the same.
        if c.is_ascii_control() && c != '\u{7f}' {
            ascii.push(' ');
        } else if c.is_ascii() && c != '\u{7f}' {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

fn encoded(text: &str, set: &'static AsciiSet) -> String {
    utf8_percent_encode(text, set).to_string()
}

#[cfg(test)]
mod tests;
