//! What the API answers with: plain structs, one file per group of endpoints. Their field names are part of the contract.

pub(crate) mod access;
pub(crate) mod delivery;
pub(crate) mod destination;
pub(crate) mod health;
pub(crate) mod job;
pub(crate) mod live;
pub(crate) mod rejected;
pub(crate) mod replay;
pub(crate) mod repository;
pub(crate) mod source;
pub(crate) mod statistics;
pub(crate) mod system;
pub(crate) mod verify;

use domain::Timestamp;
use poem_openapi::Object;
use serde::Serialize;

/// A window of time.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct TimeWindow {
    /// Its length in hours.
    pub(crate) hours: u32,
    /// Its start, at a full minute.
    pub(crate) start: String,
    /// Its end, exclusive.
    pub(crate) end: String,
}

/// Percentiles by nearest rank, and the mean; null when there is nothing to measure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
pub(crate) struct Spread {
    /// The mean.
    pub(crate) avg: Option<f64>,
    /// The median.
    pub(crate) p50: Option<f64>,
    /// The 95th percentile.
    pub(crate) p95: Option<f64>,
    /// The 99th percentile.
    pub(crate) p99: Option<f64>,
}

/// A time as the API shows it; null where the table has none.
pub(crate) fn time(micros: Option<i64>) -> Option<String> {
    micros.map(|micros| Timestamp::from_micros(micros).to_string())
}

/// Tables hold the empty string where there is nothing; the API says null.
pub(crate) fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// `part` of `whole` in percent with two decimals; `100.00` of nothing.
pub(crate) fn percent(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "100.00".to_owned();
    }
    // Counts of deliveries stay far below 2^52.
    #[allow(clippy::cast_precision_loss, reason = "a percentage with two decimals")]
    let share = part as f64 * 100.0 / whole as f64;
    format!("{share:.2}")
}

/// Milliseconds with microseconds as decimals.
pub(crate) fn round_ms(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_two_decimals_and_nothing_is_a_hundred_percent() {
        assert_eq!(percent(0, 0), "100.00");
        assert_eq!(percent(148, 150), "98.67");
        assert_eq!(percent(3, 3), "100.00");
        assert_eq!(percent(0, 3), "0.00");
    }
}
