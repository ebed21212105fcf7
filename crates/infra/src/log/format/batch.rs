//! The header of a batch.

use domain::LogId;
use uuid::Uuid;

use super::fields::{Fields, patch};
use super::{BLOCK_BYTES, Salt, align_up};

/// Length of the header; the payload follows it.
pub(crate) const BATCH_HEADER_BYTES: usize = 64;

const MAGIC: &[u8; 4] = b"HKBT";
const CRC_AT: usize = 4;
const CHECKED_FROM: usize = 8;

/// What stands before the events of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) log_id: LogId,
    pub(crate) segment: u64,
    pub(crate) sequence: u64,
    pub(crate) first_position: u64,
    pub(crate) payload_bytes: u32,
    pub(crate) events: u32,
    pub(crate) payload_crc: u32,
}

impl BatchHeader {
    fn encode(&self, salt: &Salt) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        patch(&mut bytes, 0, MAGIC);
        patch(&mut bytes, 8, self.log_id.as_uuid().as_bytes());
        patch(&mut bytes, 24, &self.segment.to_le_bytes());
        patch(&mut bytes, 32, &self.sequence.to_le_bytes());
        patch(&mut bytes, 40, &self.first_position.to_le_bytes());
        patch(&mut bytes, 48, &self.payload_bytes.to_le_bytes());
        patch(&mut bytes, 52, &self.events.to_le_bytes());
        patch(&mut bytes, 56, &self.payload_crc.to_le_bytes());
        let crc = salt.crc(bytes.get(CHECKED_FROM..).unwrap_or_default());
        patch(&mut bytes, CRC_AT, &crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` when the bytes are no valid header under this salt.
    pub(crate) fn decode(bytes: &[u8], salt: &Salt) -> Option<Self> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        let mut fields = Fields::new(bytes);
        if fields.array::<4>()? != *MAGIC || fields.u32()? != salt.crc(bytes.get(CHECKED_FROM..)?) {
            return None;
        }
        let header = Self {
            log_id: LogId::new(Uuid::from_bytes(fields.array()?)),
            segment: fields.u64()?,
            sequence: fields.u64()?,
            first_position: fields.u64()?,
            payload_bytes: fields.u32()?,
            events: fields.u32()?,
            payload_crc: fields.u32()?,
        };
        (fields.u32()? == 0 && header.events > 0).then_some(header)
    }

    /// Header and payload together.
    pub(crate) fn batch_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.payload_bytes as usize
    }

    /// Where the next batch would start when this one starts at `offset`.
    pub(crate) fn end(&self, offset: u64) -> u64 {
        align_up(offset + self.batch_bytes() as u64)
    }

    /// Whether the event of a position is in it.
    pub(crate) const fn holds(&self, position: u64) -> bool {
        self.first_position <= position && position <= self.last_position()
    }

    /// Position of the last event.
    pub(crate) const fn last_position(&self) -> u64 {
        self.first_position + self.events as u64 - 1
    }
}

/// Fills in the header of a buffer that holds room for it and the payload, and pads it to whole blocks.
pub(crate) fn seal_batch(buffer: &mut Vec<u8>, salt: &Salt, mut header: BatchHeader) -> BatchHeader {
    let payload = buffer.get(BATCH_HEADER_BYTES..).unwrap_or_default();
    header.payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    header.payload_crc = salt.crc(payload);
    patch(buffer, 0, &header.encode(salt));
    buffer.resize(whole_blocks(buffer.len()), 0);
    header
}

/// As many bytes as the whole blocks have in which so many are.
pub(crate) fn whole_blocks(bytes: usize) -> usize {
    bytes.next_multiple_of(usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_passes_only_under_its_own_salt() {
        let (ours, theirs) = (Salt::new([7; 16]), Salt::new([8; 16]));
        let mut buffer = vec![1; BATCH_HEADER_BYTES + 10];
        let header = BatchHeader {
            log_id: LogId::new(Uuid::nil()),
            segment: 3,
            sequence: 9,
            first_position: 70,
            payload_bytes: 0,
            events: 2,
            payload_crc: 0,
        };
        let sealed = seal_batch(&mut buffer, &ours, header);
        assert_eq!(buffer.len(), 4096);
        assert_eq!(BatchHeader::decode(&buffer, &ours), Some(sealed));
        assert_eq!((sealed.last_position(), sealed.end(4096)), (71, 8192));
        assert_eq!(BatchHeader::decode(&buffer, &theirs), None);
        for at in 0..BATCH_HEADER_BYTES {
            let mut flipped = buffer.clone();
            flipped[at] ^= 0x10;
            assert_eq!(BatchHeader::decode(&flipped, &ours), None, "byte {at}");
        }
    }
}
