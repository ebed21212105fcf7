//! The key file of a sealed segment: what the index needs, without bodies, and where the batches are.

use domain::LogId;
use uuid::Uuid;

use super::fields::{Fields, patch};
use super::{BLOCK_BYTES, RecordView};

const MAGIC: &[u8; 8] = b"HKLGKEY1";
const CHECKED_BYTES: usize = 88;

/// Length of a row of the table of batches.
pub(crate) const KEY_TABLE_ROW_BYTES: usize = 16;

/// The first block of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyFileHeader {
    pub(crate) log_id: LogId,
    pub(crate) segment: u64,
    pub(crate) first_position: u64,
    pub(crate) last_position: u64,
    pub(crate) last_sequence: u64,
    pub(crate) end_offset: u64,
    pub(crate) batches: u64,
    pub(crate) entries_bytes: u64,
    pub(crate) table_crc: u32,
    pub(crate) entries_crc: u32,
}

impl KeyFileHeader {
    fn encode(&self) -> Vec<u8> {
        let mut block = MAGIC.to_vec();
        block.extend_from_slice(self.log_id.as_uuid().as_bytes());
        for number in [
            self.segment,
            self.first_position,
            self.last_position,
            self.last_sequence,
            self.end_offset,
            self.batches,
            self.entries_bytes,
        ] {
            block.extend_from_slice(&number.to_le_bytes());
        }
        block.extend_from_slice(&self.table_crc.to_le_bytes());
        block.extend_from_slice(&self.entries_crc.to_le_bytes());
        let crc = crc32c::crc32c(&block);
        block.extend_from_slice(&crc.to_le_bytes());
        block.resize(usize::try_from(BLOCK_BYTES).unwrap_or(0), 0);
        block
    }

    /// Reads a header; `None` when the bytes are none.
    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(block);
        if fields.array::<8>()? != *MAGIC {
            return None;
        }
        let header = Self {
            log_id: LogId::new(Uuid::from_bytes(fields.array()?)),
            segment: fields.u64()?,
            first_position: fields.u64()?,
            last_position: fields.u64()?,
            last_sequence: fields.u64()?,
            end_offset: fields.u64()?,
            batches: fields.u64()?,
            entries_bytes: fields.u64()?,
            table_crc: fields.u32()?,
            entries_crc: fields.u32()?,
        };
        (fields.u32()? == crc32c::crc32c(block.get(..CHECKED_BYTES)?)).then_some(header)
    }

    /// Where row `n` of the table stands.
    pub(crate) const fn row_offset(n: u64) -> u64 {
        BLOCK_BYTES + n * KEY_TABLE_ROW_BYTES as u64
    }

    /// Where the entries start.
    pub(crate) const fn entries_offset(&self) -> u64 {
        Self::row_offset(self.batches)
    }
}

/// Where one batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableRow {
    pub(crate) first_position: u64,
    pub(crate) offset: u64,
    pub(crate) events: u32,
}

impl TableRow {
    fn encode(self) -> [u8; KEY_TABLE_ROW_BYTES] {
        let block = u32::try_from(self.offset / BLOCK_BYTES).unwrap_or(u32::MAX);
        let mut row = [0; KEY_TABLE_ROW_BYTES];
        patch(&mut row, 0, &self.first_position.to_le_bytes());
        patch(&mut row, 8, &block.to_le_bytes());
        patch(&mut row, 12, &self.events.to_le_bytes());
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(row);
        Some(Self {
            first_position: fields.u64()?,
            offset: u64::from(fields.u32()?) * BLOCK_BYTES,
            events: fields.u32()?,
        })
    }
}

/// Collects a key file in memory.
#[derive(Debug, Default)]
pub(crate) struct KeyFileWriter {
    entries: Vec<u8>,
}

impl KeyFileWriter {
    pub(crate) fn push(&mut self, record: &RecordView<'_>) {
        record.encode_key(&mut self.entries);
    }

    /// How much it holds.
    pub(crate) const fn entries_bytes(&self) -> usize {
        self.entries.len()
    }

    /// The whole file; counts and checksums of the header are filled in.
    pub(crate) fn finish(self, mut header: KeyFileHeader, table: &[TableRow]) -> Vec<u8> {
        let rows: Vec<u8> = table.iter().flat_map(|row| row.encode()).collect();
        header.batches = table.len() as u64;
        header.entries_bytes = self.entries.len() as u64;
        header.table_crc = crc32c::crc32c(&rows);
        header.entries_crc = crc32c::crc32c(&self.entries);
        let mut file = header.encode();
        file.extend_from_slice(&rows);
        file.extend_from_slice(&self.entries);
        file
    }
}
