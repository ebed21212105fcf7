//! One narrow row per delivery: lists, searches, look-ups. Never the payload.

use domain::{DeliveryKey, DeliveryReceived, DeliveryStatus, Proof, RecordedEvent, TableError, TenantId};
use serde::Serialize;

use super::column::{Moment, as_millis, micros_between};
use crate::{Projected, ReadModel, RowBatch, Table, View};

const TABLE: &str = "deliveries";

const TABLES: &[Table] = &[Table {
    name: TABLE,
    definition: include_str!("sql/deliveries.sql"),
}];

const VIEWS: &[View] = &[View {
    name: "webhook_events",
    select: include_str!("sql/view_webhook_events.sql"),
}];

/// The projection `deliveries`.
#[derive(Debug, Default)]
pub(crate) struct Deliveries;

impl ReadModel for Deliveries {
    fn name(&self) -> &'static str {
        "deliveries"
    }

    fn schema(&self) -> u16 {
        1
    }

    fn tables(&self) -> &'static [Table] {
        TABLES
    }

    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn wants_payload(&self, _: &DeliveryReceived) -> bool {
        false
    }

    fn project(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError> {
        for projected in events {
            if let Some(received) = &projected.received {
                rows.push(TABLE, &Row::new(&projected.event, received))?;
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Row<'a> {
    tenant: &'a TenantId,
    position: u64,
    version: u64,
    id: &'a DeliveryKey,
    delivery_id: &'a str,
    hook_id: &'a str,
    source: &'a str,
    event: &'a str,
    action: &'a str,
    repository: &'a str,
    repository_key: String,
    sender: &'a str,
    entity_kind: &'a str,
    entity_id: &'a str,
    received_at: Moment,
    recorded_at: Moment,
    status: DeliveryStatus,
    attempts: u32,
    processing_ms: Option<f64>,
    error: &'a str,
    error_code: &'a str,
    retryable: Option<bool>,
    duplicate_of: &'a str,
    synthetic: bool,
    signature: &'static str,
    body_bytes: u64,
    body_sha256: String,
}

impl<'a> Row<'a> {
    fn new(event: &'a RecordedEvent, received: &'a DeliveryReceived) -> Self {
        let status = received.initial_status(event.duplicate_of.is_some());
        let taken = micros_between(received.received_at, event.recorded_at);
        let repository = received.repository.as_deref().unwrap_or_default();
        let entity = received.entity.as_ref();
        Self {
            tenant: &received.tenant,
            position: event.position.get(),
            version: event.position.get(),
            id: &received.key,
            delivery_id: received.delivery_id.as_deref().unwrap_or_default(),
            hook_id: received.hook_id.as_deref().unwrap_or_default(),
            source: received.source.as_str(),
            event: &received.event,
            action: received.action.as_deref().unwrap_or_default(),
            repository,
            repository_key: repository.to_lowercase(),
            sender: received.sender.as_deref().unwrap_or_default(),
            entity_kind: entity.map_or("", |entity| &entity.kind),
            entity_id: entity.map_or("", |entity| &entity.id),
            received_at: received.received_at.into(),
            recorded_at: event.recorded_at.into(),
            status,
            attempts: 0,
            processing_ms: (status == DeliveryStatus::Processed).then(|| as_millis(taken)),
            error: "",
            error_code: "",
            retryable: None,
            duplicate_of: event.duplicate_of.as_ref().map_or("", |original| original.id()),
            synthetic: received.synthetic,
            signature: signature(&received.proof),
            body_bytes: received.body_bytes,
            body_sha256: received.sha256.to_string(),
        }
    }
}

const fn signature(proof: &Proof) -> &'static str {
    match proof {
        Proof::Verified { .. } => "verified",
        Proof::Unverified => "unverified",
        Proof::Imported => "imported",
    }
}
