//! `hooklog tail`: deliveries as they come in.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;

use super::client::ServerArgs;
use super::events::FilterArgs;
use super::live::{self, Begin, Heard, Live};
use super::row;
use super::table::{cell, clean, field, moment};

/// What to show as it comes in.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hooklog tail --repository octo-org/hello\n  hooklog tail --event push --json | jq .repository\n  hooklog tail --after 0 --changes"
)]
pub(super) struct Tail {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Begins after this position of the log, 0 for its beginning; `<logId>:<position>` makes sure that it is the same log
    /// [default: with what comes in from now on].
    #[arg(long, value_name = "POSITION", value_parser = live::place)]
    after: Option<String>,
    /// Shows what becomes of deliveries, too.
    #[arg(long)]
    changes: bool,
    /// Shows the id of each delivery.
    #[arg(long)]
    ids: bool,
}

impl Tail {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut query = self.filter.query();
        if self.changes {
            query.push(("changes", "true".to_owned()));
        }
        let begin = self.after.clone().map_or(Begin::Now, Begin::Typed);
        let mut live = Live::new(self.server.client()?, query, begin);
        let shown = super::block_on(async {
            loop {
                let heard = live.next().await?;
                match self.print(heard) {
                    // Nobody reads it any more.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                    printed => printed.context("what comes in can't be printed")?,
                }
            }
        });
        shown.or_else(live::wrong_usage)
    }

    fn print(&self, heard: Heard) -> std::io::Result<()> {
        let mut out = anstream::stdout().lock();
        let written = match heard {
            Heard::Delivery(row) | Heard::Change(row) if self.server.json => writeln!(out, "{row}"),
            Heard::Delivery(row) => self.write(&mut out, &row),
            Heard::Change(row) => writeln!(out, "{}", changed(&row)),
            Heard::Further => Ok(()),
            Heard::Lost(_) | Heard::Back | Heard::Gap(_) => {
                aside(&heard);
                Ok(())
            }
        };
        written.and_then(|()| out.flush())
    }

    fn write(&self, out: &mut impl std::io::Write, row: &Value) -> std::io::Result<()> {
        let dim = row::DIM;
        writeln!(out, "{dim}{}{dim:#}  {}", time(row), row::line(row))?;
        if self.ids {
            writeln!(out, "          {dim}{}{dim:#}", clean(&cell(field(row, "id"))))?;
        }
        Ok(())
    }
}

fn time(row: &Value) -> String {
    moment(field(row, "timestamp"))
        .get(11..)
        .unwrap_or("        ")
        .to_owned()
}

fn changed(row: &Value) -> String {
    let (dim, status) = (row::DIM, row::status(row));
    let style = row::style(&status);
    let error = row::error(row).map_or_else(String::new, |error| format!("  {error}"));
    let id = clean(&cell(field(row, "id")));
    format!("          {style}{status:10}{style:#}  {dim}{id}{dim:#}{error}")
}

/// What is no delivery goes to standard error, so that a script sees only those.
pub(super) fn aside(heard: &Heard) {
    let (style, text) = match heard {
        Heard::Lost(why) => (row::WARN, format!("-- {why}; connecting again")),
        Heard::Back => (row::GOOD, "-- connected again; nothing is missing".to_owned()),
        Heard::Gap(why) => (
            row::BAD,
            format!("-- gap: {why}; going on with what comes in from now on"),
        ),
        Heard::Delivery(_) | Heard::Change(_) | Heard::Further => return,
    };
    // Where nobody reads it, nobody misses it.
    let _ = writeln!(anstream::stderr(), "{style}{}{style:#}", clean(&text));
}
