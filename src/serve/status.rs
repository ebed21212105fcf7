//! The state of the whole program, put together for the API from what each part says about itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::{EventLog, SharedWork};
use infra::engine::{EngineState, EngineStatus, Engines};
use ingest::{Ingest, SyntheticDelivery};
use metrics_exporter_prometheus::PrometheusHandle;
use projections::{DifferenceKind, ProjectorHandle, RelayHandle, RelayState, RelayStatus};
use query_api::{
    Component, ComponentState, Difference, Intake, PartitionHolder, Progress, ProjectionState,
    ProjectionStatus, RebuildError, RebuildOf, RebuildProgress, RenderMetrics, SendTest, SystemSnapshot,
    SystemStatus, TestAnswer, TestSend, Verified, VerifyError,
};

use crate::role::{Role, Roles};
use crate::serve::share::Sharing;

/// Gathers what the parts say. Parts that start late are put in when they are there.
pub(crate) struct Status {
    started: Instant,
    log: Arc<dyn EventLog>,
    roles: Roles,
    sharing: Arc<Sharing>,
    ingest: OnceLock<Ingest>,
    relay: OnceLock<RelayHandle>,
    projector: OnceLock<ProjectorHandle>,
    engines: OnceLock<Arc<Engines>>,
    trouble: Mutex<Option<String>>,
    stopping: AtomicBool,
}

impl Status {
    pub(crate) fn new(log: Arc<dyn EventLog>, roles: &Roles, sharing: Arc<Sharing>) -> Self {
        Self {
            started: Instant::now(),
            log,
            roles: roles.clone(),
            sharing,
            ingest: OnceLock::new(),
            relay: OnceLock::new(),
            projector: OnceLock::new(),
            engines: OnceLock::new(),
            trouble: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// From now on it is not ready: load balancers send nothing new while open requests are finished.
    pub(crate) fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The engines did not start; `None` when they did.
    pub(crate) fn engines_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(crate) fn engines_started(&self, engines: Arc<Engines>) {
        let _ = self.engines.set(engines);
        self.engines_trouble(None);
    }

    pub(crate) fn ingest_started(&self, ingest: Ingest) {
        let _ = self.ingest.set(ingest);
    }

    pub(crate) fn relay_started(&self, relay: RelayHandle) {
        let _ = self.relay.set(relay);
    }

    pub(crate) fn projector_started(&self, projector: ProjectorHandle) {
        let _ = self.projector.set(projector);
    }

    fn projector(&self) -> Result<&ProjectorHandle, String> {
        let none = || "this process runs no projections".to_owned();
        self.projector.get().ok_or_else(none)
    }

    fn components(&self) -> Vec<Component> {
        let mut components = vec![self.log_component()];
        if self.stopping.load(Ordering::Relaxed) {
            components.push(Component {
                name: "server".into(),
                state: ComponentState::Down,
                required: true,
                message: "is being stopped".into(),
            });
        }
        if self.roles.has(Role::Relay) {
            components.push(match self.relay.get() {
                Some(relay) => relay_component(&relay.status()),
                None => starting("relay"),
            });
        }
        if self.roles.has(Role::Project) {
            components.push(match self.projector.get() {
                Some(projector) => self.projections_component(&projector.status()),
                None => starting("projections"),
            });
        }
        if self.roles.has(Role::React) && self.sharing.is_shared() {
            components.push(self.react_component());
        }
        match self.engines.get() {
            Some(engines) => components.extend(engines.status().iter().map(engine_component)),
            None => components.push(self.engines_component()),
        }
        components
    }

    fn react_component(&self) -> Component {
        let share = self.sharing.share_of(SharedWork::React);
        Component {
            name: "reactors".into(),
            state: ComponentState::Ok,
            required: false,
            message: share.map_or_else(String::new, |share| share.in_words()),
        }
    }

    /// Of a standby it is said that it is one: how the projections are, those who fill them say.
    fn projections_component(&self, statuses: &[projections::ProjectionStatus]) -> Component {
        match self.sharing.share_of(SharedWork::Project) {
            Some(share) if !share.works() => Component {
                name: "projections".into(),
                state: ComponentState::Ok,
                required: false,
                message: share.in_words(),
            },
            Some(share) => {
                let component = projections_component(statuses);
                let message = format!("{}; {}", component.message, share.in_words());
                Component { message, ..component }
            }
            None => projections_component(statuses),
        }
    }

    fn log_component(&self) -> Component {
        let health = self.log.health();
        let (state, message) = match health.unwritable {
            Some(why) => (ComponentState::Down, why),
            None => (ComponentState::Ok, format!("head at position {}", health.head)),
        };
        Component {
            name: "log".into(),
            state,
            required: true,
            message,
        }
    }

    fn engines_component(&self) -> Component {
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match trouble {
            Some(message) => Component {
                name: "engines".into(),
                state: ComponentState::Down,
                required: false,
                message,
            },
            None => starting("engines"),
        }
    }
}

fn starting(name: &str) -> Component {
    Component {
        name: name.into(),
        state: ComponentState::Down,
        required: true,
        message: "is being started".into(),
    }
}

fn relay_component(status: &RelayStatus) -> Component {
    let state = match status.state {
        RelayState::Live | RelayState::Standby => ComponentState::Ok,
        RelayState::Starting | RelayState::CatchingUp => ComponentState::Degraded,
        RelayState::Waiting | RelayState::Ahead => ComponentState::Down,
    };
    let well = || {
        if status.state != RelayState::Standby {
            return behind(status.lag_events, status.lag_seconds);
        }
        let active = status.active.as_ref();
        active.map_or_else(
            || "standby".to_owned(),
            |active| format!("standby; {active} publishes"),
        )
    };
    let message = status.error.clone().unwrap_or_else(well);
    Component {
        name: "relay".into(),
        state,
        required: false,
        message,
    }
}

/// How far somebody is behind the log, for people.
fn behind(events: Option<u64>, seconds: f64) -> String {
    events.map_or_else(
        || format!("{seconds:.1} s behind"),
        |events| format!("{events} events behind"),
    )
}

fn projections_component(statuses: &[projections::ProjectionStatus]) -> Component {
    use projections::ProjectionState as State;
    let troubled = statuses.iter().find(|s| s.error.is_some());
    let filling = statuses.iter().find(|s| s.state != State::Live);
    let (state, message) = match (troubled, filling) {
        (Some(one), _) => (
            ComponentState::Down,
            format!("{}: {}", one.name, one.error.clone().unwrap_or_default()),
        ),
        (None, Some(one)) => (
            ComponentState::Degraded,
            format!(
                "{} is not up to date, {}",
                one.name,
                behind(one.lag_events, one.lag_seconds)
            ),
        ),
        (None, None) => {
            let furthest = statuses.iter().min_by_key(|status| status.position);
            let lag = furthest.map_or((Some(0), 0.0), |one| (one.lag_events, one.lag_seconds));
            (ComponentState::Ok, behind(lag.0, lag.1))
        }
    };
    Component {
        name: "projections".into(),
        state,
        required: false,
        message,
    }
}

fn engine_component(status: &EngineStatus) -> Component {
    let state = match status.state {
        EngineState::Ready => ComponentState::Ok,
        EngineState::Starting | EngineState::Waiting | EngineState::Stopped => ComponentState::Down,
    };
    let ready = || format!("version {}, restarted {} times", status.version, status.restarts);
    let message = status.reason.clone().unwrap_or_else(ready);
    Component {
        name: status.name.into(),
        state,
        required: false,
        message,
    }
}

fn projection_status(status: &projections::ProjectionStatus) -> ProjectionStatus {
    use projections::ProjectionState as State;
    let state = match status.state {
        State::Live => ProjectionState::Live,
        State::CatchingUp => ProjectionState::CatchingUp,
        State::Rebuilding => ProjectionState::Building,
        // Without an error it has only not begun yet.
        State::Waiting if status.error.is_none() => ProjectionState::Building,
        State::Waiting => ProjectionState::Failed,
    };
    let progress = |position: u64, lag_events: Option<u64>, lag_seconds: f64| Progress {
        position,
        lag_events,
        lag_ms: Duration::try_from_secs_f64(lag_seconds)
            .map_or(0, |lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
    };
    let head = status.head.get();
    ProjectionStatus {
        name: status.name.clone(),
        schema: status.schema.into(),
        build: (status.build > 0).then_some(status.build),
        state,
        progress: progress(status.position.get(), status.lag_events, status.lag_seconds),
        partitions: status.partitions,
        partitions_here: status.partitions_here,
        rebuild: status.rebuild.as_ref().map(|rebuild| RebuildProgress {
            build: rebuild.build,
            progress: progress(rebuild.position.get(), rebuild.lag_events, 0.0),
            target: head,
            events_per_second: rebuild.events_per_second,
            eta_secs: rebuild
                .eta_seconds
                .and_then(|eta| Duration::try_from_secs_f64(eta).ok())
                .map(|eta| eta.as_secs()),
            error: rebuild.error.clone(),
        }),
        error: status.error.clone(),
    }
}

#[async_trait]
impl SystemStatus for Status {
    async fn snapshot(&self) -> SystemSnapshot {
        let projections = self
            .projector
            .get()
            .map(ProjectorHandle::status)
            .unwrap_or_default();
        let relay = self.relay.get().map(RelayHandle::status).map(|status| Progress {
            position: status.position.get(),
            lag_events: status.lag_events,
            lag_ms: Duration::try_from_secs_f64(status.lag_seconds)
                .map_or(0, |lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
        });
        let intake = self.ingest.get().map(Ingest::lately);
        let intake = intake.map(|lately| Intake {
            taken: lately.taken,
            rejected: lately.rejected,
        });
        SystemSnapshot {
            uptime_secs: self.started.elapsed().as_secs(),
            rss_bytes: resident_bytes().unwrap_or(0),
            components: self.components(),
            relay,
            projections: projections.iter().map(projection_status).collect(),
            intake,
        }
    }

    async fn partition_holders(&self) -> Vec<PartitionHolder> {
        let statuses = self.projector.get().map(ProjectorHandle::status);
        let partitions = statuses.iter().flatten().map(|status| status.partitions);
        self.sharing
            .partition_holders(partitions.max().unwrap_or_default())
            .await
    }

    async fn rebuild(&self, projection: &str) -> Result<u32, RebuildError> {
        let begun = self.projector().map_err(RebuildError::Unavailable)?;
        begun.rebuild(projection).await.map_err(|error| refused(&error))
    }

    async fn rebuild_all(&self) -> Result<Vec<RebuildOf>, RebuildError> {
        let projector = self.projector().map_err(RebuildError::Unavailable)?;
        let mut begun = Vec::new();
        let mut refusal = RebuildError::UnderWay;
        for (projection, outcome) in projector.rebuild_all().await {
            match outcome {
                Ok(build) => begun.push(RebuildOf { projection, build }),
                Err(projections::RebuildError::UnderWay(_)) => {}
                Err(error) => refusal = refused(&error),
            }
        }
        if begun.is_empty() { Err(refusal) } else { Ok(begun) }
    }

    async fn abort_rebuild(&self, projection: &str) -> Result<u32, RebuildError> {
        use projections::AbortError as Refused;
        let projector = self.projector().map_err(RebuildError::Unavailable)?;
        projector.abort(projection).await.map_err(|error| match error {
            Refused::Unknown(_) => RebuildError::Unknown,
            Refused::NotUnderWay => RebuildError::NotUnderWay,
            other @ (Refused::Needed(_) | Refused::TooLate(_) | Refused::NotRunning | Refused::Tables(_)) => {
                RebuildError::Unavailable(other.to_string())
            }
        })
    }

    async fn verify(&self, projection: &str) -> Result<Verified, VerifyError> {
        use projections::VerifyError as Refused;
        let projector = self.projector().map_err(VerifyError::Unavailable)?;
        let report = projector.verify(projection).await.map_err(|error| match error {
            Refused::Unknown(_) => VerifyError::Unknown,
            other @ (Refused::NotBuilt
            | Refused::Rebuilding(_)
            | Refused::UnderWay
            | Refused::Replaced
            | Refused::Diverged(_)) => VerifyError::Conflict(with_source(&other)),
            other @ (Refused::TooBusy | Refused::Tables(_) | Refused::Log(_) | Refused::Rows(_)) => {
                VerifyError::Unavailable(with_source(&other))
            }
        })?;
        Ok(Verified {
            projection: report.projection.clone(),
            build: report.build,
            equal: report.is_equal(),
            position: report.position.get(),
            rows: report.rows,
            first_difference: report.first_difference.as_ref().map(in_words),
        })
    }
}

fn refused(error: &projections::RebuildError) -> RebuildError {
    use projections::RebuildError as Refused;
    match error {
        Refused::Unknown(_) => RebuildError::Unknown,
        Refused::UnderWay(_) => RebuildError::UnderWay,
        Refused::NotRunning | Refused::Tables(_) => RebuildError::Unavailable(with_source(error)),
    }
}

/// An error and what it comes from, for the one line of an answer.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_source(source)),
        None => error.to_string(),
    }
}

/// A difference between a table and the log, for people.
fn in_words(difference: &projections::Difference) -> Difference {
    let key = difference
        .key
        .iter()
        .map(|(column, value)| format!("{column} {value}"));
    let text = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    let (expected, found) = match difference.kind {
        DifferenceKind::Missing => ("a row", "none"),
        DifferenceKind::Surplus => ("no row", "one"),
        DifferenceKind::Value => ("NULL", "NULL"),
    };
    Difference {
        table: difference.table.clone(),
        key: key.collect::<Vec<_>>().join(", "),
        column: text(&difference.column, ""),
        expected: text(&difference.expected, expected),
        found: text(&difference.found, found),
    }
}

/// Resident memory as the kernel counts it.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// `POST /api/webhooks/test` through the receiver itself.
pub(crate) struct Synthetic(pub(crate) Ingest);

#[async_trait]
impl SendTest for Synthetic {
    async fn send(&self, test: TestSend) -> TestAnswer {
        let delivery = SyntheticDelivery {
            tenant: test.tenant,
            source: test.source,
            ..SyntheticDelivery::example(&test.event_type, &test.repository, test.action.as_deref())
        };
        let answer = self.0.receive_synthetic(delivery).await;
        TestAnswer {
            status: answer.status.as_u16(),
            retry_after_secs: answer.retry_after_s,
            body: answer.json.into(),
        }
    }
}

/// The metrics page.
pub(crate) struct TextMetrics(pub(crate) PrometheusHandle);

impl RenderMetrics for TextMetrics {
    fn prometheus(&self) -> String {
        self.0.render()
    }
}
