//! Walking a segment batch by batch, and telling a torn write from damage.

use domain::Timestamp;

use super::error::SegmentError;
use super::format::{BATCH_HEADER_BYTES, BLOCK_BYTES, BatchHeader, RecordView, SECTOR_BYTES, TableRow};
use super::segment::{Batch, Found, SegmentReader};

/// What a walk found.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) table: Vec<TableRow>,
    pub(crate) next_position: u64,
    pub(crate) next_sequence: u64,
    /// Where the next batch goes.
    pub(crate) end: u64,
    /// When the last event was recorded.
    pub(crate) last_recorded: Option<Timestamp>,
    /// Header of the batch at `end` whose payload is damaged, if one is there.
    pub(crate) bad_payload: Option<BatchHeader>,
}

/// Walks a segment from its start until no valid batch follows.
pub(crate) fn scan(
    reader: &SegmentReader,
    visit: impl FnMut(&RecordView<'_>),
) -> Result<Scanned, SegmentError> {
    let mut scanned = Scanned {
        table: Vec::new(),
        next_position: reader.header.first_position,
        next_sequence: reader.header.first_sequence,
        end: BLOCK_BYTES,
        last_recorded: None,
        bad_payload: None,
    };
    scanned.go_on(reader, visit)?;
    Ok(scanned)
}

impl Scanned {
    /// Walks on until no valid batch follows.
    pub(crate) fn go_on(
        &mut self,
        reader: &SegmentReader,
        mut visit: impl FnMut(&RecordView<'_>),
    ) -> Result<(), SegmentError> {
        self.bad_payload = None;
        loop {
            match reader.find(self.end)? {
                Found::Batch(batch) => self.take(reader, &batch, &mut visit)?,
                Found::NoHeader => return Ok(()),
                Found::BadPayload(header) => {
                    self.bad_payload = Some(header);
                    return Ok(());
                }
            }
        }
    }

    fn take(
        &mut self,
        reader: &SegmentReader,
        batch: &Batch,
        visit: &mut impl FnMut(&RecordView<'_>),
    ) -> Result<(), SegmentError> {
        let header = &batch.header;
        let damaged = |what| SegmentError::damaged(reader.header.number, self.end, what);
        if header.sequence != self.next_sequence || header.first_position != self.next_position {
            return Err(damaged("the batch does not continue the one before it"));
        }
        let mut records = batch.records();
        let mut position = self.next_position;
        let mut last_recorded = self.last_recorded;
        for record in records.by_ref() {
            if record.position != position || last_recorded.is_some_and(|last| record.recorded_at < last) {
                return Err(damaged("an event does not continue the one before it"));
            }
            visit(&record);
            position += 1;
            last_recorded = Some(record.recorded_at);
        }
        if records.is_broken() || position != self.next_position + u64::from(header.events) {
            return Err(damaged(
                "the batch has a valid checksum but its events can't be read",
            ));
        }
        self.table.push(TableRow {
            first_position: header.first_position,
            offset: self.end,
            events: header.events,
        });
        self.last_recorded = last_recorded;
        self.next_position = position;
        self.next_sequence += 1;
        self.end = header.end(self.end);
        Ok(())
    }
}

/// What follows the last valid batch of the last segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeroes.
    Clean,
    /// A torn write: to be zeroed from the end of the last batch up to this offset.
    Torn { until: u64 },
}

const CHUNK_BYTES: usize = 1024 * 1024;
static ZEROES: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];

/// Whether all bytes are zero; compares memory, which is fast in every build.
fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(CHUNK_BYTES)
        .all(|chunk| ZEROES.get(..chunk.len()) == Some(chunk))
}

/// Judges what follows the last valid batch.
pub(crate) fn judge_tail(reader: &SegmentReader, scanned: &Scanned) -> Result<Tail, SegmentError> {
    let refuse = |what: &str| Err(SegmentError::damaged(reader.header.number, scanned.end, what));
    let rest = look_beyond(reader, scanned)?;
    if rest.later_batch {
        return refuse("a batch is damaged although a later one was written");
    }
    let Some(last_used) = rest.last_used else {
        return Ok(Tail::Clean);
    };
    let extent = scanned
        .bad_payload
        .map(|header| scanned.end + header.batch_bytes() as u64);
    if extent.is_some_and(|extent| last_used >= extent) {
        return refuse("a batch is damaged and what follows it is no torn write");
    }
    let until = last_used + 1;
    if has_unwritten_sector(reader, scanned.end, extent)? {
        return Ok(Tail::Torn { until });
    }
    refuse("the last batch is damaged, and not by a torn write")
}

struct Beyond {
    /// A valid header of a later batch is there.
    later_batch: bool,
    /// Offset of the last byte that is not zero.
    last_used: Option<u64>,
}

fn look_beyond(reader: &SegmentReader, scanned: &Scanned) -> Result<Beyond, SegmentError> {
    let mut beyond = Beyond {
        later_batch: false,
        last_used: None,
    };
    let block = usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX);
    let mut offset = scanned.end;
    loop {
        let chunk = reader.file.read_up_to(offset, CHUNK_BYTES).map_err(reader.io())?;
        if !is_zero(&chunk) {
            let last = chunk.iter().rposition(|b| *b != 0).unwrap_or(0);
            beyond.last_used = Some(offset + last as u64);
            let header = &reader.header;
            let mut headers = chunk
                .chunks(block)
                .filter_map(|b| BatchHeader::decode(b, &header.salt));
            beyond.later_batch |= headers.any(|found| {
                found.log_id == header.log_id
                    && found.segment == header.number
                    && found.sequence > scanned.next_sequence
            });
        }
        if chunk.len() < CHUNK_BYTES {
            return Ok(beyond);
        }
        offset += chunk.len() as u64;
    }
}

/// Whether a sector of the damaged batch was never written: one within it, or the one that holds its header.
fn has_unwritten_sector(
    reader: &SegmentReader,
    start: u64,
    extent: Option<u64>,
) -> Result<bool, SegmentError> {
    let len = extent.map_or(SECTOR_BYTES as u64, |extent| extent - start);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    debug_assert!(len >= BATCH_HEADER_BYTES);
    let mut bytes = reader.file.read_up_to(start, len).map_err(reader.io())?;
    // What lies beyond the end of the file was never written.
    bytes.resize(len, 0);
    Ok(bytes.chunks(SECTOR_BYTES).any(is_zero))
}
