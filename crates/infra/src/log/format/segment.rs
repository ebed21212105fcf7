//! The header of a segment, and the salt that keeps bodies from posing as batches.

use domain::LogId;
use uuid::Uuid;

use super::fields::Fields;
use super::{BLOCK_BYTES, FORMAT};

const MAGIC: &[u8; 8] = b"HKLGSEG1";
const CHECKED_BYTES: usize = 72;

/// Seeds the CRCs of a segment; from 16 random bytes that stay in its header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt([u8; 16]);

impl Salt {
    pub(crate) const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The salted CRC-32C of some bytes.
    pub(crate) fn crc(&self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.0), bytes)
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// The first block of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) log_id: LogId,
    pub(crate) number: u64,
    pub(crate) first_position: u64,
    pub(crate) first_sequence: u64,
    pub(crate) salt: Salt,
}

/// Why a first block is no header of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Newer(u32),
    Damaged(&'static str),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(usize::try_from(BLOCK_BYTES).unwrap_or(0));
        block.extend_from_slice(MAGIC);
        block.extend_from_slice(&FORMAT.to_le_bytes());
        block.extend_from_slice(&0_u32.to_le_bytes());
        block.extend_from_slice(self.log_id.as_uuid().as_bytes());
        block.extend_from_slice(&self.number.to_le_bytes());
        block.extend_from_slice(&self.first_position.to_le_bytes());
        block.extend_from_slice(&self.first_sequence.to_le_bytes());
        block.extend_from_slice(&self.salt.0);
        let crc = crc32c::crc32c(&block);
        block.extend_from_slice(&crc.to_le_bytes());
        block.resize(block.capacity(), 0);
        block
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, BadHeader> {
        let short = BadHeader::Damaged("the segment header is cut short");
        let mut fields = Fields::new(block);
        let magic = fields.array::<8>().ok_or(short.clone())?;
        if magic != *MAGIC {
            return Err(BadHeader::Damaged("this is no segment header"));
        }
        let format = fields.u32().ok_or(short.clone())?;
        if format > FORMAT {
            return Err(BadHeader::Newer(format));
        }
        let checked = block.get(..CHECKED_BYTES).ok_or(short.clone())?;
        let header = Self::fields(fields).ok_or(short)?;
        if header.1 != crc32c::crc32c(checked) {
            return Err(BadHeader::Damaged("the checksum of the segment header is wrong"));
        }
        Ok(header.0)
    }

    fn fields(mut fields: Fields<'_>) -> Option<(Self, u32)> {
        let _flags = fields.u32()?;
        let header = Self {
            log_id: LogId::new(Uuid::from_bytes(fields.array()?)),
            number: fields.u64()?,
            first_position: fields.u64()?,
            first_sequence: fields.u64()?,
            salt: Salt(fields.array()?),
        };
        Some((header, fields.u32()?))
    }
}
