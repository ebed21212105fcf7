//! The envelope: an event on its way through the stream and back.
#![expect(clippy::expect_used, reason = "a finding is a panic")]

use bytes::Bytes;
use serde_json::Value;

use crate::{LiveEvent, Message, event_of, message_of, unreadable_message_of};

/// NATS closes the connection over 4 KiB.
const SUBJECT_BYTES_MAX: usize = 4096;
const BASE_URL: &str = "https://hooks.example.com";

/// A message of the stream: lines of `header: value`, an empty line, the payload. What can be read as an event is the same
/// event when it is published and read again, and never makes a subject or header that the stream can't carry.
///
/// # Panics
/// On a finding.
pub fn message(data: &[u8]) {
    let (head, payload) = split(data);
    let Ok(head) = std::str::from_utf8(head) else {
        return;
    };
    let headers: Vec<(&str, &str)> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let value = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    let Ok(first) = event_of(value, Bytes::copy_from_slice(payload)) else {
        return;
    };
    let second = passed_on(&first);
    // Text beyond ASCII is spelled differently in the envelope, with the same meaning; from then on nothing changes.
    assert_eq!(read(&first.event.metadata), read(&second.event.metadata));
    let mut spelled = first;
    spelled.event.metadata.clone_from(&second.event.metadata);
    assert_eq!(spelled, second);
    assert_eq!(passed_on(&second), second);
}

/// The event after it went through the stream.
fn passed_on(live: &LiveEvent) -> LiveEvent {
    let message = message_of(&live.event, live.log_id, live.previous, BASE_URL)
        .or_else(|_| unreadable_message_of(&live.event, live.log_id, live.previous))
        .expect("what was read can be published");
    can_be_carried(&message);
    let value = |name: &str| {
        let mut named = message.headers.iter().filter(|(n, _)| *n == name);
        named.next().map(|(_, value)| value.as_str())
    };
    event_of(value, message.payload.clone()).expect("what was published can be read")
}

fn can_be_carried(message: &Message) {
    let subject = &message.subject;
    assert!(subject.len() < SUBJECT_BYTES_MAX, "{} bytes", subject.len());
    for part in subject.split('.') {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'%' | b'~');
        assert!(!part.is_empty() && part.bytes().all(plain), "{subject}");
    }
    for (name, value) in &message.headers {
        let printable = value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        assert!(printable && value.trim() == value, "{name}: {value:?}");
    }
}

/// Metadata as a value; none for what only a raw reader takes, such as half a surrogate pair or bottomless nesting.
fn read(metadata: &[u8]) -> Option<Value> {
    serde_json::from_slice(metadata).ok()
}

/// Head and rest, around the first empty line.
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let empty = data.windows(2).position(|pair| pair == b"\n\n");
    empty.map_or((data, &[]), |at| {
        let (head, rest) = data.split_at(at);
        (head, rest.get(2..).unwrap_or_default())
    })
}
