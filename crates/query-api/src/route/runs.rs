//! Workflow runs, and the runners that work on their jobs.

use std::collections::HashMap;
use std::sync::Arc;

use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::Group;
use super::page::{Asked, cut};
use crate::access::Caller;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::param::{Conclusion, Count, Limit, Number, RunState, Text, spelt};
use crate::shape::job::{LabelDemand, RunPage, RunRow, RunnerPool};
use crate::sql::CountedAmong;
use crate::sql::newest::Listing;
use crate::sql::runners::{self, Busy, Demand};
use crate::sql::runs::{self as sql, Filter, PROJECTION, Row};
use crate::state::{State, shared};

/// Name of the list in cursors.
const LIST: &str = "runs";
const DEFAULT_HOURS: u32 = 24;
const HOUR_MS: i64 = 3_600_000;

pub(crate) struct Runs {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api", tag = "Group::Jobs")]
#[allow(
    clippy::too_many_arguments,
    reason = "each is a parameter of the contract, and the macro takes no struct"
)]
impl Runs {
    /// List workflow runs, the newest first, each with its latest attempt.
    #[oai(path = "/workflow-runs", method = "get", operation_id = "listWorkflowRuns")]
    async fn list(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// `owner/name`, without regard to case.
        repository: Query<Option<Text>>,
        /// How far the run is.
        status: Query<Option<RunState>>,
        /// How the run ended.
        conclusion: Query<Option<Conclusion>>,
        /// The server that the run belongs to, as `host` of its row.
        host: Query<Option<Text>>,
        /// Rows of the page: 100 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
        /// Rows to skip, at most 10000; beyond, page by `cursor`.
        offset: Query<Option<Number>>,
        /// `nextCursor` of the page before.
        cursor: Query<Option<Text>>,
    ) -> Result<Answer<RunPage>, Failure> {
        spelt(
            request,
            &[
                "repository",
                "status",
                "conclusion",
                "host",
                "limit",
                "offset",
                "cursor",
            ],
        )?;
        let filter = Filter {
            repository: repository.0.map(|text| text.0.to_lowercase()),
            status: status.0.map(|state| state.0),
            conclusion: conclusion.0.map(|conclusion| conclusion.0),
            host: host.0.map(|text| text.0.to_lowercase()),
        };
        let limit = (limit.0, self.state.options.page_rows);
        let asked = Asked::of(&self.state, &caller, LIST, limit, offset.0, cursor.0)?;
        self.page(&caller, filter, asked).await.map(Answer)
    }

    /// Show the runners seen at work, and what waits for them.
    ///
    /// A runner is busy while a job in progress names it. Jobs that have waited for over a day, or run for over five, are
    /// left out: GitHub has ended them, and only the announcement was lost.
    #[oai(path = "/runners/pool/status", method = "get", operation_id = "getRunnerPool")]
    async fn pool(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// Runners seen in the last so many hours, 24 unless given.
        hours: Query<Option<Count>>,
    ) -> Result<Answer<RunnerPool>, Failure> {
        spelt(request, &["hours"])?;
        let (store, tenant, now) = (&self.state.store, &caller.tenant, self.state.clock.now());
        let hours = hours.0.map_or(DEFAULT_HOURS, |count| count.0);
        let since = now.plus_millis(-HOUR_MS.saturating_mul(i64::from(hours)));
        let (rows, busy, demand) = tokio::try_join!(
            store.ask::<runners::Row>(PROJECTION, |b| runners::seen(b, tenant, since)),
            store.ask::<Busy>(PROJECTION, |b| runners::busy(b, tenant, now)),
            store.ask::<Demand>(PROJECTION, |b| runners::demand(b, tenant, now)),
        )?;
        let working: HashMap<(u64, String), u64> =
            busy.into_iter().map(|b| ((b.runner_id, b.host), b.job)).collect();
        let rows = rows.into_iter().map(|row| {
            let job = working.get(&(row.runner_id, row.host.clone())).copied();
            row.into_shape(job)
        });
        let runners: Vec<_> = rows.collect();
        let total = runners.len() as u64;
        let busy = runners.iter().filter(|r| r.current_job_id.is_some()).count() as u64;
        Ok(Answer(RunnerPool {
            total,
            busy,
            idle: total - busy,
            demand: demand.into_iter().map(LabelDemand::from).collect(),
            runners,
        }))
    }
}

impl Runs {
    async fn page(&self, caller: &Caller, filter: Filter, asked: Asked) -> Result<RunPage, Failure> {
        let tenant = &caller.tenant;
        let listing = Listing {
            projection: PROJECTION,
            needed: asked.needed(),
            statement: |build, before, rows| sql::window(build, tenant, &filter, &before, rows),
            fits: |row: &Row| filter.fits(row),
        };
        let before = asked.after.clone();
        let before = before.map_or((u64::MAX, String::new()), |after| (after.numbers.0, after.host));
        let listed = self.state.store.list::<Row, _, _>(before, listing).await?;
        let paged = cut(listed, &asked, &self.state, caller);
        let (total, total_is_exact) = match paged.whole {
            Some(whole) if asked.offset == 0 || !paged.rows.is_empty() => (whole, true),
            _ => {
                let (total, exact) = *self.total(caller, &filter).await?;
                (total.max(paged.at_least), exact)
            }
        };
        Ok(RunPage {
            workflow_runs: paged.rows.into_iter().map(RunRow::from).collect(),
            total,
            total_is_exact,
            limit: asked.limit,
            offset: asked.offset,
            next_cursor: paged.next_cursor,
        })
    }

    async fn total(&self, caller: &Caller, filter: &Filter) -> Result<Arc<(i64, bool)>, Failure> {
        let (tenant, rows) = (&caller.tenant, self.state.options.total_rows_max);
        let counting = async {
            let counted = self
                .state
                .store
                .ask_one::<CountedAmong>(PROJECTION, |b| sql::count_among(b, tenant, filter, rows));
            Ok(Arc::new(counted.await?.total(rows)))
        };
        let key = (tenant.clone(), filter.clone());
        self.state
            .run_totals
            .try_get_with(key, counting)
            .await
            .map_err(shared)
    }
}
