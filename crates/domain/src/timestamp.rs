//! Points in time with microseconds, always UTC, RFC 3339 on the outside.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// 0000-01-01T00:00:00Z, the first time that RFC 3339 can say.
const FIRST_MICROS: i64 = -62_167_219_200_000_000;
/// 9999-12-31T23:59:59.999999Z, the last one.
const LAST_MICROS: i64 = 253_402_300_799_999_999;

/// Text that is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time such as 2026-11-21T08:30:00Z")]
pub struct InvalidTimestamp(String);

impl Timestamp {
    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This time moved by milliseconds, at the ends of the range held there.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// Milliseconds from an earlier time to this one; negative if it is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).div_euclid(1000)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An error here would be a panic in `to_string`, so what RFC 3339 can't say is shown as its end.
        let shown = i128::from(self.0.clamp(FIRST_MICROS, LAST_MICROS));
        let time = OffsetDateTime::from_unix_timestamp_nanos(shown * 1000).map_err(|_| fmt::Error)?;
        f.write_str(&time.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let invalid = || InvalidTimestamp(text.chars().take(80).collect());
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| invalid())?;
        // An offset can move a time out of the years that RFC 3339 has.
        i64::try_from(time.unix_timestamp_nanos().div_euclid(1000))
            .ok()
            .filter(|micros| (FIRST_MICROS..=LAST_MICROS).contains(micros))
            .map(Self)
            .ok_or_else(invalid)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;
    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> String {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_its_text_form() {
        for micros in [0, 1, 1_731_705_121_123_456, 1_763_766_000_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        assert_eq!(
            "2024-11-15T22:12:01+01:00"
                .parse::<Timestamp>()
                .unwrap()
                .as_secs(),
            1_731_705_121
        );
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn a_time_beyond_the_calendar_is_refused_or_held_at_its_end_and_never_a_panic() {
        for text in ["9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        for (micros, shown) in [
            (i64::MAX, "9999-12-31T23:59:59.999999Z"),
            (i64::MIN, "0000-01-01T00:00:00Z"),
        ] {
            let text = Timestamp::from_micros(micros).to_string();
            assert_eq!(text, shown);
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), shown);
        }
    }
}
