//! A request as people have it at hand: headers in files or on the command line, a body in a file.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// Lines that GitHub shows above the headers of a delivery.
const OF_GITHUB: [&str; 2] = ["Request URL", "Request method"];

/// A header, its name and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    name: String,
    value: String,
}

impl Header {
    /// Reads `Name: value`.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let (name, value) = line
            .split_once(':')
            .ok_or("a header is a name, a colon and a value")?;
        let name = name.trim();
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name:?} can't be the name of a header"))?;
        Ok(Self {
            name: name.to_owned(),
            value: value.trim().to_owned(),
        })
    }
}

/// All headers of a request, in their order.
pub(super) struct Headers(Vec<Header>);

impl Headers {
    /// Those of a file, then those of the command line.
    pub(super) fn read(file: Option<&Path>, given: &[Header]) -> anyhow::Result<Self> {
        let mut headers = Vec::new();
        if let Some(file) = file {
            let text = std::fs::read_to_string(file);
            let text = text.with_context(|| format!("{} can't be read", file.display()))?;
            headers = of_text(&text).map_err(|why| anyhow!("{}, {why}", file.display()))?;
        }
        headers.extend_from_slice(given);
        Ok(Self(headers))
    }

    /// By name, each with its values, as the API takes them.
    pub(super) fn to_json(&self) -> Value {
        let mut members: Map<String, Value> = Map::new();
        for Header { name, value } in &self.0 {
            let values = members
                .entry(name.to_ascii_lowercase())
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Some(values) = values.as_array_mut() {
                values.push(value.as_str().into());
            }
        }
        Value::Object(members)
    }

    /// As a server would have them.
    pub(super) fn to_map(&self) -> anyhow::Result<HeaderMap> {
        let mut map = HeaderMap::new();
        for Header { name, value } in &self.0 {
            let of = HeaderName::from_bytes(name.as_bytes())?;
            let value = HeaderValue::from_bytes(value.as_bytes());
            let value = value.with_context(|| format!("the value of {name} holds control characters"))?;
            map.try_append(of, value).context("there are too many headers")?;
        }
        Ok(map)
    }
}

/// The headers of a text, one a line. A request line may stand before them, and what GitHub shows there.
fn of_text(text: &str) -> Result<Vec<Header>, String> {
    let mut headers = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let shown_by_github = || OF_GITHUB.iter().any(|start| line.starts_with(start));
        let request_line = number == 1 && line.contains(" HTTP/");
        if line.trim().is_empty() || request_line || shown_by_github() {
            continue;
        }
        headers.push(Header::parse(line).map_err(|why| format!("line {number}: {why}"))?);
    }
    Ok(headers)
}

/// The bytes of a file, or of standard input.
pub(super) fn body(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut body = Vec::new();
        let read = std::io::stdin().read_to_end(&mut body);
        return read.map(|_| body).context("standard input can't be read");
    }
    std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_are_read_as_they_are_copied() {
        let text = "POST /api/webhooks/github HTTP/1.1\nRequest URL: https://x\nAccept: */*\n\nX-A:  b: c \r\nx-a: d\n";
        let headers = Headers(of_text(text).unwrap());
        assert_eq!(
            headers.to_json(),
            json!({"accept": ["*/*"], "x-a": ["b: c", "d"]})
        );
        let map = headers.to_map().unwrap();
        assert_eq!(map.get_all("x-a").iter().collect::<Vec<_>>(), ["b: c", "d"]);
    }

    #[test]
    fn what_is_no_header_is_named_by_its_line() {
        for (text, why) in [
            ("A: b\nno colon", "line 2: a header is a name"),
            ("a b: c", "line 1: \"a b\" can't be"),
            (": c", "line 1: \"\" can't be"),
        ] {
            let error = of_text(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
