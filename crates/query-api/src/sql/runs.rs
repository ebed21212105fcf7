//! Workflow runs: pages, and one run.

use domain::{Query, TenantId};
use serde::Deserialize;

use super::{Build, Conditions};
use crate::shape::job::RunRow;
use crate::shape::{given, time};

pub(crate) use super::jobs::PROJECTION;

/// Which runs are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// In lower case.
    pub(crate) repository: Option<String>,
    pub(crate) status: Option<&'static str>,
    pub(crate) conclusion: Option<&'static str>,
}

/// A place in the list and how much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Only before this run.
    pub(crate) before: u64,
    pub(crate) limit: u32,
    pub(crate) offset: u32,
}

const COLUMNS: &str =
    "run_id, run_attempt, run_number, repository, workflow_name, head_branch, head_sha, event, status,
    conclusion, actor, toUnixTimestamp64Micro(created_at) AS created_us,
    toUnixTimestamp64Micro(updated_at) AS updated_us, url";

/// The newest version of each run that fits, the newest run first.
fn newest(build: Build, tenant: &TenantId, filter: &Filter, before: u64) -> (String, Conditions) {
    let table = build.table("workflow_runs");
    let mut conditions = Conditions::of(tenant)
        .with("run_id < {before:UInt64}", "before", before)
        .with_given(
            "repository_key = {repository:String}",
            "repository",
            filter.repository.as_ref(),
        );
    // The words are ours, not the caller's.
    let words: Vec<String> = [("status", filter.status), ("conclusion", filter.conclusion)]
        .into_iter()
        .filter_map(|(column, word)| Some(format!("{column} = '{}'", word?)))
        .collect();
    let changing = (!words.is_empty()).then(|| words.join(" AND "));
    let rare = filter.status.is_some_and(|s| s != "completed");
    if let (true, Some(changing)) = (rare, &changing) {
        let candidates = conditions.clone().and(changing);
        conditions = conditions.and(&format!(
            "run_id IN (SELECT run_id FROM {table} WHERE {})",
            candidates.text()
        ));
    }
    let outer = changing.map(|c| format!(" WHERE {c}")).unwrap_or_default();
    let sql = format!(
        "(SELECT * FROM {table} WHERE {}
          ORDER BY tenant DESC, run_id DESC, version DESC LIMIT 1 BY tenant, run_id){outer}",
        conditions.text()
    );
    (sql, conditions)
}

/// A page of the list.
pub(crate) fn page(build: Build, tenant: &TenantId, filter: &Filter, page: Page) -> Query {
    let (from, conditions) = newest(build, tenant, filter, page.before);
    conditions.bind(format!(
        "SELECT {COLUMNS} FROM {from} LIMIT {} OFFSET {}",
        page.limit, page.offset
    ))
}

/// How many fit, counted up to a bound.
pub(crate) fn count_up_to(build: Build, tenant: &TenantId, filter: &Filter, bound: u32) -> Query {
    let (from, conditions) = newest(build, tenant, filter, u64::MAX);
    conditions.bind(format!(
        "SELECT toInt64(count()) AS n FROM (SELECT 1 FROM {from} LIMIT {bound})"
    ))
}

/// One run.
pub(crate) fn one(build: Build, tenant: &TenantId, run_id: u64) -> Query {
    let conditions = Conditions::of(tenant).with("run_id = {run:UInt64}", "run", run_id);
    let sql = format!(
        "SELECT {COLUMNS} FROM {} FINAL WHERE {}",
        build.table("workflow_runs"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// A run as the table holds it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    pub(crate) run_id: u64,
    run_attempt: u32,
    run_number: u64,
    repository: String,
    workflow_name: String,
    head_branch: String,
    head_sha: String,
    event: String,
    status: String,
    conclusion: String,
    actor: String,
    created_us: Option<i64>,
    updated_us: Option<i64>,
    url: String,
}

impl From<Row> for RunRow {
    fn from(row: Row) -> Self {
        Self {
            run_id: row.run_id,
            run_attempt: row.run_attempt,
            run_number: row.run_number,
            repository: row.repository,
            workflow_name: given(row.workflow_name),
            head_branch: given(row.head_branch),
            head_sha: given(row.head_sha),
            event: given(row.event),
            status: row.status,
            conclusion: given(row.conclusion),
            actor: given(row.actor),
            created_at: time(row.created_us),
            updated_at: time(row.updated_us),
            url: given(row.url),
        }
    }
}
