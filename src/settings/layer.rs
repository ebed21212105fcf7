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

    /// A variable's text: numbers, booleans and `[lists]` are read as such.
    pub(super) fn parsed(origin: String, key: impl Into<String>, text: &str) -> Self {
        let Ok(value) = text.parse::<Value>();
        Self::new(origin, key, value)
    }
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
