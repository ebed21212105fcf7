//! The decoders of everything that is on disk.
#![expect(clippy::expect_used, reason = "a finding is a panic")]

use bytes::Bytes;
use domain::{ContentKey, LogId, NewEvent, Position, RecordedEvent, Revision};
use uuid::Uuid;

use crate::log::format::{
    BATCH_HEADER_BYTES, BatchHeader, KeyFileHeader, RecordDraft, RecordView, Records, Salt, SegmentHeader,
    TableRow, parse_format_text, seal_batch,
};

/// Any bytes: as headers, and as the payload of a batch whose checksums are right. What can be read as an event is written
/// again as the very same bytes, and its entry in a key file says the same of it.
///
/// # Panics
/// On a finding.
pub fn format(data: &[u8]) {
    let salt = Salt::new([7; 16]);
    headers(data, &salt);
    let payload = sealed(data, &salt);
    let mut records = Records::of(&payload);
    for record in &mut records {
        if let Some(event) = record.to_event(&payload, false) {
            assert_eq!(record.to_event(&payload, true).as_ref(), Some(&event));
            written_again(&record, event);
        }
        entered_again(&record);
    }
    let broken = records.is_broken();
    assert!(
        records.next().is_none() && records.is_broken() == broken,
        "it ends once"
    );
}

fn headers(data: &[u8], salt: &Salt) {
    if let Ok(header) = SegmentHeader::decode(data) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }
    let _ = BatchHeader::decode(data, salt);
    let _ = KeyFileHeader::decode(data);
    let _ = TableRow::decode(data);
    let _ = parse_format_text(data);
}

/// The bytes as a payload that came through the checks of a batch.
fn sealed(data: &[u8], salt: &Salt) -> Bytes {
    let mut buffer = vec![0; BATCH_HEADER_BYTES];
    buffer.extend_from_slice(data);
    let header = BatchHeader {
        log_id: LogId::new(Uuid::nil()),
        segment: 1,
        sequence: 1,
        first_position: 1,
        payload_bytes: 0,
        events: 1,
        payload_crc: 0,
    };
    let header = seal_batch(&mut buffer, salt, header);
    assert_eq!(
        BatchHeader::decode(&buffer, salt),
        Some(header),
        "a sealed batch is one"
    );
    Bytes::from(buffer).slice(BATCH_HEADER_BYTES..header.batch_bytes())
}

/// The record as it would be written, if a writer could have made it.
fn written_again(record: &RecordView<'_>, event: RecordedEvent) {
    if record.is_key_only() {
        return;
    }
    let content = match record.content {
        None => None,
        Some(content) => {
            let (Ok(tenant), Ok(source)) = (content.tenant.parse(), content.source.parse()) else {
                return;
            };
            Some(ContentKey {
                tenant,
                source,
                body_sha256: content.body_sha256,
                sender_id: content.sender_id.map(str::to_owned),
                received_at: content.received_at,
                window_ms: 0,
            })
        }
    };
    let new = NewEvent {
        id: event.id,
        event_type: event.event_type,
        schema: event.schema,
        metadata: event.metadata,
        data: event.data,
    };
    let draft = RecordDraft {
        position: Position::new(record.position),
        revision: Revision::new(record.revision),
        recorded_at: record.recorded_at,
        stream: &event.stream,
        duplicate_of: event.duplicate_of.as_ref(),
        content: content.as_ref(),
        event: &new,
    };
    let mut bytes = Vec::new();
    draft.encode_into(&mut bytes);
    let (again, rest) = RecordView::split(&bytes).expect("what was written can be read");
    assert!(rest.is_empty());
    assert_eq!(again, *record);
}

fn entered_again(record: &RecordView<'_>) {
    let mut entry = Vec::new();
    record.encode_key(&mut entry);
    let (key, rest) = RecordView::split(&entry).expect("an entry can be read");
    assert!(rest.is_empty() && key.metadata.is_empty());
    assert_eq!(
        (
            key.position,
            key.revision,
            key.id,
            key.stream,
            key.duplicate_of,
            key.content
        ),
        (
            record.position,
            record.revision,
            record.id,
            record.stream,
            record.duplicate_of,
            record.content
        )
    );
}
