//! Which of several announcements of one thing is believed: never the one that came last.

use domain::{ContentHash, Timestamp};

/// What decides, in this order: the attempt, the rank of the state, the payload's own time, the body's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Precedence {
    /// The attempt, 0 where it is part of the key or means nothing.
    pub(crate) attempt: u16,
    /// The rank of the state, 0 where states have none.
    pub(crate) rank: u8,
    /// The payload's own time.
    pub(crate) at: Option<Timestamp>,
    /// SHA-256 of the body.
    pub(crate) sha256: ContentHash,
}

const TIME_BITS: u32 = 56;
const HASH_BITS: u32 = 48;

impl Precedence {
    /// The order as one number, for a `ReplacingMergeTree`: 16 bits attempt, 8 rank, 56 microseconds, 48 hash.
    pub(crate) fn version(&self) -> u128 {
        u128::from(self.attempt) << (8 + TIME_BITS + HASH_BITS)
            | u128::from(self.rank) << (TIME_BITS + HASH_BITS)
            | self.micros() << HASH_BITS
            | self.hash()
    }

    /// The order of things that may go back to an earlier state: as [`Precedence::version`], with the time before the rank.
    pub(crate) fn version_by_time(&self) -> u128 {
        u128::from(self.attempt) << (8 + TIME_BITS + HASH_BITS)
            | self.micros() << (8 + HASH_BITS)
            | u128::from(self.rank) << HASH_BITS
            | self.hash()
    }

    fn micros(&self) -> u128 {
        let micros = self.at.map_or(0, |at| u64::try_from(at.as_micros()).unwrap_or(0));
        u128::from(micros.min((1 << TIME_BITS) - 1))
    }

    fn hash(&self) -> u128 {
        let hash = self.sha256.as_bytes().iter().take(HASH_BITS as usize / 8);
        hash.fold(0_u128, |number, byte| number << 8 | u128::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_may_go_before_rank() {
        let version = |attempt, rank, seconds: i64, byte| {
            let at = Some(Timestamp::from_millis(seconds * 1000));
            let sha256 = ContentHash::new([byte; 32]);
            Precedence {
                attempt,
                rank,
                at,
                sha256,
            }
            .version_by_time()
        };
        let ascending = [
            version(1, 8, 1_700_000_000, 0xee),
            version(1, 6, 1_700_000_001, 0x11),
            version(1, 6, 1_700_000_001, 0xee),
            version(1, 8, 1_700_000_001, 0x11),
            version(1, u8::MAX, i64::MAX / 1_000_000, 0xee),
            version(2, 0, 0, 0x11),
        ];
        assert!(
            ascending.windows(2).all(|pair| pair[0] < pair[1]),
            "{ascending:?}"
        );
    }

    #[test]
    fn attempt_goes_before_rank_before_time_before_hash() {
        let (low, high) = (ContentHash::new([0x11; 32]), ContentHash::new([0xee; 32]));
        let version = |attempt, rank, seconds: i64, sha256| {
            let at = Some(Timestamp::from_millis(seconds * 1000));
            Precedence {
                attempt,
                rank,
                at,
                sha256,
            }
            .version()
        };
        let ascending = [
            version(1, 1, 1_700_000_000, low),
            version(1, 1, 1_700_000_000, high),
            version(1, 1, 1_700_000_001, low),
            version(1, 2, 0, low),
            version(1, 3, 0, low),
            version(2, 0, 0, low),
            version(u16::MAX, u8::MAX, i64::MAX / 1_000_000, high),
        ];
        assert!(
            ascending.windows(2).all(|pair| pair[0] < pair[1]),
            "{ascending:?}"
        );
    }
}
