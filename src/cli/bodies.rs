//! `hooklog bodies`: looks after the store of long bodies.

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Subcommand;
use domain::{ContentHash, EventData, EventLog, PageLimit, Position};
use infra::body::Swept;
use infra::budget::RoomHandle;
use infra::data_dir::DataDir;

use super::{SettingsArgs, block_on};
use crate::serve::bodies;
use crate::serve::log::OpenLog;
use crate::settings::Settings;
use crate::telemetry;

#[derive(Debug, Subcommand)]
pub(super) enum BodiesCommand {
    /// Moves bodies that no event names, and that are older than a week, to the trash. Deletes nothing.
    #[command(
        after_help = "Example: hooklog bodies sweep --dry-run --data-dir /var/lib/hooklog\n\n\
            A log in a data directory belongs to its server: stop that first. One on a cluster may be in use."
    )]
    Sweep {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Says what would be moved, and moves nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

impl BodiesCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self::Sweep { settings, dry_run } = self;
        let settings = settings.overrides().load()?.settings;
        settings.check()?;
        telemetry::start_logging(&settings.telemetry)?;
        let data = DataDir::open(&settings.data.dir)?;
        let (swept, trash) = block_on(sweep(&settings, &data, dry_run))?;
        tell(swept, &trash, dry_run);
        Ok(ExitCode::SUCCESS)
    }
}

async fn sweep(settings: &Settings, data: &DataDir, dry_run: bool) -> anyhow::Result<(Swept, String)> {
    let log = OpenLog::open(settings, data).await?;
    let events = log.events(RoomHandle::default());
    let referenced = referenced(&*events).await?;
    let room = RoomHandle::default();
    let swept = if settings.bodies.url.is_empty() {
        let store = bodies::directory(settings, data, room)?;
        let swept = store.sweep(referenced, data.trash(), dry_run).await?;
        (swept, data.trash().display().to_string())
    } else {
        let store = bodies::shared(settings, data, room).await?;
        let swept = store.sweep(&referenced, dry_run).await?;
        (swept, "its folder \"trash\"".to_owned())
    };
    log.close().await;
    Ok(swept)
}

/// Every body that an event names, up to the head.
async fn referenced(log: &dyn EventLog) -> anyhow::Result<HashSet<ContentHash>> {
    let (mut bodies, mut after) = (HashSet::new(), Position::START);
    loop {
        let page = log.read_all(after, PageLimit::default()).await?;
        let Some(last) = page.events.last() else {
            return Ok(bodies);
        };
        after = last.position;
        for event in &page.events {
            if let EventData::Stored(body) = &event.data {
                bodies.insert(body.sha256);
            }
        }
    }
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn tell(swept: Swept, trash: &str, dry_run: bool) {
    let Swept {
        seen,
        moved,
        moved_bytes,
        young,
        restored,
    } = swept;
    println!("bodies     {seen} looked at");
    let verb = if dry_run { "would go" } else { "went" };
    println!("swept      {moved} {verb} to {trash}, {moved_bytes} bytes");
    println!("young      {young} that no event names yet, kept");
    if restored > 0 {
        println!("restored   {restored} that an event names");
    }
}
