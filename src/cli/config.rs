//! `hooklog config`: what the settings are, and whether they can be used.

use std::process::ExitCode;

use clap::Subcommand;

use super::SettingsArgs;
use crate::settings::{self, Overrides};

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Prints the effective settings and where each came from, secrets masked.
    #[command(after_help = "Example: hooklog config print --config hooklog.toml")]
    Print(SettingsArgs),
    /// Checks the settings without starting anything.
    #[command(
        after_help = "Example: hooklog config check --config hooklog.toml && systemctl restart hooklog"
    )]
    Check(SettingsArgs),
    /// Prints the commented default file, a starting point for `hooklog.toml`.
    #[command(after_help = "Example: hooklog config default > hooklog.toml")]
    Default,
}

impl Config {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Print(args) => print!("{}", settings::print(&args.overrides().load()?.figment)),
            Self::Check(args) => {
                let loaded = args.overrides().load()?;
                loaded.settings.check()?;
                for notice in &loaded.notices {
                    println!("note: {notice}");
                }
                println!("the settings can be used");
            }
            Self::Default => print!("{}", settings::DEFAULT_FILE),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl SettingsArgs {
    /// What these flags say about settings.
    pub(crate) fn overrides(&self) -> Overrides {
        let dir = self.data_dir.as_ref().map(|dir| dir.display().to_string());
        Overrides::default()
            .file(self.config.clone())
            .flag("--data-dir", "data.dir", dir)
    }
}
