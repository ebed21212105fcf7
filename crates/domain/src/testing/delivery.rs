//! Deliveries for tests.
#![expect(
    clippy::expect_used,
    reason = "a test with an invalid name fails by panicking"
)]

use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    Append, Clock, ContentHash, ContentKey, DeliveryKey, DeliveryReceived, EventData, EventId, Expected,
    HeaderFact, NewEvent, Position, Proof, RecordedEvent, Revision, Timestamp,
};

/// A delivery to append, with the parts that tests care about; the rest is filled in.
#[derive(Debug, Clone)]
pub struct TestDelivery {
    /// Id of the event.
    pub event_id: EventId,
    /// The configured sender.
    pub source: String,
    /// The sender's hook.
    pub hook: Option<String>,
    /// The sender's id.
    pub delivery_id: String,
    /// Event type.
    pub event: String,
    /// Action.
    pub action: Option<String>,
    /// Repository.
    pub repository: Option<String>,
    /// Body.
    pub body: Bytes,
    /// When it was received.
    pub received_at: Timestamp,
    /// The window for duplicates of content; 0 is off.
    pub window_ms: u64,
    /// The destinations it is due at, by their plain names.
    pub due: Vec<&'static str>,
    /// Whether the process made it itself.
    pub synthetic: bool,
}

impl TestDelivery {
    /// A delivery of an event type with a body, under a fresh id.
    #[must_use]
    pub fn new(event: &str, body: impl Into<Bytes>) -> Self {
        let id = Uuid::new_v4();
        Self {
            event_id: EventId::new(id),
            source: "github".into(),
            hook: Some("41".into()),
            delivery_id: id.to_string(),
            event: event.into(),
            action: None,
            repository: Some("octo-org/octo-repo".into()),
            body: body.into(),
            received_at: Timestamp::from_millis(1_763_766_000_000),
            window_ms: 60_000,
            due: Vec::new(),
            synthetic: false,
        }
    }

    /// Its metadata.
    ///
    /// # Panics
    /// When a name in it is not valid.
    #[must_use]
    pub fn received(&self) -> DeliveryReceived {
        let source = self.source.parse().expect("a valid source");
        DeliveryReceived {
            tenant: "default".parse().expect("a valid tenant"),
            key: DeliveryKey::of_sender(&source, self.hook.as_deref(), &self.delivery_id),
            source,
            scheme: "github".into(),
            hook_id: self.hook.clone(),
            delivery_id: Some(self.delivery_id.clone()),
            event: self.event.clone(),
            action: self.action.clone(),
            repository: self.repository.clone(),
            sender: Some("octocat".into()),
            entity: None,
            headers: vec![HeaderFact("Content-Type".into(), "application/json".into())],
            proof: Proof::Verified {
                secret_id: "s1".into(),
            },
            received_at: self.received_at,
            remote: None,
            sha256: ContentHash::of(&self.body),
            body_bytes: self.body.len() as u64,
            reactors_due: self
                .due
                .iter()
                .map(|name| format!("destination:{name}"))
                .collect(),
            synthetic: self.synthetic,
            correlation: None,
            causation: None,
        }
    }

    /// The append that puts it into a log.
    #[must_use]
    pub fn append(&self) -> Append {
        let received = self.received();
        Append {
            stream: received.stream(),
            expected: Expected::NoStream,
            events: vec![NewEvent {
                id: self.event_id,
                event_type: DeliveryReceived::event_type(),
                schema: DeliveryReceived::SCHEMA,
                metadata: received.to_metadata(),
                data: EventData::Inline(self.body.clone()),
            }],
            content: Some(ContentKey {
                tenant: received.tenant,
                source: received.source,
                body_sha256: received.sha256,
                sender_id: received.delivery_id,
                received_at: self.received_at,
                window_ms: self.window_ms,
            }),
        }
    }
}

/// The delivery as a log would hold it at a position, recorded 5 ms after its receipt.
#[must_use]
pub fn recorded(position: u64, delivery: &TestDelivery) -> RecordedEvent {
    let received = delivery.received();
    RecordedEvent {
        position: Position::new(position),
        stream: received.stream(),
        revision: Revision::new(0),
        id: delivery.event_id,
        event_type: DeliveryReceived::event_type(),
        schema: DeliveryReceived::SCHEMA,
        recorded_at: delivery.received_at.plus_millis(5),
        duplicate_of: None,
        metadata: received.to_metadata(),
        data: EventData::Inline(delivery.body.clone()),
    }
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows a time.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self(AtomicI64::new(time.as_micros()))
    }

    /// Moves it.
    pub fn advance_millis(&self, millis: i64) {
        self.0.fetch_add(millis * 1000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
