//! `hooklog destination`: where deliveries go, how that is going, and holding them back.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{ServerArgs, part};
use super::table::{self, cell, field};

#[derive(Debug, Subcommand)]
pub(super) enum Destination {
    /// Lists the destinations and what is open for each.
    #[command(after_help = "Example: hooklog destination list")]
    List(ServerArgs),
    /// Holds deliveries back until it is resumed; none is lost.
    #[command(after_help = "Example: hooklog destination pause ci --reason \"maintenance\"")]
    Pause {
        #[command(flatten)]
        server: ServerArgs,
        /// Its name.
        name: String,
        /// Why; kept with the pause.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Lets deliveries go again.
    #[command(after_help = "Example: hooklog destination resume ci")]
    Resume {
        #[command(flatten)]
        server: ServerArgs,
        /// Its name.
        name: String,
    },
}

impl Destination {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(server) => list(&server),
            Self::Pause { server, name, reason } => {
                let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
                command(&server, &name, "pause", &body)
            }
            Self::Resume { server, name } => command(&server, &name, "resume", &json!({})),
        }
    }
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn list(server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let client = server.client()?;
    let data = super::block_on(client.get("/destinations", &[]))?;
    if server.json {
        println!("{data}");
        return Ok(ExitCode::SUCCESS);
    }
    let all = field(&data, "destinations")
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if all.is_empty() {
        println!("no destinations; add one as [[destination]] in hooklog.toml (`hooklog config print`)");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = all.iter().map(row).collect();
    let columns = [
        ("NAME", 16),
        ("STATE", 10),
        ("OPEN", 7),
        ("RETRYING", 8),
        ("LAST ERROR", 31),
    ];
    table::print(&columns, &rows);
    Ok(ExitCode::SUCCESS)
}

fn row(destination: &Value) -> Vec<String> {
    let state = if field(destination, "configured").as_bool() == Some(false) {
        "removed".to_owned()
    } else if !field(destination, "paused").is_null() {
        "paused".to_owned()
    } else {
        match field(destination, "breaker").as_str() {
            None | Some("closed") => "ok".to_owned(),
            Some("open") => "left alone".to_owned(),
            Some(_) => "probed".to_owned(),
        }
    };
    vec![
        cell(field(destination, "name")),
        state,
        cell(field(destination, "open")),
        cell(field(destination, "retrying")),
        cell(field(destination, "lastError")),
    ]
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn command(server: &ServerArgs, name: &str, verb: &str, body: &Value) -> anyhow::Result<ExitCode> {
    let client = server.client()?;
    let data = super::block_on(client.post(&format!("/destinations/{}/{verb}", part(name)), body))?;
    if server.json {
        println!("{data}");
    } else if field(&data, "paused").is_null() {
        println!("{name} takes deliveries");
    } else {
        println!("{name} is paused; {} deliveries wait", cell(field(&data, "open")));
    }
    Ok(ExitCode::SUCCESS)
}
