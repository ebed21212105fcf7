//! Deliveries: rows of lists, one in full, and the known event types.

use domain::{DeliveryReceived, DeliveryStatus, Proof, StreamName, Timestamp};
use poem_openapi::Object;
use serde::Serialize;

use super::round_ms;
use crate::answer::Json;

/// A delivery as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Delivery", rename_all = "camelCase")]
pub(crate) struct DeliveryRow {
    /// The full key: `<source>.<hook or _>.<sender's id>`.
    pub(crate) id: String,
    /// The sender's id of it.
    pub(crate) delivery_id: Option<String>,
    /// The sender's hook.
    pub(crate) hook_id: Option<String>,
    /// The configured sender.
    pub(crate) source: String,
    /// `owner/name`.
    pub(crate) repository: Option<String>,
    /// The event type.
    pub(crate) event: String,
    /// The action within the event.
    pub(crate) action: Option<String>,
    /// Login of whoever caused it.
    pub(crate) sender: Option<String>,
    /// When it was received.
    pub(crate) timestamp: String,
    /// Whether its status is processed.
    pub(crate) processed: bool,
    /// received, processing, retrying, processed or dead.
    pub(crate) status: String,
    /// Attempts made to handle it.
    pub(crate) attempts: u32,
    /// From receipt to outcome, in milliseconds.
    pub(crate) processing_time_ms: Option<f64>,
    /// The last error.
    pub(crate) error: Option<String>,
    /// NETWORK_ERROR, TIMEOUT_ERROR, RATE_LIMIT_ERROR, SERVICE_UNAVAILABLE, VALIDATION_ERROR, AUTHENTICATION_ERROR,
    /// NOT_FOUND_ERROR or DUPLICATE_ERROR.
    pub(crate) error_code: Option<String>,
    /// Whether another attempt may succeed.
    pub(crate) retryable: Option<bool>,
    /// The id of the delivery that this one repeats.
    pub(crate) duplicate_of: Option<String>,
}

impl DeliveryRow {
    /// What is known from its receipt, and its status; nothing was attempted.
    pub(crate) fn of(
        received: &DeliveryReceived,
        status: DeliveryStatus,
        duplicate_of: Option<&StreamName>,
    ) -> Self {
        Self {
            id: received.key.to_string(),
            delivery_id: received.delivery_id.clone(),
            hook_id: received.hook_id.clone(),
            source: received.source.to_string(),
            repository: received.repository.clone(),
            event: received.event.clone(),
            action: received.action.clone(),
            sender: received.sender.clone(),
            timestamp: received.received_at.to_string(),
            processed: status == DeliveryStatus::Processed,
            status: status.to_string(),
            attempts: 0,
            processing_time_ms: None,
            error: None,
            error_code: None,
            retryable: None,
            duplicate_of: duplicate_of.map(|stream| stream.id().to_owned()),
        }
    }
}

/// From the receipt of a delivery to its outcome. Imported history was received, and processed, by somebody else.
pub(crate) fn processing_ms(received: &DeliveryReceived, processed_at: Option<Timestamp>) -> Option<f64> {
    let processed_at = processed_at.filter(|_| received.proof != Proof::Imported)?;
    let micros = processed_at
        .as_micros()
        .saturating_sub(received.received_at.as_micros());
    // Below 2^53 microseconds it is exact.
    #[allow(clippy::cast_precision_loss, reason = "shown with three decimals")]
    let ms = micros.max(0) as f64 / 1000.0;
    Some(round_ms(ms))
}

/// A page of deliveries, newest first.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct DeliveryPage {
    /// The deliveries.
    pub(crate) events: Vec<DeliveryRow>,
    /// How many there are on all pages. Counted from rollups per minute, never by reading the list.
    pub(crate) total: i64,
    /// False when `total` is only a lower bound, or when the range cuts a minute in two.
    pub(crate) total_is_exact: bool,
    /// The most rows of this page.
    pub(crate) limit: u32,
    /// How many rows were skipped.
    pub(crate) offset: u32,
    /// Give it as `cursor` to get the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
    /// `<logId>:<position>` up to which the page has everything: the stream of events goes on from there, given as `after`, without
    /// leaving anything out. What both have came in meanwhile. Null where it is not known.
    pub(crate) position: Option<String>,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct DeadLetter {
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) row: DeliveryRow,
    /// The destination of the last error: of several that gave it up, the last.
    pub(crate) destination: Option<String>,
    /// When its last attempt ended.
    pub(crate) failed_at: Option<String>,
}

/// Dead letters that share why they were given up.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Cause", rename_all = "camelCase")]
pub(crate) struct CauseShape {
    /// The destination that gave them up: of several, the last.
    pub(crate) destination: Option<String>,
    /// As in the row of a delivery.
    pub(crate) error_code: Option<String>,
    /// The error without what differs from one delivery to the next: UUIDs and long numbers are `…`.
    pub(crate) error: String,
    /// Whether another attempt may succeed.
    pub(crate) retryable: Option<bool>,
    /// How many there are.
    pub(crate) count: i64,
    /// When the first of them was given up.
    pub(crate) first_failed_at: Option<String>,
    /// When the last of them was given up.
    pub(crate) last_failed_at: Option<String>,
    /// The ten newest of them.
    pub(crate) newest: Vec<DeadLetter>,
}

/// All dead letters by their causes.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct CauseList {
    /// The causes, the most frequent first.
    pub(crate) causes: Vec<CauseShape>,
    /// How many causes there are, those beyond `limit` included.
    pub(crate) total: i64,
    /// How many dead letters there are, over all causes.
    pub(crate) dead_letters: i64,
    /// The most causes of this answer.
    pub(crate) limit: u32,
}

/// A page of dead letters, the newest delivery first.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct DeadLetterPage {
    /// The deliveries.
    pub(crate) events: Vec<DeadLetter>,
    /// How many there are on all pages.
    pub(crate) total: i64,
    /// False when `total` is only a lower bound.
    pub(crate) total_is_exact: bool,
    /// The most rows of this page.
    pub(crate) limit: u32,
    /// How many rows were skipped.
    pub(crate) offset: u32,
    /// Give it as `cursor` to get the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// Another delivery that the id asked for names as well.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct Alternative {
    /// The full key.
    pub(crate) id: String,
    /// The configured sender.
    pub(crate) source: String,
    /// The sender's hook.
    pub(crate) hook_id: Option<String>,
    /// When it was received.
    pub(crate) timestamp: String,
}

/// A header as it was received.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
pub(crate) struct HeaderShape {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
}

/// An event of a delivery's stream.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct HistoryEvent {
    /// What happened: `DeliveryReceived`, …
    pub(crate) r#type: String,
    /// Its id.
    pub(crate) id: String,
    /// Where it stands in the log.
    pub(crate) position: u64,
    /// Where it stands in the delivery's stream, from 0.
    pub(crate) revision: u64,
    /// When the log took it.
    pub(crate) recorded_at: String,
    /// Its facts, without those that the delivery shows already.
    pub(crate) facts: Option<Json>,
}

/// What a destination answered.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[oai(rename = "AttemptResponse")]
pub(crate) struct ResponseShape {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The beginning of its body, at most 500 characters.
    pub(crate) excerpt: String,
}

/// One try to hand a delivery to a destination.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Attempt", rename_all = "camelCase")]
pub(crate) struct AttemptShape {
    /// Which one of its round, from 1.
    pub(crate) number: u32,
    /// When it began.
    pub(crate) started_at: String,
    /// How long it took, in milliseconds.
    pub(crate) duration_ms: f64,
    /// Where it went: a URL without credentials and query, or `nats:<subject>`.
    pub(crate) target: String,
    /// The key by which the receiver recognises a repeat; the same for every attempt of a round.
    pub(crate) idempotency_key: String,
    /// The headers of the request, but those of its connection: those that the delivery came with and that went on, and those
    /// added, with what is secret in them masked. Null where they were not taken down.
    pub(crate) headers: Option<Vec<HeaderShape>>,
    /// What was answered; null when nothing was.
    pub(crate) response: Option<ResponseShape>,
    /// Why it failed; null when it succeeded.
    pub(crate) error: Option<String>,
    /// As in the row of the delivery.
    pub(crate) error_code: Option<String>,
    /// Whether a later attempt may succeed.
    pub(crate) retryable: Option<bool>,
}

/// What a destination does with a delivery. A replay opens another round; those before it are in the history.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct DestinationPart {
    /// The destination.
    pub(crate) name: String,
    /// open, done or dead (given up).
    pub(crate) state: String,
    /// Id of the event that opened the round: the receipt, or a request to replay.
    pub(crate) round: String,
    /// When the log took that event.
    pub(crate) since: String,
    /// The replay that opened the round.
    pub(crate) replay_id: Option<String>,
    /// The attempts of the round, the last one last.
    pub(crate) attempts: Vec<AttemptShape>,
    /// When the next attempt is due; null when there is none. A destination that is paused, or whose circuit breaker is open,
    /// makes it later.
    pub(crate) next_attempt_at: Option<String>,
    /// When the round ended.
    pub(crate) ended_at: Option<String>,
    /// Why nothing had to be sent.
    pub(crate) skipped: Option<String>,
}

/// One delivery in full, read from the log.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct DeliveryDetail {
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) row: DeliveryRow,
    /// Where it stands in the log.
    pub(crate) position: u64,
    /// When the log took it.
    pub(crate) recorded_at: String,
    /// `verified`, `unverified` or `imported`.
    pub(crate) signature: String,
    /// The address it came from.
    pub(crate) remote: Option<String>,
    /// Made by `POST /api/webhooks/test`.
    pub(crate) synthetic: bool,
    /// The content type of the body.
    pub(crate) content_type: Option<String>,
    /// Length of the body in bytes.
    pub(crate) body_bytes: u64,
    /// SHA-256 of the body.
    pub(crate) sha256: String,
    /// The headers, in their order, without those that carry a secret in clear.
    pub(crate) headers: Vec<HeaderShape>,
    /// The JSON payload, decoded for forms; null when the body is no JSON or too long to be shown here.
    pub(crate) payload: Option<Json>,
    /// The body, when it is no JSON.
    pub(crate) payload_base64: Option<String>,
    /// Where the exact body is; given when it is too long to be shown here.
    pub(crate) payload_url: Option<String>,
    /// The destination of `error`.
    pub(crate) error_destination: Option<String>,
    /// When the attempt of `error` ended.
    pub(crate) failed_at: Option<String>,
    /// What each destination does with it, by name.
    pub(crate) destinations: Vec<DestinationPart>,
    /// What happened to it, oldest first.
    pub(crate) history: Vec<HistoryEvent>,
    /// Other deliveries that the id asked for names; choose with `source` and `hookId`.
    pub(crate) alternatives: Vec<Alternative>,
}

/// What senders are known to send.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct KnownTypes {
    /// The categories, in the order in which they are shown.
    pub(crate) categories: Vec<String>,
    /// The known types of each source. Unknown ones are accepted and kept as well.
    pub(crate) sources: Vec<KnownSource>,
}

/// What one source is known to send.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct KnownSource {
    /// The source.
    pub(crate) source: String,
    /// Its event types, by name.
    pub(crate) types: Vec<KnownType>,
}

/// A known event type.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct KnownType {
    /// Its name.
    pub(crate) event: String,
    /// Actions, Code, Pull Request, Issue, Repository, Security, Organization or Other.
    pub(crate) category: String,
    /// The actions within it; empty when it has none or they are free.
    pub(crate) actions: Vec<String>,
}
