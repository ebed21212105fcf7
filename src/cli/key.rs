//! `hooklog key`: makes API keys, lists and revokes them.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{ServerArgs, part};
use super::table::{self, cell, field, moment};

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Makes a key and prints it, once. The first one ends the time in which any program of this machine is let in without.
    #[command(
        after_help = "Examples:\n  hooklog key create ci --scope operate\n  hooklog key create team-a-admin --scope admin --tenant team-a --expires 2027-01-31"
    )]
    Create {
        #[command(flatten)]
        server: ServerArgs,
        /// What to call it: a-z, 0-9, _ and -. It stands wherever is kept who asked for something.
        name: String,
        /// What it may do: read, operate or admin, each with what the former may.
        #[arg(long, default_value = "read")]
        scope: String,
        /// Whose deliveries it sees [default: the caller's own tenant].
        #[arg(long)]
        tenant: Option<String>,
        /// From when on it opens nothing, such as 2027-01-31 [default: never].
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// Lists the keys; never the keys themselves.
    #[command(after_help = "Example: hooklog key list")]
    List {
        #[command(flatten)]
        server: ServerArgs,
        /// Only those of this tenant.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Revokes a key: from then on it opens nothing, nor do logins made with it.
    #[command(after_help = "Example: hooklog key revoke 3k9x0v2m7q4d")]
    Revoke {
        #[command(flatten)]
        server: ServerArgs,
        /// Its id: the middle part of the key, as `hooklog key list` shows it.
        id: String,
    },
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create {
                server,
                name,
                scope,
                tenant,
                expires,
            } => {
                let body = json!({ "name": name, "scopes": [scope], "tenant": tenant, "expiresAt": expires });
                create(&server, &body)
            }
            Self::List { server, tenant } => list(&server, tenant),
            Self::Revoke { server, id } => revoke(&server, &id),
        }
    }
}

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output of the command"
)]
fn create(server: &ServerArgs, body: &Value) -> anyhow::Result<ExitCode> {
    let client = server.client()?;
    let data = super::block_on(client.post("/keys", body))?;
    if server.json {
        println!("{data}");
        return Ok(ExitCode::SUCCESS);
    }
    // The key alone goes to standard output, so that it can be kept without being seen.
    println!("{}", cell(field(&data, "key")));
    eprintln!(
        "key {} of tenant {}: {}. It is shown here only; the server keeps its hash.",
        cell(field(&data, "name")),
        cell(field(&data, "tenant")),
        cell(field(&data, "scopes"))
    );
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn list(server: &ServerArgs, tenant: Option<String>) -> anyhow::Result<ExitCode> {
    let client = server.client()?;
    let mut query = vec![("limit", "1000".to_owned())];
    query.extend(tenant.map(|tenant| ("tenant", tenant)));
    let data = super::block_on(client.get("/keys", &query))?;
    if server.json {
        println!("{data}");
        return Ok(ExitCode::SUCCESS);
    }
    let keys = field(&data, "keys").as_array().map_or(&[][..], Vec::as_slice);
    if keys.is_empty() {
        println!("no keys; make one with `hooklog key create NAME`");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = keys.iter().map(row).collect();
    let columns = [
        ("ID", 12),
        ("NAME", 18),
        ("TENANT", 10),
        ("SCOPE", 8),
        ("STATUS", 7),
        ("EXPIRES", 19),
    ];
    table::print(&columns, &rows);
    Ok(ExitCode::SUCCESS)
}

fn row(key: &Value) -> Vec<String> {
    let scopes = field(key, "scopes").as_array();
    let greatest = scopes.and_then(|scopes| scopes.last()).map(cell);
    vec![
        cell(field(key, "id")),
        cell(field(key, "name")),
        cell(field(key, "tenant")),
        greatest.unwrap_or_default(),
        cell(field(key, "status")),
        moment(field(key, "expiresAt")),
    ]
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn revoke(server: &ServerArgs, id: &str) -> anyhow::Result<ExitCode> {
    let client = server.client()?;
    // Whoever has the whole key at hand means the key of its id; the rest goes nowhere.
    let id = id
        .strip_prefix("hk_")
        .map_or(id, |key| key.split('_').next().unwrap_or(key));
    let data = super::block_on(client.delete(&format!("/keys/{}", part(id))))?;
    if server.json {
        println!("{data}");
    } else {
        println!("{} is revoked", table::clean(&cell(field(&data, "name"))));
    }
    Ok(ExitCode::SUCCESS)
}
