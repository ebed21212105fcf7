//! The API as a whole, over the in-memory log and a read store that gives canned rows.

mod access;
mod causes;
mod ci;
mod commands;
mod dashboard;
mod document;
pub(crate) mod doors;
mod figures;
mod keys;
mod lists;
mod live;
mod logins;
mod one;
mod outcomes;
mod peer;
mod rejected;
mod remembered;
mod replays;
mod secrets;
pub(crate) mod senders;
mod service;
mod sources;
mod statements;
mod tenants;
mod trail;
mod verify;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{ManualClock, MemoryLog, MemoryRejected, TestDelivery};
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, EventLog, LogId, Query, Rows, TableError, Tables, Timestamp,
};
use poem::http::StatusCode;
use poem::test::TestClient;
use poem::{Addr, Endpoint, Response};
use serde_json::Value;

use self::commands::Commands;
use self::doors::{Doors, Written};
use self::live::Relayed;
use self::peer::From;
use self::senders::Senders;
use crate::{
    Api, ApiDeps, ApiOptions, CheckRequest, CheckedRequest, Component, ComponentState, Difference, HangUp,
    LiveOptions, LocalOwner, NotChecked, PartitionHolder, Progress, ProjectionState, ProjectionStatus,
    RebuildError, RebuildOf, RenderMetrics, RequestCheck, RequestToCheck, SendTest, SessionSecret,
    SystemSnapshot, SystemStatus, TestAnswer, TestSend, Verified, VerifyError,
};

/// A Saturday morning.
pub(super) const NOW: &str = "2026-11-21T08:30:42Z";

pub(super) fn log_id() -> LogId {
    LogId::new(uuid::Uuid::from_u128(7))
}

/// Gives canned rows to statements that name a table, and remembers what it was asked.
#[derive(Default)]
pub(super) struct CannedTables {
    answers: Mutex<Vec<(String, Result<String, String>)>>,
    pub(super) asked: Mutex<Vec<Query>>,
}

impl CannedTables {
    /// All projections have an active build.
    pub(super) fn ready() -> Self {
        let tables = Self::default();
        let rows: Vec<String> = [
            "deliveries",
            "statistics",
            "health",
            "destinations",
            "replays",
            "repository_activity",
            "jobs",
        ]
        .iter()
        .map(|name| {
            format!(
                r#"{{"projection":"{name}","schema":1,"build":3,"log_id":"{}"}}"#,
                log_id()
            )
        })
        .collect();
        tables.give("projection_builds", &rows.join("\n"));
        tables
    }

    /// From now on statements that contain the words get these rows; the last given counts.
    pub(super) fn give(&self, words: &str, rows: &str) {
        self.answers
            .lock()
            .unwrap()
            .insert(0, (words.into(), Ok(rows.into())));
    }

    /// From now on statements that contain the words are refused.
    pub(super) fn refuse(&self, words: &str, error: &str) {
        self.answers
            .lock()
            .unwrap()
            .insert(0, (words.into(), Err(error.into())));
    }

    /// The statements asked that contain the words.
    pub(super) fn asked(&self, words: &str) -> Vec<Query> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|query| query.sql.contains(words))
            .cloned()
            .collect()
    }
}

#[async_trait]
impl Tables for CannedTables {
    async fn execute(&self, _: &Query) -> Result<(), TableError> {
        panic!("the read side changes nothing");
    }

    async fn insert(&self, _: &str, _: Rows) -> Result<(), TableError> {
        panic!("the read side writes nothing");
    }

    async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
        self.asked.lock().unwrap().push(query.clone());
        let answers = self.answers.lock().unwrap();
        match answers.iter().find(|(words, _)| query.sql.contains(words)) {
            Some((_, Ok(rows))) => Ok(rows.clone().into()),
            Some((_, Err(error))) if error == "down" => Err(TableError::Unavailable("refused".into())),
            Some((_, Err(error))) => Err(TableError::Refused(error.clone())),
            None => Ok(Bytes::new()),
        }
    }
}

/// Holds one body.
#[derive(Default)]
pub(super) struct OneBody(pub(super) Bytes);

#[async_trait]
impl BodyStore for OneBody {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        panic!("the read side keeps nothing");
    }

    async fn read(&self, body: &BodyRef, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        if self.0.is_empty() {
            return Err(BodyError::Missing(body.sha256));
        }
        let start = usize::try_from(offset).unwrap().min(self.0.len());
        let end = (start + bytes_max).min(self.0.len());
        Ok(self.0.slice(start..end))
    }

    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        Ok(self.0.len() as u64)
    }
}

/// Says what it is told to say.
#[derive(Default)]
pub(super) struct Told {
    pub(super) snapshot: Mutex<SystemSnapshot>,
    pub(super) sent: Mutex<Vec<TestSend>>,
    pub(super) checked: Mutex<Vec<RequestToCheck>>,
}

#[async_trait]
impl SystemStatus for Told {
    async fn snapshot(&self) -> SystemSnapshot {
        self.snapshot.lock().unwrap().clone()
    }

    async fn partition_holders(&self) -> Vec<PartitionHolder> {
        vec![PartitionHolder {
            partition: 1,
            here: false,
            other: Some("elsewhere".into()),
        }]
    }

    async fn rebuild(&self, projection: &str) -> Result<u32, RebuildError> {
        match projection {
            "jobs" => Ok(4),
            "statistics" => Err(RebuildError::UnderWay),
            "health" => Err(RebuildError::Unavailable("no read store".into())),
            _ => Err(RebuildError::Unknown),
        }
    }

    async fn rebuild_all(&self) -> Result<Vec<RebuildOf>, RebuildError> {
        let of = |projection: &str| RebuildOf {
            projection: projection.into(),
            build: 4,
        };
        Ok(vec![of("deliveries"), of("jobs")])
    }

    async fn abort_rebuild(&self, projection: &str) -> Result<u32, RebuildError> {
        match projection {
            "statistics" => Ok(5),
            "jobs" => Err(RebuildError::NotUnderWay),
            _ => Err(RebuildError::Unknown),
        }
    }

    async fn verify(&self, projection: &str) -> Result<Verified, VerifyError> {
        let verified = |first_difference: Option<Difference>| Verified {
            projection: projection.into(),
            build: 3,
            equal: first_difference.is_none(),
            position: 12,
            rows: 4,
            first_difference,
        };
        match projection {
            "jobs" => Ok(verified(None)),
            "deliveries" => Ok(verified(Some(Difference {
                table: "deliveries".into(),
                key: "default, 9".into(),
                column: "status".into(),
                expected: "dead".into(),
                found: "processed".into(),
            }))),
            "health" => Err(VerifyError::Unavailable("the read store is down".into())),
            "replays" => Err(VerifyError::Conflict(
                "a projection is being compared already".into(),
            )),
            "statistics" => std::future::pending().await,
            _ => Err(VerifyError::Unknown),
        }
    }
}

#[async_trait]
impl SendTest for Told {
    async fn send(&self, test: TestSend) -> TestAnswer {
        let full = test.event_type == "full";
        self.sent.lock().unwrap().push(test);
        TestAnswer {
            status: if full { 503 } else { 200 },
            retry_after_secs: full.then_some(7),
            body: Bytes::from_static(b"{\"success\":true}"),
        }
    }
}

#[async_trait]
impl CheckRequest for Told {
    async fn check(&self, request: RequestToCheck) -> Result<CheckedRequest, NotChecked> {
        let source = request.source.to_string();
        self.checked.lock().unwrap().push(request);
        Ok(CheckedRequest {
            source,
            scheme: Some("github".into()),
            verified: false,
            would_be: "rejected".into(),
            checks: vec![RequestCheck {
                name: "signature".into(),
                outcome: "failed".into(),
                message: "it fits none of the secrets that are tried: github-1".into(),
                hint: Some("compare the secrets".into()),
            }],
            secret_id: None,
            tenant: None,
            event: None,
            action: None,
            repository: None,
            delivery_id: None,
        })
    }
}

impl RenderMetrics for Told {
    fn prometheus(&self) -> String {
        "webhook_events_total{source=\"github\",event=\"push\",status=\"success\"} 3\n\
         webhook_events_total{source=\"github\",event=\"push\",status=\"rejected\"} 1\n"
            .into()
    }
}

pub(super) fn snapshot() -> SystemSnapshot {
    let projection = |name: &str| ProjectionStatus {
        name: name.into(),
        schema: 1,
        build: Some(3),
        state: ProjectionState::Live,
        progress: Progress {
            position: 2,
            lag_events: Some(0),
            lag_ms: 0,
        },
        partitions: 2,
        partitions_here: 1,
        rebuild: None,
        error: None,
    };
    SystemSnapshot {
        uptime_secs: 61,
        rss_bytes: 5_000_000,
        components: vec![Component {
            name: "clickhouse".into(),
            state: ComponentState::Ok,
            required: false,
            message: "answers".into(),
        }],
        relay: Some(Progress {
            position: 2,
            lag_events: Some(0),
            lag_ms: 0,
        }),
        projections: vec![projection("deliveries"), projection("jobs")],
        intake: None,
    }
}

/// An API that requests can be sent to.
pub(super) type Served = Arc<poem::endpoint::BoxEndpoint<'static, Response>>;

/// The API with everything that it asks.
pub(super) struct World {
    pub(super) log: Arc<MemoryLog>,
    pub(super) tables: Arc<CannedTables>,
    pub(super) told: Arc<Told>,
    pub(super) commands: Arc<Commands>,
    pub(super) rejected: Arc<MemoryRejected>,
    pub(super) senders: Arc<Senders>,
    pub(super) doors: Arc<Doors>,
    pub(super) written: Arc<Written>,
    pub(super) body: Bytes,
    pub(super) options: ApiOptions,
    pub(super) relayed: Arc<Relayed>,
    pub(super) live: LiveOptions,
}

impl World {
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOW.parse::<Timestamp>().unwrap()));
        let told = Told::default();
        *told.snapshot.lock().unwrap() = snapshot();
        let log = Arc::new(MemoryLog::with_gaps(log_id(), clock, 3));
        Self {
            commands: Arc::new(Commands::new(&log)),
            log,
            tables: Arc::new(CannedTables::ready()),
            told: Arc::new(told),
            rejected: Arc::default(),
            senders: Arc::default(),
            doors: Arc::default(),
            written: Arc::default(),
            body: Bytes::new(),
            options: ApiOptions::default(),
            relayed: Arc::default(),
            live: LiveOptions::default(),
        }
    }

    pub(super) fn destinations(&self) -> std::sync::MutexGuard<'_, Vec<domain::DestinationStatus>> {
        self.commands.destinations.lock().unwrap()
    }

    pub(super) async fn append(&self, delivery: &TestDelivery) {
        self.log.append(delivery.append()).await.unwrap();
    }

    pub(super) fn api(&self) -> Api {
        let log = Arc::clone(&self.log);
        let told = Arc::clone(&self.told);
        let tables: Arc<dyn Tables> = Arc::<CannedTables>::clone(&self.tables);
        let deps = ApiDeps {
            log: Arc::<MemoryLog>::clone(&log),
            events: Arc::<Relayed>::clone(&self.relayed),
            find: log,
            bodies: Arc::new(OneBody(self.body.clone())),
            tables,
            clock: Arc::new(ManualClock::at(NOW.parse::<Timestamp>().unwrap())),
            replays: Arc::<Commands>::clone(&self.commands),
            destinations: Arc::<Commands>::clone(&self.commands),
            sources: Arc::<Senders>::clone(&self.senders),
            rejected: Arc::<MemoryRejected>::clone(&self.rejected),
            keys: Arc::<Doors>::clone(&self.doors),
            audit: Arc::<Written>::clone(&self.written),
            session_secret: SessionSecret::new(&[3; 32]),
            status: Arc::<Told>::clone(&told),
            test: Arc::<Told>::clone(&told),
            check: Arc::<Told>::clone(&told),
            metrics: told,
            version: "1.2.3".into(),
            base_url: "http://127.0.0.1:3000/".into(),
        };
        Api::build(self.options.clone(), self.live.clone(), deps)
    }

    fn served(&self) -> Served {
        Arc::new(self.api().endpoint())
    }

    /// A client on this machine.
    pub(super) fn client(&self) -> TestClient<impl Endpoint<Output = Response> + use<>> {
        self.client_at("127.0.0.1:50000")
    }

    /// A client at an address.
    pub(super) fn client_at(&self, peer: &str) -> TestClient<impl Endpoint<Output = Response> + use<>> {
        self.client_over(peer, poem::http::uri::Scheme::HTTP)
    }

    /// A client at an address, over HTTP or HTTPS.
    pub(super) fn client_over(
        &self,
        peer: &str,
        scheme: poem::http::uri::Scheme,
    ) -> TestClient<impl Endpoint<Output = Response> + use<>> {
        let from = From {
            scheme,
            ..From::peer(&self.served(), peer)
        };
        TestClient::new(from).default_header("Host", "127.0.0.1:3000")
    }

    /// A client of an API that is kept.
    pub(super) fn client_of(
        &self,
        api: &Served,
        peer: &str,
    ) -> TestClient<impl Endpoint<Output = Response> + use<>> {
        TestClient::new(From::peer(api, peer)).default_header("Host", "127.0.0.1:3000")
    }

    /// A client on this machine, over a connection that can be ended.
    pub(super) fn client_of_connection(
        &self,
        api: &Served,
        hang_up: HangUp,
    ) -> TestClient<impl Endpoint<Output = Response> + use<>> {
        let from = From {
            hang_up: Some(hang_up),
            ..From::peer(api, "127.0.0.1:50000")
        };
        TestClient::new(from).default_header("Host", "127.0.0.1:3000")
    }

    /// A client at the socket of the data directory.
    pub(super) fn owner(&self) -> TestClient<impl Endpoint<Output = Response> + use<>> {
        TestClient::new(From {
            peer: Addr::default(),
            owner: Some(LocalOwner { uid: Some(1000) }),
            ..From::peer(&self.served(), "127.0.0.1:1")
        })
    }

    /// Status and JSON of a path.
    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.client().get(path).send().await.0;
        let status = response.status();
        let bytes = response.into_body().into_bytes_limit(10_000_000).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// The data of a good answer.
    pub(super) async fn data(&self, path: &str) -> Value {
        let (status, mut json) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {json}");
        assert_eq!(json["success"], true, "{path}: {json}");
        json["data"].take()
    }

    /// The message of a refusal.
    pub(super) async fn refusal(&self, path: &str, status: u16) -> String {
        let (seen, json) = self.get(path).await;
        assert_eq!(seen, status, "{path}: {json}");
        assert_eq!(json["success"], false, "{path}: {json}");
        assert!(json["error"]["requestId"].is_string(), "{path}: {json}");
        json["error"]["message"].as_str().unwrap().to_owned()
    }
}
