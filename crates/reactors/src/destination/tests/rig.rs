//! What a destination needs in a test: settings, ports, a delivery to send.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::TestDelivery;
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, ContentHash, ErrorCode, EventData, Failure, HeaderFact,
    PublishError, PublishToSubject, Response, Timestamp,
};

use super::super::build::{Trust, plans_with};
use super::super::{InvalidDestination, ResolveHost, TargetPorts};
use crate::{DestinationOptions, DestinationPlan, Dispatch, ReactorOptions, Sent, Target};

/// A body store that holds bodies in memory and notes how much was read at once.
#[derive(Default)]
pub(super) struct Bodies {
    pub(super) held: Mutex<HashMap<ContentHash, Bytes>>,
    pub(super) largest_read: AtomicUsize,
    /// Reads past this many bytes fail.
    pub(super) breaks_at: Option<u64>,
}

impl Bodies {
    pub(super) fn put(&self, body: Bytes) -> BodyRef {
        let sha256 = ContentHash::of(&body);
        let bytes = body.len() as u64;
        self.held.lock().unwrap().insert(sha256, body);
        BodyRef { sha256, bytes }
    }
}

#[async_trait]
impl BodyStore for Bodies {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        Err(BodyError::NoRoom("nothing is uploaded here".into()))
    }

    async fn read(&self, body: &BodyRef, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        if self.breaks_at.is_some_and(|at| offset >= at) {
            let source = std::io::Error::other("the disk is gone");
            return Err(BodyError::Io {
                operation: "read",
                source,
            });
        }
        self.largest_read.fetch_max(bytes_max, Ordering::SeqCst);
        let held = self.held.lock().unwrap();
        let whole = held.get(&body.sha256).ok_or(BodyError::Missing(body.sha256))?;
        let start = usize::try_from(offset).unwrap().min(whole.len());
        let end = (start + bytes_max).min(whole.len());
        Ok(whole.slice(start..end))
    }

    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        Ok(0)
    }
}

/// What was published: subject, headers and payload.
pub(super) type Published = (String, Vec<(String, String)>, Bytes);

/// Subjects that keep what they get, or fail.
#[derive(Default)]
pub(super) struct Subjects {
    pub(super) published: Mutex<Vec<Published>>,
    pub(super) failing: Mutex<Option<PublishError>>,
}

#[async_trait]
impl PublishToSubject for Subjects {
    async fn publish(
        &self,
        subject: &str,
        headers: Vec<(String, String)>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        if let Some(error) = self.failing.lock().unwrap().clone() {
            return Err(error);
        }
        let published = (subject.to_owned(), headers, payload);
        self.published.lock().unwrap().push(published);
        Ok(())
    }
}

/// Names that mean what a test says; others don't exist.
#[derive(Default)]
pub(super) struct Names(pub(super) HashMap<String, Vec<IpAddr>>);

#[async_trait]
impl ResolveHost for Names {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let found = self.0.get(host).cloned();
        found.ok_or_else(|| std::io::Error::other("no such host"))
    }
}

/// Settings of a destination and of all, with the ports.
pub(super) struct Rig {
    pub(super) reactors: ReactorOptions,
    pub(super) options: DestinationOptions,
    pub(super) bodies: Arc<Bodies>,
    pub(super) subjects: Arc<Subjects>,
    pub(super) names: HashMap<String, Vec<IpAddr>>,
    pub(super) trust: Option<rustls::ClientConfig>,
}

impl Rig {
    /// A destination at a URL; loopback addresses are allowed.
    pub(super) fn at(url: impl Into<String>) -> Self {
        let mut options = bare();
        options.url = Some(url.into());
        Self::of(options)
    }

    pub(super) fn of(options: DestinationOptions) -> Self {
        let reactors = ReactorOptions {
            addresses_allowed: vec!["127.0.0.0/8".parse().unwrap()],
            ..ReactorOptions::default()
        };
        Self {
            reactors,
            options,
            bodies: Arc::default(),
            subjects: Arc::default(),
            names: HashMap::new(),
            trust: None,
        }
    }

    pub(super) fn plan(&self) -> Result<DestinationPlan, InvalidDestination> {
        let ports = TargetPorts {
            bodies: Arc::clone(&self.bodies) as _,
            subjects: Arc::clone(&self.subjects) as _,
            resolver: Arc::new(Names(self.names.clone())),
            base_url: "https://hooks.example/".into(),
        };
        let mut trust = Trust(Some(self.trust.clone().unwrap_or_else(trusting_nobody)));
        let destinations = std::slice::from_ref(&self.options);
        let (mut plans, _) = plans_with(&self.reactors, destinations, &ports, &mut trust)?;
        Ok(plans.remove(0))
    }

    pub(super) fn target(&self) -> Arc<dyn Target> {
        self.plan().unwrap().target
    }

    /// Sends one delivery.
    pub(super) async fn send(&self, dispatch: &Dispatch) -> Sent {
        self.target().send(dispatch).await
    }
}

fn trusting_nobody() -> rustls::ClientConfig {
    super::super::tls::with_roots(rustls::RootCertStore::empty()).unwrap()
}

/// A destination that has a name and nothing else.
pub(super) fn bare() -> DestinationOptions {
    serde_json::from_str(r#"{"name":"ci","url":null}"#).unwrap()
}

/// An attempt to send a body.
pub(super) fn dispatch(body: impl Into<Bytes>) -> Dispatch {
    let delivery = TestDelivery::new("push", body);
    let mut received = delivery.received();
    received
        .headers
        .push(HeaderFact("X-GitHub-Event".into(), "push".into()));
    Dispatch {
        destination: "ci".parse().unwrap(),
        event_id: delivery.event_id,
        idempotency_key: format!("{}.ci", delivery.event_id),
        number: 1,
        replay: None,
        now: Timestamp::from_millis(1_731_705_121_500),
        received: Arc::new(received),
        data: EventData::Inline(delivery.body),
    }
}

/// What was answered to a delivery.
pub(super) fn delivered(sent: Sent) -> Option<Response> {
    match sent {
        Sent::Delivered { response, .. } => response,
        other @ (Sent::Skipped(_) | Sent::Failed { .. }) => panic!("not delivered: {other:?}"),
    }
}

/// Why a delivery failed.
pub(super) fn failed(sent: Sent) -> Failure {
    match sent {
        Sent::Failed { failure, .. } => failure,
        other @ (Sent::Skipped(_) | Sent::Delivered { .. }) => panic!("not failed: {other:?}"),
    }
}

/// The kind of a failure, which has to say it is worth another try exactly if its kind is.
pub(super) fn code(sent: Sent) -> ErrorCode {
    let failure = failed(sent);
    assert_eq!(failure.retryable, failure.code.retryable(), "{failure:?}");
    failure.code
}
