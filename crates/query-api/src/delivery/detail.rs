//! One delivery in full: its row, headers, payload and history.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::{
    BodyStore, DeliveryReceived, DeliveryStatus, EventLog, PageLimit, Proof, RecordedEvent, Revision,
    StreamName, body_bytes, decode_form_payload, is_form,
};
use serde_json::value::RawValue;

use super::find::Found;
use crate::answer::Json;
use crate::failure::Failure;
use crate::shape::delivery::{Alternative, DeliveryDetail, DeliveryRow, HeaderShape, HistoryEvent};
use crate::shape::round_ms;

/// The row of a delivery, from its first event. Nothing is due to a delivery yet, so its status is that of its receipt.
fn row(found: &Found) -> DeliveryRow {
    let (event, received) = (&found.event, &found.received);
    let status = received.initial_status(event.duplicate_of.is_some());
    let processed = status == DeliveryStatus::Processed;
    let micros = event
        .recorded_at
        .as_micros()
        .saturating_sub(received.received_at.as_micros());
    // Below 2^53 microseconds it is exact.
    #[allow(clippy::cast_precision_loss, reason = "shown with three decimals")]
    let elapsed_ms = micros.max(0) as f64 / 1000.0;
    DeliveryRow {
        id: received.key.to_string(),
        delivery_id: received.delivery_id.clone(),
        hook_id: received.hook_id.clone(),
        source: received.source.to_string(),
        repository: received.repository.clone(),
        event: received.event.clone(),
        action: received.action.clone(),
        sender: received.sender.clone(),
        timestamp: received.received_at.to_string(),
        processed,
        status: status.to_string(),
        attempts: 0,
        processing_time_ms: processed.then(|| round_ms(elapsed_ms)),
        error: None,
        error_code: None,
        retryable: None,
        duplicate_of: event.duplicate_of.as_ref().map(|stream| stream.id().to_owned()),
    }
}

/// The body as the detail shows it.
#[derive(Debug, Default)]
struct Shown {
    payload: Option<Json>,
    base64: Option<String>,
    url: Option<String>,
}

/// Where the exact body is.
fn body_url(base_url: &str, received: &DeliveryReceived) -> String {
    let key = received.key.as_str().replace('%', "%25");
    format!(
        "{}/api/webhooks/events/{key}/body",
        base_url.trim_end_matches('/')
    )
}

/// What a delivery in full is made from.
pub(crate) struct Sources<'a> {
    pub(crate) log: &'a dyn EventLog,
    pub(crate) bodies: &'a dyn BodyStore,
    pub(crate) base_url: &'a str,
    /// The longest body shown, in bytes.
    pub(crate) payload_bytes_max: u64,
    /// The most events of the history shown.
    pub(crate) history_events_max: usize,
}

impl Sources<'_> {
    /// The delivery in full.
    pub(crate) async fn detail(&self, found: Found, others: &[Found]) -> Result<DeliveryDetail, Failure> {
        let shown = self.shown(&found).await?;
        let history = self.history(&found.event.stream).await?;
        let row = row(&found);
        let (event, received) = (found.event, found.received);
        let signature = match received.proof {
            Proof::Verified { .. } => "verified",
            Proof::Unverified => "unverified",
            Proof::Imported => "imported",
        };
        Ok(DeliveryDetail {
            row,
            position: event.position.get(),
            recorded_at: event.recorded_at.to_string(),
            signature: signature.to_owned(),
            remote: received.remote.map(|address| address.to_string()),
            synthetic: received.synthetic,
            content_type: received.header("content-type").map(str::to_owned),
            body_bytes: received.body_bytes,
            sha256: received.sha256.to_string(),
            headers: received
                .headers
                .into_iter()
                .map(|h| HeaderShape {
                    name: h.0,
                    value: h.1,
                })
                .collect(),
            payload: shown.payload,
            payload_base64: shown.base64,
            payload_url: shown.url,
            history,
            alternatives: others.iter().map(alternative).collect(),
        })
    }

    async fn shown(&self, found: &Found) -> Result<Shown, Failure> {
        let received = &found.received;
        if found.event.data.byte_len() > self.payload_bytes_max {
            return Ok(Shown {
                url: Some(body_url(self.base_url, received)),
                ..Shown::default()
            });
        }
        let body = body_bytes(&found.event, self.bodies).await?;
        let form = received.header("content-type").is_some_and(is_form);
        let json = if form {
            decode_form_payload(&body).map(Bytes::from)
        } else {
            Some(body.clone())
        };
        let payload: Option<Box<RawValue>> = json.and_then(|json| serde_json::from_slice(&json).ok());
        Ok(match payload {
            Some(payload) => Shown {
                payload: Some(Json(payload)),
                ..Shown::default()
            },
            None => Shown {
                base64: Some(STANDARD.encode(&body)),
                ..Shown::default()
            },
        })
    }

    async fn history(&self, stream: &StreamName) -> Result<Vec<HistoryEvent>, Failure> {
        let mut history: Vec<HistoryEvent> = Vec::new();
        while history.len() < self.history_events_max {
            let limit = PageLimit {
                events: self.history_events_max - history.len(),
                ..PageLimit::default()
            };
            let from = Revision::new(history.len() as u64);
            let page = self.log.read_stream(stream, from, limit).await?;
            if page.is_empty() {
                break;
            }
            history.extend(page.iter().map(happened));
        }
        Ok(history)
    }
}

fn happened(event: &RecordedEvent) -> HistoryEvent {
    // The delivery's own facts stand in the row and the headers already.
    let shown_already = event.event_type.as_str() == DeliveryReceived::TYPE;
    let facts = (!shown_already).then(|| serde_json::from_slice(&event.metadata).ok());
    HistoryEvent {
        r#type: event.event_type.to_string(),
        id: event.id.to_string(),
        position: event.position.get(),
        revision: event.revision.get(),
        recorded_at: event.recorded_at.to_string(),
        facts: facts.flatten().map(Json),
    }
}

fn alternative(found: &Found) -> Alternative {
    Alternative {
        id: found.received.key.to_string(),
        source: found.received.source.to_string(),
        hook_id: found.received.hook_id.clone(),
        timestamp: found.received.received_at.to_string(),
    }
}
