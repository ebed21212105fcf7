//! Rows as ClickHouse reads them: by the types that a table declares, and by nothing that they say themselves.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "rows that don't fit fail the test by panicking"
)]

use std::fmt::Write as _;

use crate::{Rows, Timestamp};

/// The rows, a JSON object for each, as the table of this definition takes them.
///
/// # Panics
/// When they don't fit: a column that the table does not have, or bytes that its types do not use up.
#[must_use]
pub fn rows_as_json(definition: &str, rows: Rows) -> Vec<String> {
    let declared = declared(definition);
    let columns: Vec<(&str, &str)> = rows
        .columns()
        .iter()
        .map(|column| {
            let found = declared.iter().find(|(name, _)| name == column);
            *found.unwrap_or_else(|| panic!("no column {column} in {definition}"))
        })
        .collect();
    let (count, bytes) = (rows.len(), rows.into_binary());
    let mut rest = Reader(&bytes);
    let read = |_| {
        let values = columns
            .iter()
            .map(|(name, kind)| format!("\"{name}\":{}", rest.value(kind)));
        format!("{{{}}}", values.collect::<Vec<_>>().join(","))
    };
    let lines = (0..count).map(read).collect();
    assert!(rest.0.is_empty(), "{} bytes too many: {columns:?}", rest.0.len());
    lines
}

/// The columns of a definition and their types.
fn declared(definition: &str) -> Vec<(&str, &str)> {
    let (_, inside) = definition.split_once('(').unwrap_or_default();
    let parts = parts(inside);
    let declared = parts.iter().filter_map(|part| part.split_once(' '));
    declared
        .map(|(name, kind)| (name.trim_matches('`'), kind.trim()))
        .collect()
}

/// What stands between the commas of a list, up to its closing bracket.
fn parts(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match (c, depth) {
            ('(', _) => depth += 1,
            (',', 0) => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            (')', 0) => {
                parts.push(list[start..at].trim());
                break;
            }
            (')', _) => depth -= 1,
            _ => {}
        }
    }
    parts
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(count).expect("more bytes");
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().expect("so many")
    }

    fn count(&mut self) -> usize {
        let mut count = 0;
        for shift in (0..).step_by(7) {
            let [byte] = self.array();
            count |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        count
    }

    /// A value as JSON.
    fn value(&mut self, kind: &str) -> String {
        let (name, inner) = kind.split_once('(').unwrap_or((kind, ""));
        let inner = parts(inner);
        match name {
            "LowCardinality" => self.value(inner[0]),
            "Nullable" => match self.array() {
                [0] => self.value(inner[0]),
                [1] => "null".into(),
                [other] => panic!("neither NULL nor a value: {other}"),
            },
            "String" => {
                let count = self.count();
                let text = std::str::from_utf8(self.take(count)).expect("UTF-8");
                serde_json::Value::from(text).to_string()
            }
            "Bool" => match self.array() {
                [0] => "false".into(),
                [1] => "true".into(),
                [other] => panic!("neither true nor false: {other}"),
            },
            "UInt8" => u8::from_le_bytes(self.array()).to_string(),
            "UInt16" => u16::from_le_bytes(self.array()).to_string(),
            "UInt32" => u32::from_le_bytes(self.array()).to_string(),
            "UInt64" => u64::from_le_bytes(self.array()).to_string(),
            "UInt128" => u128::from_le_bytes(self.array()).to_string(),
            "Int32" => i32::from_le_bytes(self.array()).to_string(),
            "Int64" => i64::from_le_bytes(self.array()).to_string(),
            "Float64" => f64::from_le_bytes(self.array()).to_string(),
            "UUID" => {
                let number = u128::from_le_bytes(self.array()).rotate_left(64);
                format!("\"{}\"", uuid::Uuid::from_u128(number))
            }
            "DateTime" => time(i64::from(u32::from_le_bytes(self.array())), ""),
            "DateTime64" => {
                let micros = i64::from_le_bytes(self.array());
                let fraction = format!(".{:06}", micros.rem_euclid(1_000_000));
                time(micros.div_euclid(1_000_000), &fraction)
            }
            "Enum8" => {
                let number = format!("= {}", i8::from_le_bytes(self.array()));
                let named = inner.iter().find(|value| value.ends_with(&number));
                let named = named.unwrap_or_else(|| panic!("{number} is none of {kind}"));
                format!("\"{}\"", named.split('\'').nth(1).expect("a name"))
            }
            "Array" => {
                let values: Vec<String> = (0..self.count()).map(|_| self.value(inner[0])).collect();
                format!("[{}]", values.join(","))
            }
            "Map" => {
                let mut text = String::new();
                for _ in 0..self.count() {
                    let (key, value) = (self.value(inner[0]), self.value(inner[1]));
                    let comma = if text.is_empty() { "" } else { "," };
                    let _ = write!(text, "{comma}\"{key}\":{value}");
                }
                format!("{{{text}}}")
            }
            other => panic!("{other} is not known here"),
        }
    }
}

/// Seconds since 1970 as ClickHouse writes them.
fn time(seconds: i64, fraction: &str) -> String {
    let whole = Timestamp::from_micros(seconds * 1_000_000).to_string();
    let whole = whole.trim_end_matches('Z').replace('T', " ");
    let whole = whole.split('.').next().unwrap_or_default();
    format!("\"{whole}{fraction}\"")
}
