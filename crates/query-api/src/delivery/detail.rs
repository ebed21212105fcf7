//! One delivery in full: its row, headers, payload, destinations and history.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::{BodyStore, DeliveryReceived, EventLog, Proof, body_bytes, decode_form_payload, is_form};
use serde_json::value::RawValue;

use super::find::Found;
use super::story::Story;
use crate::answer::Json;
use crate::failure::Failure;
use crate::shape::delivery::{Alternative, DeliveryDetail, HeaderShape};

/// The body as the detail shows it.
#[derive(Debug, Default)]
struct Shown {
    payload: Option<Json>,
    base64: Option<String>,
    url: Option<String>,
}

/// Where the exact body is.
pub(crate) fn body_url(base_url: &str, received: &DeliveryReceived) -> String {
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
        let story = Story::read(self.log, &found.event.stream, self.history_events_max).await?;
        let story = story.ok_or_else(|| Failure::not_found("there is no such delivery"))?;
        let (event, received) = (found.event, found.received);
        let signature = match received.proof {
            Proof::Verified { .. } => "verified",
            Proof::Unverified => "unverified",
            Proof::Imported => "imported",
        };
        Ok(DeliveryDetail {
            row: story.row(),
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
            error_destination: story.failing().map(|failing| failing.destination.to_string()),
            failed_at: story.failing().map(|failing| failing.at.to_string()),
            destinations: story.destinations(),
            history: story.history,
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
}

/// A delivery that an id names as well.
pub(crate) fn alternative(found: &Found) -> Alternative {
    Alternative {
        id: found.received.key.to_string(),
        source: found.received.source.to_string(),
        hook_id: found.received.hook_id.clone(),
        timestamp: found.received.received_at.to_string(),
    }
}
