//! Times as columns. What ClickHouse can't hold is held at the ends of its range.

use std::fmt;

use domain::Timestamp;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A `DateTime64(6, 'UTC')`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Timestamp);

impl Moment {
    /// The last microsecond of 2299.
    const LAST: Timestamp = Timestamp::from_micros(10_413_791_999_999_999);
    /// The start of 1900.
    const FIRST: Timestamp = Timestamp::from_micros(-2_208_988_800_000_000);
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self(time.clamp(Self::FIRST, Self::LAST))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        seconds(micros.div_euclid(MICROS_PER_SECOND), f)?;
        write!(f, ".{:06}", micros.rem_euclid(MICROS_PER_SECOND))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0.as_micros())
        }
    }
}

/// A `DateTime('UTC')`: the start of the minute or hour that a time lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Band(u32);

impl Band {
    pub(crate) fn minute(time: Timestamp) -> Self {
        Self::of(time, 60)
    }

    pub(crate) fn hour(time: Timestamp) -> Self {
        Self::of(time, 3600)
    }

    fn of(time: Timestamp, seconds: u32) -> Self {
        let since_epoch = u32::try_from(time.as_secs().max(0)).unwrap_or(u32::MAX);
        Self(since_epoch / seconds * seconds)
    }
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        seconds(i64::from(self.0), f)
    }
}

impl Serialize for Band {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u32(self.0)
        }
    }
}

fn seconds(since_epoch: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let time = OffsetDateTime::from_unix_timestamp(since_epoch).map_err(|_| fmt::Error)?;
    let (date, (hour, minute, second)) = (time.date(), time.to_hms());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    write!(
        f,
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
    )
}

/// Microseconds from an earlier time to a later one, 0 if it is not later.
pub(crate) fn micros_between(earlier: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.as_micros().saturating_sub(earlier.as_micros())).unwrap_or(0)
}

/// Microseconds as milliseconds with their fraction.
#[allow(clippy::cast_precision_loss, reason = "exact below 285 years")]
pub(crate) fn as_millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_clickhouse_reads_it() {
        let time: Timestamp = "2026-11-21T08:30:59.001002Z".parse().unwrap();
        assert_eq!(Moment::from(time).to_string(), "2026-11-21 08:30:59.001002");
        assert_eq!(Band::minute(time).to_string(), "2026-11-21 08:30:00");
        assert_eq!(Band::hour(time).to_string(), "2026-11-21 08:00:00");
    }

    #[test]
    fn a_time_out_of_range_is_held_at_its_end() {
        let (first, last) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        assert_eq!(Moment::from(first).to_string(), "1900-01-01 00:00:00.000000");
        assert_eq!(Moment::from(last).to_string(), "2299-12-31 23:59:59.999999");
        assert_eq!(Band::hour(first).to_string(), "1970-01-01 00:00:00");
        assert_eq!(Band::hour(last).to_string(), "2106-02-07 06:00:00");
    }
}
