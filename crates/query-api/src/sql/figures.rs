//! Figures of completed jobs, and how many are open.

use domain::{Query, TenantId, Timestamp};
use serde::Deserialize;

use super::{Build, Conditions};
use crate::shape::job::JobFigures;
use crate::shape::{Spread, percent, round_ms};

/// The most labels or runners with figures of their own.
const GROUPS_MAX: u32 = 100;

/// Which completed jobs are measured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Measured {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    /// In lower case.
    pub(crate) repository: Option<String>,
    pub(crate) workflow: Option<String>,
}

impl Measured {
    fn whose(&self, tenant: &TenantId) -> Conditions {
        Conditions::of(tenant)
            .with_given(
                "repository_key = {repository:String}",
                "repository",
                self.repository.as_ref(),
            )
            .with_given(
                "workflow_name = {workflow:String}",
                "workflow",
                self.workflow.as_ref(),
            )
    }

    fn completed(&self, tenant: &TenantId) -> Conditions {
        self.whose(tenant)
            .and("status = 'completed'")
            .with(
                "completed_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')",
                "since",
                self.since.as_micros(),
            )
            .with(
                "completed_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC')",
                "until",
                self.until.as_micros(),
            )
    }
}

/// Percentiles of a column by nearest rank over the rows, exact.
fn ranks(column: &str, prefix: &str) -> String {
    let rank = |percent: u32| {
        format!(
            "if(count(j.{column}) = 0, NULL, arraySort(groupArray(j.{column}))[
                greatest(1, intDiv(count(j.{column}) * {percent} + 99, 100))]) AS {prefix}_p{percent}"
        )
    };
    format!(
        "if(count(j.{column}) = 0, NULL, avg(j.{column})) AS {prefix}_avg, {}, {}, {}",
        rank(50),
        rank(95),
        rank(99)
    )
}

/// Figures of a group of completed jobs.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Figures {
    #[serde(default)]
    pub(crate) name: String,
    n: i64,
    succeeded: i64,
    queue_avg: Option<f64>,
    queue_p50: Option<f64>,
    queue_p95: Option<f64>,
    queue_p99: Option<f64>,
    run_avg: Option<f64>,
    run_p50: Option<f64>,
    run_p95: Option<f64>,
    run_p99: Option<f64>,
}

impl From<Figures> for JobFigures {
    fn from(figures: Figures) -> Self {
        Self {
            completed_jobs: figures.n,
            success_rate: percent(figures.succeeded, figures.n),
            queue_time_ms: Spread {
                avg: figures.queue_avg.map(round_ms),
                p50: figures.queue_p50,
                p95: figures.queue_p95,
                p99: figures.queue_p99,
            },
            duration_ms: Spread {
                avg: figures.run_avg.map(round_ms),
                p50: figures.run_p50,
                p95: figures.run_p95,
                p99: figures.run_p99,
            },
        }
    }
}

/// How completed jobs are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    All,
    Label,
    Runner,
}

/// Figures of completed jobs.
pub(crate) fn figures(build: Build, tenant: &TenantId, measured: &Measured, grouping: Grouping) -> Query {
    let (name, more, group) = match grouping {
        Grouping::All => ("''", "", String::new()),
        Grouping::Label => (
            "label",
            "ARRAY JOIN j.labels AS label",
            format!("GROUP BY name ORDER BY n DESC, name LIMIT {GROUPS_MAX}"),
        ),
        Grouping::Runner => (
            "j.runner_name",
            "WHERE j.runner_name != ''",
            format!("GROUP BY name ORDER BY n DESC, name LIMIT {GROUPS_MAX}"),
        ),
    };
    let conditions = measured.completed(tenant);
    let sql = format!(
        "SELECT {name} AS name, toInt64(count()) AS n, toInt64(countIf(j.conclusion = 'success')) AS succeeded, {}, {}
         FROM (SELECT * FROM {} FINAL WHERE {}) AS j {more} {group}",
        ranks("queue_ms", "queue"),
        ranks("duration_ms", "run"),
        build.table("jobs"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// How many jobs have a word in a column.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OfWord {
    pub(crate) word: String,
    pub(crate) n: i64,
}

/// How the completed jobs ended.
pub(crate) fn conclusions(build: Build, tenant: &TenantId, measured: &Measured) -> Query {
    let conditions = measured.completed(tenant);
    let sql = format!(
        "SELECT conclusion AS word, toInt64(count()) AS n FROM {} FINAL WHERE {} GROUP BY word ORDER BY n DESC, word",
        build.table("jobs"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// How many jobs are not completed now, per state.
pub(crate) fn open(build: Build, tenant: &TenantId, measured: &Measured) -> Query {
    const OPEN: &str = "status IN ('queued', 'waiting', 'in_progress')";
    let table = build.table("jobs");
    let conditions = measured.whose(tenant);
    let candidates = conditions.clone().and(OPEN);
    let sql = format!(
        "SELECT j.status AS word, toInt64(count()) AS n
         FROM (SELECT * FROM {table} FINAL WHERE {} AND job_id IN (SELECT job_id FROM {table} WHERE {})) AS j
         WHERE j.{OPEN} GROUP BY word",
        conditions.text(),
        candidates.text()
    );
    conditions.bind(sql)
}
