//! The time at which a sender signed.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// In what a sender counts time since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TimeUnit {
    /// Seconds.
    #[default]
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
}

/// A time as a sender writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    at: i64,
    unit: TimeUnit,
}

impl Stamp {
    /// Reads digits and nothing else.
    pub(crate) fn parse(text: &str, unit: TimeUnit) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let at = digits.then(|| text.parse().ok()).flatten()?;
        Some(Self { at, unit })
    }

    /// A time as this unit writes it.
    pub(super) const fn text(now: Timestamp, unit: TimeUnit) -> i64 {
        match unit {
            TimeUnit::Seconds => now.as_secs(),
            TimeUnit::Milliseconds => now.as_millis(),
        }
    }

    /// How long ago it was, in milliseconds; below zero for a time to come. Of seconds only whole ones count, as for the
    /// senders' own libraries.
    pub(crate) const fn age_ms(self, now: Timestamp) -> i64 {
        match self.unit {
            TimeUnit::Seconds => now.as_secs().saturating_sub(self.at).saturating_mul(1000),
            TimeUnit::Milliseconds => now.as_millis().saturating_sub(self.at),
        }
    }

    /// Whether it is near enough to our time.
    pub(crate) const fn is_fresh(self, now: Timestamp, tolerance_ms: u64) -> bool {
        self.age_ms(now).unsigned_abs() <= tolerance_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_time() {
        for text in [
            "",
            " 1",
            "1 ",
            "+1",
            "-1",
            "1.0",
            "1e3",
            "0x1",
            "९",
            "99999999999999999999",
        ] {
            assert_eq!(Stamp::parse(text, TimeUnit::Seconds), None, "{text:?}");
        }
        assert!(Stamp::parse("0", TimeUnit::Seconds).is_some());
    }

    #[test]
    fn the_edges_of_the_tolerance_count_as_fresh() {
        let now = Timestamp::from_millis(1_700_000_000_900);
        let fresh = |at: i64, unit, tolerance| {
            Stamp::parse(&at.to_string(), unit)
                .unwrap()
                .is_fresh(now, tolerance)
        };
        let (s, ms) = (TimeUnit::Seconds, TimeUnit::Milliseconds);
        assert!(fresh(1_700_000_000, s, 0));
        assert!(fresh(1_699_999_700, s, 300_000) && !fresh(1_699_999_699, s, 300_000));
        assert!(fresh(1_700_000_300, s, 300_000) && !fresh(1_700_000_301, s, 300_000));
        assert!(fresh(1_699_999_940_900, ms, 60_000) && !fresh(1_699_999_940_899, ms, 60_000));
        assert!(fresh(1_700_000_060_900, ms, 60_000) && !fresh(1_700_000_060_901, ms, 60_000));
        assert!(!fresh(i64::MAX, s, 60_000) && !fresh(i64::MAX, ms, 60_000) && !fresh(0, ms, 60_000));
    }
}
