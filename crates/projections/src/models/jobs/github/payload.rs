//! The parts of `workflow_job` and `workflow_run` payloads that are read.

use serde::Deserialize;

use crate::models::json::{Lenient, PayloadTime};

#[derive(Debug, Deserialize)]
pub(super) struct JobPayload {
    #[serde(default)]
    pub(super) workflow_job: Lenient<Job>,
    #[serde(default)]
    pub(super) repository: Lenient<Repository>,
    #[serde(default)]
    pub(super) deployment: Lenient<Deployment>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Job {
    #[serde(default)]
    pub(super) id: Lenient<u64>,
    #[serde(default)]
    pub(super) run_id: Lenient<u64>,
    #[serde(default)]
    pub(super) run_attempt: Lenient<u32>,
    #[serde(default)]
    pub(super) name: Lenient<String>,
    #[serde(default)]
    pub(super) workflow_name: Lenient<String>,
    #[serde(default)]
    pub(super) head_branch: Lenient<String>,
    #[serde(default)]
    pub(super) head_sha: Lenient<String>,
    #[serde(default)]
    pub(super) status: Lenient<String>,
    #[serde(default)]
    pub(super) conclusion: Lenient<String>,
    #[serde(default)]
    pub(super) labels: Lenient<Vec<Lenient<String>>>,
    #[serde(default)]
    pub(super) runner_id: Lenient<u64>,
    #[serde(default)]
    pub(super) runner_name: Lenient<String>,
    #[serde(default)]
    pub(super) runner_group_id: Lenient<u64>,
    #[serde(default)]
    pub(super) runner_group_name: Lenient<String>,
    #[serde(default)]
    pub(super) created_at: Lenient<PayloadTime>,
    #[serde(default)]
    pub(super) started_at: Lenient<PayloadTime>,
    #[serde(default)]
    pub(super) completed_at: Lenient<PayloadTime>,
    #[serde(default)]
    pub(super) html_url: Lenient<String>,
    #[serde(default)]
    pub(super) steps: Lenient<Vec<Lenient<Step>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Step {
    #[serde(default)]
    pub(super) started_at: Lenient<PayloadTime>,
    #[serde(default)]
    pub(super) completed_at: Lenient<PayloadTime>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Repository {
    #[serde(default)]
    pub(super) html_url: Lenient<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Deployment {
    #[serde(default)]
    pub(super) updated_at: Lenient<PayloadTime>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RunPayload {
    #[serde(default)]
    pub(super) workflow_run: Lenient<Run>,
    #[serde(default)]
    pub(super) repository: Lenient<Repository>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Run {
    #[serde(default)]
    pub(super) id: Lenient<u64>,
    #[serde(default)]
    pub(super) run_attempt: Lenient<u32>,
    #[serde(default)]
    pub(super) run_number: Lenient<u64>,
    #[serde(default)]
    pub(super) workflow_id: Lenient<u64>,
    #[serde(default)]
    pub(super) name: Lenient<String>,
    #[serde(default)]
    pub(super) head_branch: Lenient<String>,
    #[serde(default)]
    pub(super) head_sha: Lenient<String>,
    #[serde(default)]
    pub(super) event: Lenient<String>,
    #[serde(default)]
    pub(super) status: Lenient<String>,
    #[serde(default)]
    pub(super) conclusion: Lenient<String>,
    #[serde(default)]
    pub(super) actor: Lenient<Actor>,
    #[serde(default)]
    pub(super) created_at: Lenient<PayloadTime>,
    #[serde(default)]
    pub(super) updated_at: Lenient<PayloadTime>,
    #[serde(default)]
    pub(super) run_started_at: Lenient<PayloadTime>,
    #[serde(default)]
    pub(super) html_url: Lenient<String>,
    #[serde(default)]
    pub(super) pull_requests: Lenient<Vec<Lenient<PullRequest>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Actor {
    #[serde(default)]
    pub(super) login: Lenient<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullRequest {
    #[serde(default)]
    pub(super) number: Lenient<u64>,
}
