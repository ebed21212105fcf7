//! `hooklog failed` and `hooklog retry`: the dead letters, and another try of them.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::{ServerArgs, part};
use super::table::{self, cell, field, moment};

/// Which dead letters to show.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: hooklog failed --limit 50")]
pub(super) struct Failed {
    #[command(flatten)]
    server: ServerArgs,
    /// The most to show, the newest first.
    #[arg(long, default_value_t = 10)]
    limit: u32,
}

impl Failed {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let limit = [("limit", self.limit.to_string())];
        let data = super::block_on(client.get("/webhooks/failed", &limit))?;
        if self.server.json {
            println!("{data}");
            return Ok(ExitCode::SUCCESS);
        }
        let events = field(&data, "events").as_array().map_or(&[][..], Vec::as_slice);
        if events.is_empty() {
            println!("no dead letters");
            return Ok(ExitCode::SUCCESS);
        }
        for event in events {
            print_one(event);
        }
        println!("Try one again with `hooklog retry ID`, all with `hooklog retry --all`.");
        Ok(ExitCode::SUCCESS)
    }
}

/// One dead letter over a few lines: an id alone may fill a line.
#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print_one(event: &Value) {
    let what = match field(event, "action").as_str() {
        Some(action) => format!("{}.{action}", cell(field(event, "event"))),
        None => cell(field(event, "event")),
    };
    println!("{}", table::clean(&cell(field(event, "id"))));
    println!(
        "  {}  {}  {}",
        moment(field(event, "timestamp")),
        table::clean(&what),
        table::clean(&cell(field(event, "repository")))
    );
    println!(
        "  {} attempts, the last: {} {}",
        cell(field(event, "attempts")),
        cell(field(event, "errorCode")),
        table::clean(&cell(field(event, "error")))
    );
    println!();
}

/// Which dead letters to try again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hooklog retry github.41.72d3162e-cc78-11e3-81ab-4c9367dc0958\n  hooklog retry --all --reason \"the CI server is back\""
)]
pub(super) struct Retry {
    #[command(flatten)]
    server: ServerArgs,
    /// The delivery: its full id, or the id that its sender gave it.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// All dead letters.
    #[arg(long)]
    all: bool,
    /// Why; kept with the request.
    #[arg(long)]
    reason: Option<String>,
}

impl Retry {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let reason = match &self.reason {
            Some(reason) => json!({ "reason": reason }),
            None => json!({}),
        };
        let data = match &self.id {
            Some(id) => super::block_on(client.post(&format!("/webhooks/replay/{}", part(id)), &reason))?,
            None => super::block_on(client.post("/webhooks/retry-failed", &reason))?,
        };
        if self.server.json {
            println!("{data}");
        } else if self.id.is_some() {
            super::replay::print_replayed(&data);
        } else {
            match field(&data, "queued").as_u64().unwrap_or(0) {
                0 => println!("no dead letters: nothing to try again"),
                queued => {
                    let letters = if queued == 1 { "letter is" } else { "letters are" };
                    println!("{queued} dead {letters} tried again");
                    if let Some(id) = field(&data, "replayId").as_str() {
                        println!("watch it with `hooklog replay watch {id}`");
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
