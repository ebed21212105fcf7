//! A delivery on one line of a terminal, in colours where it has them.

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::table::{cell, clean, field, shortened};

/// How wide each part is: the whole stays within 80 columns beside a time of eight.
const STATUS_CHARS: usize = 10;
const EVENT_CHARS: usize = 28;
const REPOSITORY_CHARS: usize = 28;

/// What is dim: times, ids, what is not the news.
pub(super) const DIM: Style = Style::new().dimmed();
/// What a person has to look at.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What is as it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What may become bad.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();

/// The words of a status, `duplicate` for a delivery that repeats another one.
pub(super) fn status(row: &Value) -> String {
    if field(row, "duplicateOf").is_string() {
        return "duplicate".to_owned();
    }
    cell(field(row, "status"))
}

/// The colour of a status.
pub(super) fn style(status: &str) -> Style {
    match status {
        "processed" => GOOD,
        "retrying" => WARN,
        "dead" => BAD,
        "duplicate" => DIM,
        _ => AnsiColor::Cyan.on_default(),
    }
}

/// `event.action`, or the event alone.
pub(super) fn event(row: &Value) -> String {
    let event = cell(field(row, "event"));
    match field(row, "action").as_str() {
        Some(action) => format!("{event}.{action}"),
        None => event,
    }
}

/// Status, event and repository, in columns.
pub(super) fn line(row: &Value) -> String {
    let status = status(row);
    let style = style(&status);
    let repository = cell(field(row, "repository"));
    let line = format!(
        "{style}{status:STATUS_CHARS$}{style:#}  {event:EVENT_CHARS$}  {repository}",
        event = shortened(&event(row), EVENT_CHARS),
        repository = shortened(&repository, REPOSITORY_CHARS),
    );
    line.trim_end().to_owned()
}

/// The last error of a delivery, on a line.
pub(super) fn error(row: &Value) -> Option<String> {
    let error = field(row, "error").as_str()?;
    let code = cell(field(row, "errorCode"));
    Some(clean(&format!("{code} {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_line_stays_within_a_terminal_whatever_stands_in_it() {
        let row = json!({
            "event": "pull_request_review_comment", "action": "edited\u{1b}[31m", "status": "processed", "duplicateOf": null,
            "repository": "a-very-long-organisation/with-a-very-long-repository-name",
        });
        let line = plain(&line(&row));
        assert_eq!(
            line,
            "processed   pull_request_review_comment…  a-very-long-organisation/wi…"
        );
        assert!(line.chars().count() + 10 <= 80, "{}", line.chars().count());
        let marked =
            json!({"event": "push", "action": null, "status": "processed", "duplicateOf": "github.1.a"});
        assert_eq!(plain(&super::line(&marked)), "duplicate   push");
    }
}
