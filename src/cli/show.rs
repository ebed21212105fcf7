//! `hooklog show`: one delivery, what it said and what became of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::{ServerArgs, part};
use super::indent::indented;
use super::row;
use super::table::{cell, clean, field, folded, moment};

/// How many lines of a payload are printed.
const PAYLOAD_LINES_MAX: usize = 60;

/// Which delivery to show.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hooklog show github.41.72d3162e-cc78-11e3-81ab-4c9367dc0958\n  hooklog show 72d3162e-cc78-11e3-81ab-4c9367dc0958 --body > body.json"
)]
pub(super) struct Show {
    #[command(flatten)]
    server: ServerArgs,
    /// The delivery: its full id, or the id that its sender gave it.
    id: String,
    /// Of several with this id, the one of this source.
    #[arg(long)]
    source: Option<String>,
    /// Of several with this id, the one of this hook.
    #[arg(long, value_name = "ID")]
    hook: Option<String>,
    /// Prints the body alone, byte for byte.
    #[arg(long, conflicts_with = "json")]
    body: bool,
}

impl Show {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let mut query = Vec::new();
        query.extend(self.source.clone().map(|source| ("source", source)));
        query.extend(self.hook.clone().map(|hook| ("hookId", hook)));
        let path = format!("/webhooks/events/{}", part(&self.id));
        // Only what is needed is taken apart: a payload may be anything, however deep, and is shown as it came.
        let data: Box<RawValue> = super::block_on(client.get_as(&path, &query))?;
        if self.body {
            let Found { id } = serde_json::from_str(data.get()).context("the answer has no id")?;
            let body = super::block_on(client.bytes(&format!("/webhooks/events/{}/body", part(&id))))?;
            let mut out = std::io::stdout().lock();
            let written = out.write_all(&body).and_then(|()| out.flush());
            written.context("the body can't be written")?;
        } else if self.server.json {
            println!("{data}");
        } else {
            let mut fields: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(data.get()).context("the answer is no object")?;
            let payload = fields.remove("payload");
            let data = serde_json::to_value(fields).context("the answer can't be read")?;
            print(&data);
            print_payload(payload.as_deref());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Which delivery was found.
#[derive(Deserialize)]
struct Found {
    id: String,
}

fn list<'a>(data: &'a Value, name: &str) -> &'a [Value] {
    field(data, name).as_array().map_or(&[][..], Vec::as_slice)
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print(data: &Value) {
    let line = |name: &str, text: &str| {
        if !text.is_empty() {
            println!("{name:<12}{}", clean(text));
        }
    };
    let of = |name: &str| cell(field(data, name));
    let status = row::status(data);
    let style = row::style(&status);
    line("delivery", &of("id"));
    anstream::println!("status      {style}{status}{style:#}");
    line("repeats", &of("duplicateOf"));
    line("event", &row::event(data));
    line("source", &format!("{} ({})", of("source"), of("signature")));
    line("repository", &of("repository"));
    line("sender", &of("sender"));
    line("received", &format!("{} UTC", moment(field(data, "timestamp"))));
    line("from", &of("remote"));
    line("position", &of("position"));
    line(
        "body",
        &format!("{} bytes, {}", of("bodyBytes"), of("contentType")),
    );
    line("sha256", &of("sha256"));
    if let Some(error) = row::error(data) {
        line("error", &error);
    }
    for other in list(data, "alternatives") {
        line("also", &cell(field(other, "id")));
    }
    println!();
    println!("headers");
    for header in list(data, "headers") {
        let text = format!(
            "{}: {}",
            cell(field(header, "name")),
            cell(field(header, "value"))
        );
        println!("  {}", clean(&text));
    }
    print_destinations(data);
    print_history(data);
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print_destinations(data: &Value) {
    for destination in list(data, "destinations") {
        let of = |name: &str| clean(&cell(field(destination, name)));
        println!();
        println!("destination {}: {}", of("name"), of("state"));
        for attempt in list(destination, "attempts") {
            let of = |name: &str| clean(&cell(field(attempt, name)));
            let answered = field(field(attempt, "response"), "status");
            let came = match (answered.as_u64(), field(attempt, "error").as_str()) {
                (_, Some(error)) => format!("{} {}", of("errorCode"), clean(error)),
                (Some(status), None) => format!("answered {status}"),
                (None, None) => "done".to_owned(),
            };
            let told = format!(
                "{}  attempt {} in {} ms: {came}",
                moment(field(attempt, "startedAt")),
                of("number"),
                of("durationMs")
            );
            folded(&told, "  ").iter().for_each(|line| println!("{line}"));
        }
        let next = moment(field(destination, "nextAttemptAt"));
        if !next.is_empty() {
            println!("  {next}  next attempt");
        }
        if !of("skipped").is_empty() {
            println!("  nothing was sent: {}", of("skipped"));
        }
    }
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print_history(data: &Value) {
    println!();
    println!("history");
    for event in list(data, "history") {
        println!(
            "  {}  {:>9}  {}",
            moment(field(event, "recordedAt")),
            cell(field(event, "position")),
            clean(&cell(field(event, "type")))
        );
    }
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print_payload(payload: Option<&RawValue>) {
    println!();
    let Some(payload) = payload.filter(|payload| payload.get() != "null") else {
        println!("payload     no JSON, or too long to be shown; see --body");
        return;
    };
    println!("payload");
    let (lines, more) = indented(payload.get(), PAYLOAD_LINES_MAX);
    for line in lines {
        println!("  {}", clean(&line));
    }
    if more > 0 {
        println!("  … {more} more lines; whole with --body");
    }
}
