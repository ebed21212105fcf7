//! `hooklog projections`: the read models, whether they are right, and making them anew.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, part};
use super::table::{self, cell, field};

/// How often a rebuild that is watched is asked for.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Projections {
    /// Lists the projections and how far they are.
    #[command(after_help = "Example: hooklog projections list")]
    List(ServerArgs),
    /// Compares tables with a fold of the log, and names the first difference.
    #[command(after_help = "Example: hooklog projections verify statistics")]
    Verify(Named),
    /// Makes a projection anew beside the old one, which answers until the new one has caught up.
    #[command(
        after_help = "Examples:\n  hooklog projections rebuild statistics\n  hooklog projections rebuild all"
    )]
    Rebuild {
        #[command(flatten)]
        named: Named,
        /// Does not wait for its end.
        #[arg(long)]
        detach: bool,
    },
    /// Gives up a rebuild; the old tables stay.
    #[command(after_help = "Example: hooklog projections abort statistics")]
    Abort(Named),
}

#[derive(Debug, clap::Args)]
pub(super) struct Named {
    #[command(flatten)]
    server: ServerArgs,
    /// The projection, or `all`.
    #[arg(default_value = "all")]
    name: String,
}

impl Projections {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(server) => list(&server),
            Self::Verify(named) => super::block_on(verify(&named)),
            Self::Rebuild { named, detach } => super::block_on(rebuild(&named, detach)),
            Self::Abort(named) => super::block_on(abort(&named)),
        }
    }
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn list(server: &ServerArgs) -> anyhow::Result<ExitCode> {
    let client = server.client()?;
    let data = super::block_on(client.get("/projections", &[]))?;
    if server.json {
        println!("{data}");
        return Ok(ExitCode::SUCCESS);
    }
    let row = |projection: &Value| {
        vec![
            cell(field(projection, "name")),
            cell(field(projection, "state")),
            cell(field(projection, "build")),
            cell(field(projection, "position")),
            cell(field(field(projection, "lag"), "events")),
            rebuild_cell(field(projection, "rebuild")),
        ]
    };
    let rows: Vec<_> = projections_of(&data).iter().map(row).collect();
    let columns = [
        ("NAME", 20),
        ("STATE", 11),
        ("BUILD", 5),
        ("POSITION", 12),
        ("BEHIND", 9),
        ("REBUILD", 16),
    ];
    table::print(&columns, &rows);
    Ok(ExitCode::SUCCESS)
}

fn projections_of(data: &Value) -> &[Value] {
    let list = field(data, "projections").as_array().or_else(|| data.as_array());
    list.map_or(&[][..], Vec::as_slice)
}

fn rebuild_cell(rebuild: &Value) -> String {
    if rebuild.is_null() {
        return String::new();
    }
    let left = field(rebuild, "etaSeconds")
        .as_f64()
        .map(|s| format!(", {s:.0} s left"));
    format!("{} %{}", percent_of(rebuild), left.unwrap_or_default())
}

fn percent_of(rebuild: &Value) -> u64 {
    let (position, target) = (
        field(rebuild, "position").as_u64(),
        field(rebuild, "target").as_u64(),
    );
    match (position, target) {
        (Some(position), Some(target)) if target > 0 => position.min(target).saturating_mul(100) / target,
        _ => 0,
    }
}

/// The projections that a name means.
async fn meant(client: &Client, name: &str) -> anyhow::Result<Vec<String>> {
    if name != "all" {
        return Ok(vec![name.to_owned()]);
    }
    let data = client.get("/projections", &[]).await?;
    Ok(projections_of(&data)
        .iter()
        .map(|p| cell(field(p, "name")))
        .collect())
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
async fn verify(named: &Named) -> anyhow::Result<ExitCode> {
    let client = named.server.client()?;
    let mut right = true;
    for name in meant(&client, &named.name).await? {
        let report = client
            .post(&format!("/projections/{}/verify", part(&name)), &json!({}))
            .await?;
        let equal = field(&report, "equal").as_bool().unwrap_or(false);
        right &= equal;
        if named.server.json {
            println!("{report}");
        } else if equal {
            let (rows, position) = (cell(field(&report, "rows")), cell(field(&report, "position")));
            println!("ok     {name:<20} {rows} rows equal the log up to position {position}");
        } else {
            println!(
                "WRONG  {name:<20} {}",
                first_difference(field(&report, "firstDifference"))
            );
            println!(
                "       {:<20} → `hooklog projections rebuild {name}` makes it anew",
                ""
            );
        }
    }
    Ok(if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn first_difference(difference: &Value) -> String {
    let text = |name: &str| table::clean(&cell(&difference[name]));
    let column = match text("column") {
        none if none.is_empty() => String::new(),
        column => format!(", column {column}"),
    };
    format!(
        "table {}, row {}{column}: the log says {}, the table {}",
        text("table"),
        text("key"),
        text("expected"),
        text("found"),
    )
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
async fn rebuild(named: &Named, detach: bool) -> anyhow::Result<ExitCode> {
    let client = named.server.client()?;
    let path = format!("/projections/{}/rebuild", part(&named.name));
    let data = client.post(&path, &json!({})).await?;
    if named.server.json {
        println!("{data}");
    }
    if detach {
        if !named.server.json {
            println!("the rebuild is under way; see `hooklog projections list`");
        }
        return Ok(ExitCode::SUCCESS);
    }
    watch(&client, &begun_of(&data), named.server.json).await
}

/// The builds that were begun: projection and number.
fn begun_of(data: &Value) -> Vec<(String, u64)> {
    let begun = field(data, "rebuilds").as_array().map_or(&[][..], Vec::as_slice);
    let build = |one: &Value| Some((cell(field(one, "name")), field(one, "build").as_u64()?));
    begun.iter().filter_map(build).collect()
}

/// Shows the progress of rebuilds until they end; fails when one was given up or thrown away.
#[allow(clippy::print_stdout, reason = "the output of the command")]
async fn watch(client: &Client, begun: &[(String, u64)], json: bool) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(100);
    let style = ProgressStyle::with_template("{bar:30} {percent} %  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    loop {
        let data = client.get("/projections", &[]).await?;
        let find = |name: &String| {
            projections_of(&data)
                .iter()
                .find(|p| cell(field(p, "name")) == *name)
        };
        let meant = || {
            begun
                .iter()
                .filter_map(|(name, build)| Some((find(name)?, *build)))
        };
        let open: Vec<_> = meant()
            .map(|(projection, _)| projection)
            .filter(|projection| !field(projection, "rebuild").is_null())
            .collect();
        if open.is_empty() {
            bar.finish_and_clear();
            let replaced =
                |(projection, build): &(&Value, u64)| field(projection, "build").as_u64() >= Some(*build);
            let (done, kept): (Vec<_>, Vec<_>) = meant().partition(replaced);
            let names = |list: &[(&Value, u64)]| {
                let names = list.iter().map(|(projection, _)| cell(field(projection, "name")));
                names.collect::<Vec<_>>().join(", ")
            };
            if !json && !done.is_empty() {
                println!("rebuilt: {}", names(&done));
            }
            if kept.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            bail!(
                "not rebuilt, the old tables stay: {}; the server's log says why",
                names(&kept)
            );
        }
        let least = open.iter().map(|p| percent_of(field(p, "rebuild"))).min();
        bar.set_position(least.unwrap_or(0));
        let names = open.iter().map(|p| cell(field(p, "name")));
        bar.set_message(names.collect::<Vec<_>>().join(", "));
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
async fn abort(named: &Named) -> anyhow::Result<ExitCode> {
    let client = named.server.client()?;
    for name in meant(&client, &named.name).await? {
        match client
            .delete(&format!("/projections/{}/rebuild", part(&name)))
            .await
        {
            Ok(_) => println!("{name}: the rebuild is given up; the old tables stay"),
            // Of all of them, most are not being rebuilt.
            Err(error) if named.name == "all" => println!("{name}: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(ExitCode::SUCCESS)
}
