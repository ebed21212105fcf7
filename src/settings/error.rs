//! What is wrong with a setting, where it stands, and the nearest right one.

use figment::error::Kind;

/// A setting that can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A key that no setting has.
    #[error("{origin}: there is no setting {key}{}", suggestion(.nearest))]
    Unknown {
        /// Where it stands.
        origin: String,
        /// The key.
        key: String,
        /// The most similar key, if one is.
        nearest: Option<String>,
    },
    /// A value of the wrong type or outside its limits.
    #[error("{origin}: setting {key}: {problem}")]
    Invalid {
        /// Where it stands.
        origin: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file can't be read.
    #[error("settings file {path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|n| format!("; did you mean {n}?"))
        .unwrap_or_default()
}

/// The most similar of some names, if it is similar at all.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let scored = names
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.7).then(|| best.1.to_owned())
}

/// What is wrong with a file and in which line, but not the line: a secret may stand in it.
pub(super) fn without_the_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.message().to_owned(),
    }
}

/// What is wrong with a value, without the value where that is a secret.
fn problem(kind: &Kind, path: &[String]) -> String {
    if !path.iter().any(|part| super::print::is_secret(part)) {
        return kind.to_string();
    }
    if let Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) = kind {
        return format!("{expected} is expected; its value is not shown");
    }
    "it can't be read; a text or a list of texts is expected".to_owned()
}

impl From<figment::Error> for SettingsError {
    fn from(error: figment::Error) -> Self {
        // figment collects every problem; the first is the one to mend first.
        let origin = error
            .metadata
            .as_ref()
            .map_or_else(|| "settings".to_owned(), super::origin_of);
        let path = error.path.join(".");
        if let Kind::UnknownField(field, known) = &error.kind {
            // figment's path ends with the unknown field itself or with its section.
            let section = path
                .strip_suffix(field.as_str())
                .unwrap_or(&path)
                .trim_end_matches('.');
            let full = |key: &str| {
                if section.is_empty() {
                    key.to_owned()
                } else {
                    format!("{section}.{key}")
                }
            };
            let nearest = nearest(field, known.iter().copied()).map(|n| full(&n));
            return Self::Unknown {
                origin,
                key: full(field),
                nearest,
            };
        }
        Self::Invalid {
            origin,
            key: path,
            problem: problem(&error.kind, &error.path),
        }
    }
}
