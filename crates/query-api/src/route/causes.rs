//! Dead letters by cause.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{DeliveryStatus, TenantId};
use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::Group;
use crate::access::Caller;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::param::{Limit, spelt};
use crate::shape::delivery::{CauseList, DeadLetter};
use crate::sql::causes;
use crate::sql::deliveries::{Filter, PROJECTION, Row};
use crate::sql::newest::newest_of;
use crate::sql::rare;
use crate::state::{State, shared};

pub(crate) struct CausesApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/webhooks/failed", tag = "Group::Deliveries")]
impl CausesApi {
    /// Group all dead letters by cause: who gave them up, with which error.
    ///
    /// The counts are of all dead letters, whatever `limit` says. `POST /api/webhooks/retry-failed` takes a cause.
    #[oai(path = "/causes", method = "get", operation_id = "listCauses")]
    async fn list(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// Causes of the answer: 100 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
    ) -> Result<Answer<Arc<CauseList>>, Failure> {
        spelt(request, &["limit"])?;
        let limit = self.state.limit(limit.0.as_ref(), self.state.options.page_rows);
        let tenant = &caller.tenant;
        let reading = self.read(tenant, limit);
        let read = self
            .state
            .causes
            .try_get_with((tenant.clone(), limit), reading)
            .await;
        read.map(Answer).map_err(shared)
    }
}

impl CausesApi {
    async fn read(&self, tenant: &TenantId, limit: u32) -> Result<Arc<CauseList>, Failure> {
        let store = &self.state.store;
        let asked = store.ask::<causes::Row>(PROJECTION, |build| causes::all(build, tenant, limit));
        let rows = asked.await?;
        let (total, dead_letters) = rows.first().map_or((0, 0), |row| (row.causes, row.total));
        let positions: Vec<u64> = rows.iter().flat_map(|row| row.newest.iter().copied()).collect();
        let mut letters = self.letters(tenant, &positions).await?;
        let causes = rows.into_iter().map(|row| {
            let newest = row.newest.iter().filter_map(|position| letters.remove(position));
            let newest = newest.collect();
            row.shown(newest)
        });
        Ok(Arc::new(CauseList {
            causes: causes.collect(),
            total,
            dead_letters,
            limit,
        }))
    }

    /// Those of the deliveries at these positions that are dead letters, still.
    async fn letters(
        &self,
        tenant: &TenantId,
        positions: &[u64],
    ) -> Result<HashMap<u64, DeadLetter>, Failure> {
        if positions.is_empty() {
            return Ok(HashMap::new());
        }
        let store = &self.state.store;
        let raw: Vec<Row> = store
            .ask(PROJECTION, |build| rare::rows(build, tenant, positions))
            .await?;
        let dead = Filter {
            statuses: Some(vec![DeliveryStatus::Dead]),
            ..Filter::default()
        };
        let rows = newest_of(raw).into_values().filter(|row| dead.fits(row));
        Ok(rows.map(|row| (row.position, row.into())).collect())
    }
}
