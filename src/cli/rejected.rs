//! `hooklog rejected`: requests that were turned away, and why.

use std::process::ExitCode;

use serde_json::Value;

use super::client::{Client, ServerArgs, part};
use super::table::{self, cell, field, moment};

/// How much of a body is printed, in characters.
const BODY_CHARS_MAX: usize = 2000;

/// Which rejected requests to show.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hooklog rejected --source github --reason signature_invalid --since 2026-11-21\n  hooklog rejected 019aa5c4-9d29-7a31-8e7e-0b6f2f3a9c11"
)]
pub(super) struct Rejected {
    #[command(flatten)]
    server: ServerArgs,
    /// One request in full, by the request id that its sender was told.
    #[arg(conflicts_with_all = ["limit", "since", "reason", "source"])]
    id: Option<String>,
    /// The most to show, the newest first.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Only what was received at this time or later: RFC 3339, or a date in UTC.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only this reason or code, such as `signature_invalid` or `SIGNATURE_INVALID`.
    #[arg(long)]
    reason: Option<String>,
    /// Only those sent to this source.
    #[arg(long)]
    source: Option<String>,
}

impl Rejected {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let data = super::block_on(self.ask(&client))?;
        if self.server.json {
            println!("{data}");
        } else if self.id.is_some() {
            print_one(&data);
        } else {
            self.print_list(&data);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn ask(&self, client: &Client) -> anyhow::Result<Value> {
        if let Some(id) = &self.id {
            return client.get(&format!("/webhooks/rejected/{}", part(id)), &[]).await;
        }
        let mut query = vec![("limit", self.limit.to_string())];
        let filters = [
            ("since", &self.since),
            ("reason", &self.reason),
            ("source", &self.source),
        ];
        for (name, value) in filters {
            query.extend(value.clone().map(|value| (name, value)));
        }
        client.get("/webhooks/rejected", &query).await
    }

    #[allow(clippy::print_stdout, reason = "the output of the command")]
    fn print_list(&self, data: &Value) {
        let rejected = list(data, "rejected");
        if rejected.is_empty() {
            let filtered = self.since.is_some() || self.reason.is_some() || self.source.is_some();
            println!(
                "{}",
                if filtered {
                    "no rejected request fits"
                } else {
                    "no rejected requests"
                }
            );
            print_kinds(data);
            return;
        }
        // An id alone fills half a line, so that each takes several.
        for request in rejected {
            let of = |name: &str| table::clean(&cell(field(request, name)));
            println!("{}{}", of("id"), more(request));
            println!(
                "  {}  {}  {}",
                moment(field(request, "timestamp")),
                of("source"),
                of("remote")
            );
            let told = format!("{}: {}", of("reason"), of("message"));
            for line in table::folded(&told, "  ") {
                println!("{line}");
            }
        }
        print_kinds(data);
        println!("One in full: `hooklog rejected ID`.");
    }
}

/// How many like it were only counted.
fn more(request: &Value) -> String {
    match field(request, "leftOutBefore").as_u64().unwrap_or(0) {
        0 => String::new(),
        left_out => format!("  and {left_out} more before it"),
    }
}

fn list<'a>(data: &'a Value, name: &str) -> &'a [Value] {
    field(data, name).as_array().map_or(&[][..], Vec::as_slice)
}

/// What there is at all, so that a filter that fits nothing explains itself.
#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print_kinds(data: &Value) {
    let kinds = list(data, "kinds");
    if kinds.is_empty() {
        return;
    }
    println!();
    let rows: Vec<Vec<String>> = kinds
        .iter()
        .map(|kind| {
            ["kept", "source", "reason"]
                .map(|name| cell(field(kind, name)))
                .to_vec()
        })
        .collect();
    table::print(&[("KEPT", 6), ("SOURCE", 30), ("REASON", 30)], &rows);
    println!();
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print_one(request: &Value) {
    let line = |name: &str, text: String| {
        if !text.is_empty() {
            println!("{name:<11}{}", table::clean(&text));
        }
    };
    let of = |name: &str| cell(field(request, name));
    line("request", of("id"));
    line("received", of("timestamp"));
    line("source", of("source"));
    line("connection", of("connection"));
    line("from", of("remote"));
    line("answered", format!("{} {}", of("status"), of("code")));
    line("reason", of("reason"));
    line("told", of("message"));
    line(
        "left out",
        match field(request, "leftOutBefore").as_u64().unwrap_or(0) {
            0 => String::new(),
            left_out => format!("{left_out} like it since the one kept before"),
        },
    );
    line("announced", bytes(field(request, "announcedBytes")));
    let read = bytes(field(request, "bodyBytes"));
    line(
        "body read",
        if read.is_empty() {
            "nothing".to_owned()
        } else {
            read
        },
    );
    line("sha256", of("sha256"));
    println!("headers");
    for header in list(request, "headers") {
        let text = format!(
            "{}: {}",
            cell(field(header, "name")),
            cell(field(header, "value"))
        );
        println!("  {}", table::clean(&text));
    }
    match field(request, "headersLeftOut").as_u64().unwrap_or(0) {
        0 => {}
        more => println!("  and {more} more"),
    }
    print_body(request);
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print_body(request: &Value) {
    let Some(body) = field(request, "body").as_str() else {
        let kept = !field(request, "bodyBase64").is_null();
        println!(
            "body       {}",
            if kept { "no text; see --json" } else { "not kept" }
        );
        return;
    };
    println!("body");
    let shown: String = body.chars().take(BODY_CHARS_MAX).collect();
    for text in shown.lines() {
        println!("  {}", table::clean(text));
    }
    if shown.len() < body.len() {
        println!("  … (whole with --json)");
    }
}

fn bytes(value: &Value) -> String {
    value
        .as_u64()
        .map_or_else(String::new, |bytes| format!("{bytes} bytes"))
}
