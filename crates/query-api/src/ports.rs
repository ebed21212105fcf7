//! What the API asks of the rest of the program. Implemented where the program is put together.

use async_trait::async_trait;
use bytes::Bytes;
use domain::{SourceName, TenantId, Timestamp};
use poem::http::HeaderMap;

pub use crate::shape::verify::{CheckedRequest, RequestCheck};

/// Whether a part of the program works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ComponentState {
    /// It works.
    Ok,
    /// It works, but lags, rebuilds or restarts.
    Degraded,
    /// It does not work.
    Down,
}

/// A part of the program: `log`, `relay`, `nats`, `clickhouse`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Whether it works.
    pub state: ComponentState,
    /// Whether `/ready` answers 503 when it is down. The log is needed to receive; the engines are not.
    pub required: bool,
    /// What a person should know, in a few words.
    pub message: String,
}

/// How far a follower of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last position done.
    pub position: u64,
    /// Events of the log after it, where that can be said cheaply.
    pub lag_events: Option<u64>,
    /// Age of the oldest event not done, in milliseconds; 0 when nothing waits.
    pub lag_ms: u64,
}

/// What a projection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectionState {
    /// It follows the log, and the API reads its tables.
    Live,
    /// It follows the log but is far behind its end.
    CatchingUp,
    /// Its first tables are being filled; there are none to read yet.
    Building,
    /// It can't go on; `error` says why. It is tried again.
    Failed,
    /// This process does not run it.
    Stopped,
}

/// A new build of a projection on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct RebuildProgress {
    /// Number of the build.
    pub build: u32,
    /// How far it is.
    pub progress: Progress,
    /// The head of the log that it has to reach before it takes over.
    pub target: u64,
    /// Events folded a second, lately; none before that can be said.
    pub events_per_second: Option<f64>,
    /// Seconds until it takes over at that pace.
    pub eta_secs: Option<u64>,
    /// What is wrong, if something is.
    pub error: Option<String>,
}

/// A rebuild that was begun, or given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildOf {
    /// The projection.
    pub projection: String,
    /// Number of the build.
    pub build: u32,
}

/// What came of comparing the tables of a projection with a fold of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The projection.
    pub projection: String,
    /// Number of the build.
    pub build: u32,
    /// Whether they are the same, row by row.
    pub equal: bool,
    /// The position up to which both were taken.
    pub position: u64,
    /// Rows compared.
    pub rows: u64,
    /// The first difference, in the order of tables and rows.
    pub first_difference: Option<Difference>,
}

/// Where a table and the log differ; texts for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The table, without schema and build.
    pub table: String,
    /// The row, by its identity.
    pub key: String,
    /// The column; empty when a whole row is missing or too many.
    pub column: String,
    /// What the log says.
    pub expected: String,
    /// What the table says.
    pub found: String,
}

/// A projection.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// Version of its tables' shape.
    pub schema: u32,
    /// The build that the API reads; `None` before the first is ready.
    pub build: Option<u32>,
    /// What it is doing.
    pub state: ProjectionState,
    /// How far the build that the API reads is.
    pub progress: Progress,
    /// Partitions of that build; 0 before the first is ready.
    pub partitions: u32,
    /// How many of them this process fills.
    pub partitions_here: u32,
    /// A rebuild under way.
    pub rebuild: Option<RebuildProgress>,
    /// The last error, if it is not over.
    pub error: Option<String>,
}

/// Who fills a partition of the projections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionHolder {
    /// The partition.
    pub partition: u32,
    /// Whether this process fills it.
    pub here: bool,
    /// The other process that does, where one is known.
    pub other: Option<String>,
}

/// Requests to receive since some time ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Intake {
    /// Deliveries taken, duplicates included.
    pub taken: u64,
    /// Requests refused for what they are: signature, age, size, address.
    pub rejected: u64,
}

/// How the program is doing, at one moment.
#[derive(Debug, Clone, Default)]
pub struct SystemSnapshot {
    /// Seconds since it was started.
    pub uptime_secs: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Its parts.
    pub components: Vec<Component>,
    /// How far the relay is; `None` where another process runs it.
    pub relay: Option<Progress>,
    /// The projections, by name.
    pub projections: Vec<ProjectionStatus>,
    /// What was received in about the last five minutes, where known.
    pub intake: Option<Intake>,
}

/// Why a rebuild was not started or given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// There is no such projection.
    #[error("there is no such projection")]
    Unknown,
    /// One is under way.
    #[error("a rebuild is under way")]
    UnderWay,
    /// None is under way.
    #[error("no rebuild is under way")]
    NotUnderWay,
    /// It can't be done now.
    #[error("a rebuild can't be started or given up now: {0}")]
    Unavailable(String),
}

/// Why a projection was not compared with the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There is no such projection.
    #[error("there is no such projection")]
    Unknown,
    /// It can't be compared in its present state.
    #[error("it can't be compared with the log now: {0}")]
    Conflict(String),
    /// It can't be compared now.
    #[error("it can't be compared with the log now: {0}")]
    Unavailable(String),
}

/// Knows how the program is doing, starts rebuilds and gives them up, and compares projections with the log.
#[async_trait]
pub trait SystemStatus: Send + Sync {
    /// How it is doing. Answers within about a second, whatever is down.
    async fn snapshot(&self) -> SystemSnapshot;

    /// Who fills which partition of the projections, where work is shared and as far as that is known. Answers within about a
    /// second, whatever is down.
    async fn partition_holders(&self) -> Vec<PartitionHolder>;

    /// Starts a new build of a projection and returns its number. The old tables answer until it has caught up.
    async fn rebuild(&self, projection: &str) -> Result<u32, RebuildError>;

    /// Starts a new build of every projection that has none under way, in one pass over the log where that can be, and
    /// returns those begun. [`RebuildError::UnderWay`] when all have one under way.
    async fn rebuild_all(&self) -> Result<Vec<RebuildOf>, RebuildError>;

    /// Gives up the rebuild of a projection and returns the number of the build that was dropped. The build that the API
    /// reads stays as it is.
    async fn abort_rebuild(&self, projection: &str) -> Result<u32, RebuildError>;

    /// Compares the tables of a projection with a fold of the log. Changes nothing; reads the whole log. Dropping the
    /// future stops it.
    async fn verify(&self, projection: &str) -> Result<Verified, VerifyError>;
}

/// A delivery to make up and send through the real path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestSend {
    /// Whose delivery it is: it goes to a source that has a secret of this tenant.
    pub tenant: TenantId,
    /// The source to send as; none for `github`, else the first one, of those.
    pub source: Option<SourceName>,
    /// The event type.
    pub event_type: String,
    /// `owner/name`.
    pub repository: String,
    /// The action, if any.
    pub action: Option<String>,
}

/// What receiving answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestAnswer {
    /// The status code.
    pub status: u16,
    /// `Retry-After`, in seconds, where it was given.
    pub retry_after_secs: Option<u64>,
    /// The body, JSON.
    pub body: Bytes,
}

/// Sends a signed synthetic delivery through the real path: the receiver, its checks and the log.
#[async_trait]
pub trait SendTest: Send + Sync {
    /// Sends it and returns what receiving answered.
    async fn send(&self, test: TestSend) -> TestAnswer;
}

/// A request of a sender, to be checked as receiving would. Never shown: tokens stand in its headers.
#[derive(Clone)]
pub struct RequestToCheck {
    /// Who asks: only secrets of this tenant may be told of. The tenant `default` runs the instance, and hears of all.
    pub tenant: TenantId,
    /// The source that it was sent to.
    pub source: SourceName,
    /// The connection in its path.
    pub connection: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// When it is taken to be received; now unless given.
    pub at: Option<Timestamp>,
}

/// A request was not checked, because of a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request could not be checked")]
pub struct NotChecked;

/// Checks a request as receiving would, without receiving it.
#[async_trait]
pub trait CheckRequest: Send + Sync {
    /// Says what receiving would do with it, and why. Changes nothing.
    async fn check(&self, request: RequestToCheck) -> Result<CheckedRequest, NotChecked>;
}

/// Shows the metrics of the program.
pub trait RenderMetrics: Send + Sync {
    /// All of them in the Prometheus text format.
    fn prometheus(&self) -> String;
}
