//! The bytes of the log, as `docs/format.md` defines them. No I/O here, and nothing that panics on bytes it didn't write.

mod batch;
mod fields;
mod key_file;
mod record;
mod segment;

pub(crate) use batch::{BATCH_HEADER_BYTES, BatchHeader, seal_batch, whole_blocks};
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

#[cfg(test)]
mod tests {
    use domain::LogId;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_as_headers_without_a_panic(bytes in vec(any::<u8>(), 0..200), salt in any::<[u8; 16]>()) {
            let _ = SegmentHeader::decode(&bytes);
            let _ = BatchHeader::decode(&bytes, &Salt::new(salt));
            let _ = KeyFileHeader::decode(&bytes);
            let _ = TableRow::decode(&bytes);
            let _ = parse_format_text(&bytes);
        }

        #[test]
        fn a_segment_header_survives_its_bytes_and_no_flipped_bit_does(
            (log_id, number, position) in any::<(u128, u64, u64)>(),
            salt in any::<[u8; 16]>(),
            at in 0..76_usize,
            bit in 0..8_u8,
        ) {
            let header = SegmentHeader {
                log_id: LogId::new(Uuid::from_u128(log_id)),
                number,
                first_position: position,
                first_sequence: position / 2,
                salt: Salt::new(salt),
            };
            let mut block = header.encode();
            prop_assert_eq!(block.len() as u64, BLOCK_BYTES);
            prop_assert_eq!(SegmentHeader::decode(&block), Ok(header));
            block[at] ^= 1 << bit;
            prop_assert!(SegmentHeader::decode(&block).is_err());
        }
    }

    #[test]
    fn the_format_file_names_the_format() {
        assert_eq!(parse_format_text(format_text().as_bytes()), Some(FORMAT));
        assert_eq!(parse_format_text(b"hooklog log format 12\n"), Some(12));
        assert_eq!(parse_format_text(b"something else"), None);
        assert_eq!((align_up(0), align_up(1), align_up(4096)), (0, 4096, 4096));
    }
}
