//! The bytes of the log, as `docs/format.md` defines them. No I/O here, and nothing that panics on bytes it didn't write.

mod batch;
mod fields;
mod key_file;
mod record;
mod segment;

pub(crate) use batch::{BATCH_HEADER_BYTES, BatchHeader, seal_batch};
pub(crate) use key_file::{KEY_TABLE_ROW_BYTES, KeyFileHeader, KeyFileWriter, TableRow};
pub(crate) use record::{RECORD_FIXED_BYTES, RecordDraft, RecordView, Records, content_bytes, data_bytes};
pub(crate) use segment::{BadHeader, Salt, SegmentHeader};

/// The format that this code writes; a greater number on disk is refused.
pub(crate) const FORMAT: u32 = 1;

/// Batches start on multiples of this.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// What a disk writes wholly or not at all.
pub(crate) const SECTOR_BYTES: usize = 512;

/// The next block boundary at or after an offset.
pub(crate) const fn align_up(offset: u64) -> u64 {
    offset.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

/// The text of the file `FORMAT`.
pub(crate) fn format_text() -> String {
    format!("hooklog log format {FORMAT}\n")
}

/// The number in the file `FORMAT`; `None` if it is something else.
pub(crate) fn parse_format_text(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    text.strip_prefix("hooklog log format ")?.trim_end().parse().ok()
}
