//! JSON written anew, as the libraries of the usual languages write it: other white space, other escapes, sorted keys.
//!
//! Numbers and the order of keys stay as they are, unless keys are sorted. What it recurses into is bounded, and so is what it
//! writes.

use std::borrow::Cow;
use std::fmt::Write as _;

use memchr::memchr2;

use crate::json::Scanner;

/// Deeper JSON is not written anew.
const DEPTH_MAX: usize = 128;

/// A document whose texts, numbers and words stand as they were written.
enum Node<'t> {
    Object(Vec<(&'t str, Node<'t>)>),
    List(Vec<Node<'t>>),
    /// With its quotes.
    Text(&'t str),
    Plain(&'t str),
}

/// White space between the parts.
#[derive(Clone, Copy)]
struct Layout {
    words: &'static str,
    item: &'static str,
    key: &'static str,
    /// Of one level, where each part has a line of its own.
    indent: Option<&'static str>,
}

const LAYOUTS: [Layout; 5] = [
    Layout {
        words: "without white space",
        item: ",",
        key: ":",
        indent: None,
    },
    Layout {
        words: "with a space after commas and colons, as Python writes it",
        item: ", ",
        key: ": ",
        indent: None,
    },
    Layout {
        words: "indented by two spaces",
        item: ",",
        key: ": ",
        indent: Some("  "),
    },
    Layout {
        words: "indented by four spaces",
        item: ",",
        key: ": ",
        indent: Some("    "),
    },
    Layout {
        words: "indented by tabs",
        item: ",",
        key: ": ",
        indent: Some("\t"),
    },
];

/// How texts are escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    AsTheyAre,
    Fewest,
    Ascii,
    Html,
    Php,
}

const ESCAPES: [(Escapes, &str); 5] = [
    (Escapes::AsTheyAre, ""),
    (Escapes::Fewest, ", with as few escapes as JavaScript writes"),
    (Escapes::Ascii, ", with \\u escapes for all that is not ASCII"),
    (Escapes::Html, ", with <, > and & escaped as Go and Rails do"),
    (Escapes::Php, ", with escapes as PHP writes them"),
];

/// The ways to write a body, if it is JSON and not over so many bytes once written.
pub(super) fn forms(body: &[u8], bytes_max: usize) -> impl Iterator<Item = (String, Vec<u8>)> {
    let ways = [false, true].into_iter().flat_map(|sorted| {
        let laid_out = LAYOUTS.into_iter();
        laid_out.flat_map(move |layout| ESCAPES.into_iter().map(move |escapes| (sorted, layout, escapes)))
    });
    let document = parse(body);
    let sorted_document = parse(body).map(sorted);
    ways.filter_map(move |(is_sorted, layout, (escapes, words))| {
        let document = if is_sorted { &sorted_document } else { &document };
        let mut writer = Writer {
            layout,
            escapes,
            bytes_max,
            text: String::new(),
        };
        writer.write(document.as_ref()?, 0)?;
        let order = if is_sorted { ", its keys sorted" } else { "" };
        let called = format!("as JSON {}{words}{order}", layout.words);
        Some((called, writer.text.into_bytes()))
    })
}

fn parse(body: &[u8]) -> Option<Node<'_>> {
    // The grammar is checked by the scanner of receiving, so that the parser need not.
    let mut scanner = Scanner::new(Vec::new());
    scanner.feed(body).ok()?;
    scanner.finish().ok()?;
    let mut parser = Parser {
        rest: std::str::from_utf8(body).ok()?,
    };
    parser.value(0)
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn value(&mut self, depth: usize) -> Option<Node<'t>> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.next()? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => self.text().map(Node::Text),
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\r', '\n']);
                self.take(end.unwrap_or(self.rest.len())).map(Node::Plain)
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node<'t>> {
        let mut members = Vec::new();
        self.take(1)?;
        while self.next()? != b'}' {
            if !members.is_empty() {
                self.take(1)?;
                self.next()?;
            }
            let key = self.text()?;
            self.next()?;
            self.take(1)?;
            members.push((key, self.value(depth + 1)?));
        }
        self.take(1)?;
        Some(Node::Object(members))
    }

    fn list(&mut self, depth: usize) -> Option<Node<'t>> {
        let mut elements = Vec::new();
        self.take(1)?;
        while self.next()? != b']' {
            if !elements.is_empty() {
                self.take(1)?;
            }
            elements.push(self.value(depth + 1)?);
        }
        self.take(1)?;
        Some(Node::List(elements))
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest.bytes().next()
    }

    fn text(&mut self) -> Option<&'t str> {
        let bytes = self.rest.as_bytes();
        let mut at = 1;
        loop {
            let found = at + memchr2(b'"', b'\\', bytes.get(at..)?)?;
            if bytes.get(found) == Some(&b'"') {
                return self.take(found + 1);
            }
            at = found + 2;
        }
    }

    fn take(&mut self, bytes: usize) -> Option<&'t str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }
}

fn sorted(node: Node<'_>) -> Node<'_> {
    match node {
        Node::Object(members) => {
            let mut members: Vec<_> = members
                .into_iter()
                .map(|(key, node)| (key, sorted(node)))
                .collect();
            members.sort_by_cached_key(|(key, _)| {
                decoded(key).map_or_else(|| (*key).to_owned(), Cow::into_owned)
            });
            Node::Object(members)
        }
        Node::List(elements) => Node::List(elements.into_iter().map(sorted).collect()),
        plain @ (Node::Text(_) | Node::Plain(_)) => plain,
    }
}

/// What a text says; none where it has half a surrogate.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

struct Writer {
    layout: Layout,
    escapes: Escapes,
    bytes_max: usize,
    text: String,
}

impl Writer {
    /// None when it would be too long.
    fn write(&mut self, node: &Node<'_>, depth: usize) -> Option<()> {
        match node {
            Node::Object(members) => {
                self.text.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    self.begin(at, depth + 1);
                    self.write_text(key);
                    self.text.push_str(self.layout.key);
                    self.write(value, depth + 1)?;
                }
                self.close('}', members.is_empty(), depth);
            }
            Node::List(elements) => {
                self.text.push('[');
                for (at, value) in elements.iter().enumerate() {
                    self.begin(at, depth + 1);
                    self.write(value, depth + 1)?;
                }
                self.close(']', elements.is_empty(), depth);
            }
            Node::Text(text) => self.write_text(text),
            Node::Plain(text) => self.text.push_str(text),
        }
        (self.text.len() <= self.bytes_max).then_some(())
    }

    fn begin(&mut self, at: usize, depth: usize) {
        if at > 0 {
            self.text.push_str(self.layout.item);
        }
        self.line(depth);
    }

    fn close(&mut self, bracket: char, empty: bool, depth: usize) {
        if !empty {
            self.line(depth);
        }
        self.text.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.layout.indent {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(indent, depth));
        }
    }

    fn write_text(&mut self, raw: &str) {
        let said = decoded(raw).filter(|_| self.escapes != Escapes::AsTheyAre);
        let Some(said) = said else {
            self.text.push_str(raw);
            return;
        };
        self.text.push('"');
        for c in said.chars() {
            self.write_char(c);
        }
        self.text.push('"');
    }

    fn write_char(&mut self, c: char) {
        let short = match c {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            '/' if self.escapes == Escapes::Php => Some("\\/"),
            _ => None,
        };
        let ascii_only = matches!(self.escapes, Escapes::Ascii | Escapes::Php);
        let html = self.escapes == Escapes::Html && matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        match short {
            Some(short) => self.text.push_str(short),
            None if c < ' ' || html || (ascii_only && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing into a text can't fail.
                    let _ = write!(self.text, "\\u{unit:04x}");
                }
            }
            None => self.text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn found(arrived: &str, sent: &str, words: &str) {
        let (called, _) = forms(arrived.as_bytes(), 4096)
            .find(|(_, bytes)| bytes == sent.as_bytes())
            .unwrap_or_else(|| panic!("{sent} is not found from {arrived}"));
        assert!(called.contains(words), "{called}");
    }

    #[test]
    fn what_the_usual_libraries_write_is_among_the_forms() {
        let plain = r#"{"b":[1.50,{}],"a":"x y"}"#;
        found(
            "{ \"b\" : [1.50, { }],\n\"a\":\"x y\" }",
            plain,
            "without white space",
        );
        found(plain, r#"{"b": [1.50, {}], "a": "x y"}"#, "as Python writes it");
        found(
            plain,
            "{\n  \"b\": [\n    1.50,\n    {}\n  ],\n  \"a\": \"x y\"\n}",
            "two spaces",
        );
        found(
            plain,
            "{\n    \"b\": [\n        1.50,\n        {}\n    ],\n    \"a\": \"x y\"\n}",
            "four spaces",
        );
        found(r#"{"b":1}"#, "{\n\t\"b\": 1\n}", "tabs");
        found(plain, r#"{"a":"x y","b":[1.50,{}]}"#, "its keys sorted");
    }

    #[test]
    fn escapes_are_those_of_the_usual_libraries() {
        found(r#"["\u00fc\ud83d\ude00\/"]"#, r#"["ü😀/"]"#, "as few escapes");
        found(r#"["ü😀/"]"#, r#"["\u00fc\ud83d\ude00/"]"#, "not ASCII");
        found(r#"["<ü&>"]"#, r#"["\u003cü\u0026\u003e"]"#, "Go and Rails");
        found(r#"["ü/"]"#, r#"["\u00fc\/"]"#, "PHP");
        found(r#"["\u0008\u0001"]"#, r#"["\b\u0001"]"#, "as few escapes");
        // Half a surrogate can't be decoded, and stays.
        found(r#"[ "\ud83d" ]"#, r#"["\ud83d"]"#, "without white space");
    }

    #[test]
    fn what_is_no_json_or_too_deep_or_too_long_has_no_forms() {
        let count = |body: &str, bytes_max| forms(body.as_bytes(), bytes_max).count();
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(
            (count("{", 4096), count("x=1", 4096), count(&deep, 4096)),
            (0, 0, 0)
        );
        assert_eq!(count("[1,2,3]", 3), 0);
        assert!(count("[1,2,3]", 4096) > 0);
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[a-z\"\\\\/<&\u{fc}\u{1f600}\n\u{1}]{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::hash_map("[a-z\u{e9}]{0,4}", inner, 0..5)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_form_says_the_same(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let mut forms = forms(text.as_bytes(), 1 << 20).peekable();
                prop_assert!(forms.peek().is_some());
                for (called, bytes) in forms {
                    let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                    prop_assert_eq!(&read, &value, "{}", called);
                }
            }
        }
    }
}
