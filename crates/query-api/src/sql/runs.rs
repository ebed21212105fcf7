//! Workflow runs: windows of the list, and one run.

use domain::{Query, TenantId};
use serde::Deserialize;

use super::newest::Versioned;
use super::{Build, Conditions};
use crate::shape::job::RunRow;
use crate::shape::{given, time};

pub(crate) use super::jobs::PROJECTION;

/// Which runs are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    /// In lower case.
    pub(crate) repository: Option<String>,
    pub(crate) status: Option<&'static str>,
    pub(crate) conclusion: Option<&'static str>,
    /// In lower case.
    pub(crate) host: Option<String>,
}

const COLUMNS: &str =
    "host, run_id, leftPad(toString(version), 39, '0') AS version_text, run_attempt, run_number, repository, workflow_name, head_branch, head_sha, event, status,
    conclusion, actor, toUnixTimestamp64Micro(created_at) AS created_us,
    toUnixTimestamp64Micro(updated_at) AS updated_us, url";

impl Filter {
    /// Whether the newest version of a row fits what can change.
    pub(crate) fn fits(&self, row: &Row) -> bool {
        self.status.is_none_or(|status| status == row.status)
            && self
                .conclusion
                .is_none_or(|conclusion| conclusion == row.conclusion)
    }

    /// What can change, as a condition. The words are ours, not the caller's.
    fn changing(&self) -> Option<String> {
        let words: Vec<String> = [("status", self.status), ("conclusion", self.conclusion)]
            .into_iter()
            .filter_map(|(column, word)| Some(format!("{column} = '{}'", word?)))
            .collect();
        (!words.is_empty()).then(|| words.join(" AND "))
    }

    /// Conditions on raw rows. A status that few have is looked up by its index first, any version being a candidate.
    fn raw(&self, table: &str, tenant: &TenantId, before: &(u64, String)) -> Conditions {
        let conditions = Conditions::of(tenant)
            .with("run_id <= {before:UInt64}", "before", before.0)
            .with(
                "(run_id < {before:UInt64} OR host < {before_host:String})",
                "before_host",
                &before.1,
            )
            .with_given("host = {host:String}", "host", self.host.as_ref())
            .with_given(
                "repository_key = {repository:String}",
                "repository",
                self.repository.as_ref(),
            );
        let rare = self.status.is_some_and(|status| status != "completed");
        match self.changing() {
            Some(changing) if rare => {
                let candidates = conditions.clone().and(&changing);
                conditions.and(&format!(
                    "run_id IN (SELECT run_id FROM {table} WHERE {})",
                    candidates.text()
                ))
            }
            _ => conditions,
        }
    }
}

/// A window of raw rows before a run, backwards, any version of each.
pub(crate) fn window(
    build: Build,
    tenant: &TenantId,
    filter: &Filter,
    before: &(u64, String),
    rows: usize,
) -> Query {
    let table = build.table("workflow_runs");
    let conditions = filter.raw(&table, tenant, before);
    let sql = format!(
        "SELECT {COLUMNS} FROM {table} WHERE {} ORDER BY tenant DESC, run_id DESC, host DESC LIMIT {rows}",
        conditions.text()
    );
    conditions.bind(sql)
}

/// How many fit among the newest so many raw rows.
pub(crate) fn count_among(build: Build, tenant: &TenantId, filter: &Filter, rows: u32) -> Query {
    let table = build.table("workflow_runs");
    let conditions = filter.raw(&table, tenant, &(u64::MAX, String::new()));
    let fits = filter.changing().unwrap_or_else(|| "1".to_owned());
    let sql = format!(
        "SELECT toInt64(sum(versions)) AS seen, toInt64(countIf({fits})) AS n FROM
            (SELECT count() AS versions, argMax(raw.status, raw.version) AS status,
                argMax(raw.conclusion, raw.version) AS conclusion FROM
                (SELECT run_id, host, version, status, conclusion FROM {table} WHERE {}
                 ORDER BY tenant DESC, run_id DESC, host DESC LIMIT {rows}) AS raw
             GROUP BY raw.run_id, raw.host)",
        conditions.text()
    );
    conditions.bind(sql)
}

/// One run.
pub(crate) fn one(build: Build, tenant: &TenantId, run_id: u64, host: &str) -> Query {
    let conditions = Conditions::of(tenant)
        .with("run_id = {run:UInt64}", "run", run_id)
        .with("host = {host:String}", "host", host);
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
    host: String,
    pub(crate) run_id: u64,
    version_text: String,
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

impl Versioned for Row {
    type Key = (u64, String);
    type Version = String;

    fn key(&self) -> (u64, String) {
        (self.run_id, self.host.clone())
    }

    fn version(&self) -> String {
        self.version_text.clone()
    }
}

impl From<Row> for RunRow {
    fn from(row: Row) -> Self {
        Self {
            host: given(row.host),
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
