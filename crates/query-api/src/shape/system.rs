//! The service itself: liveness, readiness, projections, metrics as JSON.

use poem_openapi::Object;
use serde::Serialize;

use super::destination::DestinationShape;
use crate::ports::{
    Component, ComponentState, Difference, PartitionHolder, Progress, ProjectionState, ProjectionStatus,
    RebuildOf, RebuildProgress, Verified,
};

/// A part of the service.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[oai(rename = "Component")]
pub(crate) struct ComponentShape {
    /// Its name.
    pub(crate) name: String,
    /// ok, degraded or down.
    pub(crate) status: String,
    /// What a person should know.
    pub(crate) message: String,
}

impl From<&Component> for ComponentShape {
    fn from(component: &Component) -> Self {
        let status = match component.state {
            ComponentState::Ok => "ok",
            ComponentState::Degraded => "degraded",
            ComponentState::Down => "down",
        };
        Self {
            name: component.name.clone(),
            status: status.to_owned(),
            message: component.message.clone(),
        }
    }
}

/// The process lives.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct Liveness {
    /// Always `ok`: whether it can work is what `/ready` says.
    pub(crate) status: String,
    /// Now.
    pub(crate) timestamp: String,
    /// Seconds since it was started.
    pub(crate) uptime: u64,
    /// The version of the program.
    pub(crate) version: String,
    /// Appends waiting for the log.
    pub(crate) queue_size: u64,
    /// The most that may wait.
    pub(crate) max_queue_size: u64,
}

/// Whether deliveries are taken.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct Readiness {
    /// ready, degraded (deliveries are taken, something else is not well) or unavailable.
    pub(crate) status: String,
    /// Now.
    pub(crate) timestamp: String,
    /// The parts, for those who may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) components: Option<Vec<ComponentShape>>,
}

/// The projections.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct Projections {
    /// The log that they are projected from.
    pub(crate) log_id: String,
    /// Position of its last event.
    pub(crate) head: u64,
    /// The relay to the live stream; null where another process runs it.
    pub(crate) relay: Option<ProgressShape>,
    /// The projections, by name.
    pub(crate) projections: Vec<ProjectionShape>,
    /// Who fills which partition of them, where processes share the work; empty where one does it all, and from a process
    /// that fills none.
    pub(crate) holders: Vec<PartitionHolderShape>,
}

/// Who fills a partition of the projections.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "PartitionHolder")]
pub(crate) struct PartitionHolderShape {
    /// The partition.
    pub(crate) partition: u32,
    /// Whether it is the process that answers.
    pub(crate) here: bool,
    /// The other process that does; null where none is known.
    pub(crate) other: Option<String>,
}

impl From<PartitionHolder> for PartitionHolderShape {
    fn from(holder: PartitionHolder) -> Self {
        Self {
            partition: holder.partition,
            here: holder.here,
            other: holder.other,
        }
    }
}

/// How far a follower of the log is.
#[derive(Debug, Clone, Copy, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Progress", rename_all = "camelCase")]
pub(crate) struct ProgressShape {
    /// The last position done.
    pub(crate) position: u64,
    /// How far behind the end of the log.
    pub(crate) lag: LagShape,
}

/// How far behind the end of the log.
#[derive(Debug, Clone, Copy, Serialize, Object)]
#[oai(rename = "Lag")]
pub(crate) struct LagShape {
    /// Events not done; null where the log's positions don't say how many they are, as on KurrentDB.
    pub(crate) events: Option<u64>,
    /// Age of the oldest of them in seconds.
    pub(crate) seconds: f64,
}

impl From<Progress> for ProgressShape {
    fn from(progress: Progress) -> Self {
        // A lag in milliseconds fits a double for 285,000 years.
        #[allow(clippy::cast_precision_loss, reason = "shown with three decimals")]
        let seconds = progress.lag_ms as f64 / 1000.0;
        Self {
            position: progress.position,
            lag: LagShape {
                events: progress.lag_events,
                seconds,
            },
        }
    }
}

/// A projection.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Projection", rename_all = "camelCase")]
pub(crate) struct ProjectionShape {
    /// Its name.
    pub(crate) name: String,
    /// Version of its tables' shape.
    pub(crate) schema: u32,
    /// The build that the API reads.
    pub(crate) build: Option<u32>,
    /// live, catching-up, building, failed or stopped.
    pub(crate) state: String,
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) progress: ProgressShape,
    /// The partitions that the build is filled in; 0 before the first is ready.
    pub(crate) partitions: u32,
    /// How many of them the process that answers fills.
    pub(crate) partitions_here: u32,
    /// A new build on its way; the old one answers until it has caught up.
    pub(crate) rebuild: Option<RebuildShape>,
    /// The last error.
    pub(crate) error: Option<String>,
}

impl From<&ProjectionStatus> for ProjectionShape {
    fn from(status: &ProjectionStatus) -> Self {
        let state = match status.state {
            ProjectionState::Live => "live",
            ProjectionState::CatchingUp => "catching-up",
            ProjectionState::Building => "building",
            ProjectionState::Failed => "failed",
            ProjectionState::Stopped => "stopped",
        };
        Self {
            name: status.name.clone(),
            schema: status.schema,
            build: status.build,
            state: state.to_owned(),
            progress: status.progress.into(),
            partitions: status.partitions,
            partitions_here: status.partitions_here,
            rebuild: status.rebuild.as_ref().map(RebuildShape::from),
            error: status.error.clone(),
        }
    }
}

/// A new build of a projection on its way.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Rebuild", rename_all = "camelCase")]
pub(crate) struct RebuildShape {
    /// Number of the build.
    pub(crate) build: u32,
    /// The last position done.
    pub(crate) position: u64,
    /// The position at which it takes over.
    pub(crate) target: u64,
    /// How much of that is done, in percent.
    pub(crate) percent: u32,
    /// Events folded a second, lately.
    pub(crate) events_per_second: Option<f64>,
    /// Seconds until it takes over at that pace.
    pub(crate) eta_seconds: Option<u64>,
    /// What is wrong, if something is.
    pub(crate) error: Option<String>,
}

impl From<&RebuildProgress> for RebuildShape {
    fn from(rebuild: &RebuildProgress) -> Self {
        let done = rebuild.progress.position.saturating_mul(100);
        let percent = done.checked_div(rebuild.target).unwrap_or(100).min(100);
        Self {
            build: rebuild.build,
            position: rebuild.progress.position,
            target: rebuild.target,
            percent: u32::try_from(percent).unwrap_or(100),
            events_per_second: rebuild.events_per_second.map(|pace| (pace * 10.0).round() / 10.0),
            eta_seconds: rebuild.eta_secs,
            error: rebuild.error.clone(),
        }
    }
}

/// A rebuild that was started.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct RebuildStarted {
    /// The projection, or `all`.
    pub(crate) name: String,
    /// Number of the new build; null for `all`.
    pub(crate) build: Option<u32>,
    /// Always `building`; follow it at `GET /api/projections`.
    pub(crate) state: String,
    /// Every build that was started.
    pub(crate) rebuilds: Vec<RebuildOfShape>,
}

/// The build of a projection.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "ProjectionBuild")]
pub(crate) struct RebuildOfShape {
    /// The projection.
    pub(crate) name: String,
    /// Number of the build.
    pub(crate) build: u32,
}

impl From<RebuildOf> for RebuildOfShape {
    fn from(of: RebuildOf) -> Self {
        Self {
            name: of.projection,
            build: of.build,
        }
    }
}

/// A rebuild that was given up.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct RebuildAborted {
    /// The projection.
    pub(crate) name: String,
    /// Number of the build that was dropped.
    pub(crate) build: u32,
    /// Always `aborted`; the build that was asked before is still asked.
    pub(crate) state: String,
}

/// What came of comparing the tables of a projection with a fold of the log.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Verification", rename_all = "camelCase")]
pub(crate) struct VerifiedShape {
    /// The projection.
    pub(crate) name: String,
    /// Number of the build.
    pub(crate) build: u32,
    /// Whether they are the same, row by row.
    pub(crate) equal: bool,
    /// The position up to which both were taken.
    pub(crate) position: u64,
    /// Rows compared.
    pub(crate) rows: u64,
    /// The first difference; null when they are the same.
    pub(crate) first_difference: Option<DifferenceShape>,
}

/// Where a table and the log differ.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Difference")]
pub(crate) struct DifferenceShape {
    /// The table, without schema and build.
    pub(crate) table: String,
    /// The row, by its identity.
    pub(crate) key: String,
    /// The column; empty when a whole row is missing or too many.
    pub(crate) column: String,
    /// What the log says.
    pub(crate) expected: String,
    /// What the table says.
    pub(crate) found: String,
}

impl From<Difference> for DifferenceShape {
    fn from(difference: Difference) -> Self {
        Self {
            table: difference.table,
            key: difference.key,
            column: difference.column,
            expected: difference.expected,
            found: difference.found,
        }
    }
}

impl From<Verified> for VerifiedShape {
    fn from(verified: Verified) -> Self {
        Self {
            name: verified.projection,
            build: verified.build,
            equal: verified.equal,
            position: verified.position,
            rows: verified.rows,
            first_difference: verified.first_difference.map(DifferenceShape::from),
        }
    }
}

/// The metrics that dashboards of older systems read as JSON.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct MetricsSummary {
    /// The process.
    pub(crate) server: ServerMetrics,
    /// The way into the log.
    pub(crate) event_queue: QueueMetrics,
    /// The log.
    pub(crate) event_store: StoreMetrics,
    /// The relay to the live stream.
    pub(crate) relay: Option<ProgressShape>,
    /// The projections.
    pub(crate) projections: Vec<ProjectionShape>,
    /// The destinations, with what is open.
    pub(crate) destinations: Vec<DestinationShape>,
}

/// The process.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct ServerMetrics {
    /// Seconds since it was started.
    pub(crate) uptime: u64,
    /// Its memory.
    pub(crate) memory_usage: MemoryUsage,
}

/// Memory of the process.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct MemoryUsage {
    /// Resident, in bytes.
    pub(crate) rss: u64,
    /// The same: there is no separate heap to speak of.
    pub(crate) heap_total: u64,
}

/// The way into the log.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct QueueMetrics {
    /// Requests to receive since the start, whatever became of them.
    pub(crate) events_queued: u64,
    /// Of those, the ones that are in the log.
    pub(crate) events_processed: u64,
    /// Appends waiting now.
    pub(crate) queue_size: u64,
}

/// The log.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct StoreMetrics {
    /// Position of the last event; with the embedded log, the number of events.
    pub(crate) events_stored: u64,
    /// Bytes on disk, where known.
    pub(crate) storage_size: Option<u64>,
}
