//! What the runtime learns from an event of the log, read as cheaply as it can be: most events name no reactor, and of those
//! not a byte is parsed.

use std::sync::Arc;

use domain::{
    DeliveryOutcome, DeliveryReceived, DestinationName, EventData, EventId, Outcome, Position, RecordedEvent,
    ReplayTo, Revision, StreamName, TenantId, Timestamp,
};
use memchr::memmem;
use serde::Deserialize;

use crate::DestinationPlan;

/// A destination of a tenant. A name alone is not enough: settings may give it to another tenant, whose deliveries it must
/// not see.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) tenant: TenantId,
    pub(super) name: DestinationName,
}

impl Place {
    pub(super) fn of(plan: &DestinationPlan) -> Self {
        Self {
            tenant: plan.tenant.clone(),
            name: plan.name.clone(),
        }
    }
}

/// An event that concerns the reactors.
#[derive(Debug, Clone)]
pub(super) struct News {
    pub(super) position: Position,
    pub(super) stream: Arc<StreamName>,
    pub(super) revision: Revision,
    pub(super) fact: Fact,
}

/// What it says.
#[derive(Debug, Clone)]
pub(super) enum Fact {
    /// A round begins.
    Opened(Opened),
    /// A round goes on.
    Failed {
        place: Place,
        round: EventId,
        due_at: Timestamp,
        attempts: u32,
    },
    /// A round ends.
    Closed {
        place: Place,
        round: EventId,
        dead: bool,
    },
    /// A destination was paused or resumed.
    Destination(RecordedEvent),
    /// It can't be read, at least not by this version.
    NotUnderstood,
}

/// The beginning of a round.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) round: EventId,
    pub(super) since: Timestamp,
    pub(super) due: Vec<Due>,
    pub(super) repository: Option<Arc<str>>,
    /// What priorities are made of; dropped once they are.
    pub(super) material: Option<Box<Material>>,
}

/// What a destination looks at to say how urgent a delivery is.
#[derive(Debug, Clone)]
pub(super) struct Material {
    pub(super) received: DeliveryReceived,
    pub(super) data: EventData,
    /// The facts come from a request to replay: without headers, and the data is empty.
    pub(super) partial: bool,
}

/// A destination at which a round begins.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) place: Place,
    /// How urgent it is; none where nobody asked.
    pub(super) priority: Option<i64>,
}

/// The parts of an outcome that matter here.
#[derive(Deserialize)]
struct Slim {
    outcome: SlimOutcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlimOutcome {
    destination: DestinationName,
    round: EventId,
    next_attempt_at: Option<Timestamp>,
    attempt: Option<SlimAttempt>,
}

#[derive(Deserialize)]
struct SlimAttempt {
    number: u32,
}

impl News {
    /// What an event says; `None` when it does not concern the reactors.
    ///
    /// # Errors
    /// When it would, but can't be read.
    pub(super) fn of(event: &RecordedEvent) -> Result<Option<Self>, serde_json::Error> {
        let [failed, processed, dead_lettered, replay_requested] = Outcome::TYPES;
        let fact = match event.event_type.as_str() {
            DeliveryReceived::TYPE => received(event)?,
            name if name == replay_requested => requested(event)?,
            name if name == failed || name == processed || name == dead_lettered => {
                Some(attempted(event, name == failed, name == dead_lettered)?)
            }
            "DestinationPaused" | "DestinationResumed" => Some(Fact::Destination(event.clone())),
            _ => None,
        };
        Ok(fact.map(|fact| Self::new(event, fact)))
    }

    /// An event that can't be read.
    pub(super) fn not_understood(event: &RecordedEvent) -> Self {
        Self::new(event, Fact::NotUnderstood)
    }

    fn new(event: &RecordedEvent, fact: Fact) -> Self {
        Self {
            position: event.position,
            stream: Arc::new(event.stream.clone()),
            revision: event.revision,
            fact,
        }
    }
}

fn received(event: &RecordedEvent) -> Result<Option<Fact>, serde_json::Error> {
    // The field is left out when no reactor is due; a header may hold the word, but then only some time is lost.
    if event.duplicate_of.is_some() || memmem::find(&event.metadata, b"\"reactorsDue\"").is_none() {
        return Ok(None);
    }
    let Some(received) = DeliveryReceived::of(event).transpose()? else {
        return Ok(None);
    };
    let due = received.destinations_due().map(|name| Due {
        place: Place {
            tenant: received.tenant.clone(),
            name,
        },
        priority: None,
    });
    let due: Vec<Due> = due.collect();
    Ok((!due.is_empty()).then(|| {
        Fact::Opened(Opened {
            round: event.id,
            since: event.recorded_at,
            due,
            repository: received.repository.as_deref().map(Into::into),
            material: Some(Box::new(Material {
                received,
                data: event.data.clone(),
                partial: false,
            })),
        })
    }))
}

fn requested(event: &RecordedEvent) -> Result<Option<Fact>, serde_json::Error> {
    let Some(outcome) = DeliveryOutcome::of(event).transpose()? else {
        return Ok(None);
    };
    let Outcome::ReplayRequested(request) = outcome.outcome else {
        return Ok(None);
    };
    if request.to == ReplayTo::Subjects || request.destinations.is_empty() {
        return Ok(None);
    }
    let tenant = &outcome.delivery.tenant;
    let due = request.destinations.into_iter().map(|name| Due {
        place: Place {
            tenant: tenant.clone(),
            name,
        },
        priority: None,
    });
    Ok(Some(Fact::Opened(Opened {
        round: event.id,
        since: event.recorded_at,
        due: due.collect(),
        repository: outcome.delivery.repository.as_deref().map(Into::into),
        material: Some(Box::new(Material {
            received: outcome.delivery,
            data: EventData::Inline(bytes::Bytes::new()),
            partial: true,
        })),
    })))
}

fn attempted(event: &RecordedEvent, failed: bool, dead: bool) -> Result<Fact, serde_json::Error> {
    use serde::de::Error as _;
    let Slim { outcome } = serde_json::from_slice(&event.metadata)?;
    let tenant = event.stream.tenant().parse().map_err(serde_json::Error::custom)?;
    let (round, name) = (outcome.round, outcome.destination);
    let place = Place { tenant, name };
    if !failed {
        return Ok(Fact::Closed { place, round, dead });
    }
    let missing = || serde_json::Error::custom("a failed attempt without a next one");
    Ok(Fact::Failed {
        place,
        round,
        due_at: outcome.next_attempt_at.ok_or_else(missing)?,
        attempts: outcome.attempt.ok_or_else(missing)?.number,
    })
}
