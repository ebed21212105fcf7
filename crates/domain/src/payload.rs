//! The JSON inside a body: the body itself, or the field `payload` of a form.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::percent_decode;

use crate::{BodyError, BodyStore, DeliveryReceived, EventData, RecordedEvent};

/// Why the payload of an event can't be had.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The body can't be read.
    #[error("the body can't be read")]
    Body(#[from] BodyError),
    /// The metadata can't be read.
    #[error("the metadata can't be read")]
    Metadata(#[from] serde_json::Error),
}

const READ_BYTES: usize = 1024 * 1024;

/// Whether a content type names a URL-encoded form.
#[must_use]
pub fn is_form(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The decoded `payload` field of a form body, if it has one.
#[must_use]
pub fn decode_form_payload(form: &[u8]) -> Option<Vec<u8>> {
    let raw = form
        .split(|b| *b == b'&')
        .find_map(|pair| pair.strip_prefix(b"payload="))?;
    let spaced: Cow<'_, [u8]> = if raw.contains(&b'+') {
        Cow::Owned(raw.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect())
    } else {
        Cow::Borrowed(raw)
    };
    Some(percent_decode(&spaced).collect())
}

/// The body of an event in memory, from the body store where it is there.
///
/// # Errors
/// When the body store can't give it.
pub async fn body_bytes(event: &RecordedEvent, store: &dyn BodyStore) -> Result<Bytes, BodyError> {
    let body = match &event.data {
        EventData::Inline(bytes) => return Ok(bytes.clone()),
        EventData::Stored(body) => body,
    };
    let mut whole = Vec::with_capacity(usize::try_from(body.bytes).unwrap_or(0));
    loop {
        let piece = store.read(body, whole.len() as u64, READ_BYTES).await?;
        if piece.is_empty() {
            return Ok(whole.into());
        }
        whole.extend_from_slice(&piece);
    }
}

/// The JSON payload of a delivery, decoded for forms; `None` for other events and for forms without one. Whether it
/// is valid JSON is for the reader to find out.
///
/// # Errors
/// When metadata or body can't be read.
pub async fn json_payload(
    event: &RecordedEvent,
    store: &dyn BodyStore,
) -> Result<Option<Bytes>, PayloadError> {
    let Some(received) = DeliveryReceived::of(event) else {
        return Ok(None);
    };
    let received = received?;
    Ok(payload_in(&received, body_bytes(event, store).await?))
}

/// The JSON payload in a body that is in memory, by the facts of its delivery; `None` for forms without one.
#[must_use]
pub fn payload_in(received: &DeliveryReceived, body: Bytes) -> Option<Bytes> {
    if received.header("content-type").is_some_and(is_form) {
        decode_form_payload(&body).map(Bytes::from)
    } else {
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_gives_its_payload_decoded() {
        assert_eq!(
            decode_form_payload(b"payload=%7B%22a%22%3A+1%7D").as_deref(),
            Some(&br#"{"a": 1}"#[..])
        );
        assert_eq!(
            decode_form_payload(b"x=1&payload=%C3%BC&y=2").as_deref(),
            Some("ü".as_bytes())
        );
        assert_eq!(decode_form_payload(b"x=1"), None);
        assert!(is_form("application/x-www-form-urlencoded; charset=utf-8"));
        assert!(!is_form("application/json"));
    }
}
