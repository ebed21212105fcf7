//! Whole requests, against every scheme of signatures.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a finding is a panic"
)]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{ManualClock, MemoryLog};
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, ContentHash, DeliveryReceived, EventData, EventLog, LogId,
    NoReactors, PageLimit, Position, RecordedEvent, SourceName, Timestamp,
};
use futures_util::stream;
use poem::http::header::CONTENT_ENCODING;
use poem::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use poem::{Body, Endpoint, Request};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::{Ingest, IngestOptions, SourceOptions, SyntheticDelivery};

/// The schemes that there is a source of, under its own name.
pub const SCHEMES: [&str; 8] = [
    "github",
    "gitlab",
    "linear",
    "standard",
    "hmac",
    "token",
    "codegen",
    "claude-code",
];

/// Of each kind a secret.
struct Secrets {
    text: &'static str,
    standard: &'static str,
}

/// What the corpus signs with.
const KNOWN: Secrets = Secrets {
    text: "It's a Secret to Everybody",
    standard: "whsec_plJ3nmyCDGBKInavdOK15jsl",
};
/// What nobody signs with.
const UNKNOWN: Secrets = Secrets {
    text: "b1f00d5e-never-in-the-corpus-7c2a",
    standard: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
};

/// Headers that carry a secret in clear, of any scheme.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "x-gitlab-token", "x-api-key"];
/// The header that carries the secret of the source `token`, and of no other.
const TOKEN_HEADER: &str = "x-shop-token";

/// A line `<path> <pieces>`, lines of `header: value`, an empty line, the body. Or a line `signed <source> <event>`, an empty
/// line, the body, which the source then signs itself.
///
/// What is taken is in the log, byte for byte, once; what was signed by nobody who knows the secret is never taken; what the
/// source signed is never refused for its signature.
///
/// # Panics
/// On a finding.
pub fn request(data: &[u8]) {
    let _whether = is_taken(data);
}

/// As [`request`]; says whether the delivery was taken, so that a corpus can be seen to get anywhere.
///
/// # Panics
/// On a finding.
#[must_use]
pub fn is_taken(data: &[u8]) -> bool {
    let Some((head, body)) = split(data) else {
        return false;
    };
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    if let Some(what) = first.strip_prefix("signed ") {
        let (source, event) = what.split_once(' ').unwrap_or((what, "push"));
        return SCHEMES.contains(&source) && signed(&runtime, source, event, body);
    }
    let (path, pieces) = first.split_once(' ').unwrap_or((first, "0"));
    let headers: Vec<(HeaderName, HeaderValue)> = lines.filter_map(header).collect();
    let sent = Sent {
        path,
        headers,
        body,
        piece: pieces.parse().unwrap_or(0),
    };
    unsigned(&runtime, &sent)
}

struct Sent<'a> {
    path: &'a str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: &'a [u8],
    /// Bytes of a piece of the body; 0 sends it whole, with its length.
    piece: usize,
}

impl Sent<'_> {
    fn request(&self) -> Option<Request> {
        let uri: Uri = self.path.parse().ok()?;
        let body = if self.piece == 0 {
            Body::from_vec(self.body.to_vec())
        } else {
            let pieces = self.body.chunks(self.piece.min(64 * 1024));
            let pieces: Vec<_> = pieces
                .map(|p| Ok::<_, std::io::Error>(Bytes::copy_from_slice(p)))
                .collect();
            Body::from_bytes_stream(stream::iter(pieces))
        };
        let mut request = Request::builder().method(Method::POST).uri(uri).body(body);
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        Some(request)
    }
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(": ")?;
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

fn unsigned(runtime: &Runtime, sent: &Sent<'_>) -> bool {
    let (Some(request), Some(again), Some(forged)) = (sent.request(), sent.request(), sent.request()) else {
        return false;
    };
    runtime.block_on(async {
        let locked = Rig::new(&UNKNOWN);
        let (status, json) = locked.send(forged).await;
        assert!(!status.is_success(), "taken without the secret: {json}");
        assert!(locked.events().await.is_empty(), "kept without the secret");

        let open = Rig::new(&KNOWN);
        let (status, json) = open.send(request).await;
        let events = open.events().await;
        assert_eq!(events.len(), usize::from(status.is_success()), "{json}");
        if let Some(event) = events.first() {
            let is_encoded = sent.headers.iter().any(|(name, _)| name == CONTENT_ENCODING);
            kept(event, sent.body, is_encoded, &json);
            repeated(&open, again, &json).await;
        }
        status.is_success()
    })
}

/// The second time it is the same delivery, if its sender named it.
async fn repeated(rig: &Rig, again: Request, first: &Value) {
    let (status, json) = rig.send(again).await;
    assert!(status.is_success(), "{json}");
    let named = !first["data"]["deliveryId"].is_null();
    assert_eq!(json["data"]["duplicate"], named, "{json}");
    assert_eq!(
        json["data"]["position"] == first["data"]["position"],
        named,
        "{json}"
    );
    assert_eq!(rig.events().await.len(), if named { 1 } else { 2 });
}

fn kept(event: &RecordedEvent, body: &[u8], is_encoded: bool, json: &Value) {
    let EventData::Inline(data) = &event.data else {
        panic!("a large body was taken without a store");
    };
    let received = DeliveryReceived::of(event)
        .expect("a receipt")
        .expect("its facts");
    assert_eq!(received.sha256, ContentHash::of(data));
    // Of an encoded body what was decoded is signed, and kept.
    assert!(data == body || is_encoded, "another body is kept");
    assert_eq!(received.stream(), event.stream);
    assert_eq!(json["data"]["id"], received.key.as_str());
    assert_eq!(json["data"]["event"], received.event);
    for header in &received.headers {
        let name = header.0.as_str();
        let own = name == TOKEN_HEADER && received.source.as_str() == "token";
        assert!(!SECRET_HEADERS.contains(&name) && !own, "{name} is kept");
    }
}

fn signed(runtime: &Runtime, source: &str, event: &str, body: &[u8]) -> bool {
    let delivery = SyntheticDelivery {
        source: source.parse::<SourceName>().ok(),
        body: Some(Bytes::copy_from_slice(body)),
        ..SyntheticDelivery::example(event, "octo-org/hello", None)
    };
    runtime.block_on(async {
        let rig = Rig::new(&KNOWN);
        let answer = rig.ingest.receive_synthetic(delivery).await;
        let json: Value = serde_json::from_slice(&answer.json).expect("an answer is JSON");
        // Linear's time stands in the body, and an old one is answered like a wrong signature.
        let unauthorized = answer.status == StatusCode::UNAUTHORIZED;
        assert!(!unauthorized || source == "linear", "{json}");
        let events = rig.events().await;
        assert_eq!(events.len(), usize::from(answer.status.is_success()), "{json}");
        if let Some(event) = events.first() {
            kept(event, body, false, &json);
        }
        answer.status.is_success()
    })
}

/// Head and body, around the first empty line.
fn split(data: &[u8]) -> Option<(&str, &[u8])> {
    let end = data.windows(2).position(|pair| pair == b"\n\n")?;
    let (head, rest) = data.split_at_checked(end)?;
    Some((std::str::from_utf8(head).ok()?, rest.get(2..)?))
}

struct Rig {
    ingest: Ingest,
    log: Arc<MemoryLog>,
}

impl Rig {
    /// A source of each scheme over a log in memory.
    fn new(secrets: &Secrets) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_763_766_000_000)));
        let log = Arc::new(MemoryLog::new(
            LogId::new(Uuid::from_u128(7)),
            Arc::<ManualClock>::clone(&clock),
        ));
        let sources = SCHEMES.map(|scheme| source(scheme, secrets)).to_vec();
        let ingest = Ingest::build(
            IngestOptions::default(),
            sources,
            Arc::<MemoryLog>::clone(&log),
            Arc::new(NoBodies),
            clock,
            Arc::new(NoReactors),
        );
        Self {
            ingest: ingest.expect("the sources can be built"),
            log,
        }
    }

    async fn send(&self, request: Request) -> (StatusCode, Value) {
        let response = self.ingest.get_response(request).await;
        let status = response.status();
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
        let body = response
            .into_body()
            .into_bytes_limit(1024 * 1024)
            .await
            .expect("an answer");
        (status, serde_json::from_slice(&body).expect("an answer is JSON"))
    }

    async fn events(&self) -> Vec<RecordedEvent> {
        let page = self.log.read_all(Position::START, PageLimit::default()).await;
        page.expect("it is in memory").events
    }
}

fn source(scheme: &str, secrets: &Secrets) -> SourceOptions {
    let secret = |id: &str, value: &str| json!({"id": id, "value": value});
    let secrets = match scheme {
        "standard" => json!([secret("first", secrets.standard)]),
        "gitlab" => json!([secret("first", secrets.text), secret("second", secrets.standard)]),
        _ => json!([secret("first", secrets.text)]),
    };
    let mut options = json!({"name": scheme, "scheme": scheme, "secrets": secrets});
    match scheme {
        "hmac" => {
            options["proof"] =
                json!({"header": "X-Shop-Signature", "signature_key": "v1", "timestamp_key": "t"});
            options["facts"] = json!({"id_pointer": "/id", "event_pointer": "/type"});
        }
        "token" => {
            options["proof"] = json!({"header": TOKEN_HEADER});
            options["facts"] = json!({"id_header": "X-Shop-Delivery", "event_header": "X-Shop-Event"});
        }
        _ => {}
    }
    serde_json::from_value(options).expect("a source of the scheme")
}

/// No place for large bodies: they are answered 503.
struct NoBodies;

#[async_trait]
impl BodyStore for NoBodies {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        Err(BodyError::NoRoom("there is none".into()))
    }

    async fn read(&self, body: &BodyRef, _offset: u64, _bytes_max: usize) -> Result<Bytes, BodyError> {
        Err(BodyError::Missing(body.sha256))
    }

    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        Ok(0)
    }
}
