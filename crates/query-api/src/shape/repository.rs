//! Activity in repositories: events, not deliveries.

use poem_openapi::Object;
use serde::Serialize;

use super::TimeWindow;

/// Repositories with activity in a window.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct RepositoryPage {
    /// The window, by full minutes.
    pub(crate) time_window: TimeWindow,
    /// The repositories, the most active first.
    pub(crate) repositories: Vec<RepositoryRow>,
    /// How many there are on all pages.
    pub(crate) total: i64,
    /// The most rows of this page.
    pub(crate) limit: u32,
    /// How many rows were skipped.
    pub(crate) offset: u32,
}

/// A repository and what happened in it.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Repository", rename_all = "camelCase")]
pub(crate) struct RepositoryRow {
    /// `owner/name`, as its sender spelled it last.
    pub(crate) repository: String,
    /// Events of all types.
    pub(crate) total_events: u64,
    /// People and bots who caused them.
    pub(crate) contributors: u64,
    /// Pushes.
    pub(crate) pushes: u64,
    /// Commits pushed.
    pub(crate) commits: u64,
    /// Events about pull requests.
    pub(crate) pull_requests: u64,
    /// Events about issues.
    pub(crate) issues: u64,
    /// Events about releases.
    pub(crate) releases: u64,
    /// When the last event was received.
    pub(crate) last_activity: Option<String>,
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) facts: RepositoryFacts,
}

/// What the newest payload says about a repository; null where none did.
#[derive(Debug, Clone, Default, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct RepositoryFacts {
    /// Stars.
    pub(crate) stars: Option<u64>,
    /// Forks.
    pub(crate) forks: Option<u64>,
    /// Open issues and pull requests.
    pub(crate) open_issues: Option<u64>,
    /// The default branch.
    pub(crate) default_branch: Option<String>,
    /// The main language.
    pub(crate) language: Option<String>,
    /// Whether it is private.
    pub(crate) private: Option<bool>,
    /// Its page.
    pub(crate) url: Option<String>,
}

/// What happened in one repository.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct Activity {
    /// `owner/name`, as its sender spelled it last.
    pub(crate) repository: String,
    /// The window, by full minutes.
    pub(crate) time_window: TimeWindow,
    /// Events of all types.
    pub(crate) total_events: u64,
    /// Per event type, the most frequent first.
    pub(crate) by_event: Vec<EventTotal>,
    /// People and bots who caused them, the most active first, by whole hours.
    pub(crate) contributors: Vec<Contributor>,
    /// Pushes.
    pub(crate) pushes: Pushes,
    /// Pull requests.
    pub(crate) pull_requests: PullRequests,
    /// Issues.
    pub(crate) issues: Issues,
    /// Releases.
    pub(crate) releases: Releases,
    /// When the last event was received, in the window or before it.
    pub(crate) last_activity: Option<String>,
    /// What the newest payload says about it.
    pub(crate) facts: RepositoryFacts,
    /// The step of `series`: minute, hour or day.
    pub(crate) interval: String,
    /// Over time, steps without events included.
    pub(crate) series: Vec<ActivityPoint>,
}

/// Events of one type.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
pub(crate) struct EventTotal {
    /// The event type.
    pub(crate) event: String,
    /// How many.
    pub(crate) total: u64,
}

/// Somebody who caused events.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct Contributor {
    /// The login.
    pub(crate) sender: String,
    /// Events of all types.
    pub(crate) events: u64,
    /// Pushes.
    pub(crate) pushes: u64,
    /// Commits pushed.
    pub(crate) commits: u64,
    /// When the last was received.
    pub(crate) last_activity: Option<String>,
}

/// Pushes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
pub(crate) struct Pushes {
    /// How many.
    pub(crate) total: u64,
    /// Their commits.
    pub(crate) commits: u64,
}

/// Pull requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
pub(crate) struct PullRequests {
    /// Events about them.
    pub(crate) total: u64,
    /// Opened.
    pub(crate) opened: u64,
    /// Closed, merged ones included.
    pub(crate) closed: u64,
    /// Merged.
    pub(crate) merged: u64,
}

/// Releases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
pub(crate) struct Releases {
    /// Events about them.
    pub(crate) total: u64,
    /// Published.
    pub(crate) published: u64,
}

/// Issues.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
pub(crate) struct Issues {
    /// Events about them.
    pub(crate) total: u64,
    /// Opened.
    pub(crate) opened: u64,
    /// Closed.
    pub(crate) closed: u64,
}

/// One step of time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct ActivityPoint {
    /// Start of the step.
    pub(crate) timestamp: String,
    /// Events of all types.
    pub(crate) total: u64,
    /// Pushes.
    pub(crate) pushes: u64,
    /// Events about pull requests.
    pub(crate) pull_requests: u64,
    /// Events about issues.
    pub(crate) issues: u64,
}
