//! Requests that were turned away, and why.

use std::sync::Arc;

use domain::RejectedFilter;
use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::Group;
use crate::access::Caller;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::param::{Limit, Source, Text, Time, spelt};
use crate::shape::rejected::{RejectedDetail, RejectedList};
use crate::state::State;

pub(crate) struct RejectedApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/webhooks/rejected", tag = "Group::Deliveries")]
impl RejectedApi {
    /// List requests that were turned away lately, the newest first, with the reason.
    ///
    /// They are kept outside the log, bounded in size and time, and of a flood only a part is: `leftOutBefore` says how many
    /// more there were.
    #[oai(path = "/", method = "get", operation_id = "listRejected")]
    async fn list(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// The most requests: 100 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
        /// Received at this time or later; a date alone is its start.
        since: Query<Option<Time>>,
        /// Only this reason or code, such as `signature_invalid` or `SIGNATURE_INVALID`.
        reason: Query<Option<Text>>,
        /// Only those sent to this source.
        source: Query<Option<Source>>,
    ) -> Result<Answer<RejectedList>, Failure> {
        spelt(request, &["limit", "since", "reason", "source"])?;
        let limit = self.state.limit(limit.0.as_ref(), self.state.options.page_rows);
        let filter = RejectedFilter {
            tenant: caller.tenant.clone(),
            source: source.0.map(|source| source.0),
            reason: reason.0.map(|reason| reason.0),
            since: since.0.map(|since| since.0),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let page = self.state.rejected.find(&filter).await?;
        Ok(Answer(RejectedList::new(page, limit)))
    }

    /// Show a request that was turned away, with its body where that is kept.
    #[oai(path = "/:id", method = "get", operation_id = "getRejected")]
    async fn one(
        &self,
        caller: Data<&Caller>,
        /// Its request id, as its sender was told.
        id: Path<String>,
    ) -> Result<Answer<RejectedDetail>, Failure> {
        let id = request_id(&id).ok_or_else(|| Failure::parameter("id", "a request id is expected"))?;
        let found = self.state.rejected.get(&caller.tenant, id).await?;
        found.map(|request| Answer(request.into())).ok_or_else(unknown)
    }
}

/// A request id as people copy it.
pub(crate) fn request_id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text.trim()).ok()
}

/// There is no such request, or not any more.
pub(crate) fn unknown() -> Failure {
    Failure::not_found(
        "no rejected request of this id is kept: it is too long ago, was only counted because there were too many like it, \
         or was not turned away; deliveries that were taken are at /api/webhooks/events",
    )
}
