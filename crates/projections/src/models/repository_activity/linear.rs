//! Which repository an event of Linear is about. Linear knows issues, not repositories, but some name one:
//!
//! - an issue that is synchronised with one of GitHub: `data.syncedWith` says `owner` and `repo`
//!   (`ExternalEntityInfoGithubMetadata` of `@linear/sdk`);
//! - an attachment that is a page of GitHub or GitLab, a pull request, say: the repository stands in `data.url`.
//!
//! Of several the first in the order of the alphabet is meant: an event counts once.

use domain::DeliveryReceived;
use serde::Deserialize;

use crate::models::json::{self, Lenient};

/// The longest name that is taken for one, in bytes; that of GitLab's longest path.
const NAME_BYTES_MAX: usize = 512;
const SYNCED_MAX: usize = 100;

/// Where github.com has pages of its own that are below no repository, and nobody can be called so.
const NO_OWNERS_OF_GITHUB: &[&str] = &[
    "apps",
    "codespaces",
    "collections",
    "enterprises",
    "features",
    "marketplace",
    "notifications",
    "organizations",
    "orgs",
    "search",
    "settings",
    "sponsors",
    "topics",
    "users",
];
/// As much of any GitLab: `/groups/acme/-/epics/7` is of a group. Source: `TOP_LEVEL_ROUTES` in `lib/gitlab/path_regex.rb`.
const NO_NAMESPACES_OF_GITLAB: &[&str] = &["admin", "dashboard", "explore", "groups", "users"];

#[derive(Debug, Deserialize)]
struct Payload {
    #[serde(rename = "type", default)]
    kind: Lenient<String>,
    #[serde(default)]
    data: Lenient<Data>,
    /// Where an `IssueSLA` has its issue.
    #[serde(rename = "issueData", default)]
    issue: Lenient<Data>,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    url: Lenient<String>,
    #[serde(rename = "syncedWith", default)]
    synced_with: Lenient<Vec<Lenient<Synced>>>,
}

#[derive(Debug, Deserialize)]
struct Synced {
    #[serde(default)]
    service: Lenient<String>,
    #[serde(default)]
    metadata: Lenient<OfGithub>,
}

#[derive(Debug, Deserialize)]
struct OfGithub {
    #[serde(default)]
    owner: Lenient<String>,
    #[serde(default)]
    repo: Lenient<String>,
}

/// Whether it is an event whose payload has to be looked into.
pub(super) fn may_name_a_repository(received: &DeliveryReceived) -> bool {
    received.repository.is_none() && matches!(received.event.as_str(), "Issue" | "IssueSLA" | "Attachment")
}

/// The repository that a payload names, if it does.
pub(super) fn repository(payload: &[u8]) -> Option<String> {
    let payload: Payload = json::read(payload).ok()?;
    let kind = payload.kind.get()?;
    if kind == "Attachment" {
        return of_page(payload.data.get()?.url.get()?);
    }
    let issue = payload.issue.get().or_else(|| payload.data.get())?;
    let synced = issue.synced_with.elements(SYNCED_MAX).filter_map(of_github);
    synced.min()
}

fn of_github(synced: &Synced) -> Option<String> {
    if synced.service.get()? != "github" {
        return None;
    }
    let metadata = synced.metadata.get()?;
    name([metadata.owner.get()?.as_str(), metadata.repo.get()?])
}

/// `https://github.com/owner/repo/pull/7`, `https://gitlab.example.com/group/sub/project/-/merge_requests/7`. A page of GitLab
/// is told by its `/-/`, wherever the server is; one of GitHub by its host.
fn of_page(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "https" | "http") {
        return None;
    }
    let (host, path) = rest.split(['?', '#']).next()?.split_once('/')?;
    if let Some((project, _)) = path.split_once("/-/") {
        return name(project.split('/')).filter(|_| !begins_with(project, NO_NAMESPACES_OF_GITLAB));
    }
    if !host.eq_ignore_ascii_case("github.com") {
        return None;
    }
    let mut parts = path.split('/');
    let owner_and_name = [parts.next()?, parts.next()?];
    // Only what is below a repository is surely in one: `github.com/orgs/octo-org` is no repository.
    parts.next()?;
    name(owner_and_name).filter(|_| !begins_with(path, NO_OWNERS_OF_GITHUB))
}

fn begins_with(path: &str, words: &[&str]) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    words.iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// The name of a repository out of its parts, at least two.
fn name<'a>(parts: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let parts: Vec<&str> = parts.into_iter().collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '+'))
    };
    let name = parts.join("/");
    (parts.len() > 1 && parts.iter().all(plain) && name.len() <= NAME_BYTES_MAX).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(url: &str) -> Option<String> {
        let payload = serde_json::json!({"type": "Attachment", "action": "create", "data": {"url": url}});
        repository(payload.to_string().as_bytes())
    }

    #[test]
    fn an_attachment_is_of_the_repository_that_its_page_is_below() {
        for (url, wanted) in [
            ("https://github.com/octo-org/hello/pull/7", "octo-org/hello"),
            (
                "https://GitHub.com/octo-org/next.js/issues/7#issuecomment-1",
                "octo-org/next.js",
            ),
            (
                "https://gitlab.example.com/group/sub/project/-/merge_requests/7?tab=1",
                "group/sub/project",
            ),
            ("https://gitlab.com/group/project/-/issues/7", "group/project"),
        ] {
            assert_eq!(attached(url).as_deref(), Some(wanted), "{url}");
        }
        for url in [
            "https://github.com/octo-org/hello",
            "https://github.com/octo-org",
            "https://github.com/orgs/octo-org/projects/1",
            "https://github.com/enterprises/octo/people/x",
            "https://github.com/organizations/octo-org/settings/profile",
            "https://github.com/Apps/dependabot/installations",
            "https://gitlab.com/groups/acme/-/epics/7",
            "https://gitlab.com/groups/acme/sub/-/milestones/7",
            "https://gitlab.com/users/acme/-/x",
            "https://example.com/octo-org/hello/pull/7",
            "https://gitlab.com/project/-/issues/7",
            "https://gitlab.com/a b/project/-/issues/7",
            "https://gitlab.com/a//project/-/issues/7",
            "javascript://github.com/octo-org/hello/pull/7",
            "https://figma.com/file/x",
            "",
        ] {
            assert_eq!(attached(url), None, "{url}");
        }
        assert_eq!(
            attached(&format!("https://github.com/{}/x/pull/7", "o".repeat(600))),
            None
        );
    }

    #[test]
    fn an_issue_is_of_the_repository_that_it_is_synchronised_with() {
        let issue = |synced: serde_json::Value| {
            let payload = serde_json::json!({"type": "Issue", "action": "update", "data": {
                "url": "https://linear.app/acme/issue/ENG-7", "syncedWith": synced}});
            repository(payload.to_string().as_bytes())
        };
        let github = |owner: &str, repo: &str| serde_json::json!({"id": "1", "service": "github", "metadata": {"owner": owner, "repo": repo, "number": 7}});
        assert_eq!(
            issue(serde_json::json!([github("octo-org", "hello")])).as_deref(),
            Some("octo-org/hello")
        );
        let several = serde_json::json!([{"service": "slack", "metadata": {"owner": "a", "repo": "a"}}, github("z", "z"), github("b", "b")]);
        assert_eq!(issue(several).as_deref(), Some("b/b"));
        for none in [
            serde_json::json!(null),
            serde_json::json!([]),
            serde_json::json!({}),
            serde_json::json!([github("a/b", "c")]),
            serde_json::json!([7]),
        ] {
            assert_eq!(issue(none), None);
        }
        let breached = serde_json::json!({"type": "IssueSLA", "action": "breached", "issueData": {"syncedWith": [github("octo-org", "hello")]}});
        assert_eq!(
            repository(breached.to_string().as_bytes()).as_deref(),
            Some("octo-org/hello")
        );
    }
}
