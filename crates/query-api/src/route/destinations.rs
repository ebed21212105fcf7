//! Destinations: how they are doing, holding them back and letting them go.

use std::sync::Arc;

use domain::{DestinationName, DestinationStatus};
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::Group;
use crate::access::Caller;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::json_body::JsonBody;
use crate::order::{self, ReasonRequest};
use crate::shape::destination::{DestinationList, DestinationShape};
use crate::state::State;

pub(crate) struct DestinationsApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/destinations", tag = "Group::Destinations")]
impl DestinationsApi {
    /// List the destinations: where they go, what is open, whether they are paused, their circuit breakers.
    #[oai(path = "/", method = "get", operation_id = "listDestinations")]
    async fn list(&self, caller: Data<&Caller>) -> Result<Answer<DestinationList>, Failure> {
        let destinations = self.state.destinations(&caller.tenant).await;
        Ok(Answer(DestinationList {
            destinations: destinations.into_iter().map(DestinationShape::from).collect(),
        }))
    }

    /// Show a destination.
    #[oai(path = "/:name", method = "get", operation_id = "getDestination")]
    async fn one(
        &self,
        caller: Data<&Caller>,
        /// Its name.
        name: Path<String>,
    ) -> Result<Answer<DestinationShape>, Failure> {
        let known = self.state.destinations(&caller.tenant).await;
        match known.iter().find(|d| d.name.as_str() == name.0) {
            Some(destination) => Ok(Answer(destination.clone().into())),
            None => Err(unknown(&name, &known)),
        }
    }

    /// Hold deliveries back. Nothing is lost: what matches waits until the destination is resumed, over restarts too.
    ///
    /// The body may be left out.
    #[oai(path = "/:name/pause", method = "post", operation_id = "pauseDestination")]
    async fn pause(
        &self,
        caller: Data<&Caller>,
        /// Its name.
        name: Path<String>,
        body: JsonBody<ReasonRequest>,
    ) -> Result<Answer<DestinationShape>, Failure> {
        let asked = body.read(&self.state.options).await?;
        let reason = order::reason(asked.reason)?;
        let name = self.own(&caller, &name).await?;
        let (tenant, by) = (&caller.tenant, caller.name.clone());
        let status = self.state.destinations.pause(tenant, &name, by, reason).await?;
        Ok(Answer(status.into()))
    }

    /// Let deliveries go again.
    #[oai(path = "/:name/resume", method = "post", operation_id = "resumeDestination")]
    async fn resume(
        &self,
        caller: Data<&Caller>,
        /// Its name.
        name: Path<String>,
    ) -> Result<Answer<DestinationShape>, Failure> {
        let name = self.own(&caller, &name).await?;
        let status = self
            .state
            .destinations
            .resume(&caller.tenant, &name, caller.name.clone())
            .await?;
        Ok(Answer(status.into()))
    }
}

impl DestinationsApi {
    /// The name of a destination of the caller's. Where none is known at all, whoever carries out the order decides.
    async fn own(&self, caller: &Caller, name: &str) -> Result<DestinationName, Failure> {
        let known = self.state.destinations(&caller.tenant).await;
        if !known.is_empty() && known.iter().all(|d| d.name.as_str() != name) {
            return Err(unknown(name, &known));
        }
        name.parse().map_err(|_| unknown(name, &known))
    }
}

fn unknown(name: &str, known: &[DestinationStatus]) -> Failure {
    let name: String = name.chars().take(80).collect();
    let known: Vec<&str> = known.iter().map(|d| d.name.as_str()).collect();
    let there = if known.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    Failure::not_found(format!("there is no destination {name:?}; {there}"))
}
