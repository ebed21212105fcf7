//! What receiving would do, on a terminal of 80 columns.

use serde_json::Value;

use super::super::table::{cell, clean, field, folded};

/// Where the texts of the checks stand.
const INDENT: &str = "           ";

/// Prints what is told of a request.
#[allow(clippy::print_stdout, reason = "the output of the command")]
pub(super) fn explanation(told: &Value) {
    for line in lines(told) {
        println!("{line}");
    }
}

fn lines(told: &Value) -> Vec<String> {
    let of = |name: &str| clean(&cell(field(told, name)));
    let scheme = match of("scheme") {
        scheme if scheme.is_empty() => String::new(),
        scheme => format!(" ({scheme})"),
    };
    let mut lines = vec![
        format!("source     {}{scheme}", of("source")),
        format!("would be   {}", of("wouldBe")),
    ];
    let facts = [
        ("secret", "secretId"),
        ("tenant", "tenant"),
        ("event", "event"),
        ("action", "action"),
        ("repository", "repository"),
        ("delivery", "deliveryId"),
    ];
    for (title, name) in facts {
        let value = of(name);
        if !value.is_empty() {
            lines.push(format!("{title:<11}{value}"));
        }
    }
    lines.push(String::new());
    let checks = field(told, "checks").as_array().map_or(&[][..], Vec::as_slice);
    for check in checks {
        lines.extend(lines_of(check));
    }
    lines
}

fn lines_of(check: &Value) -> Vec<String> {
    let of = |name: &str| clean(&cell(field(check, name)));
    let outcome = match of("outcome") {
        outcome if outcome == "failed" => "FAILED".to_owned(),
        outcome => outcome,
    };
    let mut lines = folded(&format!("{}: {}", of("name"), of("message")), INDENT);
    if let Some(first) = lines.first_mut() {
        *first = format!("{outcome:<11}{}", first.trim_start());
    }
    let hint = of("hint");
    if !hint.is_empty() {
        lines.extend(folded(&format!("→ {hint}"), INDENT));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_told_fits_a_terminal_and_shows_no_control_characters() {
        let told = json!({
            "source": "github", "scheme": "github", "verified": false, "wouldBe": "rejected", "secretId": null,
            "event": "pu\u{1b}[31msh",
            "checks": [
                {"name": "headers", "outcome": "passed", "message": "those that the scheme needs are there", "hint": null},
                {"name": "signature", "outcome": "failed",
                 "message": "it fits none of the secrets that are tried: github-1; the sender is answered 401 SIGNATURE_INVALID",
                 "hint": "the signature fits the body without the line breaks at its end (secret github-1): something \
                          between the sender and here re-encoded it"},
            ],
        });
        let lines = lines(&told);
        let text = lines.join("\n");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert!(
            !text.contains('\u{1b}') && text.contains("FAILED     signature: it fits none"),
            "{text}"
        );
        assert!(
            text.contains("           → the signature fits the body"),
            "{text}"
        );
        assert!(!text.contains("secret     "), "{text}");
    }
}
