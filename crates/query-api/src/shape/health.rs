//! The health of the whole: a score and what it is made of.

use poem_openapi::Object;
use serde::Serialize;

use super::system::ComponentShape;

/// How the service is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct Health {
    /// healthy (from 80), degraded (from 50) or unhealthy.
    pub(crate) status: String,
    /// 100 minus the deductions, not below 0.
    pub(crate) health_score: u32,
    /// Deliveries of the last five minutes; null when the read store is down.
    pub(crate) recent_events: Option<i64>,
    /// When the last delivery was received.
    pub(crate) last_event_time: Option<String>,
    /// Dead letters now; null when the read store is down.
    pub(crate) failed_webhooks_count: Option<i64>,
    /// Figures of the last hour.
    pub(crate) metrics: HealthMetrics,
    /// The last hour per event type.
    pub(crate) hourly_stats: Vec<HourlyEvent>,
    /// The parts of the service.
    pub(crate) components: Vec<ComponentShape>,
    /// What was taken off the score, and why.
    pub(crate) deductions: Vec<DeductionShape>,
}

/// Figures of the last hour.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
pub(crate) struct HealthMetrics {
    /// Figures of the last hour.
    pub(crate) hourly: HourlyMetrics,
}

/// Figures of the last hour.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct HourlyMetrics {
    /// All deliveries.
    pub(crate) total: i64,
    /// Those dead.
    pub(crate) failed: i64,
    /// The mean time from receipt to outcome, in milliseconds.
    pub(crate) avg_processing_time_ms: f64,
}

/// The last hour of an event type.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
pub(crate) struct HourlyEvent {
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
}

/// Points taken off the score.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[oai(rename = "Deduction")]
pub(crate) struct DeductionShape {
    /// What for: failure-rate, lag, backlog, queue, dead-letters, silence, rate, rejected, component or read-store.
    pub(crate) name: String,
    /// How many.
    pub(crate) points: u32,
    /// The figures behind it.
    pub(crate) why: String,
}
