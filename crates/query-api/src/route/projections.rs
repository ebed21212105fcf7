//! The projections: how far they are, building them anew, and comparing them with the log.

use std::sync::Arc;
use std::time::Duration;

use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::Group;
use crate::answer::Answer;
use crate::failure::{Code, Failure};
use crate::ports::{RebuildError, RebuildOf, VerifyError};
use crate::shape::system::{
    PartitionHolderShape, ProgressShape, ProjectionShape, Projections, RebuildAborted, RebuildOfShape,
    RebuildStarted, VerifiedShape,
};
use crate::state::State;

pub(crate) struct ProjectionsApi {
    pub(crate) state: Arc<State>,
}

/// Stands for every projection.
const ALL: &str = "all";
/// Seconds after which to ask again for a rebuild that can't be started.
const RETRY_SECS: u64 = 5;

#[OpenApi(prefix_path = "/api/projections", tag = "Group::Service")]
impl ProjectionsApi {
    /// List the projections: position, lag, state, and the progress of a rebuild.
    #[oai(path = "/", method = "get", operation_id = "listProjections")]
    async fn list(&self) -> Result<Answer<Projections>, Failure> {
        let snapshot = self.state.status.snapshot().await;
        let holders = self.state.status.partition_holders().await;
        Ok(Answer(Projections {
            log_id: self.state.log.id().to_string(),
            head: self.state.log.health().head.get(),
            relay: snapshot.relay.map(ProgressShape::from),
            projections: snapshot.projections.iter().map(ProjectionShape::from).collect(),
            holders: holders.into_iter().map(PartitionHolderShape::from).collect(),
        }))
    }

    /// Build a projection, or `all` of them, anew from the log.
    ///
    /// The old tables answer until the new ones have caught up. No side effect is repeated. `all` leaves alone those that
    /// are being rebuilt already.
    #[oai(path = "/:name/rebuild", method = "post", operation_id = "rebuildProjection")]
    async fn rebuild(
        &self,
        /// The name of the projection, or `all`.
        name: Path<String>,
    ) -> Result<Answer<RebuildStarted>, Failure> {
        let begun = if name.0 == ALL {
            self.state.status.rebuild_all().await
        } else {
            let build = self.state.status.rebuild(&name).await;
            build.map(|build| vec![rebuild_of(&name, build)])
        };
        match begun {
            Ok(begun) => Ok(Answer(RebuildStarted {
                build: begun.first().filter(|_| name.0 != ALL).map(|one| one.build),
                state: "building".to_owned(),
                rebuilds: begun.into_iter().map(RebuildOfShape::from).collect(),
                name: name.0,
            })),
            Err(error) => Err(self.refused(&name, &error).await),
        }
    }

    /// Give up the rebuild of a projection. What was asked before is still asked.
    #[oai(path = "/:name/rebuild", method = "delete", operation_id = "abortRebuild")]
    async fn abort(
        &self,
        /// The name of the projection.
        name: Path<String>,
    ) -> Result<Answer<RebuildAborted>, Failure> {
        match self.state.status.abort_rebuild(&name).await {
            Ok(build) => Ok(Answer(RebuildAborted {
                name: name.0,
                build,
                state: "aborted".to_owned(),
            })),
            Err(error) => Err(self.refused(&name, &error).await),
        }
    }

    /// Compare the tables of a projection with a fold of the log, and name the first difference.
    ///
    /// Reads the whole log and changes nothing: on a large one it takes minutes.
    #[oai(path = "/:name/verify", method = "post", operation_id = "verifyProjection")]
    async fn verify(
        &self,
        /// The name of the projection.
        name: Path<String>,
    ) -> Result<Answer<VerifiedShape>, Failure> {
        let limit = Duration::from_millis(self.state.options.verify_timeout_ms);
        let verifying = self.state.status.verify(&name);
        let Ok(verified) = tokio::time::timeout(limit, verifying).await else {
            let seconds = limit.as_secs();
            return Err(Failure::new(
                Code::Timeout,
                format!("comparing with the log was given up after {seconds} s; see `api.verify_timeout_ms`"),
            ));
        };
        match verified {
            Ok(verified) => Ok(Answer(verified.into())),
            Err(VerifyError::Unknown) => Err(self.unknown(&name).await),
            Err(error @ VerifyError::Conflict(_)) => Err(Failure::new(Code::Conflict, error.to_string())),
            Err(error @ VerifyError::Unavailable(_)) => Err(Failure::later(error.to_string(), RETRY_SECS)),
        }
    }
}

fn rebuild_of(projection: &str, build: u32) -> RebuildOf {
    RebuildOf {
        projection: projection.to_owned(),
        build,
    }
}

impl ProjectionsApi {
    async fn refused(&self, name: &str, error: &RebuildError) -> Failure {
        match error {
            RebuildError::Unknown => self.unknown(name).await,
            RebuildError::UnderWay | RebuildError::NotUnderWay => {
                Failure::new(Code::Conflict, error.to_string())
            }
            RebuildError::Unavailable(_) => Failure::later(error.to_string(), RETRY_SECS),
        }
    }

    async fn unknown(&self, name: &str) -> Failure {
        let snapshot = self.state.status.snapshot().await;
        let known: Vec<&str> = snapshot.projections.iter().map(|p| p.name.as_str()).collect();
        let name: String = name.chars().take(80).collect();
        Failure::not_found(format!(
            "there is no projection {name:?}; there are {}",
            known.join(", ")
        ))
    }
}
