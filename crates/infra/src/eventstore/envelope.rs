//! How an event of the log looks as an event of the server: its data is the data, its metadata is an envelope of JSON around
//! the metadata, which is kept byte for byte.
//!
//! ```json
//! {"hooklog":1,"schema":1,"revision":0,"recordedAt":1763766000000000,"bytes":7,"metadata":{"n":1}}
//! ```

use bytes::{BufMut as _, Bytes, BytesMut};
use domain::{
    BodyRef, ContentHash, ContentKey, EventData, EventId, NewEvent, Position, RecordedEvent, Revision,
    SourceName, StreamName, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::names::Names;
use super::server_event::{NewServerEvent, ServerEvent};

/// The version of the envelope.
const VERSION: u8 = 1;
/// The type of an event that is none of the log: it keeps a delivery from being written that was announced long ago.
pub(super) const FENCE: &str = "hooklog.fence";

/// What stands before the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    hooklog: u8,
    schema: u16,
    /// The revision within the log's stream, which does not count fences.
    pub(super) revision: Revision,
    /// Microseconds since the epoch.
    recorded_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) duplicate_of: Option<StreamName>,
    /// Where the data is, unless here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<BodyRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Content>,
    /// Length of the metadata.
    bytes: usize,
}

/// By what a delivery is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content {
    pub(super) tenant: TenantId,
    pub(super) source: SourceName,
    pub(super) sha256: ContentHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sender_id: Option<String>,
    /// Microseconds since the epoch.
    received_at: i64,
}

impl Content {
    pub(super) fn of(key: &ContentKey) -> Self {
        Self {
            tenant: key.tenant.clone(),
            source: key.source.clone(),
            sha256: key.body_sha256,
            sender_id: key.sender_id.clone(),
            received_at: key.received_at.as_micros(),
        }
    }

    pub(super) const fn received_at(&self) -> Timestamp {
        Timestamp::from_micros(self.received_at)
    }
}

/// What the adapter adds to an event.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) revision: Revision,
    pub(super) recorded_at: Timestamp,
    pub(super) duplicate_of: Option<StreamName>,
    pub(super) content: Option<Content>,
}

/// The event as the server gets it.
pub(super) fn encode(event: &NewEvent, stamp: Stamp) -> Result<NewServerEvent, serde_json::Error> {
    let (data, body) = match &event.data {
        EventData::Inline(bytes) => (bytes.clone(), None),
        EventData::Stored(body) => (Bytes::new(), Some(*body)),
    };
    let header = serde_json::to_vec(&Header {
        hooklog: VERSION,
        schema: event.schema,
        revision: stamp.revision,
        recorded_at: stamp.recorded_at.as_micros(),
        duplicate_of: stamp.duplicate_of,
        body,
        content: stamp.content,
        bytes: event.metadata.len(),
    })?;
    let mut envelope = BytesMut::with_capacity(header.len() + MIDDLE.len() + event.metadata.len() + 1);
    envelope.put_slice(header.get(..header.len().saturating_sub(1)).unwrap_or_default());
    envelope.put_slice(MIDDLE);
    envelope.put_slice(&event.metadata);
    envelope.put_slice(b"}");
    let encoded = NewServerEvent::binary(event.id.as_uuid(), event.event_type.as_str(), data);
    Ok(encoded.with_metadata(envelope.freeze()))
}

/// Between the header and the metadata. A text within the header can't hold it: its quotation marks are escaped there.
const MIDDLE: &[u8] = b",\"metadata\":";

/// What an event of the server is.
#[derive(Debug)]
pub(super) enum Read {
    /// An event of the log.
    Event(Box<(RecordedEvent, Header)>),
    /// A fence, which nobody sees.
    Fence,
}

/// An event that is not as the adapter writes them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event at position {position} of the stream {stream} was not written by this program: {why}")]
pub(super) struct Foreign {
    position: u64,
    stream: String,
    why: &'static str,
}

/// The event of the log that an event of the server is.
pub(super) fn decode(event: ServerEvent, names: &Names) -> Result<Read, Foreign> {
    if event.event_type == FENCE {
        return Ok(Read::Fence);
    }
    let name = event.stream;
    let position = event.position;
    let foreign = |why| Foreign {
        position,
        stream: name.clone(),
        why,
    };
    let stream = names.parse(&name).ok_or_else(|| foreign("its stream's name"))?;
    let (header, metadata) = open(&event.custom_metadata).ok_or_else(|| foreign("its metadata"))?;
    if header.hooklog != VERSION {
        return Err(foreign("a newer version of its envelope"));
    }
    let event_type = event.event_type.parse().map_err(|_| foreign("its type"))?;
    let recorded = RecordedEvent {
        position: Position::new(position),
        stream,
        revision: header.revision,
        id: EventId::new(event.id),
        event_type,
        schema: header.schema,
        recorded_at: Timestamp::from_micros(header.recorded_at),
        duplicate_of: header.duplicate_of.clone(),
        metadata,
        data: header
            .body
            .map_or(EventData::Inline(event.data), EventData::Stored),
    };
    Ok(Read::Event(Box::new((recorded, header))))
}

/// Header and metadata of an envelope.
fn open(envelope: &Bytes) -> Option<(Header, Bytes)> {
    let at = memchr_of(envelope, MIDDLE)?;
    let mut text = envelope.get(..at)?.to_vec();
    text.push(b'}');
    let header: Header = serde_json::from_slice(&text).ok()?;
    let from = at + MIDDLE.len();
    let end = from.checked_add(header.bytes)?;
    // Exactly the closing brace is left.
    (envelope.get(end..)? == b"}").then(|| (header, envelope.slice(from..end)))
}

fn memchr_of(bytes: &[u8], middle: &[u8]) -> Option<usize> {
    bytes.windows(middle.len()).position(|window| window == middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_kept_byte_for_byte_even_if_it_is_no_json() {
        for metadata in [
            &b"{\"n\":1}"[..],
            b" {\"a\" : 1}\n",
            b"",
            b"\xff,\"metadata\":}",
            b"\",\"metadata\":",
        ] {
            let header = Header {
                hooklog: VERSION,
                schema: 3,
                revision: Revision::new(7),
                recorded_at: 5,
                duplicate_of: Some("delivery-default.a\",\"metadata\":".parse().unwrap()),
                body: None,
                content: None,
                bytes: metadata.len(),
            };
            let mut text = serde_json::to_vec(&header).unwrap();
            text.pop();
            let envelope = Bytes::from([&text, MIDDLE, metadata, b"}"].concat());
            assert_eq!(open(&envelope), Some((header, Bytes::copy_from_slice(metadata))));
            assert_eq!(open(&envelope.slice(..envelope.len() - 1)), None);
        }
    }
}
