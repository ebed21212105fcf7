//! Which deliveries somebody wants, by their facts.

use std::collections::HashSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Events and repositories that are wanted; empty lists want everything.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    events: HashSet<String>,
    repositories: Option<GlobSet>,
}

/// A repository glob that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{glob:?} is no glob of repositories: {problem}")]
pub struct InvalidGlob {
    /// The glob.
    pub glob: String,
    /// What is wrong with it.
    pub problem: String,
}

impl EventFilter {
    /// Reads `event` and `event.action` names, and globs of repositories, all without regard to case. A star in a glob
    /// stays within its part of the name; two cross the slashes.
    ///
    /// # Errors
    /// When a glob can't be read.
    pub fn new(events: &[String], repositories: &[String]) -> Result<Self, InvalidGlob> {
        let mut globs = GlobSetBuilder::new();
        for glob in repositories {
            let built = GlobBuilder::new(glob.trim())
                .case_insensitive(true)
                .literal_separator(true)
                .build();
            globs.add(built.map_err(|error| invalid(glob, &error))?);
        }
        let globs = globs
            .build()
            .map_err(|error| invalid(&repositories.join(", "), &error))?;
        Ok(Self {
            events: events.iter().map(|e| e.trim().to_lowercase()).collect(),
            repositories: (!repositories.is_empty()).then_some(globs),
        })
    }

    /// Whether a delivery with these facts is wanted.
    #[must_use]
    pub fn wants(&self, event: &str, action: Option<&str>, repository: Option<&str>) -> bool {
        self.wants_event(event, action) && self.wants_repository(repository)
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

fn invalid(glob: &str, error: &globset::Error) -> InvalidGlob {
    InvalidGlob {
        glob: glob.to_owned(),
        problem: error.kind().to_string(),
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
        let filter = EventFilter::new(&owned(events), &owned(repositories)).unwrap();
        filter.wants(event, action, (!repository.is_empty()).then_some(repository))
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
        assert!(wants(&[], &["octo-org/**"], "push", None, "octo-org/web/x"));
        assert!(
            !wants(&[], &list, "organization", None, ""),
            "no repository fits no glob"
        );
        let error = EventFilter::new(&[], &["[".to_owned()]).unwrap_err();
        assert!(error.to_string().starts_with("\"[\" is no glob"), "{error}");
    }
}
