//! The read side: REST over the log and the read models, and the commands that go with it: replays, destinations,
//! rebuilds. A command is checked here and carried out behind a port.
//!
//! Never here: a write to the log or to a table. One delivery is read from the log; everything else is asked of the read
//! store, tenant first, with bound values. Start at [`Api::build`].

mod access;
mod admission;
mod answer;
mod api;
mod cursor;
mod dashboard;
mod delivery;
mod document;
mod edge;
mod explorer;
mod failure;
mod json_body;
mod live;
mod null;
mod options;
mod order;
mod param;
mod ports;
mod route;
mod score;
mod shape;
mod sql;
mod state;
mod window;

#[cfg(test)]
mod tests;

pub use access::{LocalOwner, SessionSecret};
pub use api::{Api, ApiDeps};
pub use live::{HangUp, Live, LiveOptions};
pub use options::{Anonymous, ApiOptions};
pub use ports::{
    CheckRequest, CheckedRequest, Component, ComponentState, Difference, Intake, NotChecked, PartitionHolder,
    Progress, ProjectionState, ProjectionStatus, RebuildError, RebuildOf, RebuildProgress, RenderMetrics,
    RequestCheck, RequestToCheck, SendTest, SystemSnapshot, SystemStatus, TestAnswer, TestSend, Verified,
    VerifyError,
};
