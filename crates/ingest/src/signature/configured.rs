//! Facts whose places the settings name, for senders that every operator knows better than we do.

use poem::http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

use super::{Claim, Example, FactPaths, SignError, ToSign, set};
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
        // An empty text takes away what a preset knows.
        let path = |name: &str, pointer: &Option<String>| match pointer.as_deref() {
            None | Some("") => Ok(None),
            Some(pointer) => Path::parse(pointer)
                .map(Some)
                .map_err(|why| format!("facts.{name} {why}")),
        };
        let several =
            |name: &str, pointer: &Option<String>| Ok::<_, String>(Vec::from_iter(path(name, pointer)?));
        let named = |setting: &str, name: &Option<String>| match name.as_deref() {
            None | Some("") => Ok(None),
            Some(name) => header(setting, name).map(Some),
        };
        Ok(Self {
            id_header: named("facts.id_header", &options.id_header)?,
            event_header: named("facts.event_header", &options.event_header)?,
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

    /// The header with the id of the delivery.
    pub(super) const fn id_header(&self) -> Option<&HeaderName> {
        self.id_header.as_ref()
    }

    /// Sets the headers that say a fact.
    pub(super) fn sign(&self, headers: &mut HeaderMap, delivery: &ToSign<'_>) -> Result<(), SignError> {
        for (name, value) in [
            (&self.id_header, delivery.delivery_id),
            (&self.event_header, delivery.event),
        ] {
            if let Some(name) = name {
                set(headers, name.as_str(), value)?;
            }
        }
        Ok(())
    }

    /// A body with its facts where they are looked for.
    pub(super) fn example(&self, of: &Example<'_>) -> Value {
        let mut body = Value::Object(Map::new());
        let said = [
            (&self.paths.event, Some(of.event)),
            (&self.paths.action, of.action),
            (&self.paths.repository, Some(of.repository)),
            (&self.paths.sender, Some("hooklog")),
        ];
        for (paths, value) in said {
            if let (Some(path), Some(value)) = (paths.first(), value) {
                put(&mut body, path, value);
            }
        }
        body
    }

    /// Where they stand in the body.
    pub(super) fn paths(&self) -> FactPaths {
        self.paths.clone()
    }
}

fn put(body: &mut Value, path: &Path, value: &str) {
    let mut place = body;
    for part in path.parts() {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Some(members) = place.as_object_mut() else {
            return;
        };
        place = members.entry(part).or_insert(Value::Null);
    }
    *place = value.into();
}

/// The name of a header.
///
/// # Errors
/// Says which setting holds none.
pub(super) fn header(setting: &str, name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes());
    parsed.map_err(|_| format!("{setting}: {name:?} can't be the name of a header"))
}
