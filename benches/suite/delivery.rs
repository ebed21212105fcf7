//! Deliveries as receiving appends them, for figures that need a log and no HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use domain::{
    Append, Clock, ContentHash, ContentKey, DeliveryKey, DeliveryReceived, EventData, EventId, Expected,
    HeaderFact, NewEvent, Proof, SourceName, TenantId, Timestamp,
};
use serde::Deserialize;
use uuid::Uuid;

use super::payload::Example;

/// The system's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(since.as_micros() as i64)
    }
}

/// What a delivery is made of, again and again.
pub(crate) struct Mould {
    body: Bytes,
    sha256: ContentHash,
    facts: DeliveryReceived,
}

#[derive(Deserialize)]
struct Facts {
    action: Option<String>,
    repository: Option<Repository>,
    sender: Option<Sender>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: Option<String>,
}

#[derive(Deserialize)]
struct Sender {
    login: Option<String>,
}

impl Mould {
    /// From an example of GitHub.
    pub(crate) fn of(example: &Example) -> Self {
        let facts: Facts = serde_json::from_str(&example.body).expect("an example is JSON");
        Self::new(
            example.body.clone().into(),
            &example.event,
            facts.action,
            facts.repository.and_then(|of| of.full_name),
            facts.sender.and_then(|of| of.login),
        )
    }

    /// Of a body of some length.
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        let body = vec![b'x'; bytes].into();
        let (action, repository) = (Some("opened".into()), Some("octo-org/bench".into()));
        Self::new(body, "issues", action, repository, Some("octocat".into()))
    }

    fn new(
        body: Bytes,
        event: &str,
        action: Option<String>,
        repository: Option<String>,
        sender: Option<String>,
    ) -> Self {
        let source: SourceName = "github".parse().expect("a name");
        let header = |name: &str, value: &str| HeaderFact(name.to_owned(), value.to_owned());
        let sha256 = ContentHash::of(&body);
        let facts = DeliveryReceived {
            tenant: TenantId::default(),
            key: DeliveryKey::of_sender(&source, Some("4711"), ""),
            source,
            scheme: "github".to_owned(),
            hook_id: Some("4711".to_owned()),
            delivery_id: None,
            event: event.to_owned(),
            action,
            repository,
            sender,
            entity: None,
            headers: vec![
                header("host", "127.0.0.1"),
                header("user-agent", "GitHub-Hookshot/bench"),
                header("content-type", "application/json"),
                header("x-github-event", event),
                header("x-github-hook-id", "4711"),
                header("x-hub-signature-256", &format!("sha256={sha256}")),
            ],
            proof: Proof::Verified {
                secret_id: "default".to_owned(),
            },
            received_at: SystemClock.now(),
            remote: Some([127, 0, 0, 1].into()),
            sha256,
            body_bytes: body.len() as u64,
            reactors_due: Vec::new(),
            synthetic: false,
            correlation: Some(Uuid::nil().to_string()),
            causation: None,
        };
        Self { body, sha256, facts }
    }

    /// The append of the delivery of that number. No two have the same.
    pub(crate) fn append(&self, number: u64) -> Append {
        let id = format!("bench-{number:012}");
        let received_at = SystemClock.now();
        let delivery = DeliveryReceived {
            key: DeliveryKey::of_sender(&self.facts.source, Some("4711"), &id),
            delivery_id: Some(id.clone()),
            received_at,
            ..self.facts.clone()
        };
        Append {
            stream: delivery.stream(),
            expected: Expected::NoStream,
            events: vec![NewEvent {
                id: EventId::new(Uuid::now_v7()),
                event_type: DeliveryReceived::event_type(),
                schema: DeliveryReceived::SCHEMA,
                metadata: delivery.to_metadata(),
                data: EventData::Inline(self.body.clone()),
            }],
            content: Some(ContentKey {
                tenant: delivery.tenant,
                source: delivery.source,
                body_sha256: self.sha256,
                sender_id: Some(id),
                received_at,
                window_ms: 0,
            }),
        }
    }
}
