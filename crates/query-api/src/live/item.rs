//! An event of the log as live clients get it: made once, shared by all who are shown it.

use bytes::Bytes;
use domain::{
    DeliveryOutcome, DeliveryReceived, DeliveryStatus, EventData, Outcome, Position, RecordedEvent, TenantId,
    is_form,
};
use serde::Serialize;

use crate::shape::live::{LiveDelivery, LiveStatus};

/// What an item costs beside its texts, in bytes.
const ITEM_BYTES: usize = 512;

/// An event of the log. One that is of no interest to anybody is there for its position.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) position: Position,
    pub(crate) kind: Kind,
}

/// What it is about.
#[derive(Debug)]
pub(crate) enum Kind {
    Delivery(Box<Delivery>),
    Change(Box<Change>),
    Other,
}

/// What filters look at.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) tenant: TenantId,
    pub(crate) source: String,
    /// In lower case.
    pub(crate) repository: Option<String>,
    pub(crate) event: String,
    pub(crate) action: Option<String>,
    /// What it is from this event on.
    pub(crate) status: DeliveryStatus,
}

/// A delivery that was received.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) position: Position,
    pub(crate) facts: Facts,
    /// The facts of its receipt, without the headers.
    pub(crate) received: DeliveryReceived,
    /// Whether the JSON payload is the field of a form.
    pub(crate) form: bool,
    /// Whether it repeats another one.
    pub(crate) duplicate: bool,
    /// One line of JSON: the row of the list.
    pub(crate) row: Bytes,
    pub(crate) data: EventData,
}

/// A status that changed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) facts: Facts,
    /// One line of JSON.
    pub(crate) row: Bytes,
}

impl Item {
    /// The item of an event. What can't be read is passed over, as it is of no use to a client.
    pub(crate) fn of(event: &RecordedEvent) -> Self {
        let kind = match kind(event) {
            Ok(kind) => kind,
            Err(error) => {
                tracing::warn!(%error, position = %event.position, "live_event_unreadable: it is passed over");
                Kind::Other
            }
        };
        Self {
            position: event.position,
            kind,
        }
    }

    /// One that only says how far the log is.
    #[cfg(test)]
    pub(crate) const fn other(position: Position) -> Self {
        Self {
            position,
            kind: Kind::Other,
        }
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let texts = match &self.kind {
            Kind::Delivery(delivery) => {
                let data = match &delivery.data {
                    EventData::Inline(bytes) => bytes.len(),
                    EventData::Stored(_) => 0,
                };
                // The facts say about what the row says.
                data + 3 * delivery.row.len()
            }
            Kind::Change(change) => 2 * change.row.len(),
            Kind::Other => 0,
        };
        ITEM_BYTES + texts
    }
}

fn kind(event: &RecordedEvent) -> Result<Kind, serde_json::Error> {
    if let Some(received) = DeliveryReceived::of(event).transpose()? {
        let form = received.header("content-type").is_some_and(is_form);
        let row = json(&LiveDelivery::of(event, &received))?;
        return Ok(Kind::Delivery(Box::new(Delivery {
            facts: Facts::of(&received, received.initial_status(event.duplicate_of.is_some())),
            position: event.position,
            row,
            form,
            duplicate: event.duplicate_of.is_some(),
            data: event.data.clone(),
            received: DeliveryReceived {
                headers: Vec::new(),
                ..received
            },
        })));
    }
    let Some(outcome) = DeliveryOutcome::of(event).transpose()? else {
        return Ok(Kind::Other);
    };
    if !matters(&outcome) {
        return Ok(Kind::Other);
    }
    Ok(Kind::Change(Box::new(Change {
        facts: Facts::of(&outcome.delivery, outcome.after),
        row: json(&LiveStatus::of(event, &outcome))?,
    })))
}

/// Whether the row is another one now: a replay to the subjects, or to no destination, leaves it as it was.
const fn matters(outcome: &DeliveryOutcome) -> bool {
    match &outcome.outcome {
        Outcome::Failed(_) | Outcome::Processed(_) | Outcome::DeadLettered(_) => true,
        Outcome::ReplayRequested(request) => !request.destinations.is_empty(),
    }
}

fn json(row: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(row).map(Bytes::from)
}

impl Facts {
    fn of(received: &DeliveryReceived, status: DeliveryStatus) -> Self {
        Self {
            tenant: received.tenant.clone(),
            source: received.source.to_string(),
            repository: received.repository.as_deref().map(str::to_lowercase),
            event: received.event.clone(),
            action: received.action.clone(),
            status,
        }
    }
}
