//! What payloads say about their repository.

use domain::{DeliveryReceived, TenantId};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::models::column::Moment;
use crate::models::json::{self, Lenient, PayloadTime};
use crate::models::precedence::Precedence;

/// The parts of a payload that count; all may be missing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Payload {
    #[serde(default)]
    commits: Lenient<Vec<IgnoredAny>>,
    #[serde(default)]
    total_commits_count: Lenient<u64>,
    #[serde(default)]
    pull_request: Lenient<PullRequest>,
    #[serde(default)]
    starred_at: Lenient<PayloadTime>,
    #[serde(default)]
    repository: Lenient<Repository>,
}

#[derive(Debug, Deserialize)]
struct PullRequest {
    #[serde(default)]
    merged: Lenient<bool>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    #[serde(default)]
    stargazers_count: Lenient<u64>,
    #[serde(default)]
    forks_count: Lenient<u64>,
    #[serde(default)]
    open_issues_count: Lenient<u64>,
    #[serde(default)]
    default_branch: Lenient<String>,
    #[serde(default)]
    language: Lenient<String>,
    #[serde(default)]
    private: Lenient<bool>,
    #[serde(default)]
    html_url: Lenient<String>,
    #[serde(default)]
    updated_at: Lenient<PayloadTime>,
    #[serde(default)]
    pushed_at: Lenient<PayloadTime>,
}

impl Payload {
    pub(super) fn read(json: &[u8]) -> Self {
        json::read(json).unwrap_or_default()
    }

    /// Commits of a push. GitLab lists at most 20 of them beside their number.
    pub(super) fn commits(&self) -> u64 {
        let listed = self.commits.get().map_or(0, |commits| commits.len() as u64);
        self.total_commits_count.copied().unwrap_or(listed)
    }

    pub(super) fn merged(&self) -> bool {
        self.pull_request
            .get()
            .and_then(|pull| pull.merged.copied())
            .unwrap_or(false)
    }
}

#[derive(Serialize)]
pub(super) struct RepositoryRow<'a> {
    tenant: &'a TenantId,
    repository_key: String,
    version: u128,
    repository: &'a str,
    stars: u64,
    forks: u64,
    open_issues: u64,
    default_branch: String,
    language: String,
    private: bool,
    url: String,
    updated_at: Option<Moment>,
}

impl<'a> RepositoryRow<'a> {
    /// The row of a payload that says how many stars the repository has; others are not descriptions of one.
    pub(super) fn new(received: &'a DeliveryReceived, name: &'a str, payload: &Payload) -> Option<Self> {
        let repository = payload.repository.get()?;
        let stars = repository.stargazers_count.copied()?;
        let times = [&repository.updated_at, &repository.pushed_at, &payload.starred_at];
        let at = times.into_iter().filter_map(Lenient::time).max();
        Some(Self {
            tenant: &received.tenant,
            repository_key: name.to_lowercase(),
            version: Precedence {
                attempt: 0,
                rank: 0,
                at,
                sha256: received.sha256,
            }
            .version(),
            repository: name,
            stars,
            forks: repository.forks_count.copied().unwrap_or(0),
            open_issues: repository.open_issues_count.copied().unwrap_or(0),
            default_branch: repository.default_branch.text(),
            language: repository.language.text(),
            private: repository.private.copied().unwrap_or(false),
            url: repository.html_url.text(),
            updated_at: at.map(Moment::from),
        })
    }
}
