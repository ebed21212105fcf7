//! The projections: how far they are, and building one anew.

use std::sync::Arc;

use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::Group;
use crate::answer::Answer;
use crate::failure::{Code, Failure};
use crate::ports::RebuildError;
use crate::shape::system::{ProgressShape, ProjectionShape, Projections, RebuildStarted};
use crate::state::State;

pub(crate) struct ProjectionsApi {
    pub(crate) state: Arc<State>,
}

/// Seconds after which to ask again for a rebuild that can't be started.
const RETRY_SECS: u64 = 5;

#[OpenApi(prefix_path = "/api/projections", tag = "Group::Service")]
impl ProjectionsApi {
    /// List the projections: position, lag, state, and the progress of a rebuild.
    #[oai(path = "/", method = "get", operation_id = "listProjections")]
    async fn list(&self) -> Result<Answer<Projections>, Failure> {
        let snapshot = self.state.status.snapshot().await;
        Ok(Answer(Projections {
            log_id: self.state.log.id().to_string(),
            head: self.state.log.health().head.get(),
            relay: snapshot.relay.map(ProgressShape::from),
            projections: snapshot.projections.iter().map(ProjectionShape::from).collect(),
        }))
    }

    /// Build a projection anew from the log.
    ///
    /// The old tables answer until the new ones have caught up. No side effect is repeated.
    #[oai(path = "/:name/rebuild", method = "post", operation_id = "rebuildProjection")]
    async fn rebuild(
        &self,
        /// The name of the projection.
        name: Path<String>,
    ) -> Result<Answer<RebuildStarted>, Failure> {
        match self.state.status.rebuild(&name).await {
            Ok(build) => Ok(Answer(RebuildStarted {
                name: name.0,
                build,
                state: "building".to_owned(),
            })),
            Err(RebuildError::Unknown) => Err(self.unknown(&name).await),
            Err(error @ RebuildError::UnderWay) => Err(Failure::new(Code::Conflict, error.to_string())),
            Err(error @ RebuildError::Unavailable(_)) => Err(Failure::later(error.to_string(), RETRY_SECS)),
        }
    }
}

impl ProjectionsApi {
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
