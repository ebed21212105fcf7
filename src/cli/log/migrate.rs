//! `hooklog log migrate`: moves a log between a data directory and a cluster.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use domain::BodyStore;
use indicatif::{ProgressBar, ProgressStyle};
use infra::budget::RoomHandle;
use infra::data_dir::DataDir;
use infra::migrate::{Bodies, Migrated};

use crate::cli::{SettingsArgs, block_on};
use crate::serve::bodies;
use crate::serve::log::OpenLog;
use crate::settings::{LogBackend, Settings};
use crate::telemetry;

/// What is moved, and whereto.
#[derive(Debug, clap::Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The log that is moved; nobody may write to it meanwhile.
    #[arg(long, value_enum)]
    from: LogBackend,
    /// The log that it becomes: empty, or left from a move that was stopped.
    #[arg(long, value_enum)]
    to: LogBackend,
    /// The connection string of EventStoreDB or KurrentDB (better: HOOKLOG_EVENTSTORE_URL).
    #[arg(long, value_name = "URL")]
    eventstore_url: Option<String>,
}

impl Migrate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(
            self.from != self.to,
            "--from and --to name the same kind of log; a data directory is copied with `hooklog log backup`"
        );
        let overrides = self.settings.overrides();
        let overrides = overrides.flag("--log", "log.backend", Some("eventstore")).flag(
            "--eventstore-url",
            "log.eventstore.url",
            self.eventstore_url,
        );
        let settings = overrides.load()?.settings;
        settings.check()?;
        telemetry::start_logging(&settings.telemetry)?;
        let data = DataDir::open(&settings.data.dir)?;
        block_on(async move { migrate(&settings, &data, self.from, self.to).await })
    }
}

async fn migrate(
    settings: &Settings,
    data: &DataDir,
    from: LogBackend,
    to: LogBackend,
) -> anyhow::Result<ExitCode> {
    let source = OpenLog::open_as(from, settings, data).await?;
    let target = OpenLog::open_as(to, settings, data).await?;
    let events = source.events(RoomHandle::default());
    let stores = (
        store(from, settings, data).await?,
        store(to, settings, data).await?,
    );
    let bodies = Bodies {
        from: &*stores.0,
        to: &*stores.1,
    };
    let bar = progress_bar();
    let progress = |events| bar.set_position(events);
    let moved = infra::migrate::migrate(&*events, target.take_over(), &bodies, &progress).await;
    bar.finish_and_clear();
    target.close().await;
    source.close().await;
    let moved =
        moved.context("the log was not moved whole; the same command goes on where this one ended")?;
    tell(&moved, to, settings);
    Ok(ExitCode::SUCCESS)
}

/// Where the long bodies of a kind of log are.
async fn store(kind: LogBackend, settings: &Settings, data: &DataDir) -> anyhow::Result<Arc<dyn BodyStore>> {
    let room = RoomHandle::default();
    Ok(match kind {
        LogBackend::Embedded => Arc::new(bodies::directory(settings, data, room)?),
        LogBackend::Eventstore => Arc::new(bodies::shared(settings, data, room).await?),
    })
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn tell(moved: &Migrated, to: LogBackend, settings: &Settings) {
    let Migrated {
        events,
        found,
        sha256,
        bodies,
        bodies_lost,
    } = moved;
    println!("events     {events}, of which {found} were there before");
    println!("sha256     {sha256}, the same in both logs");
    println!("bodies     {bodies} over the limit of an event, each whole");
    if *bodies_lost > 0 {
        println!("LOST       {bodies_lost} deliveries name a body that was not whole before either");
    }
    match to {
        LogBackend::Embedded => println!(
            "serve it   hooklog serve --data-dir {}",
            settings.data.dir.display()
        ),
        LogBackend::Eventstore => {
            println!("serve it   hooklog serve --log eventstore, with the same settings")
        }
    }
    println!("           it is another log than before: streams and tables are made anew for it");
    println!("           keep the old one until that is done and looks right");
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {pos} events ({per_sec}) {elapsed}");
    let bar = ProgressBar::no_length().with_message("moving");
    // The template is a constant; a bar without it still moves.
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}
