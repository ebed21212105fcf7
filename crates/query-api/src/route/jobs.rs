//! CI jobs: lists, one job, and figures of completed ones.

use std::collections::HashMap;
use std::sync::Arc;

use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::Group;
use super::page::{Asked, cut};
use crate::access::Caller;
use crate::answer::{Answer, Written};
use crate::failure::Failure;
use crate::param::{Count, JobStates, Limit, Number, Text, spelt};
use crate::shape::job::{
    ConclusionTotal, JobDetail, JobMetrics, JobPage, JobRow, LabelFigures, RunRow, RunnerFigures,
};
use crate::sql::figures::{self, Figures, Grouping, Measured, OfWord};
use crate::sql::jobs::{self as sql, Filter, JobState, PROJECTION, Pull, Row};
use crate::sql::newest::Listing;
use crate::sql::{CountedAmong, runs};
use crate::state::{State, answered, shared};
use crate::window::{Window, of_secs};

/// Name of the list in cursors.
const LIST: &str = "jobs";
const DEFAULT_HOURS: u32 = 24;

pub(crate) struct Jobs {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/jobs", tag = "Group::Jobs")]
#[allow(
    clippy::too_many_arguments,
    reason = "each is a parameter of the contract, and the macro takes no struct"
)]
impl Jobs {
    /// List jobs, the newest first.
    ///
    /// `total` is counted up to 10000; beyond, `totalIsExact` is false.
    #[oai(path = "/", method = "get", operation_id = "listJobs")]
    async fn list(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// A state; `pending` stands for queued or waiting, `running` for in_progress.
        status: Query<Option<JobStates>>,
        /// `owner/name`, without regard to case.
        repository: Query<Option<Text>>,
        /// A label that the job asks for, as the job spells it or in lower case.
        label: Query<Option<Text>>,
        /// The server that the job belongs to, as `host` of its row.
        host: Query<Option<Text>>,
        /// Number of a pull request of the job's run.
        #[oai(name = "pullRequest")]
        pull_request: Query<Option<Count>>,
        /// Rows of the page: 100 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
        /// Rows to skip, at most 10000; beyond, page by `cursor`.
        offset: Query<Option<Number>>,
        /// `nextCursor` of the page before.
        cursor: Query<Option<Text>>,
    ) -> Result<Answer<JobPage>, Failure> {
        spelt(
            request,
            &[
                "status",
                "repository",
                "label",
                "host",
                "pullRequest",
                "limit",
                "offset",
                "cursor",
            ],
        )?;
        let filter = Filter {
            repository: repository.0.map(|text| text.0.to_lowercase()),
            states: status.0.map(|states| states.0),
            label: label.0.map(|text| text.0),
            host: host.0.map(|text| text.0.to_lowercase()),
            pull_request: pull_request.0.map(|number| u64::from(number.0)),
        };
        let limit = (limit.0, self.state.options.page_rows);
        let asked = Asked::of(&self.state, &caller, LIST, limit, offset.0, cursor.0)?;
        self.page(&caller, filter, asked).await.map(Answer)
    }

    /// Measure the jobs completed in a window.
    ///
    /// Percentiles are exact, by nearest rank. At most 100 labels and 100 runners are listed, the most used ones.
    /// Answers are kept for about a second.
    #[oai(path = "/metrics", method = "get", operation_id = "getJobMetrics")]
    async fn metrics(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// The window: completed in the last so many hours, 24 unless given.
        hours: Query<Option<Count>>,
        /// `owner/name`, without regard to case.
        repository: Query<Option<Text>>,
        /// The name of the workflow.
        workflow: Query<Option<Text>>,
    ) -> Result<Written<JobMetrics>, Failure> {
        spelt(request, &["hours", "repository", "workflow"])?;
        let hours = hours.0.map(|count| count.0);
        let window = Window::last(self.state.clock.now(), hours, None, DEFAULT_HOURS)?;
        let measured = Measured {
            since: of_secs(window.start_secs),
            until: of_secs(window.end_secs),
            repository: repository.0.map(|text| text.0.to_lowercase()),
            workflow: workflow.0.map(|text| text.0),
        };
        let key = (caller.tenant.clone(), measured.clone());
        answered(
            &self.state.job_metrics,
            key,
            self.measure(&caller, window, &measured),
        )
        .await
    }

    /// Show one job, all its attempts, and its workflow run.
    ///
    /// Two servers may give the same id. Then the first by `host` is meant unless `host` chooses.
    #[oai(path = "/:id", method = "get", operation_id = "getJob")]
    async fn one(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// The sender's id of the job, a number.
        id: Path<String>,
        /// The server whose job is meant, as `host` of its row.
        host: Query<Option<Text>>,
    ) -> Result<Answer<JobDetail>, Failure> {
        spelt(request, &["host"])?;
        let expected = |_| Failure::parameter("id", "the id of a job is expected, a whole number");
        let job_id: u64 = id.0.parse().map_err(expected)?;
        let tenant = &caller.tenant;
        let store = &self.state.store;
        let rows = store.ask::<Row>(PROJECTION, |b| sql::one(b, tenant, job_id));
        let (rows, other_hosts) = sql::of_one_host(rows.await?, host.0.map(|text| text.0.to_lowercase()));
        let (run_id, host) = rows
            .first()
            .map(|row| (row.run_id, row.host.clone()))
            .unwrap_or_default();
        let mut attempts = self.complete(&caller, rows).await?.into_iter();
        let Some(job) = attempts.next() else {
            return Err(Failure::not_found("there is no job of this id"));
        };
        let run = store.ask::<runs::Row>(PROJECTION, |b| runs::one(b, tenant, run_id, &host));
        let run = run.await?.into_iter().next().map(RunRow::from);
        Ok(Answer(JobDetail {
            job,
            attempts: attempts.collect(),
            run,
            other_hosts,
        }))
    }
}

impl Jobs {
    async fn page(&self, caller: &Caller, filter: Filter, asked: Asked) -> Result<JobPage, Failure> {
        let tenant = &caller.tenant;
        let listing = Listing {
            projection: PROJECTION,
            needed: asked.needed(),
            statement: |build, before, rows| sql::window(build, tenant, &filter, &before, rows),
            fits: |row: &Row| filter.fits(row),
        };
        let before = asked.after.clone().map_or_else(sql::newest, |after| {
            (after.numbers.0, after.numbers.1, after.host)
        });
        let listed = self.state.store.list::<Row, _, _>(before, listing).await?;
        let paged = cut(listed, &asked, &self.state, caller);
        let (total, total_is_exact) = match paged.whole {
            Some(whole) if asked.offset == 0 || !paged.rows.is_empty() => (whole, true),
            _ => {
                let (total, exact) = *self.total(caller, &filter).await?;
                (total.max(paged.at_least), exact)
            }
        };
        Ok(JobPage {
            jobs: self.complete(caller, paged.rows).await?,
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
            .job_totals
            .try_get_with(key, counting)
            .await
            .map_err(shared)
    }

    /// Rows as the API shows them: with their pull requests, and with what only earlier announcements said.
    async fn complete(&self, caller: &Caller, mut rows: Vec<Row>) -> Result<Vec<JobRow>, Failure> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (store, tenant) = (&self.state.store, &caller.tenant);
        let mut run_ids: Vec<u64> = rows.iter().map(|row| row.run_id).collect();
        run_ids.sort_unstable();
        run_ids.dedup();
        let lacking: Vec<u64> = rows
            .iter()
            .filter(|r| r.lacks_something())
            .map(|r| r.job_id)
            .collect();
        let states = async {
            if lacking.is_empty() {
                return Ok(Vec::new());
            }
            store
                .ask::<JobState>(PROJECTION, |b| sql::states(b, tenant, &lacking))
                .await
        };
        let pulls = store.ask::<Pull>(PROJECTION, |b| sql::pulls(b, tenant, &run_ids));
        let (states, pulls) = tokio::try_join!(states, pulls)?;
        let mut by_run: HashMap<(u64, String), Vec<u64>> = HashMap::new();
        for pull in pulls {
            by_run
                .entry((pull.run_id, pull.host))
                .or_default()
                .push(pull.pull_request);
        }
        for row in rows.iter_mut().filter(|row| row.lacks_something()) {
            row.fill(&states);
        }
        let shaped = rows.into_iter().map(|row| {
            let pulls = by_run.get(&(row.run_id, row.host.clone()));
            let pulls = pulls.cloned().unwrap_or_default();
            row.into_shape(pulls)
        });
        Ok(shaped.collect())
    }

    async fn measure(
        &self,
        caller: &Caller,
        window: Window,
        measured: &Measured,
    ) -> Result<JobMetrics, Failure> {
        let (store, tenant) = (&self.state.store, &caller.tenant);
        let grouped = |grouping| {
            store.ask::<Figures>(PROJECTION, move |b| {
                figures::figures(b, tenant, measured, grouping)
            })
        };
        let (all, labels, runners, conclusions, open) = tokio::try_join!(
            grouped(Grouping::All),
            grouped(Grouping::Label),
            grouped(Grouping::Runner),
            store.ask::<OfWord>(PROJECTION, |b| figures::conclusions(b, tenant, measured)),
            store.ask::<OfWord>(PROJECTION, |b| figures::open(b, tenant, measured)),
        )?;
        let of = |words: &[&str]| {
            let fitting = open.iter().filter(|row| words.contains(&row.word.as_str()));
            fitting.map(|row| row.n).sum()
        };
        Ok(JobMetrics {
            time_window: window.shape(),
            all: all.into_iter().next().unwrap_or_default().into(),
            pending_jobs: of(&["queued", "waiting"]),
            running_jobs: of(&["in_progress"]),
            by_conclusion: conclusions
                .into_iter()
                .map(|row| ConclusionTotal {
                    conclusion: row.word,
                    total: row.n,
                })
                .collect(),
            by_label: labels
                .into_iter()
                .map(|row| LabelFigures {
                    label: row.name.clone(),
                    figures: row.into(),
                })
                .collect(),
            by_runner: runners
                .into_iter()
                .map(|row| RunnerFigures {
                    runner: row.name.clone(),
                    figures: row.into(),
                })
                .collect(),
        })
    }
}
