//! The command line: what can be typed, and which file does it.

mod audit;
mod bodies;
mod client;
mod config;
mod destination;
mod doctor;
mod engine;
mod events;
mod failed;
mod forward;
mod health;
mod indent;
mod key;
mod live;
mod log;
mod projections;
mod rejected;
mod replay;
mod row;
mod secret;
mod send;
mod serve;
mod show;
mod source;
mod stats;
mod table;
mod tail;
mod verify;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Receives webhooks, keeps every one of them, and turns them into streams and statistics.
#[derive(Debug, Parser)]
#[command(
    name = "hooklog",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Example: hooklog serve --data-dir ./data\nExit codes: 0 done, 1 failed, 2 wrong usage."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything: receives, relays, projects and answers.
    Serve(Box<serve::Serve>),
    /// Signs a delivery and posts it to a running server, for trying and for tests.
    Send(Box<send::Send>),
    /// Shows deliveries as they come in.
    Tail(Box<tail::Tail>),
    /// Sends deliveries on to a program on this machine, as they come in, with their own headers and bodies.
    Forward(Box<forward::Forward>),
    /// Lists deliveries, the newest first.
    Events(Box<events::Events>),
    /// Shows one delivery: its headers, its payload, what became of it.
    Show(Box<show::Show>),
    /// Shows counts, rates and times of a window.
    Stats(Box<stats::Stats>),
    /// Lists dead letters: deliveries that were given up.
    Failed(Box<failed::Failed>),
    /// Tries dead letters again: one, or all.
    Retry(Box<failed::Retry>),
    /// Shows requests that were turned away, and why.
    Rejected(Box<rejected::Rejected>),
    /// Says which check of receiving a request fails, and why.
    Verify(Box<verify::Verify>),
    /// Has deliveries done again: one, or all that fit a filter.
    #[command(
        subcommand,
        after_help = "Example: hooklog replay start --event push --dry-run"
    )]
    Replay(replay::Replay),
    /// Shows where deliveries go, pauses and resumes it.
    #[command(subcommand, after_help = "Example: hooklog destination list")]
    Destination(destination::Destination),
    /// Adds senders while the server runs, changes and removes them, and rotates their secrets.
    #[command(subcommand, after_help = "Example: hooklog source add github")]
    Source(source::Source),
    /// Makes API keys, lists and revokes them.
    #[command(subcommand, after_help = "Example: hooklog key create ci --scope operate")]
    Key(key::Key),
    /// Shows who did what, from where, and what came of it.
    Audit(Box<audit::Audit>),
    /// Lists, verifies and rebuilds the read models.
    #[command(subcommand, after_help = "Example: hooklog projections list")]
    Projections(projections::Projections),
    /// Looks into the log: verify, dump, backup, restore, migrate.
    #[command(subcommand, after_help = "Example: hooklog log verify")]
    Log(log::Log),
    /// Looks after the store of long bodies: sweep.
    #[command(subcommand, after_help = "Example: hooklog bodies sweep --dry-run")]
    Bodies(bodies::BodiesCommand),
    /// Shows or checks the effective settings.
    #[command(subcommand, after_help = "Example: hooklog config print")]
    Config(config::Config),
    /// Says what is wrong on this machine and what to do about it.
    Doctor(Box<doctor::Doctor>),
    /// Asks a server whether it lives, for containers and supervisors.
    Health(Box<health::Health>),
    /// Fetches the embedded engines; its other forms run one as a child of `serve`.
    #[command(subcommand, after_help = "Example: hooklog engine fetch")]
    Engine(engine::Engine),
}

/// Where settings come from; on every command that reads them.
#[derive(Debug, clap::Args)]
pub(crate) struct SettingsArgs {
    /// The settings file; without it `hooklog.toml` in the current directory, if there is one.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: ./data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl Cli {
    /// Runs the command and returns its exit code.
    pub(crate) fn run(self) -> anyhow::Result<std::process::ExitCode> {
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Send(send) => send.run(),
            Command::Tail(tail) => tail.run(),
            Command::Forward(forward) => forward.run(),
            Command::Events(events) => events.run(),
            Command::Show(show) => show.run(),
            Command::Stats(stats) => stats.run(),
            Command::Failed(failed) => failed.run(),
            Command::Retry(retry) => retry.run(),
            Command::Rejected(rejected) => rejected.run(),
            Command::Verify(verify) => verify.run(),
            Command::Replay(replay) => replay.run(),
            Command::Destination(destination) => destination.run(),
            Command::Source(source) => source.run(),
            Command::Key(key) => key.run(),
            Command::Audit(audit) => audit.run(),
            Command::Projections(projections) => projections.run(),
            Command::Log(log) => log.run(),
            Command::Bodies(bodies) => bodies.run(),
            Command::Config(config) => config.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Health(health) => health.run(),
            Command::Engine(engine) => engine.run(),
        }
    }
}

/// Runs async work of a command that is not `serve` on a small runtime.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
