//! One value from one place, so that every setting knows where it came from.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

/// A setting given outside a file: by a flag or by a variable.
pub(super) struct Layer {
    origin: String,
    key: String,
    value: Value,
}

impl Layer {
    /// `key` is the dotted path of the setting.
    pub(super) fn new(origin: String, key: impl Into<String>, value: Value) -> Self {
        Self {
            origin,
            key: key.into(),
            value,
        }
    }

    /// A variable's text: numbers, booleans and `[lists]` are read as such, unless the setting is a text: a password of
    /// digits stays a password.
    pub(super) fn parsed(origin: String, key: impl Into<String>, text: &str) -> Self {
        let key = key.into();
        let Ok(value) = text.parse::<Value>();
        if value.as_str().is_none() && is_text(&key) {
            return Self::new(origin, key, text.into());
        }
        Self::new(origin, key, value)
    }
}

/// Texts that the default file only mentions, as they are empty by default.
const TEXTS: &[&str] = &["nats.token", "nats.user", "nats.credentials_file"];

/// Whether the setting is a text.
fn is_text(key: &str) -> bool {
    let defaults = super::DEFAULT_FILE.parse::<toml::Table>().unwrap_or_default();
    let mut parts = key.split('.');
    let first = parts.next().and_then(|part| defaults.get(part));
    let default = parts
        .try_fold(first, |value, part| Some(value?.get(part)))
        .flatten();
    default.is_some_and(toml::Value::is_str) || TEXTS.contains(&key)
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let nested = self.key.rsplit('.').fold(self.value.clone(), |value, part| {
            Value::from(Dict::from([(part.to_owned(), value)]))
        });
        let dict = nested.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}
