//! One narrow row per delivery: lists, searches, look-ups. Never the payload.
//!
//! An outcome gives the whole row again, from what it repeats of the receipt: nothing is ever looked up.

use domain::{
    DeliveryKey, DeliveryOutcome, DeliveryReceived, DeliveryStatus, Outcome, Position, Proof, Standing,
    StreamName, TableError, TenantId, Timestamp,
};
use serde::Serialize;

use super::column::{Moment, as_millis};
use super::transition::processing_us;
use crate::{Projected, ReadModel, RowBatch, Table, View};

const TABLE: &str = "deliveries";
const DEAD_LETTERS: &str = "dead_letters";

const TABLES: &[Table] = &[
    Table {
        name: TABLE,
        definition: include_str!("sql/deliveries.sql"),
    },
    Table {
        name: DEAD_LETTERS,
        definition: include_str!("sql/dead_letters.sql"),
    },
];

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
        2
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

    fn take(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError> {
        for projected in events {
            if let Some(received) = &projected.received {
                rows.push(TABLE, &Row::received(projected, received))?;
            } else if let Some(outcome) = projected.outcome.as_ref().filter(|outcome| matters(outcome)) {
                rows.push(TABLE, &Row::after(projected, outcome))?;
                let is_or_was = [outcome.before, outcome.after].contains(&DeliveryStatus::Dead);
                if is_or_was {
                    rows.push(DEAD_LETTERS, &DeadLetterRow::new(projected, outcome))?;
                }
            }
        }
        Ok(())
    }
}

/// Whether the row is another one now. A replay to the subjects, or to no destination, leaves the delivery as it was; its
/// event does not say how long processing took, so the row that does has to stay.
const fn matters(outcome: &DeliveryOutcome) -> bool {
    match &outcome.outcome {
        Outcome::Failed(_) | Outcome::Processed(_) | Outcome::DeadLettered(_) => true,
        Outcome::ReplayRequested(request) => !request.destinations.is_empty(),
    }
}

/// What changes in the life of a delivery.
struct Standpoint<'a> {
    position: Position,
    recorded_at: Timestamp,
    duplicate_of: Option<&'a StreamName>,
    status: DeliveryStatus,
    attempts: u32,
    processing_us: Option<u64>,
    standing: &'a Standing,
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
    error_destination: &'a str,
    failed_at: Option<Moment>,
    last_attempt_at: Option<Moment>,
    next_attempt_at: Option<Moment>,
    duplicate_of: &'a str,
    synthetic: bool,
    signature: Signature,
    body_bytes: u64,
    body_sha256: String,
}

impl<'a> Row<'a> {
    fn received(projected: &'a Projected, received: &'a DeliveryReceived) -> Self {
        static NOTHING: Standing = Standing {
            last_attempt_at: None,
            next_attempt_at: None,
            failure: None,
        };
        let event = &projected.event;
        let status = received.initial_status(event.duplicate_of.is_some());
        let standpoint = Standpoint {
            position: event.position,
            recorded_at: event.recorded_at,
            duplicate_of: event.duplicate_of.as_ref(),
            status,
            attempts: 0,
            processing_us: processing_us(projected, received, None, status),
            standing: &NOTHING,
        };
        Self::new(projected.event.position, received, &standpoint)
    }

    fn after(projected: &'a Projected, outcome: &'a DeliveryOutcome) -> Self {
        let (received, receipt) = (&outcome.delivery, &outcome.receipt);
        let standpoint = Standpoint {
            position: receipt.position,
            recorded_at: receipt.recorded_at,
            duplicate_of: receipt.duplicate_of.as_ref(),
            status: outcome.after,
            attempts: outcome.attempts,
            processing_us: processing_us(projected, received, Some(outcome.before), outcome.after),
            standing: &outcome.standing,
        };
        Self::new(projected.event.position, received, &standpoint)
    }

    fn new(version: Position, received: &'a DeliveryReceived, standpoint: &Standpoint<'a>) -> Self {
        let repository = received.repository.as_deref().unwrap_or_default();
        let entity = received.entity.as_ref();
        let standing = standpoint.standing;
        let failure = standing.failure.as_ref();
        Self {
            tenant: &received.tenant,
            position: standpoint.position.get(),
            version: version.get(),
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
            recorded_at: standpoint.recorded_at.into(),
            status: standpoint.status,
            attempts: standpoint.attempts,
            processing_ms: standpoint.processing_us.map(as_millis),
            error: failure.map_or("", |failing| &failing.failure.message),
            error_code: failure.map_or("", |failing| failing.failure.code.as_str()),
            retryable: failure.map(|failing| failing.failure.retryable),
            error_destination: failure.map_or("", |failing| failing.destination.as_str()),
            failed_at: failure.map(|failing| failing.at.into()),
            last_attempt_at: standing.last_attempt_at.map(Moment::from),
            next_attempt_at: standing.next_attempt_at.map(Moment::from),
            duplicate_of: standpoint.duplicate_of.map_or("", |original| original.id()),
            synthetic: received.synthetic,
            signature: Signature::of(&received.proof),
            body_bytes: received.body_bytes,
            body_sha256: received.sha256.to_string(),
        }
    }
}

/// Where a delivery that is or was given up is found.
#[derive(Serialize)]
struct DeadLetterRow<'a> {
    tenant: &'a TenantId,
    position: u64,
    version: u64,
    dead: bool,
    source: &'a str,
    event: &'a str,
    action: &'a str,
    repository_key: String,
    synthetic: bool,
    destination: &'a str,
    error_code: &'a str,
    dead_at: Option<Moment>,
}

impl<'a> DeadLetterRow<'a> {
    fn new(projected: &Projected, outcome: &'a DeliveryOutcome) -> Self {
        let received = &outcome.delivery;
        let dead = outcome.after == DeliveryStatus::Dead;
        let failure = outcome.standing.failure.as_ref().filter(|_| dead);
        Self {
            tenant: &received.tenant,
            position: outcome.receipt.position.get(),
            version: projected.event.position.get(),
            dead,
            source: received.source.as_str(),
            event: &received.event,
            action: received.action.as_deref().unwrap_or_default(),
            repository_key: received.repository.as_deref().unwrap_or_default().to_lowercase(),
            synthetic: received.synthetic,
            destination: failure.map_or("", |failing| failing.destination.as_str()),
            error_code: failure.map_or("", |failing| failing.failure.code.as_str()),
            dead_at: failure.map(|failing| failing.at.into()),
        }
    }
}

/// How a delivery showed where it comes from.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Signature {
    Verified,
    Unverified,
    Imported,
}

impl Signature {
    const fn of(proof: &Proof) -> Self {
        match proof {
            Proof::Verified { .. } => Self::Verified,
            Proof::Unverified => Self::Unverified,
            Proof::Imported => Self::Imported,
        }
    }
}
