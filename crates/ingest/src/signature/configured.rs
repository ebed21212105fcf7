//! Facts whose places the settings name, for senders that every operator knows better than we do.

use poem::http::HeaderName;

use super::{Claim, FactPaths};
use crate::head::Head;
use crate::json::Path;
use crate::options::FactOptions;
use crate::rejection::Rejection;

/// Where the facts of a sender stand.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfiguredFacts {
    id_header: Option<HeaderName>,
    event_header: Option<HeaderName>,
    paths: FactPaths,
}

impl ConfiguredFacts {
    /// Reads the names of headers and the pointers.
    ///
    /// # Errors
    /// Says which of them can't be used and why.
    pub(super) fn build(options: &FactOptions) -> Result<Self, String> {
        let path = |name: &str, pointer: &Option<String>| match pointer {
            None => Ok(None),
            Some(pointer) => Path::parse(pointer)
                .map(Some)
                .map_err(|why| format!("facts.{name} {why}")),
        };
        let several =
            |name: &str, pointer: &Option<String>| Ok::<_, String>(Vec::from_iter(path(name, pointer)?));
        Ok(Self {
            id_header: options
                .id_header
                .as_deref()
                .map(|name| header("facts.id_header", name))
                .transpose()?,
            event_header: options
                .event_header
                .as_deref()
                .map(|name| header("facts.event_header", name))
                .transpose()?,
            paths: FactPaths {
                event: several("event_pointer", &options.event_pointer)?,
                action: several("action_pointer", &options.action_pointer)?,
                repository: several("repository_pointer", &options.repository_pointer)?,
                sender: several("sender_pointer", &options.sender_pointer)?,
                delivery_id: path("id_pointer", &options.id_pointer)?,
                ..FactPaths::default()
            },
        })
    }

    /// What the headers say of the facts.
    pub(super) fn claim(&self, head: &Head) -> Result<Claim, Rejection> {
        let named = |name: &Option<HeaderName>| match name {
            None => Ok(None),
            Some(name) => head.name(name.as_str()),
        };
        Ok(Claim {
            delivery_id: named(&self.id_header)?,
            event: named(&self.event_header)?,
            ..Claim::default()
        })
    }

    /// Where they stand in the body.
    pub(super) fn paths(&self) -> FactPaths {
        self.paths.clone()
    }
}

/// The name of a header.
///
/// # Errors
/// Says which setting holds none.
pub(super) fn header(setting: &str, name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes());
    parsed.map_err(|_| format!("{setting}: {name:?} can't be the name of a header"))
}
