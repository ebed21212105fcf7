//! How an event travels on the fan-out: its subject, its headers, and the way back to the event.

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    BodyRef, DeliveryReceived, EventData, EventId, EventType, LiveEvent, LogId, Position, RecordedEvent,
    Revision, StreamName, Timestamp, subject_part,
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
}

/// What `Hooklog-Event` carries: one line of ASCII JSON, enough to rebuild the event.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    log_id: LogId,
    stream: StreamName,
    revision: Revision,
    schema: u16,
    recorded_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    duplicate_of: Option<StreamName>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    body: Option<BodyRef>,
    metadata: Box<RawValue>,
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
    let metadata = serde_json::from_slice(&event.metadata)?;
    assemble(event, received.as_ref(), metadata, log_id, previous, base_url)
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
    let metadata = match serde_json::from_slice(&event.metadata) {
        Ok(json) => json,
        Err(_) => RawValue::from_string("{}".to_owned())?,
    };
    assemble(event, None, metadata, log_id, previous, "")
}

fn assemble(
    event: &RecordedEvent,
    received: Option<&DeliveryReceived>,
    metadata: Box<RawValue>,
    log_id: LogId,
    previous: Position,
    base_url: &str,
) -> Result<Message, MessageError> {
    let (payload, body) = match &event.data {
        EventData::Inline(bytes) => (bytes.clone(), None),
        EventData::Stored(body) => (Bytes::new(), Some(*body)),
    };
    let envelope = Envelope {
        log_id,
        stream: event.stream.clone(),
        revision: event.revision,
        schema: event.schema,
        recorded_at: event.recorded_at,
        duplicate_of: event.duplicate_of.clone(),
        body,
        metadata,
    };
    let mut headers = vec![
        ("Nats-Msg-Id", format!("{log_id}:{}", event.position)),
        ("Hooklog-Position", event.position.to_string()),
        ("Hooklog-Previous", previous.to_string()),
        ("Hooklog-Event", ascii_json(&serde_json::to_string(&envelope)?)),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", event.id.to_string()),
        ("ce-type", event.event_type.to_string()),
        ("ce-time", event.recorded_at.to_string()),
    ];
    match received {
        Some(received) => delivery_headers(received, body.map(|_| base_url), &mut headers),
        None => headers.push((
            "ce-source",
            format!("/{}/{}", event.stream.tenant(), event.stream.category()),
        )),
    }
    Ok(Message {
        position: event.position,
        subject: subject_of(event, received),
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
    if let Some(content_type) = received.header("content-type") {
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
    let event = RecordedEvent {
        position: parsed::<Position>(header("Hooklog-Position"), "Hooklog-Position")?,
        stream: envelope.stream,
        revision: envelope.revision,
        id: parsed::<EventId>(header("ce-id"), "ce-id")?,
        event_type: parsed::<EventType>(header("ce-type"), "ce-type")?,
        schema: envelope.schema,
        recorded_at: envelope.recorded_at,
        duplicate_of: envelope.duplicate_of,
        metadata: Bytes::from(Box::<str>::from(envelope.metadata).into_boxed_bytes().into_vec()),
        data: envelope
            .body
            .map_or(EventData::Inline(payload), EventData::Stored),
    };
    let previous = parsed::<Position>(header("Hooklog-Previous"), "Hooklog-Previous")?;
    Ok(LiveEvent {
        log_id: envelope.log_id,
        event,
        previous,
    })
}

/// JSON with everything beyond ASCII escaped. Such characters stand only inside strings, where an escape means the same.
fn ascii_json(json: &str) -> String {
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
mod tests {
    use super::*;
    use crate::testing::{TestDelivery, recorded};

    const BASE: &str = "http://127.0.0.1:3000";

    fn log_id() -> LogId {
        LogId::new(uuid::Uuid::from_u128(7))
    }

    fn read_back(message: &Message) -> LiveEvent {
        let find = |name: &str| message.headers.iter().find(|h| h.0 == name).map(|h| h.1.as_str());
        event_of(find, message.payload.clone()).unwrap()
    }

    #[test]
    fn an_event_survives_its_message() {
        let delivery = TestDelivery::new("push", "ümlaut ☃ 𝄞 \u{7f} and \"quotes\"");
        let event = recorded(9, &delivery);
        let message = message_of(&event, log_id(), Position::new(8), BASE).unwrap();
        for (name, value) in &message.headers {
            assert!(
                value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
                "{name}: {value}"
            );
        }
        let live = read_back(&message);
        assert_eq!((live.log_id, live.previous), (log_id(), Position::new(8)));
        assert_eq!(
            DeliveryReceived::of(&live.event).unwrap().unwrap(),
            DeliveryReceived::of(&event).unwrap().unwrap()
        );
        assert_eq!(
            live.event,
            RecordedEvent {
                metadata: live.event.metadata.clone(),
                ..event
            }
        );
    }

    #[test]
    fn metadata_over_several_lines_travels_on_one() {
        let mut event = recorded(3, &TestDelivery::new("push", "x"));
        let pretty: serde_json::Value = serde_json::from_slice(&event.metadata).unwrap();
        event.metadata = serde_json::to_vec_pretty(&pretty).unwrap().into();
        let message = message_of(&event, log_id(), Position::START, BASE).unwrap();
        assert!(message.headers.iter().all(|h| !h.1.contains(['\n', '\r', '\t'])));
        let live = read_back(&message);
        assert_eq!(
            DeliveryReceived::of(&live.event).unwrap().unwrap(),
            DeliveryReceived::of(&event).unwrap().unwrap()
        );
    }

    #[test]
    fn an_event_with_unreadable_metadata_still_has_a_message() {
        for (metadata, kept) in [("not json", "{}"), (r#"{"tenant":7}"#, r#"{"tenant":7}"#)] {
            let mut event = recorded(3, &TestDelivery::new("push", "x"));
            event.metadata = Bytes::from(metadata);
            assert!(message_of(&event, log_id(), Position::START, BASE).is_err());
            let message = unreadable_message_of(&event, log_id(), Position::new(2)).unwrap();
            assert_eq!(
                message.subject,
                "hooklog.log.v1.default.delivery.DeliveryReceived"
            );
            let live = read_back(&message);
            assert_eq!((live.previous, live.event.id), (Position::new(2), event.id));
            assert_eq!(live.event.metadata, kept);
        }
    }

    #[test]
    fn a_body_in_the_store_travels_as_a_reference() {
        let mut event = recorded(1, &TestDelivery::new("push", "x"));
        event.data = EventData::Stored(BodyRef {
            sha256: crate::ContentHash::of(b"x"),
            bytes: 300_000,
        });
        let message = message_of(&event, log_id(), Position::START, BASE).unwrap();
        assert!(message.payload.is_empty());
        let dataref = message.headers.iter().find(|h| h.0 == "ce-dataref").unwrap();
        assert!(
            dataref
                .1
                .starts_with("http://127.0.0.1:3000/api/webhooks/events/github."),
            "{dataref:?}"
        );
        assert_eq!(read_back(&message).event.data, event.data);
    }

    #[test]
    fn outside_text_in_headers_is_encoded_as_cloudevents_asks() {
        let mut delivery = TestDelivery::new("push", "x");
        delivery.repository = Some("a b/\"ü\u{7f}%".into());
        delivery.delivery_id = " 1\t".into();
        let message = message_of(&recorded(1, &delivery), log_id(), Position::START, BASE).unwrap();
        let value = |name: &str| &message.headers.iter().find(|h| h.0 == name).unwrap().1;
        assert_eq!(value("ce-subject"), "a%20b/%22%C3%BC%7F%25");
        assert_eq!(value("Hooklog-Delivery-Id"), "%201%09");
    }

    #[test]
    fn a_subject_is_escaped_and_lower_cased() {
        let mut delivery = TestDelivery::new("workflow_job", "x");
        delivery.repository = Some("Octo-Org/next.js".into());
        delivery.action = Some("queued".into());
        let event = recorded(1, &delivery);
        let received = DeliveryReceived::of(&event).unwrap().unwrap();
        assert_eq!(
            subject_of(&event, Some(&received)),
            "hooklog.v1.default.github.workflow_job.queued.octo-org.next%2Ejs"
        );
        delivery.repository = None;
        delivery.action = None;
        let event = recorded(1, &delivery);
        let received = DeliveryReceived::of(&event).unwrap().unwrap();
        assert_eq!(
            subject_of(&event, Some(&received)),
            "hooklog.v1.default.github.workflow_job._._._"
        );
        let other = RecordedEvent {
            event_type: "SecretAdded".parse().unwrap(),
            ..event
        };
        let other = RecordedEvent {
            stream: "source-default.github".parse().unwrap(),
            ..other
        };
        assert_eq!(
            subject_of(&other, None),
            "hooklog.log.v1.default.source.SecretAdded"
        );
    }
}
