//! `hooklog audit`: who did what, from where, and what came of it.

use std::process::ExitCode;

use serde_json::Value;

use super::client::ServerArgs;
use super::table::{self, cell, field, moment};

/// Which part of the audit trail to show.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: hooklog audit --limit 50")]
pub(super) struct Audit {
    #[command(flatten)]
    server: ServerArgs,
    /// Whose trail [default: the caller's own tenant].
    #[arg(long)]
    tenant: Option<String>,
    /// The most to show, the newest first.
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

impl Audit {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.tenant.map(|tenant| ("tenant", tenant)));
        let data = super::block_on(client.get("/audit", &query))?;
        if self.server.json {
            println!("{data}");
            return Ok(ExitCode::SUCCESS);
        }
        let actions = field(&data, "actions").as_array().map_or(&[][..], Vec::as_slice);
        if actions.is_empty() {
            println!("nobody did anything yet");
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<_> = actions.iter().map(row).collect();
        let columns = [
            ("AT", 19),
            ("BY", 12),
            ("ACTION", 20),
            ("OUTCOME", 7),
            ("TARGET", 14),
        ];
        table::print(&columns, &rows);
        Ok(ExitCode::SUCCESS)
    }
}

fn row(action: &Value) -> Vec<String> {
    vec![
        moment(field(action, "at")),
        cell(field(action, "by")),
        cell(field(action, "action")),
        cell(field(action, "outcome")),
        cell(field(action, "target")),
    ]
}
