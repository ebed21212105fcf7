//! From the log outward: the relay that publishes it, the workers that project it, and the read models.

mod backoff;
mod builds;
mod causes;
mod ddl;
#[cfg(test)]
mod doubles;
mod lag;
mod meter;
mod migration;
mod model;
pub mod models;
mod progress;
mod relay;
mod runner;
mod verify;

pub use builds::{BuildRow, BuildState};
pub use meter::{Meter, MeterOptions};
pub use model::{BuildShape, ModelFactory, Projected, ReadModel, RowBatch, Table, View};
pub use relay::{Relay, RelayHandle, RelayOptions, RelayState, RelayStatus};
pub use runner::{
    AbortError, ProjectionState, ProjectionStatus, Projector, ProjectorHandle, ProjectorOptions,
    ProjectorPorts, RebuildError, RebuildStatus, VerifyStatus,
};
pub use verify::{
    Difference, DifferenceKind, Fingerprint, VerifiedTable, VerifyError, VerifyReport, active_build,
    fingerprint,
};
