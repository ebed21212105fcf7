//! The parts of GitLab's job and pipeline payloads that are read.
//!
//! Source: `lib/gitlab/data_builder/build.rb` and `pipeline.rb` of GitLab.

use serde::Deserialize;

use crate::models::json::{Lenient, RubyTime};

/// A job event. A pipeline lists the same under other names: see [`PipelineJob`].
#[derive(Debug, Deserialize)]
pub(super) struct JobPayload {
    #[serde(default)]
    pub(super) object_kind: Lenient<String>,
    #[serde(default)]
    pub(super) build_id: Lenient<u64>,
    #[serde(default)]
    pub(super) build_name: Lenient<String>,
    #[serde(default)]
    pub(super) build_status: Lenient<String>,
    #[serde(default)]
    pub(super) build_created_at: Lenient<RubyTime>,
    #[serde(default)]
    pub(super) build_started_at: Lenient<RubyTime>,
    #[serde(default)]
    pub(super) build_finished_at: Lenient<RubyTime>,
    /// In seconds.
    #[serde(default)]
    pub(super) build_queued_duration: Lenient<f64>,
    #[serde(default)]
    pub(super) build_failure_reason: Lenient<String>,
    #[serde(default)]
    pub(super) build_allow_failure: Lenient<bool>,
    #[serde(default)]
    pub(super) pipeline_id: Lenient<u64>,
    #[serde(rename = "ref", default)]
    pub(super) branch: Lenient<String>,
    #[serde(default)]
    pub(super) sha: Lenient<String>,
    #[serde(default)]
    pub(super) runner: Lenient<Runner>,
    /// Not the commit: its id and name are those of the pipeline.
    #[serde(default)]
    pub(super) commit: Lenient<Pipeline>,
    #[serde(default)]
    pub(super) project: Lenient<Project>,
    #[serde(default)]
    pub(super) repository: Lenient<Repository>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Runner {
    #[serde(default)]
    pub(super) id: Lenient<u64>,
    #[serde(default)]
    pub(super) description: Lenient<String>,
    /// `instance_type`, `group_type` or `project_type`.
    #[serde(default)]
    pub(super) runner_type: Lenient<String>,
    #[serde(default)]
    pub(super) tags: Lenient<Vec<Lenient<String>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Project {
    #[serde(default)]
    pub(super) web_url: Lenient<String>,
}

/// The older way to say where the project is.
#[derive(Debug, Deserialize)]
pub(super) struct Repository {
    #[serde(default)]
    pub(super) homepage: Lenient<String>,
}

/// A pipeline event.
#[derive(Debug, Deserialize)]
pub(super) struct PipelinePayload {
    #[serde(default)]
    pub(super) object_kind: Lenient<String>,
    #[serde(default)]
    pub(super) object_attributes: Lenient<Pipeline>,
    #[serde(default)]
    pub(super) merge_request: Lenient<MergeRequest>,
    #[serde(default)]
    pub(super) user: Lenient<User>,
    #[serde(default)]
    pub(super) project: Lenient<Project>,
    #[serde(default)]
    pub(super) builds: Lenient<Vec<Lenient<PipelineJob>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pipeline {
    #[serde(default)]
    pub(super) id: Lenient<u64>,
    #[serde(default)]
    pub(super) iid: Lenient<u64>,
    #[serde(default)]
    pub(super) name: Lenient<String>,
    #[serde(rename = "ref", default)]
    pub(super) branch: Lenient<String>,
    #[serde(default)]
    pub(super) sha: Lenient<String>,
    #[serde(default)]
    pub(super) source: Lenient<String>,
    #[serde(default)]
    pub(super) status: Lenient<String>,
    #[serde(default)]
    pub(super) created_at: Lenient<RubyTime>,
    #[serde(default)]
    pub(super) finished_at: Lenient<RubyTime>,
    /// In seconds.
    #[serde(default)]
    pub(super) queued_duration: Lenient<f64>,
    #[serde(default)]
    pub(super) url: Lenient<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct MergeRequest {
    #[serde(default)]
    pub(super) iid: Lenient<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    #[serde(default)]
    pub(super) username: Lenient<String>,
}

/// A job as a pipeline lists it.
#[derive(Debug, Deserialize)]
pub(super) struct PipelineJob {
    #[serde(default)]
    pub(super) id: Lenient<u64>,
    #[serde(default)]
    pub(super) name: Lenient<String>,
    #[serde(default)]
    pub(super) status: Lenient<String>,
    #[serde(default)]
    pub(super) created_at: Lenient<RubyTime>,
    #[serde(default)]
    pub(super) started_at: Lenient<RubyTime>,
    #[serde(default)]
    pub(super) finished_at: Lenient<RubyTime>,
    /// In seconds.
    #[serde(default)]
    pub(super) queued_duration: Lenient<f64>,
    #[serde(default)]
    pub(super) failure_reason: Lenient<String>,
    #[serde(default)]
    pub(super) allow_failure: Lenient<bool>,
    #[serde(default)]
    pub(super) runner: Lenient<Runner>,
}
