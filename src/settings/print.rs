//! `hooklog config print`: the effective settings and where each came from, secrets masked.

use std::fmt::Write as _;

use figment::Figment;
use figment::value::Value;

/// Keys whose values are never shown.
const SECRET_KEYS: &[&str] = &[
    "secret",
    "secrets",
    "password",
    "token",
    "value",
    "key",
    "nkey_seed",
];
/// Tables all of whose values are never shown: what a destination is told in a header is often a credential.
const SECRET_TABLES: &[&str] = &["headers"];

/// Every setting as `key = value  # origin`, sorted by key.
pub(crate) fn print(figment: &Figment) -> String {
    let Ok(root) = figment.extract::<Value>() else {
        return String::new();
    };
    let mut lines = Vec::new();
    flatten(String::new(), &root, figment, &mut lines);
    let width = lines
        .iter()
        .map(|(setting, _)| setting.len())
        .max()
        .unwrap_or(0)
        .min(60);
    let mut text = String::new();
    for (setting, origin) in lines {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{setting:width$}  # {origin}");
    }
    text
}

fn flatten(key: String, value: &Value, figment: &Figment, lines: &mut Vec<(String, String)>) {
    if let Value::Dict(_, dict) = value {
        for (name, child) in dict {
            let child_key = if key.is_empty() {
                name.clone()
            } else {
                format!("{key}.{name}")
            };
            flatten(child_key, child, figment, lines);
        }
        return;
    }
    let last = key.rsplit('.').next().unwrap_or_default();
    if let (Value::Array(_, items), false) = (value, is_secret(last))
        && items.iter().any(|item| item.as_dict().is_some())
    {
        for (number, item) in items.iter().enumerate() {
            flatten(format!("{key}.{number}"), item, figment, lines);
        }
        return;
    }
    let origin = figment
        .get_metadata(value.tag())
        .map_or_else(|| "unknown".to_owned(), super::origin_of);
    let in_secret_table = key
        .rsplit('.')
        .nth(1)
        .is_some_and(|table| SECRET_TABLES.contains(&table));
    let shown = if (is_secret(last) || in_secret_table) && !is_empty(value) {
        "***".to_owned()
    } else if let (Value::String(_, url), true) = (value, key.starts_with("destination.") && last == "url") {
        text_of(&without_path(url).into())
    } else if let (Value::String(_, url), true) = (value, last.ends_with("url")) {
        text_of(&masked_url(url).into())
    } else if let (Value::Array(_, urls), true) = (value, last == "urls") {
        let masked = urls.iter().filter_map(Value::as_str).map(without_path);
        text_of(&masked.map(Value::from).collect::<Vec<_>>().into())
    } else {
        text_of(value)
    };
    lines.push((format!("{key} = {shown}"), origin));
}

/// Whether the values of a key are never shown.
pub(super) fn is_secret(key: &str) -> bool {
    SECRET_KEYS.contains(&key)
}

/// URLs, separated by commas, without the user and password that may stand in them.
pub(crate) fn masked_url(urls: &str) -> String {
    let masked = urls.split(',').map(|url| {
        let (scheme, rest) = url.split_once("://").map_or(("", url), |(s, r)| (s, r));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        match rest.get(..end).and_then(|authority| authority.rfind('@')) {
            Some(at) => format!(
                "{scheme}{}***{}",
                if scheme.is_empty() { "" } else { "://" },
                rest.get(at..).unwrap_or_default()
            ),
            None => url.to_owned(),
        }
    });
    masked.collect::<Vec<_>>().join(",")
}

/// The URL of a destination without its path: with many services the path is the secret.
fn without_path(url: &str) -> String {
    let masked = masked_url(url);
    let start = masked.find("://").map_or(0, |at| at + 3);
    let path = masked.get(start..).and_then(|rest| rest.find(['/', '?', '#']));
    match path.and_then(|at| masked.get(..start + at)) {
        Some(origin) => format!("{origin}/***"),
        None => masked,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(_, text) => text.is_empty(),
        Value::Array(_, items) => items.is_empty(),
        Value::Empty(..) => true,
        Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Dict(..) => false,
    }
}

fn text_of(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
