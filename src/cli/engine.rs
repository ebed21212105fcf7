//! `hooklog engine`: fetches the embedded engines, and the hidden forms in which `serve` runs them as children.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use infra::engine::{EngineKind, child, fetch};

use super::SettingsArgs;
use crate::settings::masked_url;

#[derive(Debug, Subcommand)]
pub(super) enum Engine {
    /// Fetches the engines into the cache, checks them, and says where they are. Does nothing twice.
    #[command(after_help = "Example: HOOKLOG_ENGINES=/opt/engines hooklog engine fetch")]
    Fetch(SettingsArgs),
    /// Runs a NATS server as a child of `serve`.
    #[command(hide = true, after_help = "Example: used by `hooklog serve` only")]
    Nats { launch: PathBuf },
    /// Runs ClickHouse as a child of `serve`.
    #[command(hide = true, after_help = "Example: used by `hooklog serve` only")]
    Clickhouse { launch: PathBuf },
}

impl Engine {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Fetch(args) => fetch_all(&args),
            Self::Nats { launch } => Ok(child::nats(&launch)),
            Self::Clickhouse { launch } => Ok(child::clickhouse(&launch)),
        }
    }
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn fetch_all(args: &SettingsArgs) -> anyhow::Result<ExitCode> {
    let settings = args.overrides().load()?.settings;
    let options = fetch::Options {
        engines_dir: settings.engines.dir(),
        download: true,
        timeout_ms: settings.engines.fetch_timeout_ms,
    };
    let wanted = [
        (EngineKind::Nats, &settings.nats.url),
        (EngineKind::ClickHouse, &settings.clickhouse.url),
    ];
    for (kind, url) in wanted {
        if url.is_empty() {
            let artifact = fetch::engine(kind, &options)?;
            println!(
                "{:<11} {:<18} {}",
                kind.title(),
                artifact.version,
                artifact.path.display()
            );
        } else {
            println!("{:<11} not needed: {} is used", kind.title(), masked_url(url));
        }
    }
    Ok(ExitCode::SUCCESS)
}
