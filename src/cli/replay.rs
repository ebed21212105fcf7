//! `hooklog replay`: has deliveries done again, and shows how far that is.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::client::{Client, ServerArgs, part};
use super::table::{self, cell, field, moment};

/// How often a replay that is watched is asked for.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Replay {
    /// Replays one delivery.
    #[command(after_help = "Example: hooklog replay one github.41.72d3162e-cc78-11e3-81ab-4c9367dc0958")]
    One(One),
    /// Replays all that fits a filter: counts it, asks, and shows the progress.
    #[command(
        after_help = "Examples:\n  hooklog replay start --event push --repository 'octo-org/*' --from 2026-11-20 --dry-run\n  hooklog replay start --status dead --reason \"the CI server is back\" --yes"
    )]
    Start(Box<Start>),
    /// Lists replays, the newest first.
    #[command(after_help = "Example: hooklog replay list")]
    List(ServerArgs),
    /// Shows a replay.
    #[command(after_help = "Example: hooklog replay show 0199f0c2-8a5e-7cc3-b1a2-3f4e5d6c7b8a")]
    Show(Named),
    /// Shows the progress of a replay until it ends.
    #[command(after_help = "Example: hooklog replay watch 0199f0c2-8a5e-7cc3-b1a2-3f4e5d6c7b8a")]
    Watch(Named),
    /// Stops a replay. What it asked for already is still done.
    #[command(after_help = "Example: hooklog replay cancel 0199f0c2-8a5e-7cc3-b1a2-3f4e5d6c7b8a")]
    Cancel(Named),
}

/// Where deliveries go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum To {
    /// To the destinations, again.
    Processing,
    /// To the subjects of the stream, again.
    Subjects,
}

impl To {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Subjects => "subjects",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Named {
    #[command(flatten)]
    server: ServerArgs,
    /// The replay's id.
    id: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct One {
    #[command(flatten)]
    server: ServerArgs,
    /// The delivery: its full id, or the id that its sender gave it.
    id: String,
    /// Where it goes.
    #[arg(long, value_enum, default_value_t = To::Processing)]
    to: To,
    /// Only to this destination; may be given several times.
    #[arg(long = "destination", value_name = "NAME")]
    destinations: Vec<String>,
    /// Why; kept with the request.
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Start {
    #[command(flatten)]
    server: ServerArgs,
    /// Only deliveries of this repository, or glob of repositories.
    #[arg(long)]
    repository: Option<String>,
    /// Only deliveries of this source.
    #[arg(long)]
    source: Option<String>,
    /// Only this event, `event` or `event.action`.
    #[arg(long)]
    event: Option<String>,
    /// Only this action.
    #[arg(long)]
    action: Option<String>,
    /// Only deliveries in this state: received, processing, retrying, processed or dead.
    #[arg(long)]
    status: Option<String>,
    /// Only what was received at or after this time: RFC 3339, or a date in UTC.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only what was received before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Where deliveries go.
    #[arg(long, value_enum, default_value_t = To::Processing)]
    to: To,
    /// Only to this destination; may be given several times.
    #[arg(long = "destination", value_name = "NAME")]
    destinations: Vec<String>,
    /// The most deliveries a second [default: 200].
    #[arg(long)]
    rate: Option<u32>,
    /// Why; kept with the replay.
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Only counts what it would be about.
    #[arg(long)]
    dry_run: bool,
    /// Does not ask before it begins.
    #[arg(long, short)]
    yes: bool,
    /// Does not wait for its end.
    #[arg(long)]
    detach: bool,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::One(one) => one.run(),
            Self::Start(start) => start.run(),
            Self::List(server) => list(&server),
            Self::Show(named) => named.show(),
            Self::Watch(named) => {
                let client = named.server.client()?;
                super::block_on(watch(&client, &named.id, named.server.json))
            }
            Self::Cancel(named) => named.cancel(),
        }
    }
}

impl One {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let mut body = json!({ "to": self.to.as_str() });
        if !self.destinations.is_empty() {
            set(&mut body, "destinations", json!(self.destinations));
        }
        if let Some(reason) = &self.reason {
            set(&mut body, "reason", json!(reason));
        }
        let data = super::block_on(client.post(&format!("/webhooks/replay/{}", part(&self.id)), &body))?;
        if self.server.json {
            println!("{data}");
        } else {
            print_replayed(&data);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What came of replaying one delivery.
#[allow(clippy::print_stdout, reason = "the output of the command")]
pub(super) fn print_replayed(data: &Value) {
    println!("replay       {}", cell(field(data, "id")));
    println!("position     {}", cell(field(data, "position")));
    match field(data, "destinations").as_array() {
        Some(names) if !names.is_empty() => println!("destinations {}", cell(field(data, "destinations"))),
        _ => println!("destinations none"),
    }
    println!("status       {}", cell(field(data, "status")));
}

impl Start {
    fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        super::block_on(self.run_with(&client))
    }

    #[allow(clippy::print_stdout, reason = "the output of the command")]
    async fn run_with(&self, client: &Client) -> anyhow::Result<ExitCode> {
        let mut body = self.body();
        set(&mut body, "dryRun", json!(true));
        let counted = client.post("/webhooks/replay", &body).await?;
        let count = field(&counted, "count").as_u64().unwrap_or(0);
        if self.dry_run {
            if self.server.json {
                println!("{counted}");
            } else {
                println!(
                    "{} up to position {}",
                    deliveries(count),
                    cell(field(&counted, "toPosition"))
                );
            }
            return Ok(ExitCode::SUCCESS);
        }
        if !self.yes && !agreed(count, self.to)? {
            println!("nothing was done");
            return Ok(ExitCode::FAILURE);
        }
        set(&mut body, "dryRun", json!(false));
        set(&mut body, "toPosition", field(&counted, "toPosition").clone());
        let started = client.post("/webhooks/replay", &body).await?;
        let id = cell(field(&started, "id"));
        if self.detach {
            if self.server.json {
                println!("{started}");
            } else {
                println!("replay {id} is under way; watch it with `hooklog replay watch {id}`");
            }
            return Ok(ExitCode::SUCCESS);
        }
        watch(client, &id, self.server.json).await
    }

    fn body(&self) -> Value {
        let fields = [
            ("repository", &self.repository),
            ("source", &self.source),
            ("event", &self.event),
            ("action", &self.action),
            ("status", &self.status),
            ("from", &self.from),
            ("to", &self.until),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some((name.to_owned(), json!(value)))
        });
        let mut body = json!({ "filter": given.collect::<Map<_, _>>(), "to": self.to.as_str() });
        // The server asks for a reason even of a dry run, so that the order is the same one.
        set(
            &mut body,
            "reason",
            json!(self.reason.as_deref().unwrap_or("dry run")),
        );
        if !self.destinations.is_empty() {
            set(&mut body, "destinations", json!(self.destinations));
        }
        if let Some(rate) = self.rate {
            set(&mut body, "rate", json!(rate));
        }
        body
    }
}

/// A number of deliveries, in words.
fn deliveries(count: u64) -> String {
    match count {
        1 => "1 delivery".to_owned(),
        count => format!("{count} deliveries"),
    }
}

/// A filter without what does not narrow: `event=push, repository=octo-org/*`.
fn filter_cell(filter: &Value) -> String {
    let fields = filter.as_object().into_iter().flatten();
    let given = fields.filter(|(_, value)| !value.is_null());
    let texts: Vec<String> = given
        .map(|(name, value)| format!("{name}={}", cell(value)))
        .collect();
    if texts.is_empty() {
        "everything".to_owned()
    } else {
        texts.join(", ")
    }
}

/// Sets a field of an order.
fn set(order: &mut Value, name: &str, value: Value) {
    if let Some(fields) = order.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// Asks whether to go on; without a terminal to ask on, only `--yes` says so.
#[allow(clippy::print_stderr, reason = "a question to the person at the terminal")]
fn agreed(count: u64, to: To) -> anyhow::Result<bool> {
    use std::io::{BufRead as _, IsTerminal as _, Write as _};
    if !std::io::stdin().is_terminal() {
        bail!(
            "{} would be replayed; say --yes to do it without being asked",
            deliveries(count)
        );
    }
    let goal = match to {
        To::Processing => "to their destinations",
        To::Subjects => "to their subjects",
    };
    eprint!("Replay {} {goal}? [y/N] ", deliveries(count));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn list(server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let client = server.client()?;
    let data = super::block_on(client.get("/webhooks/replays", &[]))?;
    if server.json {
        println!("{data}");
        return Ok(ExitCode::SUCCESS);
    }
    let replays = field(&data, "replays").as_array().map_or(&[][..], Vec::as_slice);
    if replays.is_empty() {
        println!("no replays");
        return Ok(ExitCode::SUCCESS);
    }
    let row = |replay: &Value| {
        vec![
            cell(field(replay, "id")),
            cell(field(replay, "status")),
            cell(field(replay, "requested")),
            moment(field(replay, "requestedAt")),
        ]
    };
    let rows: Vec<_> = replays.iter().map(row).collect();
    table::print(
        &[("ID", 36), ("STATUS", 9), ("DONE", 9), ("REQUESTED", 19)],
        &rows,
    );
    Ok(ExitCode::SUCCESS)
}

impl Named {
    fn path(&self) -> String {
        path_of(&self.id)
    }

    #[allow(clippy::print_stdout, reason = "the output of the command")]
    fn show(&self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let data = super::block_on(client.get(&self.path(), &[]))?;
        if self.server.json {
            println!("{data}");
        } else {
            print_replay(&data);
        }
        Ok(ExitCode::SUCCESS)
    }

    #[allow(clippy::print_stdout, reason = "the output of the command")]
    fn cancel(&self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let data = super::block_on(client.delete(&self.path()))?;
        if self.server.json {
            println!("{data}");
        } else {
            print_replay(&data);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn path_of(id: &str) -> String {
    format!("/webhooks/replays/{}", part(id))
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print_replay(replay: &Value) {
    let lines = [
        ("replay", cell(field(replay, "id"))),
        ("status", cell(field(replay, "status"))),
        ("filter", filter_cell(field(replay, "filter"))),
        ("to", cell(field(replay, "to"))),
        ("destinations", cell(field(replay, "destinations"))),
        ("requested by", cell(field(replay, "requestedBy"))),
        ("reason", cell(field(replay, "reason"))),
        ("requested at", moment(field(replay, "requestedAt"))),
        ("last change", moment(field(replay, "updatedAt"))),
        (
            "position",
            format!(
                "{} of {}",
                cell(field(replay, "upto")),
                cell(field(replay, "toPosition"))
            ),
        ),
        ("matched", cell(field(replay, "matched"))),
        ("asked again", cell(field(replay, "requested"))),
        ("skipped", cell(field(replay, "skipped"))),
        ("error", cell(field(replay, "error"))),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        println!("{name:<12} {}", table::clean(value));
    }
}

/// Shows the progress of a replay until it ends; fails when the replay does.
#[allow(clippy::print_stdout, reason = "the output of the command")]
async fn watch(client: &Client, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(0);
    if json {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} deliveries  {per_sec}  {eta} left  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    loop {
        let replay = client.get(&path_of(id), &[]).await?;
        let matched = field(&replay, "matched").as_u64().unwrap_or(0);
        bar.set_length(
            field(&replay, "expected")
                .as_u64()
                .unwrap_or(matched)
                .max(matched),
        );
        bar.set_position(matched);
        let status = field(&replay, "status").as_str().unwrap_or_default();
        if status != "running" {
            bar.finish_and_clear();
            if json {
                println!("{replay}");
            } else {
                print_replay(&replay);
            }
            return Ok(if status == "completed" {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}
