//! What is printed of sources. A secret that was made here is alone on standard output, so that it can be kept without being
//! seen; what to do with it is on standard error.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use ingest::SchemeKind;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::super::client::ServerArgs;
use super::super::table::{self, cell, clean, field, folded, moment};
use super::{Found, SecretArgs};

/// Prints that something was done.
#[allow(clippy::print_stdout, reason = "the output of the command")]
pub(super) fn told(server: &ServerArgs, data: &Value, text: &str) -> anyhow::Result<ExitCode> {
    if server.json {
        println!("{data}");
    } else {
        println!("{text}");
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
pub(super) fn list(server: &ServerArgs, data: &Value) -> anyhow::Result<ExitCode> {
    if server.json {
        println!("{data}");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = members(data, "sources").iter().map(row).collect();
    if rows.is_empty() {
        println!("no sources; add one with `hooklog source add NAME`");
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        ("NAME", 22),
        ("SCHEME", 11),
        ("TENANT", 10),
        ("FROM", 8),
        ("STATUS", 11),
        ("SECRETS", 7),
    ];
    table::print(&columns, &rows);
    Ok(ExitCode::SUCCESS)
}

fn row(source: &Value) -> Vec<String> {
    let of = |name: &str| cell(field(source, name));
    let secrets = members(source, "secrets").len().to_string();
    vec![
        of("name"),
        of("scheme"),
        of("tenant"),
        of("origin"),
        of("status"),
        secrets,
    ]
}

fn members<'a>(data: &'a Value, name: &str) -> &'a [Value] {
    field(data, name).as_array().map_or(&[][..], Vec::as_slice)
}

/// What of a source is not shown when it is the usual, under the names of the options that set it.
const TERMS: [(&str, &str); 15] = [
    ("verify", "verify"),
    ("path", "path"),
    ("event", "events"),
    ("repository", "repositories"),
    ("address", "addresses"),
    ("user-agent-check", "userAgentCheck"),
    ("tolerance-ms", "toleranceMs"),
    ("dedup-window-ms", "dedupWindowMs"),
    ("body-bytes-max", "bodyBytesMax"),
    ("source-rate-per-minute", "sourceRatePerMinute"),
    ("source-rate-burst", "sourceRateBurst"),
    ("repository-rate-per-minute", "repositoryRatePerMinute"),
    ("repository-rate-burst", "repositoryRateBurst"),
    ("proof", "proof"),
    ("fact", "facts"),
];

/// As wide as the longest name.
const INDENT: &str = "                            ";

#[allow(clippy::print_stdout, reason = "the output of the command")]
pub(super) fn one(server: &ServerArgs, data: &Value) -> anyhow::Result<ExitCode> {
    if server.json {
        println!("{data}");
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in facts(data) {
        let lines = folded(&clean(&value), INDENT);
        for (line, name) in lines
            .iter()
            .zip(std::iter::once(name).chain(std::iter::repeat("")))
        {
            println!("{name:<27} {}", line.trim_start());
        }
    }
    let secrets: Vec<Vec<String>> = members(data, "secrets").iter().map(secret_row).collect();
    if !secrets.is_empty() {
        println!();
        let columns = [
            ("SECRET", 17),
            ("TENANT", 9),
            ("HOOK", 8),
            ("ADDED", 19),
            ("UNTIL", 19),
        ];
        table::print(&columns, &secrets);
    }
    Ok(ExitCode::SUCCESS)
}

fn facts(source: &Value) -> Vec<(&'static str, String)> {
    let of = |name: &str| cell(field(source, name));
    let mut status = of("status");
    for (before, name) in [
        (" by ", "pausedBy"),
        (" since ", "pausedSince"),
        (": ", "statusReason"),
    ] {
        if !field(source, name).is_null() {
            status.push_str(before);
            status.push_str(&of(name));
        }
    }
    let mut facts = vec![
        ("name", of("name")),
        ("url", of("url")),
        ("scheme", of("scheme")),
        ("tenant", of("tenant")),
        ("from", of("origin")),
        ("status", status),
    ];
    let unusual = TERMS
        .iter()
        .filter(|(_, name)| !is_usual(name, field(source, name)));
    facts.extend(unusual.map(|(option, name)| (*option, of(name))));
    if !field(source, "addedBy").is_null() {
        let added = format!("{} by {}", moment(field(source, "addedAt")), of("addedBy"));
        facts.push(("added", added));
    }
    facts
}

fn is_usual(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        // To be proved is the usual, everything else that can be on is usually off.
        Value::Bool(on) => *on == (name == "verify"),
        Value::Number(number) => number.as_u64() == Some(0) && name.contains("Rate"),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

fn secret_row(secret: &Value) -> Vec<String> {
    let of = |name: &str| cell(field(secret, name));
    vec![
        of("id"),
        of("tenant"),
        of("hook"),
        moment(field(secret, "addedAt")),
        moment(field(secret, "validUntil")),
    ]
}

/// After a source or a secret was added: what to enter at the sender.
pub(super) fn added(
    server: &ServerArgs,
    data: Value,
    found: Option<&Found>,
    secret: &SecretArgs,
) -> anyhow::Result<ExitCode> {
    let of = |name: &str| clean(&cell(field(&data, name)));
    let mut lines = vec![
        format!(
            "source {} of tenant {} takes deliveries. At the sender, enter",
            of("name"),
            of("tenant")
        ),
        format!("  URL           {}", of("url")),
    ];
    if let Some(hook) = &secret.hook {
        lines.push(format!("  or            {}/{}", of("url"), clean(hook)));
    }
    lines.push("  content type  application/json".to_owned());
    if found.is_some_and(|found| found.made) {
        lines.push("  secret        what stands on standard output; it is shown here only".to_owned());
        let hint = hint(&data, secret).unwrap_or_default();
        lines.extend(folded(&hint, ""));
    }
    print(server, data, found, &lines)
}

/// After a rotation: until when there is time to change the secret at the sender.
pub(super) fn rotated(server: &ServerArgs, data: Value, found: &Found) -> anyhow::Result<ExitCode> {
    let name = clean(&cell(field(&data, "name")));
    let mut lines = vec![format!(
        "the new secret of {name} verifies; enter it at the sender"
    )];
    let ends = members(&data, "secrets").iter().filter_map(|secret| {
        let until = field(secret, "validUntil");
        let id = clean(&cell(field(secret, "id")));
        (!until.is_null()).then(|| format!("  until {} UTC {id} verifies beside it", moment(until)))
    });
    lines.extend(ends);
    print(server, data, Some(found), &lines)
}

/// What is to be done where the sender makes the secret, and not we.
fn hint(source: &Value, secret: &SecretArgs) -> Option<String> {
    let when = match SchemeKind::named(field(source, "scheme").as_str()?)? {
        SchemeKind::Linear => "Linear makes the secret itself: take it over with",
        SchemeKind::Standard => "If the sender makes the secret itself, take it over with",
        SchemeKind::Gitlab => "For a signing token, which GitLab makes (whsec_...), use",
        SchemeKind::Github
        | SchemeKind::Hmac
        | SchemeKind::Token
        | SchemeKind::Codegen
        | SchemeKind::ClaudeCode => return None,
    };
    let name = cell(field(source, "name"));
    let mut command = format!("hooklog source rotate {name} --secret-file - --grace-seconds 0");
    for (option, value) in [("--hook", &secret.hook), ("--tenant", &secret.tenant)] {
        if let Some(value) = value {
            command.push_str(&format!(" {option} {value}"));
        }
    }
    Some(clean(&format!("{when}: {command}")))
}

/// Prints what may hold a secret that is shown once only: where that can't be printed, it is lost.
fn shown_once(text: &str, is_made: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let printed = writeln!(out, "{text}").and_then(|()| out.flush());
    printed.context(if is_made {
        "the secret was made, but can't be printed: have another one made with `hooklog source rotate`"
    } else {
        "the answer can't be printed"
    })
}

/// Prints a secret that was made here, and the lines about it. As JSON it is a member of the answer, which never has it.
#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output of the command"
)]
fn print(
    server: &ServerArgs,
    mut data: Value,
    found: Option<&Found>,
    lines: &[String],
) -> anyhow::Result<ExitCode> {
    let made = found
        .filter(|found| found.made)
        .map(|found| found.value.expose_secret());
    if server.json {
        if let (Some(secret), Some(members)) = (made, data.as_object_mut()) {
            members.insert("secret".to_owned(), secret.into());
        }
        shown_once(&data.to_string(), made.is_some())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(secret) = made {
        shown_once(secret, true)?;
        lines.iter().for_each(|line| eprintln!("{line}"));
    } else {
        lines.iter().for_each(|line| println!("{line}"));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_usual_is_left_out() {
        let source = json!({
            "name": "shop", "url": "http://x/api/webhooks/shop", "scheme": "github", "tenant": "default",
            "origin": "log", "status": "paused", "pausedBy": "ops", "pausedSince": "2026-11-21T08:30:42Z",
            "statusReason": "maintenance", "verify": true, "path": null, "events": ["push"], "repositories": [],
            "userAgentCheck": false, "toleranceMs": 0, "sourceRatePerMinute": 0, "proof": {}, "addedBy": null,
        });
        let shown: Vec<(&str, String)> = facts(&source).into_iter().skip(5).collect();
        assert_eq!(
            shown,
            [
                (
                    "status",
                    "paused by ops since 2026-11-21T08:30:42Z: maintenance".to_owned()
                ),
                ("event", "push".to_owned()),
                ("tolerance-ms", "0".to_owned()),
            ]
        );
        assert!(is_usual("verify", &json!(true)) && !is_usual("verify", &json!(false)));
    }
}
