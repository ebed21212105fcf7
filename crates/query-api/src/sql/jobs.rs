//! Jobs: windows of the list, one job, and what belongs to jobs.

use domain::{Query, TenantId};
use serde::Deserialize;

use super::newest::Versioned;
use super::{Build, Conditions};
use crate::shape::job::{JobRow, RunnerRef};
use crate::shape::{given, time};

pub(crate) const PROJECTION: &str = "jobs";

/// Which jobs are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    /// In lower case.
    pub(crate) repository: Option<String>,
    /// Any of these.
    pub(crate) states: Option<Vec<&'static str>>,
    pub(crate) label: Option<String>,
    pub(crate) pull_request: Option<u64>,
    /// In lower case.
    pub(crate) host: Option<String>,
}

/// What orders jobs and names one: its id, its attempt, and the host whose id it is.
pub(crate) type Key = (u64, u64, String);

/// A key after all others.
pub(crate) const fn newest() -> Key {
    (u64::MAX, u64::MAX, String::new())
}

const COLUMNS: &str = "host, job_id, run_attempt, leftPad(toString(version), 39, '0') AS version_text, run_id, repository, name, workflow_name, head_branch, head_sha, status,
    conclusion, labels, priority, runner_id, runner_name, runner_group, toUnixTimestamp64Micro(queued_at) AS queued_us,
    toUnixTimestamp64Micro(started_at) AS started_us, toUnixTimestamp64Micro(completed_at) AS completed_us,
    queue_ms, duration_ms, url";

impl Filter {
    /// Whether the newest version of a row fits what can change.
    pub(crate) fn fits(&self, row: &Row) -> bool {
        let has = |states: &Vec<&str>| states.contains(&row.status.as_str());
        self.states.as_ref().is_none_or(has)
    }

    /// What can change, as a condition. The words are ours, not the caller's.
    fn state_condition(&self) -> Option<String> {
        let words: Vec<String> = self.states.as_ref()?.iter().map(|s| format!("'{s}'")).collect();
        Some(format!("status IN ({})", words.join(", ")))
    }

    /// Conditions on raw rows. States that few have are looked up by their index first, any version being a candidate.
    fn raw(&self, build: Build, tenant: &TenantId, before: &Key) -> Conditions {
        let mut conditions = Conditions::of(tenant)
            .with("job_id <= {job:UInt64}", "job", before.0)
            .with(
                "(job_id < {job:UInt64} OR run_attempt <= {attempt:UInt64})",
                "attempt",
                before.1,
            )
            .with(
                "(job_id < {job:UInt64} OR run_attempt < {attempt:UInt64} OR host < {before_host:String})",
                "before_host",
                &before.2,
            )
            .with_given("host = {host:String}", "host", self.host.as_ref())
            .with_given(
                "repository_key = {repository:String}",
                "repository",
                self.repository.as_ref(),
            )
            .with_given(
                "(has(labels, {label:String}) OR has(labels, lower({label:String})))",
                "label",
                self.label.as_ref(),
            );
        if let Some(number) = self.pull_request {
            let pulls = build.table("workflow_run_pulls");
            let of_run = format!(
                "run_id IN (SELECT run_id FROM {pulls}
                    WHERE tenant = {{tenant:String}} AND pull_request = {{pull:UInt64}})
                 AND (run_id, host) IN (SELECT run_id, host FROM {pulls}
                    WHERE tenant = {{tenant:String}} AND pull_request = {{pull:UInt64}})"
            );
            conditions = conditions.with(&of_run, "pull", number);
        }
        let rare = self.states.as_ref().is_some_and(|s| !s.contains(&"completed"));
        match self.state_condition() {
            Some(states) if rare => {
                let candidates = conditions.clone().and(&states);
                conditions.and(&format!(
                    "job_id IN (SELECT job_id FROM {} WHERE {})",
                    build.table("jobs"),
                    candidates.text()
                ))
            }
            _ => conditions,
        }
    }
}

/// A window of raw rows before a job and attempt, backwards, any version of each.
pub(crate) fn window(build: Build, tenant: &TenantId, filter: &Filter, before: &Key, rows: usize) -> Query {
    let conditions = filter.raw(build, tenant, before);
    let sql = format!(
        "SELECT {COLUMNS} FROM {} WHERE {} ORDER BY tenant DESC, job_id DESC, run_attempt DESC, host DESC LIMIT {rows}",
        build.table("jobs"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// How many fit among the newest so many raw rows.
pub(crate) fn count_among(build: Build, tenant: &TenantId, filter: &Filter, rows: u32) -> Query {
    let conditions = filter.raw(build, tenant, &newest());
    let fits = filter.state_condition().unwrap_or_else(|| "1".to_owned());
    let sql = format!(
        "SELECT toInt64(sum(versions)) AS seen, toInt64(countIf({fits})) AS n FROM
            (SELECT count() AS versions, argMax(raw.status, raw.version) AS status FROM
                (SELECT job_id, run_attempt, host, version, status FROM {} WHERE {}
                 ORDER BY tenant DESC, job_id DESC, run_attempt DESC, host DESC LIMIT {rows}) AS raw
             GROUP BY raw.job_id, raw.run_attempt, raw.host)",
        build.table("jobs"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// All attempts of one job, by host, newest first.
pub(crate) fn one(build: Build, tenant: &TenantId, job_id: u64) -> Query {
    let conditions = Conditions::of(tenant).with("job_id = {job:UInt64}", "job", job_id);
    let sql = format!(
        "SELECT {COLUMNS} FROM {} FINAL WHERE {} ORDER BY host, run_attempt DESC",
        build.table("jobs"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// The jobs of the host that is meant, the first one where none is named, and the other hosts that have some.
pub(crate) fn of_one_host(rows: Vec<Row>, host: Option<String>) -> (Vec<Row>, Vec<String>) {
    let host = host.or_else(|| rows.first().map(|row| row.host.clone()));
    let (meant, others): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| Some(&row.host) == host.as_ref());
    let mut hosts: Vec<String> = others.into_iter().map(|row| row.host).collect();
    hosts.dedup();
    (meant, hosts)
}

/// A job as the table holds it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    pub(crate) host: String,
    pub(crate) job_id: u64,
    pub(crate) run_attempt: u32,
    version_text: String,
    pub(crate) run_id: u64,
    repository: String,
    name: String,
    workflow_name: String,
    head_branch: String,
    head_sha: String,
    status: String,
    conclusion: String,
    labels: Vec<String>,
    priority: i32,
    runner_id: u64,
    runner_name: String,
    runner_group: String,
    queued_us: Option<i64>,
    started_us: Option<i64>,
    completed_us: Option<i64>,
    queue_ms: Option<u64>,
    duration_ms: Option<u64>,
    url: String,
}

impl Versioned for Row {
    type Key = Key;
    type Version = String;

    fn key(&self) -> Key {
        (self.job_id, u64::from(self.run_attempt), self.host.clone())
    }

    fn version(&self) -> String {
        self.version_text.clone()
    }
}

impl Row {
    /// Whether its highest state's announcement left out what an earlier one may have said.
    pub(crate) fn lacks_something(&self) -> bool {
        let started = self.status == "in_progress" || self.status == "completed";
        let no_start = self.started_us.is_none() || self.runner_id == 0;
        self.queued_us.is_none() || self.labels.is_empty() || (started && no_start)
    }

    /// Fills what it lacks from the announcements of its states, which come in the order of a life.
    pub(crate) fn fill(&mut self, states: &[JobState]) {
        let (key, host) = ((self.job_id, self.run_attempt), self.host.clone());
        let own = || {
            states
                .iter()
                .filter(|s| (s.job_id, s.run_attempt) == key && s.host == host)
        };
        let begun = || own().filter(|s| s.state == "in_progress" || s.state == "completed");
        self.queued_us = self.queued_us.or_else(|| own().find_map(|s| s.queued_us));
        self.started_us = self
            .started_us
            .or_else(|| begun().find(|s| s.state == "in_progress")?.started_us);
        if let (true, Some(known)) = (self.labels.is_empty(), own().rfind(|s| !s.labels.is_empty())) {
            self.labels.clone_from(&known.labels);
        }
        if let (0, Some(known)) = (self.runner_id, begun().rfind(|s| s.runner_id != 0)) {
            self.runner_id = known.runner_id;
            self.runner_name.clone_from(&known.runner_name);
            self.runner_group.clone_from(&known.runner_group);
        }
        let ms =
            |from: Option<i64>, to: Option<i64>| u64::try_from((to? - from?).div_euclid(1000).max(0)).ok();
        self.queue_ms = self.queue_ms.or_else(|| ms(self.queued_us, self.started_us));
        self.duration_ms = self
            .duration_ms
            .or_else(|| ms(self.started_us, self.completed_us));
    }

    /// As the API shows it.
    pub(crate) fn into_shape(self, pull_requests: Vec<u64>) -> JobRow {
        let runner = (self.runner_id != 0 || !self.runner_name.is_empty()).then(|| RunnerRef {
            id: self.runner_id,
            name: self.runner_name,
            group: given(self.runner_group),
        });
        JobRow {
            host: given(self.host),
            id: self.job_id,
            run_attempt: self.run_attempt,
            run_id: self.run_id,
            repository: self.repository,
            name: self.name,
            workflow_name: given(self.workflow_name),
            head_branch: given(self.head_branch),
            head_sha: given(self.head_sha),
            status: self.status,
            conclusion: given(self.conclusion),
            priority: self.priority,
            labels: self.labels,
            runner,
            pull_requests,
            queued_at: time(self.queued_us),
            started_at: time(self.started_us),
            completed_at: time(self.completed_us),
            queue_time_ms: self.queue_ms,
            duration_ms: self.duration_ms,
            url: given(self.url),
        }
    }
}

/// What a job's announcement of one state said.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct JobState {
    host: String,
    job_id: u64,
    run_attempt: u32,
    state: String,
    queued_us: Option<i64>,
    started_us: Option<i64>,
    labels: Vec<String>,
    runner_id: u64,
    runner_name: String,
    runner_group: String,
}

/// The announcements of some jobs, in the order of their states.
pub(crate) fn states(build: Build, tenant: &TenantId, job_ids: &[u64]) -> Query {
    let conditions =
        Conditions::of(tenant).with("job_id IN {jobs:Array(UInt64)}", "jobs", number_array(job_ids));
    let sql = format!(
        "SELECT host, job_id, run_attempt, state, toUnixTimestamp64Micro(queued_at) AS queued_us,
            toUnixTimestamp64Micro(started_at) AS started_us, labels, runner_id, runner_name, runner_group
         FROM (SELECT * FROM {} FINAL WHERE {}) ORDER BY job_id, run_attempt, host, state",
        build.table("job_states"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// A pull request of a run.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Pull {
    pub(crate) host: String,
    pub(crate) run_id: u64,
    pub(crate) pull_request: u64,
}

/// The pull requests of some runs.
pub(crate) fn pulls(build: Build, tenant: &TenantId, run_ids: &[u64]) -> Query {
    let conditions =
        Conditions::of(tenant).with("run_id IN {runs:Array(UInt64)}", "runs", number_array(run_ids));
    let sql = format!(
        "SELECT DISTINCT host, run_id, pull_request FROM {} WHERE {} ORDER BY host, run_id, pull_request",
        build.table("workflow_run_pulls"),
        conditions.text()
    );
    conditions.bind(sql)
}

fn number_array(numbers: &[u64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Row {
        let mut whole = serde_json::json!({
            "host": "github.com", "job_id": 7, "run_attempt": 1, "version_text": "1", "run_id": 9, "repository": "a/b", "name": "build", "workflow_name": "",
            "head_branch": "", "head_sha": "", "status": "completed", "conclusion": "success", "labels": [],
            "priority": 0, "runner_id": 0, "runner_name": "", "runner_group": "", "queued_us": null, "started_us": null,
            "completed_us": null, "queue_ms": null, "duration_ms": null, "url": ""
        });
        let given: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
        whole.as_object_mut().unwrap().extend(given);
        serde_json::from_value(whole).unwrap()
    }

    fn state(
        job_id: u64,
        state: &str,
        queued_us: Option<i64>,
        started_us: Option<i64>,
        runner_id: u64,
    ) -> JobState {
        JobState {
            host: "github.com".into(),
            job_id,
            run_attempt: 1,
            state: state.into(),
            queued_us,
            started_us,
            labels: vec![state.into()],
            runner_id,
            runner_name: format!("runner {runner_id}"),
            runner_group: String::new(),
        }
    }

    #[test]
    fn what_the_last_announcement_lacks_comes_from_earlier_ones() {
        let mut job = row(r#"{"completed_us": 9000000}"#);
        assert!(job.lacks_something());
        job.fill(&[
            state(6, "queued", Some(1), Some(1), 1),
            state(7, "queued", Some(1_000_000), Some(1_000_000), 0),
            state(7, "in_progress", Some(2_000_000), Some(3_500_000), 5),
        ]);
        let shape = job.into_shape(vec![12]);
        assert_eq!((shape.queue_time_ms, shape.duration_ms), (Some(2500), Some(5500)));
        assert_eq!(shape.runner.unwrap().id, 5);
        assert_eq!(shape.labels, ["in_progress"]);
        assert_eq!(shape.pull_requests, [12]);
    }

    #[test]
    fn what_the_last_announcement_says_stands() {
        let mut job = row(
            r#"{"queued_us": 5, "started_us": 5, "labels": ["own"], "runner_id": 1, "runner_name": "r", "queue_ms": 0}"#,
        );
        assert!(!job.lacks_something());
        job.fill(&[state(7, "queued", Some(1), None, 2)]);
        assert_eq!(
            (job.queued_us, job.labels.as_slice(), job.runner_id),
            (Some(5), &["own".to_owned()][..], 1)
        );
    }
}
