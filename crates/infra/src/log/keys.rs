//! Key files of sealed segments: written once, rebuilt when missing or damaged.

use domain::{ContentKey, EventId, Position, Revision, StreamName, Timestamp};

use super::content_keys::ContentKeys;
use super::error::SegmentError;
use super::file::{Files, write_file};
use super::format::{
    BLOCK_BYTES, KEY_TABLE_ROW_BYTES, KeyFileHeader, KeyFileWriter, RecordView, Records, SegmentHeader,
    TableRow,
};
use super::scan::scan;
use super::segment::{SegmentReader, keys_name, segment_name};

/// What the index and the writer need to know of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventKey {
    pub(crate) position: Position,
    pub(crate) revision: Revision,
    pub(crate) id: EventId,
    pub(crate) stream: StreamName,
    pub(crate) recorded_at: Timestamp,
    pub(crate) duplicate_of: Option<StreamName>,
    pub(crate) content: Option<ContentKeys>,
}

impl EventKey {
    /// Reads it from an event; `None` when a name in it is not valid.
    pub(crate) fn of(record: &RecordView<'_>) -> Option<Self> {
        let content = match record.content {
            Some(content) => Some(ContentKeys::of(&ContentKey {
                tenant: content.tenant.parse().ok()?,
                source: content.source.parse().ok()?,
                body_sha256: content.body_sha256,
                sender_id: content.sender_id.map(str::to_owned),
                received_at: content.received_at,
                window_ms: 0,
            })),
            None => None,
        };
        Some(Self {
            position: Position::new(record.position),
            revision: Revision::new(record.revision),
            id: record.id,
            stream: record.stream.parse().ok()?,
            recorded_at: record.recorded_at,
            duplicate_of: record.duplicate_of.map(str::parse).transpose().ok()?,
            content,
        })
    }

    /// The stream of the unmarked original: its own, unless it is marked.
    pub(crate) fn original(&self) -> &StreamName {
        self.duplicate_of.as_ref().unwrap_or(&self.stream)
    }
}

/// The header of a segment's key file, which is written first where it is missing or not of this segment.
/// `next` is the header of the segment after it.
pub(crate) fn ensure_key_file(
    files: &dyn Files,
    segment: &SegmentHeader,
    next: &SegmentHeader,
) -> Result<KeyFileHeader, SegmentError> {
    let continues = |keys: &KeyFileHeader| {
        keys.last_position + 1 == next.first_position && keys.last_sequence + 1 == next.first_sequence
    };
    if let Some(keys) = read_header(files, segment).filter(continues) {
        return Ok(keys);
    }
    tracing::info!(segment = segment.number, "reading a segment for its key file");
    let number = segment.number;
    let io = |source| SegmentError::Io {
        segment: number,
        source,
    };
    let file = files.open(&segment_name(number)).map_err(io)?;
    let reader = SegmentReader {
        header: segment.clone(),
        file,
    };
    let mut writer = KeyFileWriter::default();
    let scanned = scan(&reader, |record| writer.push(record))?;
    let header = KeyFileHeader {
        log_id: segment.log_id,
        segment: number,
        first_position: segment.first_position,
        last_position: scanned.next_position - 1,
        last_sequence: scanned.next_sequence - 1,
        end_offset: scanned.end,
        batches: 0,
        entries_bytes: 0,
        table_crc: 0,
        entries_crc: 0,
    };
    if !continues(&header) {
        let what = "a batch is damaged although a later segment was written";
        return Err(SegmentError::damaged(number, scanned.end, what));
    }
    write(files, segment, writer, header, &scanned.table)
}

fn write(
    files: &dyn Files,
    segment: &SegmentHeader,
    writer: KeyFileWriter,
    header: KeyFileHeader,
    table: &[TableRow],
) -> Result<KeyFileHeader, SegmentError> {
    let number = segment.number;
    let written = write_file(files, &keys_name(number), &writer.finish(header, table));
    written.map_err(|source| SegmentError::Io {
        segment: number,
        source,
    })?;
    read_header(files, segment)
        .ok_or_else(|| SegmentError::damaged(number, 0, "its key file can't be read back"))
}

/// The entries of the segment that is being written, kept so that it need not be read again when it is full: that was a fifteenth
/// of the processor time of receiving.
#[derive(Debug)]
pub(crate) struct KeysSoFar {
    /// None of a segment that was not written by this process alone, or of too many events.
    writer: Option<KeyFileWriter>,
}

/// What the key file of a full segment will say.
#[derive(Debug)]
pub(crate) struct ClosedKeys {
    writer: KeyFileWriter,
    header: KeyFileHeader,
}

impl KeysSoFar {
    /// The most of them; of a segment with more it is read again.
    const BYTES_MAX: usize = 16 * 1024 * 1024;

    /// Those of a segment that begins.
    pub(crate) fn none_yet() -> Self {
        let writer = Some(KeyFileWriter::default());
        Self { writer }
    }

    /// Those of a segment that was begun by another process.
    pub(crate) const fn unknown() -> Self {
        Self { writer: None }
    }

    /// Takes the events of a durable batch.
    pub(crate) fn add(&mut self, payload: &[u8]) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let mut records = Records::of(payload);
        for record in records.by_ref() {
            writer.push(&record);
        }
        if records.is_broken() || writer.entries_bytes() > Self::BYTES_MAX {
            self.writer = None;
        }
    }

    /// The segment is full, and `next` follows it.
    pub(crate) fn close(
        self,
        segment: &SegmentHeader,
        next: &SegmentHeader,
        end_offset: u64,
    ) -> Option<ClosedKeys> {
        let header = KeyFileHeader {
            log_id: segment.log_id,
            segment: segment.number,
            first_position: segment.first_position,
            last_position: next.first_position.checked_sub(1)?,
            last_sequence: next.first_sequence.checked_sub(1)?,
            end_offset,
            batches: 0,
            entries_bytes: 0,
            table_crc: 0,
            entries_crc: 0,
        };
        let writer = self.writer?;
        Some(ClosedKeys { writer, header })
    }
}

impl ClosedKeys {
    /// Writes the key file.
    pub(crate) fn write(
        self,
        files: &dyn Files,
        segment: &SegmentHeader,
        table: &[TableRow],
    ) -> Result<KeyFileHeader, SegmentError> {
        write(files, segment, self.writer, self.header, table)
    }
}

/// The header of a key file, if it is there, is of this segment, and its table is whole.
fn read_header(files: &dyn Files, segment: &SegmentHeader) -> Option<KeyFileHeader> {
    let file = files.open(&keys_name(segment.number)).ok()?;
    let block = file.read_up_to(0, usize::try_from(BLOCK_BYTES).ok()?).ok()?;
    let keys = KeyFileHeader::decode(&block)?;
    let ours = keys.log_id == segment.log_id
        && keys.segment == segment.number
        && keys.first_position == segment.first_position;
    let table_bytes = usize::try_from(keys.batches)
        .ok()?
        .checked_mul(KEY_TABLE_ROW_BYTES)?;
    let whole = file.len().ok()? == keys.entries_offset().checked_add(keys.entries_bytes)?;
    if !ours || !whole {
        return None;
    }
    let table = file.read_up_to(BLOCK_BYTES, table_bytes).ok()?;
    (crc32c::crc32c(&table) == keys.table_crc).then_some(keys)
}

/// Reads the entries of a key file; `None` when they are damaged: delete the file, it will be rebuilt.
pub(crate) fn read_entries(
    files: &dyn Files,
    keys: &KeyFileHeader,
    mut visit: impl FnMut(EventKey),
) -> Option<()> {
    let file = files.open(&keys_name(keys.segment)).ok()?;
    let len = usize::try_from(keys.entries_bytes).ok()?;
    let entries = file.read_up_to(keys.entries_offset(), len).ok()?;
    if crc32c::crc32c(&entries) != keys.entries_crc {
        return None;
    }
    let mut records = Records::of(&entries);
    for record in records.by_ref() {
        visit(EventKey::of(&record)?);
    }
    (!records.is_broken()).then_some(())
}
