//! The audit trail: who did what, from where, and what came of it.

use std::sync::Arc;

use domain::{AuditMark, AuditWanted};
use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::Group;
use super::keys::tenant;
use crate::access::Caller;
use crate::answer::Answer;
use crate::cursor::Cursor;
use crate::failure::Failure;
use crate::param::{Limit, Outcome, Text, spelt};
use crate::shape::access::AuditTrail;
use crate::state::State;

/// Name of the list in cursors.
const LIST: &str = "audit";

pub(crate) struct AuditApi {
    pub(crate) state: Arc<State>,
}

#[allow(
    clippy::too_many_arguments,
    reason = "each is a parameter of the contract, and the macro takes no struct"
)]
#[OpenApi(prefix_path = "/api/audit", tag = "Group::Access")]
impl AuditApi {
    /// List what operators did, and what was refused to them, the newest first.
    ///
    /// Read from the log. Of refused attempts, which anybody can make, only some are kept; how many were not is said.
    #[oai(path = "/", method = "get", operation_id = "listAudit")]
    async fn list(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// Whose trail; the caller's own tenant unless given. Only keys of the tenant `default` may name another.
        #[oai(name = "tenant")]
        of_tenant: Query<Option<Text>>,
        /// Only what was done by this one: the name of a key, or `loopback`, `local` or `anonymous`.
        by: Query<Option<Text>>,
        /// Only this action, such as `replay.start`, or all that begin so, such as `replay`.
        action: Query<Option<Text>>,
        /// Only what came to this.
        outcome: Query<Option<Outcome>>,
        /// Rows of the page: 100 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
        /// `nextCursor` of the page before.
        cursor: Query<Option<Text>>,
    ) -> Result<Answer<AuditTrail>, Failure> {
        spelt(request, &["tenant", "by", "action", "outcome", "limit", "cursor"])?;
        let tenant = tenant(of_tenant.0.as_ref().map(|text| text.0.as_str()), &caller)?;
        let limit = self.state.limit(limit.0.as_ref(), self.state.options.page_rows);
        let log_id = self.state.log.id();
        let before = cursor
            .0
            .map(|text| Cursor::decode(&text.0, LIST, log_id, &tenant));
        let before = before.transpose()?.map(|cursor| AuditMark {
            day: cursor.after.numbers.0,
            before: cursor.after.numbers.1,
        });
        let wanted = AuditWanted {
            by: by.0.map(|text| text.0),
            action: action.0.map(|text| text.0),
            outcome: outcome.0.map(|word| word.0),
        };
        let reading = self.state.trail.page(&tenant, &wanted, before, limit as usize);
        let page = reading.await?;
        let next = page.next.map(|mark| Cursor {
            list: LIST,
            log_id,
            tenant: tenant.clone(),
            after: (mark.day, mark.before).into(),
        });
        Ok(Answer(AuditTrail {
            actions: page.records.into_iter().map(Into::into).collect(),
            limit,
            next_cursor: next.map(|cursor| cursor.encode()),
        }))
    }
}
