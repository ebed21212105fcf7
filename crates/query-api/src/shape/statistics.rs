//! Statistics of deliveries.

use poem_openapi::Object;
use serde::Serialize;

use super::TimeWindow;

/// Counts and latencies of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct Statistics {
    /// The window, by full minutes.
    pub(crate) time_window: TimeWindow,
    /// All of it.
    pub(crate) summary: Summary,
    /// Per event type, the most frequent first.
    pub(crate) by_event: Vec<EventCounts>,
    /// Per destination, by name: what it did in the window, whenever the deliveries were received. Null when the window is
    /// of one repository or source: destinations are not counted by them.
    pub(crate) by_destination: Option<Vec<DestinationCounts>>,
    /// The step of `series`: minute, hour or day.
    pub(crate) interval: String,
    /// Over time, steps without deliveries included.
    pub(crate) series: Vec<SeriesPoint>,
}

/// Counts and latencies of the whole window. total = processed + pending + failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// All deliveries, duplicates included.
    pub(crate) total_events: i64,
    /// Those processed.
    pub(crate) processed_events: i64,
    /// Those received, processing or retrying.
    pub(crate) pending_events: i64,
    /// Those dead.
    pub(crate) failed_events: i64,
    /// Those that repeat another one; they count in `totalEvents` too.
    pub(crate) duplicates: i64,
    /// Attempts made at destinations, whatever came of them.
    pub(crate) attempts: u64,
    /// Of these, the ones that were not the first of their round.
    pub(crate) retries: u64,
    /// processed ÷ total in percent, two decimals; `100.00` when there is nothing.
    pub(crate) success_rate: String,
    /// The mean time from receipt to outcome, in milliseconds.
    pub(crate) avg_processing_time_ms: f64,
    /// The median, at most 5 % off.
    pub(crate) p50_processing_time_ms: Option<f64>,
    /// The 95th percentile, at most 5 % off.
    pub(crate) p95_processing_time_ms: Option<f64>,
    /// The 99th percentile, at most 5 % off.
    pub(crate) p99_processing_time_ms: Option<f64>,
}

/// Counts of one event type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct EventCounts {
    /// The event type.
    pub(crate) event: String,
    /// All.
    pub(crate) total: i64,
    /// Those processed.
    pub(crate) processed: i64,
    /// Those received, processing or retrying.
    pub(crate) pending: i64,
    /// Those dead.
    pub(crate) failed: i64,
    /// The mean time from receipt to outcome, in milliseconds.
    pub(crate) avg_processing_time_ms: f64,
}

/// What one destination did. attempts = delivered + failed + dead.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct DestinationCounts {
    /// The destination.
    pub(crate) destination: String,
    /// All attempts.
    pub(crate) attempts: u64,
    /// Those that arrived.
    pub(crate) delivered: u64,
    /// Those that failed and were planned again.
    pub(crate) failed: u64,
    /// Those after which the destination was given up.
    pub(crate) dead: u64,
    /// Of all attempts, the ones that were not the first of their round.
    pub(crate) retries: u64,
    /// Deliveries for which nothing had to be sent: the condition of the destination did not hold.
    pub(crate) skipped: u64,
    /// delivered ÷ attempts in percent, two decimals; `100.00` when there is nothing.
    pub(crate) success_rate: String,
    /// The mean duration of an attempt, in milliseconds.
    pub(crate) avg_duration_ms: Option<f64>,
    /// The median, at most 5 % off.
    pub(crate) p50_duration_ms: Option<f64>,
    /// The 95th percentile, at most 5 % off.
    pub(crate) p95_duration_ms: Option<f64>,
    /// The 99th percentile, at most 5 % off.
    pub(crate) p99_duration_ms: Option<f64>,
    /// When the last attempt that arrived ended.
    pub(crate) last_delivered_at: Option<String>,
    /// When the last attempt that failed ended.
    pub(crate) last_failed_at: Option<String>,
}

/// Counts of one step of time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct SeriesPoint {
    /// Start of the step.
    pub(crate) timestamp: String,
    /// All.
    pub(crate) total: i64,
    /// Those processed.
    pub(crate) processed: i64,
    /// Those received, processing or retrying.
    pub(crate) pending: i64,
    /// Those dead.
    pub(crate) failed: i64,
    /// Those that repeat another one.
    pub(crate) duplicates: i64,
    /// The mean time from receipt to outcome, in milliseconds.
    pub(crate) avg_processing_time_ms: f64,
}
