//! How projections are doing, as others are told.

use domain::Position;

use crate::lag::gauge_of;
use crate::verify::VerifyReport;

/// What a projection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProjectionState {
    /// It follows the stream.
    Live,
    /// It is behind and reads the log.
    CatchingUp,
    /// Its first build is being filled from the start of the log: answers are incomplete.
    Rebuilding,
    /// Something is wrong, or it has not started yet; see the error.
    Waiting,
}

/// A new build that is filled beside the one that is asked.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RebuildStatus {
    /// Its number.
    pub build: u32,
    /// The last event it holds.
    pub position: Position,
    /// The events of the log that it lacks; none where the positions of the log don't say how many they are.
    pub lag_events: Option<u64>,
    /// How much of the log it holds, from 0 to 1, by position.
    pub done: f64,
    /// Events a second, in the last half minute; none while too little is known.
    pub events_per_second: Option<f64>,
    /// Seconds until this step is done at that pace: until it has caught up, and then until it is compared.
    pub eta_seconds: Option<f64>,
    /// It has caught up and is compared with the log before it is asked.
    pub verifying: Option<VerifyStatus>,
    /// What is wrong, if something is.
    pub error: Option<String>,
}

/// A comparison with the log on its way.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct VerifyStatus {
    /// The build that is compared.
    pub build: u32,
    /// How much is done, from 0 to 1.
    pub done: f64,
    /// Seconds left at that pace; none while too little is known.
    pub eta_seconds: Option<f64>,
}

/// How a projection is doing.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ProjectionStatus {
    /// The projection.
    pub name: String,
    /// The schema of its tables.
    pub schema: u16,
    /// The build that is asked; 0 while none is known.
    pub build: u32,
    /// The partitions that streams are spread over in that build; 0 while none is known.
    pub partitions: u32,
    /// How many of them this process fills; others are filled elsewhere.
    pub partitions_here: u32,
    /// The last event it holds, in every partition.
    pub position: Position,
    /// The last event of the log.
    pub head: Position,
    /// The events between them; none where the positions of the log don't say how many they are.
    pub lag_events: Option<u64>,
    /// How long the oldest event that it lacks may have been waiting.
    pub lag_seconds: f64,
    /// What it is doing.
    pub state: ProjectionState,
    /// What is wrong, if something is.
    pub error: Option<String>,
    /// The build under way beside it.
    pub rebuild: Option<RebuildStatus>,
    /// Why the last rebuild was thrown away, until the next one begins.
    pub rebuild_failed: Option<String>,
    /// A comparison of the build that is asked with the log, under way.
    pub verifying: Option<VerifyStatus>,
    /// What the last comparison in this process came to.
    pub verified: Option<VerifyReport>,
}

impl ProjectionStatus {
    /// Sets its gauges.
    pub(super) fn report(self) {
        metrics::gauge!("hooklog_projection_position", "projection" => self.name.clone())
            .set(gauge_of(Some(self.position.get())));
        metrics::gauge!("hooklog_projection_lag_events", "projection" => self.name.clone())
            .set(gauge_of(self.lag_events));
        let eta = self.rebuild.and_then(|rebuild| rebuild.eta_seconds);
        metrics::gauge!("hooklog_projection_rebuild_eta_seconds", "projection" => self.name.clone())
            .set(eta.unwrap_or(0.0));
        metrics::gauge!("hooklog_projection_lag_seconds", "projection" => self.name).set(self.lag_seconds);
    }
}
