//! One event as bytes.

use std::str::FromStr;

use bytes::Bytes;
use domain::{
    BodyRef, ContentHash, ContentKey, EventData, EventId, EventType, Position, RecordedEvent, Revision,
    StreamName, Timestamp,
};
use uuid::Uuid;

use super::fields::{Fields, patch};

const DUPLICATE: u16 = 1;
const CONTENT: u16 = 2;
const STORED: u16 = 4;
const KEY_ONLY: u16 = 8;
const KNOWN: u16 = DUPLICATE | CONTENT | STORED | KEY_ONLY;

/// Stands between fields of free content, so that no run of zeroes grows across them.
const FENCE: u8 = 0xA5;
const HAS_SENDER_ID: u8 = 2;
const NO_SENDER_ID: u8 = 1;

/// Length of the fields before the stream name.
pub(crate) const RECORD_FIXED_BYTES: usize = 64;
/// Length of the content facts before the tenant.
const CONTENT_FIXED_BYTES: usize = 43;
const STORED_BYTES: usize = 40;

/// An event about to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordDraft<'a> {
    pub(crate) position: Position,
    pub(crate) revision: Revision,
    pub(crate) recorded_at: Timestamp,
    pub(crate) stream: &'a StreamName,
    pub(crate) duplicate_of: Option<&'a StreamName>,
    pub(crate) content: Option<&'a ContentKey>,
    pub(crate) event: &'a domain::NewEvent,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lengths were checked when the append was accepted"
)]
const fn len16(len: usize) -> [u8; 2] {
    (len as u16).to_le_bytes()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lengths were checked when the append was accepted"
)]
const fn len32(len: usize) -> [u8; 4] {
    (len as u32).to_le_bytes()
}

impl RecordDraft<'_> {
    /// Appends the event to a buffer: the only copy of its bytes on the way to the disk.
    pub(crate) fn encode_into(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        let (stream, kind) = (self.stream.as_str(), self.event.event_type.as_str());
        let duplicate_of = self.duplicate_of.map_or("", StreamName::as_str);
        let stored = match &self.event.data {
            EventData::Inline(_) => 0,
            EventData::Stored(_) => STORED,
        };
        let flags = stored
            | if self.duplicate_of.is_some() { DUPLICATE } else { 0 }
            | if self.content.is_some() { CONTENT } else { 0 };
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&flags.to_le_bytes());
        buffer.extend_from_slice(&self.event.schema.to_le_bytes());
        buffer.extend_from_slice(self.event.id.as_uuid().as_bytes());
        buffer.extend_from_slice(&self.position.get().to_le_bytes());
        buffer.extend_from_slice(&self.revision.get().to_le_bytes());
        buffer.extend_from_slice(&self.recorded_at.as_micros().to_le_bytes());
        buffer.extend_from_slice(&len16(stream.len()));
        buffer.extend_from_slice(&len16(duplicate_of.len()));
        buffer.extend_from_slice(&len16(self.content.map_or(0, content_bytes)));
        buffer.extend_from_slice(&[len16(kind.len())[0], 0]);
        buffer.extend_from_slice(&len32(self.event.metadata.len()));
        buffer.extend_from_slice(&len32(data_bytes(&self.event.data)));
        for text in [stream, duplicate_of, kind] {
            buffer.extend_from_slice(text.as_bytes());
        }
        if let Some(content) = self.content {
            encode_content(buffer, content);
        }
        buffer.push(FENCE);
        buffer.extend_from_slice(&self.event.metadata);
        buffer.push(FENCE);
        encode_data(buffer, &self.event.data);
        buffer.push(FENCE);
        let len = buffer.len() - start;
        patch(buffer, start, &len32(len));
    }
}

/// Length of the encoded content facts.
pub(crate) fn content_bytes(content: &ContentKey) -> usize {
    CONTENT_FIXED_BYTES
        + content.tenant.as_str().len()
        + content.source.as_str().len()
        + content.sender_id.as_ref().map_or(0, String::len)
}

/// Length of the encoded data.
pub(crate) fn data_bytes(data: &EventData) -> usize {
    match data {
        EventData::Inline(bytes) => bytes.len(),
        EventData::Stored(_) => STORED_BYTES,
    }
}

fn encode_content(buffer: &mut Vec<u8>, content: &ContentKey) {
    let (tenant, source) = (content.tenant.as_str(), content.source.as_str());
    buffer.extend_from_slice(&content.received_at.as_micros().to_le_bytes());
    buffer.extend_from_slice(content.body_sha256.as_bytes());
    buffer.extend_from_slice(&[len16(tenant.len())[0], len16(source.len())[0]]);
    buffer.push(if content.sender_id.is_some() {
        HAS_SENDER_ID
    } else {
        NO_SENDER_ID
    });
    for text in [tenant, source, content.sender_id.as_deref().unwrap_or_default()] {
        buffer.extend_from_slice(text.as_bytes());
    }
}

fn encode_data(buffer: &mut Vec<u8>, data: &EventData) {
    match data {
        EventData::Inline(bytes) => buffer.extend_from_slice(bytes),
        EventData::Stored(body) => {
            buffer.extend_from_slice(&body.bytes.to_le_bytes());
            buffer.extend_from_slice(body.sha256.as_bytes());
        }
    }
}

/// Content facts read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentView<'a> {
    pub(crate) received_at: Timestamp,
    pub(crate) body_sha256: ContentHash,
    pub(crate) tenant: &'a str,
    pub(crate) source: &'a str,
    pub(crate) sender_id: Option<&'a str>,
}

/// An event read back, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordView<'a> {
    flags: u16,
    pub(crate) schema: u16,
    pub(crate) id: EventId,
    pub(crate) position: u64,
    pub(crate) revision: u64,
    pub(crate) recorded_at: Timestamp,
    pub(crate) stream: &'a str,
    pub(crate) duplicate_of: Option<&'a str>,
    pub(crate) event_type: &'a str,
    pub(crate) content: Option<ContentView<'a>>,
    raw_content: &'a [u8],
    pub(crate) metadata: &'a [u8],
    data: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Reads the event at the front of `bytes` and what follows it; `None` when it is none.
    pub(crate) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let len = usize::try_from(Fields::new(bytes).u32()?).ok()?;
        let (record, rest) = bytes.split_at_checked(len)?;
        Some((Self::decode(record)?, rest))
    }

    fn decode(record: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(record);
        let _len = fields.u32()?;
        let flags = fields.u16()?;
        let schema = fields.u16()?;
        let id = EventId::new(Uuid::from_bytes(fields.array()?));
        let (position, revision) = (fields.u64()?, fields.u64()?);
        let recorded_at = Timestamp::from_micros(fields.i64()?);
        let lens = [fields.u16()?, fields.u16()?, fields.u16()?].map(usize::from);
        let [stream_len, duplicate_len, content_len] = lens;
        let [type_len, reserved] = fields.array::<2>()?;
        let metadata_len = usize::try_from(fields.u32()?).ok()?;
        let data_len = usize::try_from(fields.u32()?).ok()?;
        let stream = text(fields.take(stream_len)?)?;
        let duplicate_of = text(fields.take(duplicate_len)?)?;
        let event_type = text(fields.take(usize::from(type_len))?)?;
        let raw_content = fields.take(content_len)?;
        let metadata = fenced(&mut fields, metadata_len)?;
        let data = fenced(&mut fields, data_len)?;
        let end = fields.u8()?;
        let has = |flag: u16| flags & flag != 0;
        let consistent = flags & !KNOWN == 0
            && reserved == 0
            && end == FENCE
            && fields.rest().is_empty()
            && has(DUPLICATE) == (duplicate_len > 0)
            && has(CONTENT) == (content_len > 0)
            && (!has(STORED) || has(KEY_ONLY) || data_len == STORED_BYTES);
        if !consistent {
            return None;
        }
        let content = if has(CONTENT) {
            Some(decode_content(raw_content)?)
        } else {
            None
        };
        Some(Self {
            flags,
            schema,
            id,
            position,
            revision,
            recorded_at,
            stream,
            duplicate_of: has(DUPLICATE).then_some(duplicate_of),
            event_type,
            content,
            raw_content,
            metadata,
            data,
        })
    }

    /// Whether it is the entry of a key file, without metadata and data.
    #[cfg(feature = "testing")]
    pub(crate) const fn is_key_only(&self) -> bool {
        self.flags & KEY_ONLY != 0
    }

    /// The event. Metadata and data stay slices of `owner`, the batch that this view was read from, unless `copy`.
    pub(crate) fn to_event(self, owner: &Bytes, copy: bool) -> Option<RecordedEvent> {
        let own = |part: &[u8]| {
            if copy {
                Bytes::copy_from_slice(part)
            } else {
                owner.slice_ref(part)
            }
        };
        Some(RecordedEvent {
            position: Position::new(self.position),
            stream: StreamName::from_str(self.stream).ok()?,
            revision: Revision::new(self.revision),
            id: self.id,
            event_type: EventType::from_str(self.event_type).ok()?,
            schema: self.schema,
            recorded_at: self.recorded_at,
            duplicate_of: self.duplicate_of.map(StreamName::from_str).transpose().ok()?,
            metadata: own(self.metadata),
            data: if self.flags & STORED == 0 {
                EventData::Inline(own(self.data))
            } else {
                EventData::Stored(decode_stored(self.data)?)
            },
        })
    }

    /// Appends the entry of this event in a key file.
    pub(crate) fn encode_key(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        let duplicate_of = self.duplicate_of.unwrap_or_default();
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&(self.flags | KEY_ONLY).to_le_bytes());
        buffer.extend_from_slice(&self.schema.to_le_bytes());
        buffer.extend_from_slice(self.id.as_uuid().as_bytes());
        buffer.extend_from_slice(&self.position.to_le_bytes());
        buffer.extend_from_slice(&self.revision.to_le_bytes());
        buffer.extend_from_slice(&self.recorded_at.as_micros().to_le_bytes());
        buffer.extend_from_slice(&len16(self.stream.len()));
        buffer.extend_from_slice(&len16(duplicate_of.len()));
        buffer.extend_from_slice(&len16(self.raw_content.len()));
        buffer.extend_from_slice(&[len16(self.event_type.len())[0], 0]);
        buffer.extend_from_slice(&[0; 8]);
        for text in [self.stream, duplicate_of, self.event_type] {
            buffer.extend_from_slice(text.as_bytes());
        }
        buffer.extend_from_slice(self.raw_content);
        buffer.extend_from_slice(&[FENCE; 3]);
        let len = buffer.len() - start;
        patch(buffer, start, &len32(len));
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn fenced<'a>(fields: &mut Fields<'a>, len: usize) -> Option<&'a [u8]> {
    (fields.u8()? == FENCE).then(|| fields.take(len)).flatten()
}

fn decode_content(bytes: &[u8]) -> Option<ContentView<'_>> {
    let mut fields = Fields::new(bytes);
    let received_at = Timestamp::from_micros(fields.i64()?);
    let body_sha256 = ContentHash::new(fields.array()?);
    let (tenant_len, source_len, sender) = (fields.u8()?, fields.u8()?, fields.u8()?);
    let tenant = text(fields.take(usize::from(tenant_len))?)?;
    let source = text(fields.take(usize::from(source_len))?)?;
    let sender_id = text(fields.rest())?;
    if sender != HAS_SENDER_ID && (sender != NO_SENDER_ID || !sender_id.is_empty()) {
        return None;
    }
    Some(ContentView {
        received_at,
        body_sha256,
        tenant,
        source,
        sender_id: (sender == HAS_SENDER_ID).then_some(sender_id),
    })
}

fn decode_stored(bytes: &[u8]) -> Option<BodyRef> {
    let mut fields = Fields::new(bytes);
    let bytes = fields.u64()?;
    Some(BodyRef {
        sha256: ContentHash::new(fields.array()?),
        bytes,
    })
}

/// Walks the events of a payload; ends early where one can't be read: ask [`Records::is_broken`].
#[derive(Debug)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    broken: bool,
}

impl<'a> Records<'a> {
    pub(crate) const fn of(payload: &'a [u8]) -> Self {
        Self {
            rest: payload,
            broken: false,
        }
    }

    /// Whether a record could not be read.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordView<'a>;

    fn next(&mut self) -> Option<RecordView<'a>> {
        if self.rest.is_empty() || self.broken {
            return None;
        }
        let Some((record, rest)) = RecordView::split(self.rest) else {
            self.broken = true;
            return None;
        };
        self.rest = rest;
        Some(record)
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
