//! What a read model is: tables, and a pure function from events to their rows.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::{DeliveryOutcome, DeliveryReceived, RecordedEvent, Rows, TableError};

/// An event on its way into the read models, its metadata read once for all of them.
#[derive(Debug, Clone)]
pub struct Projected {
    /// The event.
    pub event: RecordedEvent,
    /// Its facts, when it is a `DeliveryReceived`.
    pub received: Option<DeliveryReceived>,
    /// What became of a delivery, when it says so.
    pub outcome: Option<DeliveryOutcome>,
    /// The JSON payload, when a model asked for it and the body has one.
    pub payload: Option<Bytes>,
}

impl Projected {
    /// Reads an event's metadata; the payload is put in by whoever has it. Facts that can't be read are left out, and it is
    /// said why.
    #[must_use]
    pub fn of(event: RecordedEvent) -> (Self, Option<serde_json::Error>) {
        let (received, unreadable) = split(DeliveryReceived::of(&event));
        let (outcome, unreadable_outcome) = split(DeliveryOutcome::of(&event));
        let projected = Self {
            event,
            received,
            outcome,
            payload: None,
        };
        (projected, unreadable.or(unreadable_outcome))
    }
}

fn split<T, E>(read: Option<Result<T, E>>) -> (Option<T>, Option<E>) {
    match read {
        Some(Ok(facts)) => (Some(facts), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    }
}

/// A table of a read model. The real name is `<name>_s<schema>_b<build>`.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The name without schema and build.
    pub name: &'static str,
    /// Columns, engine and order: what follows `CREATE TABLE IF NOT EXISTS hooklog.<real name>`.
    pub definition: &'static str,
}

/// A stable view for SQL and Grafana.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// The name, fixed for ever.
    pub name: &'static str,
    /// The `SELECT`, with `{table}` where the real name of a table `table` goes; the database is put before it.
    pub select: &'static str,
}

/// Rows per table, to be written before the progress row, or to be compared with what was written.
#[derive(Debug, Default)]
pub struct RowBatch {
    rows: BTreeMap<&'static str, Rows>,
    /// The rows as text, where they are not for the tables.
    lines: Option<BTreeMap<&'static str, Vec<u8>>>,
}

impl RowBatch {
    /// A batch to be read instead of written: its rows are JSON.
    #[must_use]
    pub fn readable() -> Self {
        Self {
            lines: Some(BTreeMap::new()),
            ..Self::default()
        }
    }

    /// Adds a row to a table of the model.
    ///
    /// # Errors
    /// When the row can't be encoded.
    pub fn push<T: serde::Serialize>(&mut self, table: &'static str, row: &T) -> Result<(), TableError> {
        if let Some(lines) = &mut self.lines {
            let lines = lines.entry(table).or_default();
            serde_json::to_writer(&mut *lines, row)?;
            lines.push(b'\n');
            return Ok(());
        }
        self.rows.entry(table).or_default().push(row)
    }

    /// Takes out the rows of the tables that have at least so many.
    pub(crate) fn take_large(&mut self, rows_min: usize) -> Self {
        let large = self.rows.extract_if(.., |_, rows| rows.len() >= rows_min);
        Self {
            rows: large.collect(),
            lines: None,
        }
    }

    /// Whether a table has at least so many rows.
    pub(crate) fn has_large(&self, rows_min: usize) -> bool {
        self.rows.values().any(|rows| rows.len() >= rows_min)
    }

    /// How many bytes the rows for the tables take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.values().map(Rows::bytes).sum()
    }

    /// The rows of a readable batch, by table name without schema and build: one JSON object a line.
    #[must_use]
    pub fn into_lines(self) -> BTreeMap<&'static str, Vec<u8>> {
        self.lines.unwrap_or_default()
    }

    /// The rows, by table name without schema and build.
    #[must_use]
    pub fn into_rows(self) -> BTreeMap<&'static str, Rows> {
        self.rows
    }
}

/// What is fixed for the life of a build, and kept in its row of `hooklog.projection_builds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildShape {
    /// Positions per block: `position / block_size` is the block of an event.
    pub block_size: u64,
    /// Partitions that streams are spread over ([`domain::StreamName::partition`]).
    pub partitions: u32,
}

impl Default for BuildShape {
    fn default() -> Self {
        Self {
            block_size: 8192,
            partitions: 1,
        }
    }
}

/// Makes a fresh read model, its folds empty, for a build of that shape. The runner makes one for every build and after
/// every restart of one, so that within the life of a model positions only ever grow.
pub type ModelFactory = std::sync::Arc<dyn Fn(BuildShape) -> Box<dyn ReadModel> + Send + Sync>;

/// A read model. Its rows depend on the events alone, not on their order beyond the log's, nor on how they were cut
/// into batches; writing a row twice changes nothing.
///
/// A rollup holds the fold of the current block of positions (`position / block_size`) and writes that block's
/// rows anew, absolute, whenever a batch adds to it. The runner therefore always starts a model at the first position
/// of a block; it may feed events again that were projected before.
pub trait ReadModel: Send {
    /// The name of the projection.
    fn name(&self) -> &'static str;

    /// Version of the tables' shape.
    fn schema(&self) -> u16;

    /// The tables.
    fn tables(&self) -> &'static [Table];

    /// The views over them.
    fn views(&self) -> &'static [View];

    /// Whether it needs the JSON payload of a delivery.
    fn wants_payload(&self, received: &DeliveryReceived) -> bool;

    /// Takes the next events, in log order. Rows that stand for themselves are given at once, sums when
    /// [`ReadModel::finish`] asks for them.
    ///
    /// # Errors
    /// When a row can't be encoded, which is a defect; bad payloads are not errors, they give no row.
    fn take(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError>;

    /// Gives the rows of all sums that changed since the last time: once for a batch, however many pieces its events came in,
    /// as a row that the next piece changes again is written for nothing.
    ///
    /// # Errors
    /// When a row can't be encoded, which is a defect.
    fn finish(&mut self, rows: &mut RowBatch) -> Result<(), TableError> {
        let _no_sums = rows;
        Ok(())
    }

    /// Projects the next events, in log order, into rows: a batch of one piece.
    ///
    /// # Errors
    /// When a row can't be encoded, which is a defect.
    fn project(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError> {
        self.take(events, rows)?;
        self.finish(rows)
    }
}
