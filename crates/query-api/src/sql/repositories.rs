//! Activity per repository, from rollups per minute and hour.

use domain::{Query, TenantId};
use serde::Deserialize;

use super::{Build, Conditions};

pub(crate) const PROJECTION: &str = "repository_activity";

/// The most contributors listed of a repository.
const CONTRIBUTORS_MAX: u32 = 1000;

/// A window of full minutes, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub(crate) start_secs: i64,
    pub(crate) end_secs: i64,
}

impl Window {
    fn minutes(self, tenant: &TenantId) -> Conditions {
        Conditions::of(tenant)
            .with(
                "minute >= toDateTime({start:Int64}, 'UTC')",
                "start",
                self.start_secs,
            )
            .with("minute < toDateTime({end:Int64}, 'UTC')", "end", self.end_secs)
    }

    /// Contributors are known by whole hours.
    fn hours(self, tenant: &TenantId) -> Conditions {
        let first = self.start_secs.div_euclid(3600) * 3600;
        Conditions::of(tenant)
            .with("hour >= toDateTime({start:Int64}, 'UTC')", "start", first)
            .with("hour < toDateTime({end:Int64}, 'UTC')", "end", self.end_secs)
    }
}

const OF_KEY: &str = "repository_key = {repository:String}";

/// What counts as what. Columns are named through `a`, so that no alias can hide one.
const COUNTS: &str =
    "sum(a.events) AS total, sumIf(a.events, a.event IN ('push', 'tag_push')) AS pushes, sum(a.commits) AS commits,
    sumIf(a.events, a.event IN ('pull_request', 'pull_request_target', 'merge_request')) AS pull_requests,
    sumIf(a.events, a.event IN ('issues', 'issue', 'Issue')) AS issues,
    sumIf(a.events, a.event = 'release') AS releases,
    max(toUnixTimestamp64Micro(a.last_at)) AS last_us";

/// Counts of a group of events.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Counts {
    pub(crate) total: u64,
    pub(crate) pushes: u64,
    pub(crate) commits: u64,
    pub(crate) pull_requests: u64,
    pub(crate) issues: u64,
    pub(crate) releases: u64,
    pub(crate) last_us: i64,
}

/// A repository with its counts.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OfRepository {
    pub(crate) repository_key: String,
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// The repositories of a window, the most active first.
pub(crate) fn page(build: Build, tenant: &TenantId, window: Window, limit: u32, offset: u32) -> Query {
    let conditions = window.minutes(tenant);
    let sql = format!(
        "SELECT a.repository_key AS repository_key, argMax(a.repository, a.last_at) AS name, {COUNTS}
         FROM (SELECT * FROM {} FINAL WHERE {}) AS a
         GROUP BY repository_key ORDER BY total DESC, repository_key LIMIT {limit} OFFSET {offset}",
        build.table("repository_activity"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// How many repositories the window has.
pub(crate) fn count(build: Build, tenant: &TenantId, window: Window) -> Query {
    let conditions = window.minutes(tenant);
    let sql = format!(
        "SELECT toInt64(uniqExact(repository_key)) AS n FROM {} WHERE {}",
        build.table("repository_activity"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// How many contributors a repository has.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Contributors {
    pub(crate) repository_key: String,
    pub(crate) n: u64,
}

/// How many contributors each of some repositories has.
pub(crate) fn contributor_counts(build: Build, tenant: &TenantId, window: Window, keys: &[String]) -> Query {
    let conditions = window.hours(tenant).with(
        "repository_key IN {keys:Array(String)}",
        "keys",
        text_array(keys.iter().map(String::as_str)),
    );
    let sql = format!(
        "SELECT repository_key, uniqExact(sender) AS n FROM {} WHERE {} GROUP BY repository_key",
        build.table("repository_contributors"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// What the newest payload says about a repository.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Facts {
    pub(crate) repository_key: String,
    pub(crate) stars: u64,
    pub(crate) forks: u64,
    pub(crate) open_issues: u64,
    pub(crate) default_branch: String,
    pub(crate) language: String,
    pub(crate) private: bool,
    pub(crate) url: String,
}

/// What the newest payloads say about some repositories.
pub(crate) fn facts(build: Build, tenant: &TenantId, keys: &[String]) -> Query {
    let conditions = Conditions::of(tenant).with(
        "repository_key IN {keys:Array(String)}",
        "keys",
        text_array(keys.iter().map(String::as_str)),
    );
    let sql = format!(
        "SELECT repository_key, stars, forks, open_issues, default_branch, language, private, url
         FROM {} FINAL WHERE {}",
        build.table("repositories"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// Events of one type and action, or of one step of time.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Part {
    /// Zero when it is one of a step.
    pub(crate) is_of_action: u8,
    pub(crate) step: i64,
    pub(crate) event: String,
    pub(crate) action: String,
    pub(crate) merged: u64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// Events of one repository per type and action, and over time, steps without events left out: both out of one reading.
pub(crate) fn parts(build: Build, tenant: &TenantId, window: Window, key: &str, step_secs: u32) -> Query {
    let conditions = window.minutes(tenant).with(OF_KEY, "repository", key);
    let sql = format!(
        "SELECT grouping(step) AS is_of_action, intDiv(toInt64(toUnixTimestamp(a.minute)), {step_secs}) * {step_secs} AS step,
            a.event AS event, a.action AS action, sum(a.merged) AS merged, {COUNTS}
         FROM (SELECT * FROM {} FINAL WHERE {}) AS a GROUP BY GROUPING SETS ((event, action), (step))",
        build.table("repository_activity"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// Name and last activity of a repository, of all time.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) last_us: i64,
}

/// Whether and when anything happened in a repository: the newest minute says it, which is at one end of the sort order, so
/// that not all of its rows of all time are read.
pub(crate) fn seen(build: Build, tenant: &TenantId, key: &str) -> Query {
    let table = build.table("repository_activity");
    let conditions = Conditions::of(tenant).with(OF_KEY, "repository", key);
    let sql = format!(
        "SELECT argMax(a.repository, a.last_at) AS name, max(toUnixTimestamp64Micro(a.last_at)) AS last_us
         FROM {table} AS a WHERE {0} AND a.minute =
            (SELECT minute FROM {table} WHERE {0} ORDER BY tenant DESC, repository_key DESC, minute DESC LIMIT 1)",
        conditions.text()
    );
    conditions.bind(sql)
}

/// Somebody who caused events.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OfSender {
    pub(crate) sender: String,
    pub(crate) total: u64,
    pub(crate) pushes: u64,
    pub(crate) commits: u64,
    pub(crate) last_us: i64,
}

/// The contributors of one repository, the most active first.
pub(crate) fn contributors(build: Build, tenant: &TenantId, window: Window, key: &str) -> Query {
    let conditions = window.hours(tenant).with(OF_KEY, "repository", key);
    let sql = format!(
        "SELECT c.sender AS sender, sum(c.events) AS total, sum(c.pushes) AS pushes, sum(c.commits) AS commits,
            max(toUnixTimestamp64Micro(c.last_at)) AS last_us
         FROM (SELECT * FROM {} FINAL WHERE {}) AS c
         GROUP BY sender ORDER BY total DESC, sender LIMIT {CONTRIBUTORS_MAX}",
        build.table("repository_contributors"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// Texts as the literal of an array: the one kind of parameter whose value is written as a literal.
pub(crate) fn text_array<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = texts
        .map(|text| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")))
        .collect();
    format!("[{}]", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_can_not_leave_its_quotes() {
        let texts = ["a/b", "it's", "\\", "\\'] OR 1"];
        assert_eq!(
            text_array(texts.into_iter()),
            r"['a/b','it\'s','\\','\\\'] OR 1']"
        );
    }
}
