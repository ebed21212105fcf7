//! Runners as they were seen at work, and what waits for them.

use domain::{Query, TenantId, Timestamp};
use serde::Deserialize;

use super::{Build, Conditions};
use crate::shape::job::{LabelDemand, RunnerRow};
use crate::shape::{given, time};

/// The most runners listed.
const RUNNERS_MAX: u32 = 1000;
/// The most labels listed.
const LABELS_MAX: u32 = 100;
/// GitHub ends a job that waits for a day; one that still waits after it is only a lost announcement.
const WAIT_MS_MAX: i64 = 24 * 3600 * 1000;
/// GitHub ends a job of a self-hosted runner after five days.
const RUN_MS_MAX: i64 = 5 * 24 * 3600 * 1000;

/// Runners seen at work since a time, the last seen first.
pub(crate) fn seen(build: Build, tenant: &TenantId, since: Timestamp) -> Query {
    let conditions = Conditions::of(tenant);
    let sql = format!(
        "SELECT host, runner_id, runner_name, runner_group, labels, last_repository,
            toUnixTimestamp64Micro(last_seen_at) AS seen_us
         FROM (SELECT * FROM {} FINAL WHERE {})
         WHERE last_seen_at >= fromUnixTimestamp64Micro({{since:Int64}}, 'UTC')
         ORDER BY last_seen_at DESC, runner_id, host LIMIT {RUNNERS_MAX}",
        build.table("runners"),
        conditions.text()
    );
    conditions.bind(sql).bind("since", since.as_micros())
}

/// A runner as the table holds it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    pub(crate) host: String,
    pub(crate) runner_id: u64,
    runner_name: String,
    runner_group: String,
    labels: Vec<String>,
    last_repository: String,
    seen_us: Option<i64>,
}

impl Row {
    /// As the API shows it, with the job that it works on.
    pub(crate) fn into_shape(self, job: Option<u64>) -> RunnerRow {
        let status = if job.is_some() { "busy" } else { "idle" };
        RunnerRow {
            host: given(self.host),
            id: self.runner_id,
            name: self.runner_name,
            group: given(self.runner_group),
            labels: self.labels,
            status: status.to_owned(),
            current_job_id: job,
            last_repository: given(self.last_repository),
            last_seen_at: time(self.seen_us),
        }
    }
}

/// The jobs in some states, the newest version of each.
fn in_states(build: Build, tenant: &TenantId, states: &str) -> (String, Conditions) {
    let table = build.table("jobs");
    let conditions = Conditions::of(tenant);
    let candidates = conditions.clone().and(states);
    let sql = format!(
        "(SELECT * FROM {table} FINAL WHERE {} AND job_id IN (SELECT job_id FROM {table} WHERE {})) AS j
         WHERE j.{states}",
        conditions.text(),
        candidates.text()
    );
    (sql, conditions)
}

/// A job that a runner works on.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Busy {
    pub(crate) host: String,
    pub(crate) runner_id: u64,
    pub(crate) job: u64,
}

/// Which runners have a job in progress.
pub(crate) fn busy(build: Build, tenant: &TenantId, now: Timestamp) -> Query {
    let (from, conditions) = in_states(build, tenant, "status IN ('in_progress')");
    let sql = format!(
        "SELECT j.host AS host, j.runner_id AS runner_id, max(j.job_id) AS job FROM {from} AND j.runner_id != 0
            AND j.started_at >= fromUnixTimestamp64Micro({{since:Int64}}, 'UTC')
         GROUP BY host, runner_id"
    );
    conditions
        .bind(sql)
        .bind("since", now.plus_millis(-RUN_MS_MAX).as_micros())
}

/// Jobs that wait for a label.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Demand {
    label: String,
    n: u64,
    oldest_us: Option<i64>,
}

impl From<Demand> for LabelDemand {
    fn from(demand: Demand) -> Self {
        Self {
            label: demand.label,
            pending_jobs: demand.n,
            oldest_queued_at: time(demand.oldest_us),
        }
    }
}

/// What waits, per label, the most wanted first.
pub(crate) fn demand(build: Build, tenant: &TenantId, now: Timestamp) -> Query {
    let (from, conditions) = in_states(build, tenant, "status IN ('queued', 'waiting')");
    let sql = format!(
        "SELECT label, count() AS n, min(toUnixTimestamp64Micro(w.queued_at)) AS oldest_us
         FROM (SELECT j.labels AS labels, j.queued_at AS queued_at FROM {from}
             AND j.queued_at >= fromUnixTimestamp64Micro({{since:Int64}}, 'UTC')) AS w
         ARRAY JOIN w.labels AS label GROUP BY label ORDER BY n DESC, label LIMIT {LABELS_MAX}"
    );
    conditions
        .bind(sql)
        .bind("since", now.plus_millis(-WAIT_MS_MAX).as_micros())
}
