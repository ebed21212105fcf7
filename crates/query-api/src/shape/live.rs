//! What live streams carry.

use domain::{DeliveryOutcome, DeliveryReceived, DeliveryStatus, RecordedEvent, Timestamp};
use poem_openapi::Object;
use serde::Serialize;

use super::delivery::{DeliveryRow, processing_ms};

/// A delivery as live streams show it: the row of the list, as it was on receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct LiveDelivery {
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) row: DeliveryRow,
    /// The event type again, under the name that live clients know.
    pub(crate) event_type: String,
    /// Where it stands in the log.
    pub(crate) position: u64,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct LiveStatus {
    /// The full id of the delivery.
    pub(crate) id: String,
    /// The sender's id of it.
    pub(crate) delivery_id: Option<String>,
    /// The configured sender.
    pub(crate) source: String,
    /// `owner/name`.
    pub(crate) repository: Option<String>,
    /// The event type.
    pub(crate) event: String,
    /// The action within the event.
    pub(crate) action: Option<String>,
    /// received, processing, retrying, processed or dead.
    pub(crate) status: String,
    /// Whether that is processed.
    pub(crate) processed: bool,
    /// Attempts made to handle it.
    pub(crate) attempts: u32,
    /// From receipt to outcome, in milliseconds.
    pub(crate) processing_time_ms: Option<f64>,
    /// The last error.
    pub(crate) error: Option<String>,
    /// Its kind, as in the row of the delivery.
    pub(crate) error_code: Option<String>,
    /// Whether another attempt may succeed.
    pub(crate) retryable: Option<bool>,
    /// Where the change stands in the log.
    pub(crate) position: u64,
}

/// Why a stream ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub(crate) struct LiveNotice {
    /// SHUTTING_DOWN, SLOW_CLIENT, KEY_REVOKED, KEY_EXPIRED, KEY_REQUIRED, SESSION_EXPIRED or LOG_UNREADABLE.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
}

impl LiveDelivery {
    /// The row of a receipt.
    pub(crate) fn of(event: &RecordedEvent, received: &DeliveryReceived) -> Self {
        let status = received.initial_status(event.duplicate_of.is_some());
        let row = DeliveryRow {
            processing_time_ms: taken(received, None, status, event.recorded_at),
            ..DeliveryRow::of(received, status, event.duplicate_of.as_ref())
        };
        Self {
            event_type: row.event.clone(),
            position: event.position.get(),
            row,
        }
    }
}

impl LiveStatus {
    /// What an outcome made of its delivery.
    pub(crate) fn of(event: &RecordedEvent, outcome: &DeliveryOutcome) -> Self {
        let received = &outcome.delivery;
        let failure = outcome.standing.failure.as_ref().map(|failing| &failing.failure);
        Self {
            id: received.key.to_string(),
            delivery_id: received.delivery_id.clone(),
            source: received.source.to_string(),
            repository: received.repository.clone(),
            event: received.event.clone(),
            action: received.action.clone(),
            status: outcome.after.to_string(),
            processed: outcome.after == DeliveryStatus::Processed,
            attempts: outcome.attempts,
            processing_time_ms: taken(received, Some(outcome.before), outcome.after, event.recorded_at),
            error: failure.map(|failure| failure.message.clone()),
            error_code: failure.map(|failure| failure.code.to_string()),
            retryable: failure.map(|failure| failure.retryable),
            position: event.position.get(),
        }
    }
}

/// From receipt to the event that made it processed, if it did.
fn taken(
    received: &DeliveryReceived,
    before: Option<DeliveryStatus>,
    after: DeliveryStatus,
    at: Timestamp,
) -> Option<f64> {
    let becomes_processed = after == DeliveryStatus::Processed && before != Some(after);
    processing_ms(received, becomes_processed.then_some(at))
}
