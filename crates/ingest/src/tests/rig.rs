//! What the tests stand on: an ingest over a log and a body store in memory, and deliveries to send.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{ManualClock, MemoryLog};
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, ContentHash, DeliveryReceived, EventData, EventLog, LogId,
    NameReactors, PageLimit, Position, RecordedEvent, Timestamp,
};
use futures_util::stream;
use hmac::{Hmac, KeyInit, Mac};
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use poem::{Body, Endpoint, Request};
use serde_json::Value;
use sha2::Sha256;

use crate::{Ingest, IngestOptions, Secret, SourceOptions};

pub(super) const SECRET: &str = "It's a Secret to Everybody";
pub(super) const PATH: &str = "/api/webhooks/github";

/// Bodies in memory; what is uploaded but not committed is counted, to see that nothing stays behind.
#[derive(Default)]
pub(super) struct MemoryBodies {
    kept: Mutex<HashMap<ContentHash, Bytes>>,
    open: AtomicUsize,
    full: AtomicBool,
}

struct MemoryUpload {
    store: Arc<MemoryBodies>,
    bytes: Vec<u8>,
}

/// The store as a port: uploads need a handle of their own.
pub(super) struct Bodies(pub(super) Arc<MemoryBodies>);

impl MemoryBodies {
    pub(super) fn get(&self, hash: ContentHash) -> Option<Bytes> {
        self.kept.lock().unwrap().get(&hash).cloned()
    }

    pub(super) fn count(&self) -> usize {
        self.kept.lock().unwrap().len()
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

#[async_trait]
impl BodyStore for Bodies {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        if self.0.full.load(Ordering::SeqCst) {
            return Err(BodyError::NoRoom("set so by the test".into()));
        }
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(MemoryUpload {
            store: Arc::clone(&self.0),
            bytes: Vec::new(),
        }))
    }

    async fn read(&self, body: &BodyRef, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        let bytes = self.0.get(body.sha256).ok_or(BodyError::Missing(body.sha256))?;
        Ok(part(&bytes, offset, bytes_max))
    }

    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        Ok(0)
    }
}

fn part(bytes: &[u8], offset: u64, bytes_max: usize) -> Bytes {
    let start = usize::try_from(offset).unwrap().min(bytes.len());
    let end = bytes.len().min(start + bytes_max);
    Bytes::copy_from_slice(&bytes[start..end])
}

#[async_trait]
impl BodyUpload for MemoryUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BodyError> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn read(&mut self, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        Ok(part(&self.bytes, offset, bytes_max))
    }

    async fn commit(mut self: Box<Self>) -> Result<BodyRef, BodyError> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let body = BodyRef {
            sha256: ContentHash::of(&bytes),
            bytes: bytes.len() as u64,
        };
        self.store.kept.lock().unwrap().insert(body.sha256, bytes);
        Ok(body)
    }
}

impl Drop for MemoryUpload {
    fn drop(&mut self) {
        self.store.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Names the same reactors for every delivery, and keeps the facts that it was asked about.
#[derive(Default)]
pub(super) struct Due {
    pub(super) names: Mutex<Vec<String>>,
    pub(super) asked: Mutex<Vec<DeliveryReceived>>,
}

impl Due {
    pub(super) fn set(&self, destinations: &[&str]) {
        let names = destinations.iter().map(|name| format!("destination:{name}"));
        *self.names.lock().unwrap() = names.collect();
    }
}

impl NameReactors for Due {
    fn due(&self, received: &DeliveryReceived) -> Vec<String> {
        self.asked.lock().unwrap().push(received.clone());
        self.names.lock().unwrap().clone()
    }
}

/// An ingest and everything around it.
pub(super) struct Rig {
    pub(super) ingest: Ingest,
    pub(super) due: Arc<Due>,
    pub(super) log: Arc<MemoryLog>,
    pub(super) bodies: Arc<MemoryBodies>,
    pub(super) clock: Arc<ManualClock>,
}

impl Rig {
    /// One source `github` with one secret.
    pub(super) fn new() -> Self {
        Self::with(|_, _| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut IngestOptions, &mut SourceOptions)) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_763_766_000_000)));
        let log = Arc::new(MemoryLog::new(
            LogId::new(uuid::Uuid::from_u128(7)),
            Arc::<ManualClock>::clone(&clock),
        ));
        Self::over(Arc::<MemoryLog>::clone(&log), log, clock, change)
    }

    /// The same in front of another log, which passes on to `log`.
    pub(super) fn over(
        port: Arc<dyn EventLog>,
        log: Arc<MemoryLog>,
        clock: Arc<ManualClock>,
        change: impl FnOnce(&mut IngestOptions, &mut SourceOptions),
    ) -> Self {
        let mut options = IngestOptions::default();
        let mut source = SourceOptions::new("github".parse().unwrap(), vec![Secret::new("first", SECRET)]);
        change(&mut options, &mut source);
        let bodies = Arc::new(MemoryBodies::default());
        let due = Arc::new(Due::default());
        let store = Arc::new(Bodies(Arc::<MemoryBodies>::clone(&bodies)));
        let ingest = Ingest::build(
            options,
            vec![source],
            port,
            store,
            Arc::<ManualClock>::clone(&clock),
            Arc::<Due>::clone(&due),
        )
        .unwrap();
        Self {
            ingest,
            due,
            log,
            bodies,
            clock,
        }
    }

    pub(super) async fn send(&self, delivery: Delivery) -> Reply {
        Reply::of(self.ingest.get_response(delivery.request()).await).await
    }

    pub(super) async fn events(&self) -> Vec<RecordedEvent> {
        self.log
            .read_all(Position::START, PageLimit::default())
            .await
            .unwrap()
            .events
    }

    /// The only event of the log.
    pub(super) async fn only(&self) -> (RecordedEvent, DeliveryReceived) {
        let mut events = self.events().await;
        assert_eq!(events.len(), 1, "{events:?}");
        let event = events.remove(0);
        let received = DeliveryReceived::of(&event).unwrap().unwrap();
        (event, received)
    }

    /// The body that an event holds, wherever it is.
    pub(super) fn body_of(&self, event: &RecordedEvent) -> Bytes {
        match &event.data {
            EventData::Inline(bytes) => bytes.clone(),
            EventData::Stored(body) => self.bodies.get(body.sha256).unwrap(),
        }
    }
}

/// A request to send: signed and complete unless a test changes it.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// How many bytes a piece of the body has; none sends it whole, with a `Content-Length`.
    pub(super) chunked: Option<usize>,
}

impl Delivery {
    pub(super) fn new(event: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut delivery = Self {
            path: PATH.to_owned(),
            headers: HeaderMap::new(),
            chunked: None,
            body,
        };
        delivery.set("host", "hooks.example.com");
        delivery.set("content-type", "application/json");
        delivery.set("user-agent", "GitHub-Hookshot/044aadd");
        delivery.set("x-github-event", event);
        delivery.set("x-github-delivery", &uuid::Uuid::new_v4().to_string());
        delivery.set("x-github-hook-id", "41");
        delivery.sign(SECRET);
        delivery
    }

    pub(super) fn push() -> Self {
        Self::new(
            "push",
            r#"{"ref":"refs/heads/main","repository":{"full_name":"octo-org/octo-repo"},"sender":{"login":"octocat"}}"#,
        )
    }

    pub(super) fn sign(&mut self, secret: &str) {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&self.body);
        let signature = hex::encode(mac.finalize().into_bytes());
        self.set("x-hub-signature-256", &format!("sha256={signature}"));
    }

    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.headers
            .insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    pub(super) fn and(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    pub(super) fn without(mut self, name: &'static str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(super) fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub(super) fn id(self, id: &str) -> Self {
        self.with("x-github-delivery", id)
    }

    pub(super) fn in_pieces(mut self, bytes: usize) -> Self {
        self.chunked = Some(bytes);
        self
    }

    pub(super) fn request(self) -> Request {
        let length = self.body.len().to_string();
        let (body, sized) = match self.chunked {
            None => (Body::from_vec(self.body), true),
            Some(piece) => {
                let pieces: Vec<std::io::Result<Bytes>> = self
                    .body
                    .chunks(piece)
                    .map(|p| Ok(Bytes::copy_from_slice(p)))
                    .collect();
                (Body::from_bytes_stream(stream::iter(pieces)), false)
            }
        };
        let mut request = Request::builder()
            .method(poem::http::Method::POST)
            .uri_str(&self.path)
            .body(body);
        *request.headers_mut() = self.headers;
        if sized && !request.headers().contains_key("content-length") {
            request
                .headers_mut()
                .insert("content-length", length.parse().unwrap());
        }
        request
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) json: Value,
}

impl Reply {
    pub(super) async fn of(response: poem::Response) -> Self {
        let (parts, body) = response.into_parts();
        let text = body.into_bytes_limit(100_000).await.unwrap();
        let reply = Self {
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_slice(&text).unwrap(),
        };
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert!(
            reply
                .header("x-request-id")
                .unwrap()
                .parse::<uuid::Uuid>()
                .is_ok()
        );
        reply
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    /// The code of an error answer, checked to be a whole one.
    pub(super) fn code(&self) -> &str {
        assert_eq!(self.json["success"], false, "{self:?}");
        let error = &self.json["error"];
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()));
        assert_eq!(error["requestId"].as_str(), self.header("x-request-id"));
        error["code"].as_str().unwrap()
    }

    /// The data of a success.
    pub(super) fn data(&self) -> &Value {
        assert_eq!(
            (self.status, &self.json["success"]),
            (StatusCode::OK, &Value::Bool(true)),
            "{self:?}"
        );
        assert!(self.json["message"].is_string());
        &self.json["data"]
    }

    #[track_caller]
    pub(super) fn assert(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{self:?}");
    }
}
