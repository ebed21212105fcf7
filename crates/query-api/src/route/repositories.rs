//! What happens in repositories.

use std::collections::HashMap;
use std::sync::Arc;

use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::Group;
use crate::access::Caller;
use crate::answer::{Answer, Written};
use crate::failure::Failure;
use crate::param::{Count, Interval, Limit, Number, spelt};
use crate::shape::repository::{
    Activity, ActivityPoint, Contributor, EventTotal, Issues, PullRequests, Pushes, Releases,
    RepositoryFacts, RepositoryPage, RepositoryRow,
};
use crate::shape::{given, time};
use crate::sql::Counted;
use crate::sql::repositories::{
    self as sql, Contributors, Facts, OfRepository, OfSender, PROJECTION, Part, Seen,
};
use crate::state::{State, answered};
use crate::window::{Window, interval_word, of_secs};

/// Thirty days.
const DEFAULT_HOURS: u32 = 30 * 24;

pub(crate) struct Repositories {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/repositories", tag = "Group::Repositories")]
#[allow(
    clippy::too_many_arguments,
    reason = "each is a parameter of the contract, and the macro takes no struct"
)]
impl Repositories {
    /// List the repositories with activity, the most active first.
    ///
    /// Events are counted, not deliveries: one push that arrived through two hooks is one push.
    #[oai(path = "/", method = "get", operation_id = "listRepositories")]
    async fn list(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// The window: the last so many hours.
        hours: Query<Option<Count>>,
        /// The window: the last so many days, 30 unless given.
        days: Query<Option<Count>>,
        /// Rows of the page: 100 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
        /// Rows to skip, at most 10000.
        offset: Query<Option<Number>>,
    ) -> Result<Answer<RepositoryPage>, Failure> {
        spelt(request, &["hours", "days", "limit", "offset"])?;
        let window = self.window(hours.0, days.0)?;
        let limit = self.state.limit(limit.0.as_ref(), self.state.options.page_rows);
        let offset = self.state.offset(offset.0.as_ref())?;
        let (store, tenant, span) = (&self.state.store, &caller.tenant, span(window));
        let (rows, counted) = tokio::try_join!(
            store.ask::<OfRepository>(PROJECTION, |b| sql::page(b, tenant, span, limit, offset)),
            store.ask_one::<Counted>(PROJECTION, |b| sql::count(b, tenant, span)),
        )?;
        let keys: Vec<String> = rows.iter().map(|row| row.repository_key.clone()).collect();
        let (people, facts) = if keys.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            tokio::try_join!(
                store.ask::<Contributors>(PROJECTION, |b| sql::contributor_counts(b, tenant, span, &keys)),
                store.ask::<Facts>(PROJECTION, |b| sql::facts(b, tenant, &keys)),
            )?
        };
        let people: HashMap<String, u64> = people.into_iter().map(|c| (c.repository_key, c.n)).collect();
        let mut facts: HashMap<String, Facts> =
            facts.into_iter().map(|f| (f.repository_key.clone(), f)).collect();
        let rows = rows.into_iter().map(|row| {
            let contributors = people.get(&row.repository_key).copied().unwrap_or(0);
            let facts = facts.remove(&row.repository_key);
            repository_row(row, contributors, facts)
        });
        Ok(Answer(RepositoryPage {
            time_window: window.shape(),
            repositories: rows.collect(),
            total: counted.n,
            limit,
            offset,
        }))
    }

    /// Show what happened in one repository.
    ///
    /// Answers are kept for about a second.
    #[oai(
        path = "/:owner/:repo/activity",
        method = "get",
        operation_id = "getRepositoryActivity"
    )]
    async fn activity(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// The owner: the first segment of the name.
        owner: Path<String>,
        /// The rest of the name; slashes of nested groups as `%2F`.
        repo: Path<String>,
        /// The window: the last so many hours.
        hours: Query<Option<Count>>,
        /// The window: the last so many days, 30 unless given.
        days: Query<Option<Count>>,
        /// The step of the series; by the window unless given.
        interval: Query<Option<Interval>>,
    ) -> Result<Written<Activity>, Failure> {
        spelt(request, &["hours", "days", "interval"])?;
        let window = self.window(hours.0, days.0)?;
        let step_secs = window.step_secs(interval.0.map(|i| i.0))?;
        let name = format!("{}/{}", owner.0, repo.0);
        let key = (caller.tenant.clone(), (window, step_secs, name.to_lowercase()));
        answered(
            &self.state.activities,
            key,
            self.ask(&caller, window, step_secs, &name),
        )
        .await
    }
}

impl Repositories {
    async fn ask(
        &self,
        caller: &Caller,
        window: Window,
        step_secs: u32,
        name: &str,
    ) -> Result<Activity, Failure> {
        let key = name.to_lowercase();
        let (store, tenant, span) = (&self.state.store, &caller.tenant, span(window));
        let keys = [key.clone()];
        let (seen, parts, people, facts) = tokio::try_join!(
            store.ask_one::<Seen>(PROJECTION, |b| sql::seen(b, tenant, &key)),
            store.ask::<Part>(PROJECTION, |b| sql::parts(b, tenant, span, &key, step_secs)),
            store.ask::<OfSender>(PROJECTION, |b| sql::contributors(b, tenant, span, &key)),
            store.ask::<Facts>(PROJECTION, |b| sql::facts(b, tenant, &keys)),
        )?;
        if seen.name.is_empty() {
            let message = format!("nothing was ever received from repository {name}");
            return Err(Failure::not_found(message));
        }
        let (actions, steps): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.is_of_action != 0);
        let counts = Totals::of(&actions);
        Ok(Activity {
            repository: seen.name,
            time_window: window.shape(),
            total_events: counts.total,
            by_event: counts.by_event,
            contributors: people.into_iter().map(contributor).collect(),
            pushes: counts.pushes,
            pull_requests: counts.pull_requests,
            issues: counts.issues,
            releases: counts.releases,
            last_activity: seen_at(seen.last_us),
            facts: facts.into_iter().next().map(known).unwrap_or_default(),
            interval: interval_word(step_secs).to_owned(),
            series: points(window, step_secs, &steps),
        })
    }

    fn window(&self, hours: Option<Count>, days: Option<Count>) -> Result<Window, Failure> {
        let (hours, days) = (hours.map(|c| c.0), days.map(|c| c.0));
        Window::last(self.state.clock.now(), hours, days, DEFAULT_HOURS)
    }
}

const fn span(window: Window) -> sql::Window {
    sql::Window {
        start_secs: window.start_secs,
        end_secs: window.end_secs,
    }
}

/// The maximum over no rows is the epoch.
fn seen_at(micros: i64) -> Option<String> {
    time(Some(micros).filter(|us| *us > 0))
}

fn repository_row(row: OfRepository, contributors: u64, facts: Option<Facts>) -> RepositoryRow {
    let counts = row.counts;
    RepositoryRow {
        repository: row.name,
        total_events: counts.total,
        contributors,
        pushes: counts.pushes,
        commits: counts.commits,
        pull_requests: counts.pull_requests,
        issues: counts.issues,
        releases: counts.releases,
        last_activity: seen_at(counts.last_us),
        facts: facts.map(known).unwrap_or_default(),
    }
}

fn known(facts: Facts) -> RepositoryFacts {
    RepositoryFacts {
        stars: Some(facts.stars),
        forks: Some(facts.forks),
        open_issues: Some(facts.open_issues),
        default_branch: given(facts.default_branch),
        language: given(facts.language),
        private: Some(facts.private),
        url: given(facts.url),
    }
}

fn contributor(row: OfSender) -> Contributor {
    Contributor {
        sender: row.sender,
        events: row.total,
        pushes: row.pushes,
        commits: row.commits,
        last_activity: seen_at(row.last_us),
    }
}

/// Sums over events and actions, in the words of several senders.
#[derive(Debug, Default, PartialEq)]
struct Totals {
    total: u64,
    by_event: Vec<EventTotal>,
    pushes: Pushes,
    pull_requests: PullRequests,
    issues: Issues,
    releases: Releases,
}

impl Totals {
    fn of(rows: &[Part]) -> Self {
        let mut totals = Self::default();
        let mut by_event: HashMap<&str, u64> = HashMap::new();
        for row in rows {
            totals.total += row.counts.total;
            *by_event.entry(&row.event).or_default() += row.counts.total;
            totals.add(row);
        }
        let mut by_event: Vec<EventTotal> = by_event
            .into_iter()
            .map(|(event, total)| EventTotal {
                event: event.to_owned(),
                total,
            })
            .collect();
        by_event.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.event.cmp(&b.event)));
        totals.by_event = by_event;
        totals
    }

    fn add(&mut self, row: &Part) {
        let (opened, closed) = match row.action.as_str() {
            // `create` is Linear's word for issues.
            "opened" | "open" | "create" => (row.counts.total, 0),
            "closed" | "close" | "merge" => (0, row.counts.total),
            _ => (0, 0),
        };
        match row.event.as_str() {
            // GitLab tells pushes of tags apart.
            "push" | "tag_push" => {
                self.pushes.total += row.counts.total;
                self.pushes.commits += row.counts.commits;
            }
            "pull_request" | "pull_request_target" | "merge_request" => {
                self.pull_requests.total += row.counts.total;
                self.pull_requests.opened += opened;
                self.pull_requests.closed += closed;
                self.pull_requests.merged += row.merged;
            }
            "issues" | "issue" | "Issue" => {
                self.issues.total += row.counts.total;
                self.issues.opened += opened;
                self.issues.closed += closed;
            }
            "release" => {
                self.releases.total += row.counts.total;
                if matches!(row.action.as_str(), "published" | "create") {
                    self.releases.published += row.counts.total;
                }
            }
            _ => {}
        }
    }
}

fn points(window: Window, step_secs: u32, steps: &[Part]) -> Vec<ActivityPoint> {
    let by_step: HashMap<i64, &Part> = steps.iter().map(|step| (step.step, step)).collect();
    window
        .steps(step_secs)
        .map(|start| {
            let counts = by_step.get(&start).map(|step| step.counts).unwrap_or_default();
            ActivityPoint {
                timestamp: of_secs(start).to_string(),
                total: counts.total,
                pushes: counts.pushes,
                pull_requests: counts.pull_requests,
                issues: counts.issues,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::repositories::Counts;

    #[test]
    fn actions_of_several_senders_add_up() {
        let row = |event: &str, action: &str, total, commits, merged| Part {
            is_of_action: 1,
            step: 0,
            event: event.into(),
            action: action.into(),
            merged,
            counts: Counts {
                total,
                commits,
                ..Counts::default()
            },
        };
        let totals = Totals::of(&[
            row("push", "", 3, 7, 0),
            row("pull_request", "opened", 2, 0, 0),
            row("pull_request", "closed", 2, 0, 1),
            row("merge_request", "merge", 1, 0, 0),
            row("issues", "labeled", 4, 0, 0),
            row("issue", "open", 1, 0, 0),
            row("Issue", "create", 1, 0, 0),
            row("tag_push", "", 1, 0, 0),
            row("release", "create", 1, 0, 0),
            row("release", "published", 1, 0, 0),
            row("release", "edited", 1, 0, 0),
        ]);
        assert_eq!(totals.total, 18);
        assert_eq!(totals.pushes, Pushes { total: 4, commits: 7 });
        assert_eq!((totals.pull_requests.total, totals.pull_requests.closed), (5, 3));
        assert_eq!((totals.issues.total, totals.issues.opened), (6, 2));
        assert_eq!((totals.releases.total, totals.releases.published), (3, 2));
        assert_eq!(totals.by_event[0].event, "issues");
    }
}
