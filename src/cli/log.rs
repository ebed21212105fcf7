//! `hooklog log`: looks into the log and keeps it safe. Needs no running server.

mod migrate;

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use domain::{Clock as _, DeliveryReceived, EventData, EventLog as _, PageLimit, Position, RecordedEvent};
use indicatif::{ProgressBar, ProgressStyle};
use infra::backup::{self, Report};

use super::{SettingsArgs, block_on};
use crate::clock::SystemClock;
use crate::serve::log::on_cluster;
use crate::settings::{LogBackend, Settings, masked_url};

#[derive(Debug, Subcommand)]
pub(super) enum Log {
    /// Reads the whole log and checks every checksum, position and revision.
    #[command(after_help = "Example: hooklog log verify --data-dir /var/lib/hooklog")]
    Verify(SettingsArgs),
    /// Prints the events of the log in their order.
    #[command(after_help = "Example: hooklog log dump --json --after 1000 --limit 10")]
    Dump {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Prints each event as a line of JSON, its data included.
        #[arg(long)]
        json: bool,
        /// Starts after this position.
        #[arg(long, default_value_t = 0, value_name = "POSITION")]
        after: u64,
        /// Stops after so many events.
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
    },
    /// Copies log, bodies and secrets into an empty directory; the server may run meanwhile.
    #[command(after_help = "Example: hooklog log backup --data-dir /var/lib/hooklog /mnt/backup/2026-11-21")]
    Backup {
        #[command(flatten)]
        settings: SettingsArgs,
        /// An empty directory, or one that does not exist yet.
        target: PathBuf,
    },
    /// Makes a data directory from a backup, after checking every file of it.
    #[command(after_help = "Example: hooklog log restore --data-dir /var/lib/hooklog /mnt/backup/2026-11-21")]
    Restore {
        #[command(flatten)]
        settings: SettingsArgs,
        /// The backup.
        from: PathBuf,
    },
    /// Moves the log into another place, event for event, and the long bodies that it names; goes on where it was stopped.
    #[command(
        after_help = "Example: HOOKLOG_EVENTSTORE_URL=kurrentdb://… HOOKLOG_BODIES__URL=s3://bucket/hooklog \\\n    \
            hooklog log migrate --data-dir /var/lib/hooklog --from embedded --to eventstore"
    )]
    Migrate(migrate::Migrate),
}

impl Log {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Verify(settings) => verify(&embedded(&settings)?.data.dir),
            Self::Dump {
                settings,
                json,
                after,
                limit,
            } => {
                let limit = limit.unwrap_or(usize::MAX);
                let settings = settings.overrides().load()?.settings;
                match dump(&settings, json, Position::new(after), limit) {
                    // `| head` closes the pipe: it has seen enough.
                    Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
                    done => done,
                }
            }
            Self::Backup { settings, target } => make_backup(&embedded(&settings)?, &target),
            Self::Restore { settings, from } => restore(&from, &embedded(&settings)?.data.dir),
            Self::Migrate(migrate) => migrate.run(),
        }
    }
}

/// The settings of a log in a data directory.
fn embedded(args: &SettingsArgs) -> anyhow::Result<Settings> {
    let settings = args.overrides().load()?.settings;
    ensure!(
        settings.log.backend == LogBackend::Embedded,
        "setting log.backend: this command reads the segments of an embedded log, and the log is on EventStoreDB or KurrentDB; use \
         the tools of the cluster, or move the log into a data directory with `hooklog log migrate --from eventstore --to embedded`"
    );
    Ok(settings)
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn verify(data_dir: &Path) -> anyhow::Result<ExitCode> {
    let dir = data_dir.join("log");
    let report = infra::log::verify(&dir).with_context(|| format!("{} can't be checked", dir.display()))?;
    println!("log        {}", report.log_id);
    println!("segments   {}", report.segments);
    println!("batches    {}", report.batches);
    println!("events     {} in {} streams", report.events, report.streams);
    println!("head       {}", report.head);
    println!("bytes      {}", report.bytes);
    if let Some((segment, offset)) = report.unfinished {
        println!(
            "unfinished segment {segment} at offset {offset}: a batch never acknowledged; the next start cuts it"
        );
    }
    let Some(problem) = report.problem else {
        println!("every checksum, position and revision is right");
        return Ok(ExitCode::SUCCESS);
    };
    println!("DAMAGED    {problem}");
    println!("           keep this directory as it is, and restore a backup into another one");
    Ok(ExitCode::FAILURE)
}

fn dump(settings: &Settings, json: bool, after: Position, limit: usize) -> anyhow::Result<ExitCode> {
    let mut out = Printed {
        out: BufWriter::new(io::stdout().lock()),
        json,
    };
    if settings.log.is_shared() {
        settings.check()?;
        block_on(dump_cluster(settings, &mut out, after, limit))?;
    } else {
        let dir = settings.data.dir.join("log");
        let events = infra::log::dump(&dir, after, limit)
            .with_context(|| format!("{} can't be read", dir.display()))?;
        for event in events {
            out.print(&event?)?;
        }
    }
    out.out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn dump_cluster(
    settings: &Settings,
    out: &mut Printed<impl io::Write>,
    mut after: Position,
    limit: usize,
) -> anyhow::Result<()> {
    let log = on_cluster(settings).await?;
    let mut left = limit;
    while left > 0 {
        let page = log.read_all(after, PageLimit::default()).await?;
        let Some(last) = page.events.last() else {
            break;
        };
        after = last.position;
        for event in page.events.iter().take(left) {
            out.print(event)?;
        }
        left = left.saturating_sub(page.events.len());
    }
    log.close().await;
    Ok(())
}

/// Where events are printed, and how.
struct Printed<W> {
    out: W,
    json: bool,
}

impl<W: io::Write> Printed<W> {
    fn print(&mut self, event: &RecordedEvent) -> anyhow::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.out, &json_of(event))?;
            writeln!(self.out)?;
        } else {
            writeln!(self.out, "{}", line_of(event))?;
        }
        Ok(())
    }
}

fn json_of(event: &RecordedEvent) -> serde_json::Value {
    let mut json = serde_json::json!({
        "position": event.position,
        "stream": event.stream,
        "revision": event.revision,
        "id": event.id,
        "type": event.event_type,
        "schema": event.schema,
        "recordedAt": event.recorded_at,
        "duplicateOf": event.duplicate_of,
        "metadata": serde_json::from_slice::<serde_json::Value>(&event.metadata).unwrap_or_default(),
    });
    match &event.data {
        EventData::Inline(data) => set(&mut json, "dataBase64", STANDARD.encode(data).into()),
        EventData::Stored(body) => set(&mut json, "body", serde_json::json!(body)),
    }
    json
}

fn set(json: &mut serde_json::Value, field: &str, value: serde_json::Value) {
    if let Some(fields) = json.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn line_of(event: &RecordedEvent) -> String {
    let Some(Ok(received)) = DeliveryReceived::of(event) else {
        return format!(
            "{:>8}  {}  {}  {}",
            event.position, event.recorded_at, event.event_type, event.stream
        );
    };
    let action = received
        .action
        .map(|action| format!(".{action}"))
        .unwrap_or_default();
    format!(
        "{:>8}  {}  {}{action}  {}  {}  {} bytes{}",
        event.position,
        event.recorded_at,
        received.event,
        received.repository.as_deref().unwrap_or("-"),
        received.key,
        received.body_bytes,
        if event.duplicate_of.is_some() {
            "  duplicate"
        } else {
            ""
        },
    )
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn make_backup(settings: &Settings, target: &Path) -> anyhow::Result<ExitCode> {
    let data_dir = &settings.data.dir;
    let bar = progress("copying");
    let report = backup::backup(data_dir, target, SystemClock.now(), |bytes| bar.inc(bytes))?;
    bar.finish_and_clear();
    println!("backed up {} into {}", data_dir.display(), target.display());
    if !settings.bodies.url.is_empty() {
        println!(
            "NOT in it are the long bodies: they are in {} (setting bodies.url), which needs a backup of its own",
            masked_url(&settings.bodies.url)
        );
    }
    Ok(summary(&report))
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn restore(from: &Path, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let bar = progress("restoring");
    let report = backup::restore(from, data_dir, |bytes| bar.inc(bytes))?;
    bar.finish_and_clear();
    println!("restored {} into {}", from.display(), data_dir.display());
    println!("streams and tables are filled from the log when it is served");
    Ok(summary(&report))
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn summary(report: &Report) -> ExitCode {
    let manifest = &report.manifest;
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    println!(
        "log {} up to position {}, {} files, {bytes} bytes",
        manifest.log_id,
        manifest.head,
        manifest.files.len()
    );
    for body in &report.damaged_bodies {
        println!("DAMAGED body {body}: its bytes are not what its name says");
    }
    if report.damaged_bodies.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn progress(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bytes} ({bytes_per_sec}) {elapsed}");
    let bar = ProgressBar::no_length().with_message(what);
    // The template is a constant; a bar without it still moves.
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(broken)
            || cause
                .downcast_ref::<serde_json::Error>()
                .and_then(serde_json::Error::io_error_kind)
                == Some(io::ErrorKind::BrokenPipe)
    })
}
