//! Tables for a terminal of 80 columns.

use serde_json::Value;

/// How wide a table may be.
const COLUMNS: usize = 80;
/// Between two columns.
const GAP: usize = 2;

/// Prints rows under their titles, each column as wide as it needs, none wider than the limit given for it, and the last one at
/// least as wide as what the others leave.
#[allow(clippy::print_stdout, reason = "the output of the command")]
pub(super) fn print(columns: &[(&str, usize)], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, (title, limit))| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(title.chars().count()).min(*limit)
        })
        .collect();
    if let Some((last, others)) = widths.split_last_mut() {
        let taken: usize = others.iter().map(|width| width + GAP).sum();
        let cells = rows.iter().filter_map(|row| row.last());
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        *last = widest.min(COLUMNS.saturating_sub(taken)).max(*last);
    }
    let titles = columns
        .iter()
        .map(|(title, _)| (*title).to_owned())
        .collect::<Vec<_>>();
    for row in std::iter::once(&titles).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let cell = shortened(cell, *width);
            format!("{cell:width$}", width = *width)
        });
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A text in lines that fit, each behind `indent`; a word that is longer than a line stays whole.
pub(super) fn folded(text: &str, indent: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + length <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(format!("{indent}{word}")),
        }
    }
    lines
}

/// A field of an answer; null where there is none.
pub(super) fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// A field of an answer as a cell: texts without quotes, nothing for null.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// A time to the second: `2026-11-22 10:15:03`.
pub(super) fn moment(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.get(..19).unwrap_or(text).replace('T', " ")
}

/// Outside text without control characters: they never reach the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The text, cleaned, and cut with an ellipsis.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= chars_max {
        return clean;
    }
    let mut short: String = clean.chars().take(chars_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_cut_and_cleaned() {
        assert_eq!(shortened("short", 10), "short");
        assert_eq!(shortened("much too long", 6), "much …");
        assert_eq!(shortened("a\u{1b}[31mb\nc", 20), "a [31mb c");
        assert_eq!(cell(&serde_json::json!(["a", 1])), "a, 1");
        assert_eq!(moment(&"2026-11-22T10:15:03.123Z".into()), "2026-11-22 10:15:03");
    }

    #[test]
    fn a_long_text_is_folded_between_words() {
        let text =
            "content_type: the content type must be application/json or application/x-www-form-urlencoded";
        let lines = folded(text, "  ");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("  ") && line.len() <= 80),
            "{lines:?}"
        );
        let words = lines.iter().flat_map(|line| line.split_whitespace());
        assert_eq!(words.collect::<Vec<_>>().join(" "), text);
        assert_eq!(folded(&"x".repeat(90), "  "), [format!("  {}", "x".repeat(90))]);
        assert!(folded(" ", "  ").is_empty());
    }
}
