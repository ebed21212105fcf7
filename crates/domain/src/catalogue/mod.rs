//! What senders are known to send. The sets are open: an unknown event is accepted and kept, so nothing may be refused
//! because it is missing here.

mod github;
mod gitlab;
mod linear;

use serde::{Deserialize, Serialize};

/// What an event type is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Category {
    /// Checks, workflows and deployments.
    Actions,
    /// Commits, branches, tags, packages and releases.
    Code,
    /// Pull requests and their reviews.
    #[serde(rename = "Pull Request")]
    PullRequest,
    /// Issues, their comments, labels and milestones.
    Issue,
    /// The repository itself, its settings and its audience.
    Repository,
    /// Alerts, advisories and scans.
    Security,
    /// Organizations, teams, members and enterprises.
    Organization,
    /// All else.
    Other,
}

impl Category {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Actions,
        Self::Code,
        Self::PullRequest,
        Self::Issue,
        Self::Repository,
        Self::Security,
        Self::Organization,
        Self::Other,
    ];

    /// The name shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actions => "Actions",
            Self::Code => "Code",
            Self::PullRequest => "Pull Request",
            Self::Issue => "Issue",
            Self::Repository => "Repository",
            Self::Security => "Security",
            Self::Organization => "Organization",
            Self::Other => "Other",
        }
    }
}

/// An event type that a sender is known to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownEvent {
    /// The name, as in the sender's header or body.
    pub name: &'static str,
    /// What it is about.
    pub category: Category,
    /// The actions within it, sorted; empty when it has none or they are free.
    pub actions: &'static [&'static str],
}

const fn event(name: &'static str, category: Category, actions: &'static [&'static str]) -> KnownEvent {
    KnownEvent {
        name,
        category,
        actions,
    }
}

/// The schemes whose events are known, which are also the names of their default sources.
pub const SCHEMES: &[&str] = &["github", "gitlab", "linear"];

/// The known events of a scheme, sorted by name; none for schemes whose senders choose their own names.
#[must_use]
pub fn events(scheme: &str) -> &'static [KnownEvent] {
    match scheme {
        "github" => github::EVENTS,
        "gitlab" => gitlab::EVENTS,
        "linear" => linear::EVENTS,
        _ => &[],
    }
}

/// The known event of that name.
#[must_use]
pub fn find(scheme: &str, name: &str) -> Option<&'static KnownEvent> {
    let known = events(scheme);
    let at = known.binary_search_by(|event| event.name.cmp(name)).ok()?;
    known.get(at)
}

/// What an event type is about; [`Category::Other`] for one that nobody has heard of.
#[must_use]
pub fn category(scheme: &str, name: &str) -> Category {
    find(scheme, name).map_or(Category::Other, |event| event.category)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_actions_are_sorted_and_stand_once() {
        for scheme in SCHEMES {
            let names: Vec<_> = events(scheme).iter().map(|e| e.name).collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{scheme}: {names:?}");
            for event in events(scheme) {
                assert!(
                    event.actions.is_sorted_by(|a, b| a < b),
                    "{scheme} {}",
                    event.name
                );
            }
        }
    }

    #[test]
    fn all_github_events_are_known_with_their_actions() {
        // 76 documented ones, 11 of enterprise editions, 3 old names.
        assert_eq!(events("github").len(), 76 + 11 + 3);
        let job = find("github", "workflow_job").unwrap();
        assert_eq!(
            (job.category, job.actions),
            (
                Category::Actions,
                &["completed", "in_progress", "queued", "waiting"][..]
            )
        );
        for old in ["content_reference", "pull_request_target", "vulnerability_alert"] {
            assert!(find("github", old).is_some(), "{old}");
        }
    }

    #[test]
    fn what_gitlab_and_linear_send_is_known_with_its_actions() {
        for (scheme, name, category, action) in [
            ("gitlab", "build", Category::Actions, "failed"),
            ("gitlab", "pipeline", Category::Actions, "success"),
            ("gitlab", "merge_request", Category::PullRequest, "merge"),
            ("gitlab", "milestone", Category::Issue, "close"),
            ("linear", "Issue", Category::Issue, "update"),
            ("linear", "IssueSLA", Category::Issue, "breached"),
            ("linear", "OAuthApp", Category::Security, "revoked"),
        ] {
            let known = find(scheme, name).unwrap();
            assert_eq!(known.category, category, "{name}");
            assert!(known.actions.contains(&action), "{name}: {:?}", known.actions);
        }
        // By `object_kind`, by `event_name` alone, and by the hooks of a whole instance.
        for name in ["push", "user_add_to_group", "repository_update"] {
            assert!(find("gitlab", name).is_some(), "{name}");
        }
    }

    #[test]
    fn an_unheard_of_event_is_other() {
        assert_eq!(category("github", "telepathy"), Category::Other);
        assert_eq!(category("carrier-pigeon", "push"), Category::Other);
    }
}
