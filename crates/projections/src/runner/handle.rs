//! What others may ask of the workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::TableError;
use tokio::sync::{mpsc, oneshot};

use super::Worker;
use super::board::ProjectionStatus;
use super::open::Projection;
use crate::verify::{VerifyError, VerifyReport};

/// Why a rebuild did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// No projection has that name.
    #[error("there is no projection {0:?}")]
    Unknown(String),
    /// One is under way.
    #[error("build {0} is under way already")]
    UnderWay(u32),
    /// The workers don't run, or too many requests wait.
    #[error("the projection workers don't answer")]
    NotRunning,
    /// The read store failed.
    #[error("the new build can't be made")]
    Tables(#[from] TableError),
}

/// Why a rebuild was not given up.
#[derive(Debug, thiserror::Error)]
pub enum AbortError {
    /// No projection has that name.
    #[error("there is no projection {0:?}")]
    Unknown(String),
    /// None is under way.
    #[error("no rebuild is under way")]
    NotUnderWay,
    /// There is nothing to go back to: the tables that are asked are of another log, another schema or not whole.
    #[error("build {0} is needed: the tables that are asked now can't be filled any more")]
    Needed(u32),
    /// It is being swapped in at this moment.
    #[error("build {0} is being swapped in")]
    TooLate(u32),
    /// The workers don't run, or too many requests wait.
    #[error("the projection workers don't answer")]
    NotRunning,
    /// The read store failed: the rebuild goes on.
    #[error("the read store did not take it down")]
    Tables(#[from] TableError),
}

/// What the handle asks of the projector.
pub(super) enum Request {
    Rebuild(String, oneshot::Sender<Result<u32, RebuildError>>),
    RebuildAll(oneshot::Sender<Vec<(String, Result<u32, RebuildError>)>>),
    Abort(String, oneshot::Sender<Result<u32, AbortError>>),
}

/// Asks the projector.
#[derive(Clone)]
pub struct ProjectorHandle {
    pub(super) worker: Arc<Worker>,
    pub(super) projections: Arc<BTreeMap<&'static str, Projection>>,
    pub(super) requests: mpsc::Sender<Request>,
}

impl ProjectorHandle {
    /// How every projection is doing, by name, without touching a disk or the network.
    #[must_use]
    pub fn status(&self) -> Vec<ProjectionStatus> {
        self.worker.board.statuses()
    }

    /// Begins a new build beside the active one and returns its number; it is swapped in when it has caught up and equals a
    /// fold of the log.
    ///
    /// # Errors
    /// When there is no such projection, a build is under way already, or none can be made.
    pub async fn rebuild(&self, name: &str) -> Result<u32, RebuildError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Rebuild(name.to_owned(), answer))
            .ok_or(RebuildError::NotRunning)?;
        answered.await.map_err(|_| RebuildError::NotRunning)?
    }

    /// Begins a new build of every projection, in one pass over the log, and says for each what came of it.
    pub async fn rebuild_all(&self) -> Vec<(String, Result<u32, RebuildError>)> {
        let (answer, answered) = oneshot::channel();
        if self.ask(Request::RebuildAll(answer)).is_some()
            && let Ok(begun) = answered.await
        {
            return begun;
        }
        let names = self.projections.keys();
        names
            .map(|name| ((*name).to_owned(), Err(RebuildError::NotRunning)))
            .collect()
    }

    /// Gives up the rebuild of a projection and returns the number of the build that is dropped, never to come back. The
    /// build that is asked stays as it is.
    ///
    /// # Errors
    /// When there is none to give up, or it can't be done without.
    pub async fn abort(&self, name: &str) -> Result<u32, AbortError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Abort(name.to_owned(), answer))
            .ok_or(AbortError::NotRunning)?;
        answered.await.map_err(|_| AbortError::NotRunning)?
    }

    /// Compares the active tables of a projection with a fold of the log, while both go on. It reads the whole log, more
    /// than once when the tables are large, and changes nothing; dropping the future ends it. How far it is stands in
    /// [`ProjectionStatus::verifying`].
    ///
    /// # Errors
    /// When it can't be compared now: a rebuild or another comparison is under way, or log or tables can't be read.
    pub async fn verify(&self, name: &str) -> Result<VerifyReport, VerifyError> {
        let unknown = || VerifyError::Unknown(name.to_owned());
        let projection = self.projections.get(name).ok_or_else(unknown)?;
        self.worker.verify_active(projection).await
    }

    fn ask(&self, request: Request) -> Option<()> {
        self.requests.try_send(request).ok()
    }
}
