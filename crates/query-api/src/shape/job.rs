//! CI: jobs, workflow runs, runners.

use poem_openapi::Object;
use serde::Serialize;

use super::{Spread, TimeWindow};

/// A page of jobs, newest first.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct JobPage {
    /// The jobs.
    pub(crate) jobs: Vec<JobRow>,
    /// How many there are on all pages, counted up to a bound.
    pub(crate) total: i64,
    /// False when the count stopped at its bound.
    pub(crate) total_is_exact: bool,
    /// The most rows of this page.
    pub(crate) limit: u32,
    /// How many rows were skipped.
    pub(crate) offset: u32,
    /// Give it as `cursor` to get the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// One attempt of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Job", rename_all = "camelCase")]
pub(crate) struct JobRow {
    /// The server whose job it is, as in the addresses of its pages; null where its events name none.
    pub(crate) host: Option<String>,
    /// The sender's id of the job, unique at its host.
    pub(crate) id: u64,
    /// The attempt of its run, from 1. A job that GitLab tries again is a new job.
    pub(crate) run_attempt: u32,
    /// The workflow run that it belongs to.
    pub(crate) run_id: u64,
    /// `owner/name`.
    pub(crate) repository: String,
    /// The name of the job.
    pub(crate) name: String,
    /// The name of its workflow; of GitLab's, that of its pipeline, if that has one.
    pub(crate) workflow_name: Option<String>,
    /// The branch.
    pub(crate) head_branch: Option<String>,
    /// The commit.
    pub(crate) head_sha: Option<String>,
    /// queued, waiting, in_progress or completed.
    pub(crate) status: String,
    /// success, failure, cancelled, skipped, …; null until completed.
    pub(crate) conclusion: Option<String>,
    /// production or deploy +100, critical or urgent +50, ubuntu-latest or small +10, large or xl −10, each once.
    pub(crate) priority: i32,
    /// What it asks of a runner; of GitLab's, the tags of the runner that took it.
    pub(crate) labels: Vec<String>,
    /// Who runs it; null until somebody does.
    pub(crate) runner: Option<RunnerRef>,
    /// Numbers of the pull requests of its run.
    pub(crate) pull_requests: Vec<u64>,
    /// When it was queued.
    pub(crate) queued_at: Option<String>,
    /// When it was started.
    pub(crate) started_at: Option<String>,
    /// When it was completed.
    pub(crate) completed_at: Option<String>,
    /// From queued to started, in milliseconds.
    pub(crate) queue_time_ms: Option<u64>,
    /// From started to completed, in milliseconds.
    pub(crate) duration_ms: Option<u64>,
    /// Its page.
    pub(crate) url: Option<String>,
}

/// Who runs a job.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
pub(crate) struct RunnerRef {
    /// The sender's id of the runner.
    pub(crate) id: u64,
    /// Its name.
    pub(crate) name: String,
    /// Its group.
    pub(crate) group: Option<String>,
}

/// One job in full.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct JobDetail {
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) job: JobRow,
    /// Other attempts under the same id, newest first.
    pub(crate) attempts: Vec<JobRow>,
    /// The workflow run that it belongs to, where its events were seen.
    pub(crate) run: Option<RunRow>,
    /// Other servers that have a job of this id; `host` chooses.
    pub(crate) other_hosts: Vec<String>,
}

/// Figures of the jobs completed in a window.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct JobMetrics {
    /// The window, by the time of completion.
    pub(crate) time_window: TimeWindow,
    /// All of them.
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) all: JobFigures,
    /// Jobs queued or waiting now.
    pub(crate) pending_jobs: i64,
    /// Jobs in progress now.
    pub(crate) running_jobs: i64,
    /// How they ended.
    pub(crate) by_conclusion: Vec<ConclusionTotal>,
    /// Per label, the most used first.
    pub(crate) by_label: Vec<LabelFigures>,
    /// Per runner, the most used first.
    pub(crate) by_runner: Vec<RunnerFigures>,
}

/// Figures of completed jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct JobFigures {
    /// How many were completed.
    pub(crate) completed_jobs: i64,
    /// success ÷ completed in percent, two decimals; `100.00` when there is nothing.
    pub(crate) success_rate: String,
    /// From queued to started, in milliseconds.
    pub(crate) queue_time_ms: Spread,
    /// From started to completed, in milliseconds.
    pub(crate) duration_ms: Spread,
}

/// Jobs that ended the same way.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
pub(crate) struct ConclusionTotal {
    /// success, failure, …
    pub(crate) conclusion: String,
    /// How many.
    pub(crate) total: i64,
}

/// Figures of the jobs that asked for a label.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct LabelFigures {
    /// The label.
    pub(crate) label: String,
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) figures: JobFigures,
}

/// Figures of the jobs of a runner.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct RunnerFigures {
    /// The name of the runner.
    pub(crate) runner: String,
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) figures: JobFigures,
}

/// A page of workflow runs, newest first.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct RunPage {
    /// The runs.
    pub(crate) workflow_runs: Vec<RunRow>,
    /// How many there are on all pages, counted up to a bound.
    pub(crate) total: i64,
    /// False when the count stopped at its bound.
    pub(crate) total_is_exact: bool,
    /// The most rows of this page.
    pub(crate) limit: u32,
    /// How many rows were skipped.
    pub(crate) offset: u32,
    /// Give it as `cursor` to get the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// A workflow run, its latest attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "WorkflowRun", rename_all = "camelCase")]
pub(crate) struct RunRow {
    /// The server whose run it is, as in the addresses of its pages; null where its events name none.
    pub(crate) host: Option<String>,
    /// The sender's id of the run, or of the pipeline, unique at its host.
    pub(crate) run_id: u64,
    /// The attempt, from 1.
    pub(crate) run_attempt: u32,
    /// The number that people see.
    pub(crate) run_number: u64,
    /// `owner/name`.
    pub(crate) repository: String,
    /// The name of the workflow.
    pub(crate) workflow_name: Option<String>,
    /// The branch.
    pub(crate) head_branch: Option<String>,
    /// The commit.
    pub(crate) head_sha: Option<String>,
    /// What started it, in the sender's words: push, pull_request, merge_request_event, …
    pub(crate) event: Option<String>,
    /// requested, queued, waiting, pending, in_progress or completed.
    pub(crate) status: String,
    /// How it ended; null until completed.
    pub(crate) conclusion: Option<String>,
    /// Who started it.
    pub(crate) actor: Option<String>,
    /// When it was created.
    pub(crate) created_at: Option<String>,
    /// When it last changed.
    pub(crate) updated_at: Option<String>,
    /// Its page.
    pub(crate) url: Option<String>,
}

/// The runners, as seen at work.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct RunnerPool {
    /// Runners seen in the window.
    pub(crate) total: u64,
    /// Those with a job in progress.
    pub(crate) busy: u64,
    /// The others.
    pub(crate) idle: u64,
    /// Jobs queued or waiting, per label, the most wanted first.
    pub(crate) demand: Vec<LabelDemand>,
    /// The runners, the last seen first.
    pub(crate) runners: Vec<RunnerRow>,
}

/// Jobs that wait for a runner with a label.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct LabelDemand {
    /// The label.
    pub(crate) label: String,
    /// Jobs queued or waiting.
    pub(crate) pending_jobs: u64,
    /// Since when the longest-waiting waits.
    pub(crate) oldest_queued_at: Option<String>,
}

/// A runner.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Runner", rename_all = "camelCase")]
pub(crate) struct RunnerRow {
    /// The server whose runner it is; null where its events name none.
    pub(crate) host: Option<String>,
    /// The sender's id of it, unique at its host.
    pub(crate) id: u64,
    /// Its name.
    pub(crate) name: String,
    /// Its group.
    pub(crate) group: Option<String>,
    /// What it offers, as the jobs that it ran asked for.
    pub(crate) labels: Vec<String>,
    /// busy or idle.
    pub(crate) status: String,
    /// The job in progress.
    pub(crate) current_job_id: Option<u64>,
    /// The last repository that it worked for.
    pub(crate) last_repository: Option<String>,
    /// When it was last seen at work.
    pub(crate) last_seen_at: Option<String>,
}
