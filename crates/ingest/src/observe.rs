//! What operators see of receiving: metrics with bounded labels and log lines without bodies or secrets.

use std::time::Duration;

use domain::catalogue;
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;
use uuid::Uuid;

use crate::receive::{Received, Stored};
use crate::rejection::Rejection;
use crate::sample::Sample;

/// The label of whatever is not known, so that senders can't make labels.
const OTHER: &str = "other";

/// Counts a request as long as it lives.
pub(crate) struct InFlight(());

impl InFlight {
    /// A request begins.
    pub(crate) fn begin() -> Self {
        gauge!("hooklog_ingest_in_flight").increment(1.0);
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!("hooklog_ingest_in_flight").decrement(1.0);
    }
}

/// A request was taken.
pub(crate) fn taken(
    scheme: &'static str,
    received: &Received,
    request_id: Uuid,
    elapsed: Duration,
    synthetic: bool,
) {
    let facts = &received.facts;
    let source = received.source.as_str().to_owned();
    histogram!("hooklog_ingest_duration_seconds", "source" => source.clone()).record(elapsed.as_secs_f64());
    let (status, duplicate) = match &received.stored {
        Stored::New {
            duplicate_of: None, ..
        } => ("success", false),
        Stored::New { .. } | Stored::Before { .. } => ("duplicate", true),
        Stored::Ignored => {
            counter!("hooklog_ingest_ignored_total", "source" => source).increment(1);
            tracing::debug!(source = %received.source, event_type = %facts.event, %request_id, "webhook_ignored");
            return;
        }
    };
    let retried = matches!(&received.stored, Stored::Before { retried: true, .. });
    if retried {
        counter!("hooklog_ingest_redelivery_retries_total", "source" => source.clone()).increment(1);
    }
    if !synthetic {
        let event = catalogue::find(scheme, &facts.event).map_or(OTHER, |known| known.name);
        counter!("webhook_events_total", "source" => source, "event" => event, "status" => status)
            .increment(1);
    }
    let repository = facts.repository.as_deref().unwrap_or_default();
    let delivery_id = received.delivery_id.as_deref().unwrap_or_default();
    let (event_type, source) = (facts.event.as_str(), received.source.as_str());
    let elapsed_us = elapsed.as_micros();
    if scheme == "github" {
        tracing::info!(source, repository, delivery_id, event_type, duplicate, retried, synthetic, %request_id,
            elapsed_us,
            "github_webhook_received");
    } else {
        tracing::info!(source, repository, delivery_id, event_type, duplicate, retried, synthetic, %request_id,
            elapsed_us,
            "webhook_received");
    }
}

/// Takes down requests that were not taken. Every one is counted; of those that anybody can send, a few a second are
/// logged.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    forged: Sample,
    rejected: Sample,
}

impl Refusals {
    /// A request was not taken.
    pub(crate) fn refused(
        &self,
        source: Option<&str>,
        rejection: &Rejection,
        request_id: Uuid,
        elapsed: Duration,
    ) {
        let name = source.unwrap_or(OTHER).to_owned();
        let reason = rejection.reason();
        let status = if rejection.status().is_server_error() {
            "error"
        } else {
            "rejected"
        };
        histogram!("hooklog_ingest_duration_seconds", "source" => name.clone()).record(elapsed.as_secs_f64());
        counter!("hooklog_ingest_rejected_total", "source" => name.clone(), "reason" => reason).increment(1);
        counter!("webhook_events_total", "source" => name.clone(), "event" => OTHER, "status" => status)
            .increment(1);
        if *rejection == Rejection::SignatureInvalid {
            if let Some(suppressed) = self.forged.admit(Instant::now()) {
                tracing::warn!(source = name, %request_id, suppressed, "webhook_signature_verification_failed");
            }
        } else if rejection.status().is_server_error() && !rejection.is_held() {
            tracing::warn!(source = name, reason, %request_id, "webhook_refused");
        } else if let Some(suppressed) = self.rejected.admit(Instant::now()) {
            tracing::info!(source = name, reason, %request_id, suppressed, "webhook_rejected");
        }
    }
}
