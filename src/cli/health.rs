//! `hooklog health`: whether a server lives, for whatever watches over processes and has no `curl`.

use std::process::ExitCode;
use std::time::Duration;

use reqwest::StatusCode;

use super::client::ServerArgs;

/// Which question to ask.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: hooklog health --data-dir /var/lib/hooklog\nIt asks the server that runs in the data directory, \
                  through its socket; with --url any other. Exit codes: 0 yes, 1 no."
)]
pub(super) struct Health {
    #[command(flatten)]
    server: ServerArgs,
    /// Asks whether it takes deliveries (`/ready`), instead of whether it lives (`/health`).
    #[arg(long)]
    ready: bool,
    /// The longest that the answer may take.
    #[arg(long, value_name = "MS", default_value_t = 4000)]
    timeout_ms: u64,
}

impl Health {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let path = if self.ready { "/ready" } else { "/health" };
        let timeout = Duration::from_millis(self.timeout_ms);
        let status = super::block_on(client.status(path, timeout))?;
        if self.server.json {
            println!("{}", serde_json::json!({"path": path, "status": status.as_u16()}));
        } else {
            println!("{path} answers {status}");
        }
        Ok(ExitCode::from(u8::from(status != StatusCode::OK)))
    }
}
