//! URLs for people. Whoever has the URL of a chat's or a workflow's webhook may post to it: the path is the credential. So
//! only scheme, host and the first word of the path are shown, and an answer that repeats the rest is kept without it.

use url::Url;

/// The longest first part of a path that is taken for a word, in bytes. Longer ones are taken for a secret.
const WORD_BYTES_MAX: usize = 16;
/// The shortest single part that is hidden wherever it stands: shorter ones are words and numbers.
const SECRET_BYTES_MIN: usize = 12;

/// A URL without what may be secret in it.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let (word, rest) = split(url);
    let rest = match (word, rest) {
        (_, None) => "",
        ("", Some(_)) => "…",
        (_, Some(_)) => "/…",
    };
    format!("{}://{host}{port}/{word}{rest}", url.scheme())
}

/// What of a URL must not be shown anywhere, longer parts first.
pub(crate) fn hidden(url: &Url) -> Vec<String> {
    let (_, rest) = split(url);
    let whole = [rest, url.query()].into_iter().flatten().map(str::to_owned);
    let segments = rest.unwrap_or_default().split('/').map(str::to_owned);
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    let raw = url
        .query()
        .unwrap_or_default()
        .split(['&', '='])
        .map(str::to_owned);
    let single = segments.chain(values).chain(raw);
    whole
        .chain(single.filter(|part| part.len() >= SECRET_BYTES_MIN))
        .collect()
}

/// The first word of a path, and what comes after it. A first part that looks like no word belongs to the rest.
fn split(url: &Url) -> (&str, Option<&str>) {
    let path = url.path().strip_prefix('/').unwrap_or_else(|| url.path());
    let (first, rest) = path
        .split_once('/')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    if first.len() <= WORD_BYTES_MAX && first.bytes().all(plain) {
        (first, rest)
    } else {
        ("", Some(path))
    }
}
