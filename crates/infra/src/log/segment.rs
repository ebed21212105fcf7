//! A segment as readers see it: where its batches are, and reading one.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::error::SegmentError;
use super::file::{Files, LogFile};
use super::format::{
    BATCH_HEADER_BYTES, BLOCK_BYTES, BatchHeader, KEY_TABLE_ROW_BYTES, KeyFileHeader, Records, SegmentHeader,
    TableRow,
};
use super::keys::ClosedKeys;

/// Name of the file of a segment.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:010}.segment")
}

/// Name of the key file of a segment.
pub(crate) fn keys_name(number: u64) -> String {
    format!("{number:010}.keys")
}

/// Number in the name of a segment's file; `None` for other files.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".segment")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// A batch in memory, checked.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) header: BatchHeader,
    /// Header and payload.
    pub(crate) bytes: Bytes,
}

impl Batch {
    /// The events.
    pub(crate) fn records(&self) -> Records<'_> {
        Records::of(self.bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default())
    }
}

/// What stands at an offset.
#[derive(Debug)]
pub(crate) enum Found {
    Batch(Batch),
    NoHeader,
    BadPayload(BatchHeader),
}

/// Reads batches of one segment.
pub(crate) struct SegmentReader {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn LogFile>,
}

impl SegmentReader {
    /// Names this segment in an I/O error.
    pub(crate) fn io(&self) -> impl FnOnce(std::io::Error) -> SegmentError {
        let segment = self.header.number;
        move |source| SegmentError::Io { segment, source }
    }

    /// Looks at what stands at an offset.
    pub(crate) fn find(&self, offset: u64) -> Result<Found, SegmentError> {
        let block = usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX);
        let mut bytes = self.file.read_up_to(offset, block).map_err(self.io())?;
        let header = BatchHeader::decode(&bytes, &self.header.salt)
            .filter(|h| h.log_id == self.header.log_id && h.segment == self.header.number);
        let Some(header) = header else {
            return Ok(Found::NoHeader);
        };
        let whole = header.batch_bytes();
        if whole > bytes.len() {
            let file_bytes = self.file.len().map_err(self.io())?;
            if offset + whole as u64 > file_bytes {
                return Ok(Found::BadPayload(header));
            }
            bytes = self.file.read_up_to(offset, whole).map_err(self.io())?;
        }
        bytes.truncate(whole);
        let payload = bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default();
        if bytes.len() < whole || self.header.salt.crc(payload) != header.payload_crc {
            return Ok(Found::BadPayload(header));
        }
        Ok(Found::Batch(Batch {
            header,
            bytes: bytes.into(),
        }))
    }

    /// Reads the batch at an offset, where one is known to be.
    pub(crate) fn batch(&self, offset: u64) -> Result<Batch, SegmentError> {
        let number = self.header.number;
        match self.find(offset)? {
            Found::Batch(batch) => Ok(batch),
            Found::NoHeader => Err(SegmentError::damaged(
                number,
                offset,
                "the batch header is damaged",
            )),
            Found::BadPayload(_) => Err(SegmentError::damaged(
                number,
                offset,
                "the checksum of the batch is wrong",
            )),
        }
    }
}

/// Where the batches of a segment are found.
#[derive(Debug)]
enum Table {
    Memory(Vec<TableRow>),
    KeyFile(KeyFileHeader),
}

/// One segment, shared by the writer and all readers.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    table: RwLock<Table>,
    /// Between its end and its key file.
    closed: Mutex<Option<ClosedKeys>>,
}

impl Segment {
    /// The last segment, or one without a key file yet.
    pub(crate) fn with_table(header: SegmentHeader, table: Vec<TableRow>) -> Self {
        Self::of(header, Table::Memory(table))
    }

    /// A sealed segment.
    pub(crate) fn with_key_file(header: SegmentHeader, keys: KeyFileHeader) -> Self {
        Self::of(header, Table::KeyFile(keys))
    }

    const fn of(header: SegmentHeader, table: Table) -> Self {
        Self {
            header,
            table: RwLock::new(table),
            closed: Mutex::new(None),
        }
    }

    /// Nothing more comes; its key file can be written from this.
    pub(crate) fn close(&self, keys: Option<ClosedKeys>) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Writes its key file from what was kept of it, if that was. What was kept is gone then, whatever came of it.
    pub(crate) fn write_closed_keys(&self, files: &dyn Files) -> Option<Result<KeyFileHeader, SegmentError>> {
        let kept = self
            .closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        let rows = match &*self.table.read().unwrap_or_else(PoisonError::into_inner) {
            Table::Memory(rows) => rows.clone(),
            Table::KeyFile(_) => return None,
        };
        Some(kept.write(files, &self.header, &rows))
    }

    /// From now on batches are found through the key file.
    pub(crate) fn seal(&self, keys: KeyFileHeader) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Table::KeyFile(keys);
    }

    /// Whether the table is still in memory.
    pub(crate) fn is_unsealed(&self) -> bool {
        matches!(
            *self.table.read().unwrap_or_else(PoisonError::into_inner),
            Table::Memory(_)
        )
    }

    /// Adds a durable batch.
    pub(crate) fn push(&self, row: TableRow) {
        if let Table::Memory(rows) = &mut *self.table.write().unwrap_or_else(PoisonError::into_inner) {
            rows.push(row);
        }
    }

    /// Opens the file for reading.
    pub(crate) fn reader(&self, files: &dyn Files) -> Result<SegmentReader, SegmentError> {
        let segment = self.header.number;
        let file = files
            .open(&segment_name(segment))
            .map_err(|source| SegmentError::Io { segment, source })?;
        let header = self.header.clone();
        Ok(SegmentReader { header, file })
    }

    /// The last batch that starts at or before what `key` is compared with, if there is one.
    fn last_where(
        &self,
        files: &dyn Files,
        fits: impl Fn(&TableRow) -> bool,
    ) -> Result<Option<TableRow>, SegmentError> {
        let keys = match &*self.table.read().unwrap_or_else(PoisonError::into_inner) {
            Table::Memory(rows) => {
                let end = rows.partition_point(&fits);
                return Ok(end.checked_sub(1).and_then(|i| rows.get(i)).copied());
            }
            Table::KeyFile(keys) => *keys,
        };
        let segment = self.header.number;
        let io = |source| SegmentError::Io { segment, source };
        let file = files.open(&keys_name(segment)).map_err(io)?;
        let (mut low, mut high, mut last) = (0, keys.batches, None);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = file.read_up_to(KeyFileHeader::row_offset(middle), KEY_TABLE_ROW_BYTES);
            let row = TableRow::decode(&row.map_err(io)?)
                .ok_or_else(|| SegmentError::damaged(segment, 0, "its key file is cut short"))?;
            if fits(&row) {
                (low, last) = (middle + 1, Some(row));
            } else {
                high = middle;
            }
        }
        Ok(last)
    }

    /// Where the batch with a position is.
    pub(crate) fn locate(&self, files: &dyn Files, position: u64) -> Result<Option<u64>, SegmentError> {
        let row = self.last_where(files, |row| row.first_position <= position)?;
        Ok(row
            .filter(|row| position < row.first_position + u64::from(row.events))
            .map(|row| row.offset))
    }

    /// Position of the first event of the last batch that starts at or before an offset; of the first batch, when the
    /// offset is before it.
    pub(crate) fn position_at(&self, files: &dyn Files, offset: u64) -> Result<u64, SegmentError> {
        let row = self.last_where(files, |row| row.offset <= offset)?;
        Ok(row.map_or(self.header.first_position, |row| row.first_position))
    }

    /// Where the last batch starts, if there is one.
    pub(crate) fn last_offset(&self, files: &dyn Files) -> Result<Option<u64>, SegmentError> {
        Ok(self.last_where(files, |_| true)?.map(|row| row.offset))
    }
}

/// All segments, in order.
#[derive(Debug)]
pub(crate) struct Segments(RwLock<Vec<Arc<Segment>>>);

impl Segments {
    pub(crate) fn new(list: Vec<Arc<Segment>>) -> Self {
        Self(RwLock::new(list))
    }

    /// The segment in which a position is or would be, and those after it.
    pub(crate) fn starting_at(&self, position: u64) -> Vec<Arc<Segment>> {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let end = list.partition_point(|s| s.header.first_position <= position);
        // Segments without an event share their first position with the next; the last of them has it.
        list.get(end.saturating_sub(1)..).unwrap_or_default().to_vec()
    }

    /// The position after the last one of a segment; `None` for the newest segment.
    pub(crate) fn end_of(&self, number: u64) -> Option<u64> {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let next = list
            .iter()
            .rev()
            .find(|segment| segment.header.number == number + 1);
        next.map(|segment| segment.header.first_position)
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the newest.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(segment);
    }
}
