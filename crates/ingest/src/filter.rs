//! Which events a source keeps.

use std::collections::HashSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::facts::Facts;

/// The events and repositories that a source wants; empty lists want everything.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    events: HashSet<String>,
    repositories: Option<GlobSet>,
}

impl Filter {
    /// Reads `event` and `event.action` names, and globs of repositories.
    pub(crate) fn new(events: &[String], repositories: &[String]) -> Result<Self, globset::Error> {
        let mut globs = GlobSetBuilder::new();
        for glob in repositories {
            globs.add(
                GlobBuilder::new(glob)
                    .case_insensitive(true)
                    .literal_separator(true)
                    .build()?,
            );
        }
        Ok(Self {
            events: events.iter().map(|e| e.trim().to_lowercase()).collect(),
            repositories: if repositories.is_empty() {
                None
            } else {
                Some(globs.build()?)
            },
        })
    }

    /// Whether a delivery is wanted.
    pub(crate) fn wants(&self, facts: &Facts) -> bool {
        self.wants_event(&facts.event, facts.action.as_deref())
            && self.wants_repository(facts.repository.as_deref())
    }

    fn wants_event(&self, event: &str, action: Option<&str>) -> bool {
        if self.events.is_empty() {
            return true;
        }
        let event = event.to_lowercase();
        let with_action = action.map(|action| format!("{event}.{}", action.to_lowercase()));
        self.events.contains(&event) || with_action.is_some_and(|name| self.events.contains(&name))
    }

    fn wants_repository(&self, repository: Option<&str>) -> bool {
        let Some(globs) = &self.repositories else {
            return true;
        };
        repository.is_some_and(|name| globs.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(
        events: &[&str],
        repositories: &[&str],
        event: &str,
        action: Option<&str>,
        repository: &str,
    ) -> bool {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let filter = Filter::new(&owned(events), &owned(repositories)).unwrap();
        filter.wants(&Facts {
            event: event.to_owned(),
            action: action.map(str::to_owned),
            repository: (!repository.is_empty()).then(|| repository.to_owned()),
            ..Facts::default()
        })
    }

    #[test]
    fn an_empty_filter_wants_everything() {
        assert!(wants(&[], &[], "push", None, "a/b"));
        assert!(wants(&[], &[], "unheard_of", Some("x"), ""));
    }

    #[test]
    fn events_are_wanted_by_name_or_by_name_and_action() {
        let list = ["Push", "pull_request.Opened"];
        assert!(wants(&list, &[], "push", None, "a/b"));
        assert!(wants(&list, &[], "PUSH", Some("any"), "a/b"));
        assert!(wants(&list, &[], "pull_request", Some("opened"), "a/b"));
        assert!(!wants(&list, &[], "pull_request", Some("closed"), "a/b"));
        assert!(!wants(&list, &[], "pull_request", None, "a/b"));
        assert!(!wants(&list, &[], "issues", Some("opened"), "a/b"));
    }

    #[test]
    fn repositories_are_wanted_by_glob() {
        let list = ["octo-org/*", "*/docs"];
        assert!(wants(&[], &list, "push", None, "Octo-Org/web"));
        assert!(wants(&[], &list, "push", None, "other/docs"));
        assert!(!wants(&[], &list, "push", None, "other/web"));
        assert!(
            !wants(&[], &list, "push", None, "octo-org/web/x"),
            "a star stays within its part"
        );
        assert!(
            !wants(&[], &list, "organization", None, ""),
            "no repository fits no glob"
        );
        assert!(Filter::new(&[], &["[".to_owned()]).is_err());
    }
}
