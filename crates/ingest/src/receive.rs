//! The use case: a verified delivery becomes an event of the log, once.
//!
//! The body is durable before the append, the append is durable before the answer, and whether the delivery was there
//! before is what the log says. Never here: a success that the log did not give.

use std::net::IpAddr;

use domain::{
    Append, ContentKey, DeliveryKey, DeliveryReceived, EventData, EventId, EventLog, Expected, HeaderFact,
    NameReactors, NewEvent, Position, Revision, SourceName, StreamName, Timestamp, must_be_stored,
};
use uuid::Uuid;

use crate::append::{Outcome, append};
use crate::body::{BodyReader, ReceivedBody, after, unwritable};
use crate::facts::Facts;
use crate::pressure::Pressure;
use crate::redelivery::retry_dead;
use crate::rejection::Rejection;
use crate::signature::VerifiedRequest;
use crate::source::Source;

/// Where the receipt of a delivery stands in its stream.
const RECEIPT: Revision = Revision::new(0);

/// What the receipt adds to what the request says.
pub(crate) struct Receipt {
    /// Id of the event, made once, so that every try of the append names the same event.
    pub(crate) event_id: EventId,
    pub(crate) request_id: Uuid,
    pub(crate) received_at: Timestamp,
    pub(crate) remote: Option<IpAddr>,
    pub(crate) headers: Vec<HeaderFact>,
    pub(crate) synthetic: bool,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) source: SourceName,
    pub(crate) key: DeliveryKey,
    pub(crate) delivery_id: Option<String>,
    pub(crate) facts: Facts,
    pub(crate) stored: Stored,
}

/// Where a delivery is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// In the log, by this request.
    New {
        position: Position,
        /// The delivery whose content it repeats.
        duplicate_of: Option<StreamName>,
    },
    /// In the log, by an earlier request.
    Before {
        /// Position of its first event.
        position: Position,
        /// Whether it had been given up and is tried again because of this request.
        retried: bool,
    },
    /// Nowhere: its source does not want it.
    Ignored,
}

/// What a delivery is written with.
pub(crate) struct Writing<'a> {
    pub(crate) log: &'a dyn EventLog,
    pub(crate) reactors: &'a dyn NameReactors,
    pub(crate) source: &'a Source,
    /// Hears how long the log takes.
    pub(crate) pressure: &'a Pressure,
    /// The longest time for all that is written, in milliseconds.
    pub(crate) timeout_ms: u64,
}

impl Writing<'_> {
    /// Puts a delivery into the log. One that is there and was given up is asked to be tried again.
    pub(crate) async fn receive(
        &self,
        reader: &mut BodyReader<'_>,
        request: VerifiedRequest,
        facts: Facts,
        receipt: Receipt,
    ) -> Result<Received, Rejection> {
        let event_id = receipt.event_id;
        let mut delivery = delivery_of(self.source, &request, &facts, receipt);
        delivery.reactors_due = self.reactors.due(&delivery);
        let metadata = delivery.to_metadata();
        if metadata.len() > NewEvent::METADATA_BYTES_MAX {
            return Err(Rejection::HeadersTooLarge);
        }
        let data = keep(request, reader).await?;
        let event = NewEvent {
            id: event_id,
            event_type: DeliveryReceived::event_type(),
            schema: DeliveryReceived::SCHEMA,
            metadata,
            data,
        };
        let stored = self.store(&delivery, event).await?;
        Ok(Received {
            source: delivery.source,
            key: delivery.key,
            delivery_id: delivery.delivery_id,
            facts,
            stored,
        })
    }

    async fn store(&self, delivery: &DeliveryReceived, event: NewEvent) -> Result<Stored, Rejection> {
        let deadline = after(self.timeout_ms);
        let stream = delivery.stream();
        let first = Append {
            stream: stream.clone(),
            expected: Expected::NoStream,
            events: vec![event],
            content: Some(ContentKey {
                tenant: delivery.tenant.clone(),
                source: delivery.source.clone(),
                body_sha256: delivery.sha256,
                sender_id: delivery.delivery_id.clone(),
                received_at: delivery.received_at,
                window_ms: self.source.dedup_window_ms,
            }),
        };
        let timed = self.pressure.append();
        let outcome = append(self.log, first, deadline).await;
        drop(timed);
        match outcome? {
            Outcome::Appended(appended) => Ok(Stored::New {
                position: appended.first,
                duplicate_of: appended.duplicate_of,
            }),
            // Nothing happened to it after its receipt, so it was not given up.
            Outcome::Conflict { current, first } if current == RECEIPT => Ok(Stored::Before {
                position: first,
                retried: false,
            }),
            Outcome::Conflict { current, first } => Ok(Stored::Before {
                position: first,
                retried: retry_dead(self.log, &stream, current, delivery.received_at, deadline).await?,
            }),
        }
    }
}

/// The key of a request's delivery.
pub(crate) fn key_of(source: &Source, request: &VerifiedRequest, event_id: EventId) -> DeliveryKey {
    let claim = request.claim();
    let hook = claim.hook_id.as_deref();
    match &claim.delivery_id {
        Some(id) => DeliveryKey::of_sender(&source.name, hook, id),
        None => DeliveryKey::of_event(&source.name, hook, event_id),
    }
}

fn delivery_of(
    source: &Source,
    request: &VerifiedRequest,
    facts: &Facts,
    receipt: Receipt,
) -> DeliveryReceived {
    let claim = request.claim().clone();
    let facts = facts.clone();
    DeliveryReceived {
        tenant: request.tenant().clone(),
        source: source.name.clone(),
        scheme: source.scheme.name().to_owned(),
        key: key_of(source, request, receipt.event_id),
        hook_id: claim.hook_id,
        delivery_id: claim.delivery_id,
        event: facts.event,
        action: facts.action,
        repository: facts.repository,
        sender: facts.sender,
        entity: facts.entity,
        headers: receipt.headers,
        proof: request.proof().clone(),
        received_at: receipt.received_at,
        remote: receipt.remote,
        sha256: request.sha256(),
        body_bytes: request.body_bytes(),
        reactors_due: Vec::new(),
        synthetic: receipt.synthetic,
        correlation: Some(receipt.request_id.to_string()),
        causation: None,
    }
}

/// Makes the body durable where it has to be before the append.
async fn keep(request: VerifiedRequest, reader: &mut BodyReader<'_>) -> Result<EventData, Rejection> {
    let sha256 = request.sha256();
    let upload = match request.into_body() {
        ReceivedBody::Memory(bytes) if !must_be_stored(&bytes) => return Ok(EventData::Inline(bytes)),
        ReceivedBody::Memory(bytes) => {
            let mut upload = reader.begin().await?;
            upload.write(bytes).await.map_err(unwritable)?;
            upload
        }
        ReceivedBody::Spooled { upload, .. } => upload,
    };
    let body = upload.commit().await.map_err(unwritable)?;
    if body.sha256 != sha256 {
        tracing::error!(expected = %sha256, found = %body.sha256, "body store kept another body than was verified");
        return Err(Rejection::Unavailable("large bodies can't be written"));
    }
    Ok(EventData::Stored(body))
}
