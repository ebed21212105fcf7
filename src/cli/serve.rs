//! `hooklog serve`: runs everything until it is told to stop.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;

use super::SettingsArgs;
use crate::role::{Role, Roles};
use crate::settings::LogBackend;
use crate::{compose, telemetry};

const EXAMPLES: &str = "Examples:\n  hooklog serve\n  hooklog serve --port 8080 --data-dir /var/lib/hooklog\n  \
    GITHUB_WEBHOOK_SECRET=… hooklog serve --host 0.0.0.0";

/// What `serve` can be told on the command line; everything else is in the settings file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The address to listen on [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// The port to listen on; 0 takes a free one [default: 3000].
    #[arg(long)]
    port: Option<u16>,
    /// What this process does; all of it by default.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    roles: Vec<Role>,
    /// Which log [default: embedded].
    #[arg(long, value_enum)]
    log: Option<LogBackend>,
    /// The connection string of EventStoreDB or KurrentDB, for --log eventstore (better: HOOKLOG_EVENTSTORE_URL).
    #[arg(long, value_name = "URL")]
    eventstore_url: Option<String>,
    /// A NATS server with JetStream; without it one is started here.
    #[arg(long, value_name = "URL")]
    nats_url: Option<String>,
    /// A ClickHouse server; without it one is started here.
    #[arg(long, value_name = "URL")]
    clickhouse_url: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let log = self
            .log
            .and_then(|log| log.to_possible_value())
            .map(|value| value.get_name().to_owned());
        let overrides = self
            .settings
            .overrides()
            .flag("--host", "server.host", self.host)
            .flag("--port", "server.port", self.port)
            .flag("--log", "log.backend", log)
            .flag("--eventstore-url", "log.eventstore.url", self.eventstore_url)
            .flag("--nats-url", "nats.url", self.nats_url)
            .flag("--clickhouse-url", "clickhouse.url", self.clickhouse_url);
        let loaded = overrides.load()?;
        loaded.settings.check()?;
        telemetry::start_logging(&loaded.settings.telemetry)?;
        for notice in &loaded.notices {
            tracing::warn!("{notice}");
        }
        raise_open_files();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.context("the runtime can't be started")?;
        runtime.block_on(compose::serve(loaded.settings, Roles::of(self.roles)))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes as many open files as the system allows without asking anybody: each connection is one, and the usual soft limit of
/// 1024 is met before `server.connections_max`.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files can't be raised");
    }
}
