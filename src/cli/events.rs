//! `hooklog events`: the list of deliveries.

use std::process::ExitCode;

use serde_json::Value;
use serde_json::value::RawValue;

use super::client::ServerArgs;
use super::row;
use super::table::{cell, clean, field, moment};

/// Which deliveries to list.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hooklog events --event pull_request --action opened --repository octo-org/hello\n  hooklog events --status failed --since 2026-11-21 --limit 50"
)]
pub(super) struct Events {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only of this status: received, processing, retrying, processed, dead; pending for the first three, failed for the last.
    #[arg(long)]
    status: Option<String>,
    /// Only what was received at this time or later: RFC 3339, or a date in UTC.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was received before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The most to list, the newest first.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Where the page before ended, as it says.
    #[arg(long)]
    cursor: Option<String>,
}

/// Which deliveries are meant, by what they are.
#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Only of this repository, `owner/name`.
    #[arg(long)]
    repository: Option<String>,
    /// Only of this source.
    #[arg(long)]
    source: Option<String>,
    /// Only of this event type.
    #[arg(long)]
    event: Option<String>,
    /// Only of this action within the event.
    #[arg(long)]
    action: Option<String>,
}

impl FilterArgs {
    /// As the API takes it.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("repository", self.repository.clone()),
            ("source", self.source.clone()),
            ("event", self.event.clone()),
            ("action", self.action.clone()),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

impl Events {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        if self.server.json {
            let data: Box<RawValue> = super::block_on(client.get_as("/webhooks/events", &self.query()))?;
            println!("{data}");
        } else {
            print(&super::block_on(client.get("/webhooks/events", &self.query()))?);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let more = [
            ("status", self.status.clone()),
            ("startDate", self.since.clone()),
            ("endDate", self.until.clone()),
            ("limit", Some(self.limit.to_string())),
            ("cursor", self.cursor.clone()),
        ];
        let more = more.into_iter().filter_map(|(name, value)| Some((name, value?)));
        self.filter.query().into_iter().chain(more).collect()
    }
}

/// Each delivery on two lines: what it is, and its id, which alone may fill one.
#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print(data: &Value) {
    let events = field(data, "events").as_array().map_or(&[][..], Vec::as_slice);
    if events.is_empty() {
        println!("no delivery fits");
        return;
    }
    let dim = row::DIM;
    for event in events {
        let time = moment(field(event, "timestamp"));
        // The year says the least, and the line is full.
        let time = time.get(5..).unwrap_or_default();
        anstream::println!("{dim}{time}{dim:#}  {}", row::line(event));
        anstream::println!("                {dim}{}{dim:#}", clean(&cell(field(event, "id"))));
        if let Some(error) = row::error(event) {
            anstream::println!("                {}", error);
        }
    }
    let total = cell(field(data, "total"));
    let least = if field(data, "totalIsExact") == &Value::from(false) {
        "at least "
    } else {
        ""
    };
    println!(
        "{} of {least}{total}, times in UTC. One in full: `hooklog show ID`.",
        events.len()
    );
    if let Some(cursor) = field(data, "nextCursor").as_str() {
        println!("The next page:");
        println!("  --cursor {}", clean(cursor));
    }
}
