//! Comparing a build with a fold of the log, while both go on.
//!
//! Nothing is stopped for it. The fold is taken up to the position that the build had reached when it began to be read, and
//! then goes on, event by event: a row is right if it is what the log says at that position or at any later one. So what
//! workers, of whatever process, write meanwhile is never taken for an error, and what should have been there before is
//! never excused. Memory is bounded: where the digests of all rows don't fit, they are compared part by part, with a pass
//! over the log for each. It writes nothing.

use bytes::Bytes;
use domain::{Position, TableError};
use serde::Deserialize;

use super::Worker;
use super::board::Watch;
use super::open::{OpenError, Projection};
use crate::builds::{BuildRow, newest_active, plan};
use crate::causes::with_causes;
use crate::models::{FoldedRow, rows_of};
use crate::progress;
use crate::verify::digest::{Digest, Expected, Key, ROW_BYTES, Standing};
use crate::verify::layout::Layout;
use crate::verify::{VerifyError, VerifyReport};
use fold::{Fold, Sink};

mod again;
mod describe;
mod fold;

/// Events folded before others get their turn.
const PIECE_EVENTS: usize = 2000;
/// Rows set aside that may only be newer than the fold, before the fold goes on.
const ASIDE_MAX: usize = 5000;
/// Rows that differ before the rest is not looked at any more.
const ENOUGH: u64 = 1000;
/// The most parts that the rows are compared in.
const PARTS_MAX: u32 = 4096;

/// One comparison.
struct Comparison<'a> {
    worker: &'a Worker,
    projection: &'a Projection,
    row: &'a BuildRow,
    layouts: Vec<Layout>,
    watch: Watch,
    /// Rows in the tables, for the progress.
    rows_about: u64,
}

/// A row of a table that is not what the fold says, so far.
struct Aside {
    table: usize,
    identity: Vec<String>,
    digest: Digest,
    row: FoldedRow,
}

impl Aside {
    fn order(&self) -> (usize, Vec<(Option<u128>, &str)>) {
        (self.table, Layout::order(&self.identity))
    }
}

#[derive(Default)]
struct Findings {
    /// Rows found, by table.
    rows: Vec<u64>,
    differences: u64,
    /// The first row that differs, or should not be there.
    odd: Option<Aside>,
    /// Rows that are missing: not more than will do.
    missing: Vec<Key>,
    /// The position that everything was compared up to.
    position: Option<Position>,
    /// And the latest that any part was.
    latest: Position,
}

/// Why a pass ends early.
enum Halt {
    /// More rows than may be held.
    Full,
    Error(VerifyError),
}

impl<E> From<E> for Halt
where
    VerifyError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

#[derive(Deserialize)]
struct Count {
    rows: u64,
}

impl Worker {
    /// Compares the build of a projection that is asked.
    pub(super) async fn verify_active(&self, projection: &Projection) -> Result<VerifyReport, VerifyError> {
        let _one_at_a_time = self.comparing.try_acquire().map_err(|_| VerifyError::UnderWay)?;
        let facts = &projection.facts;
        let (rows, existing) = (self.builds.rows(facts.name).await?, self.builds.existing().await?);
        let plan = plan(&rows, facts.schema, facts.tables, self.builds.log_id, &existing);
        if let Some(building) = plan.building {
            return Err(VerifyError::Rebuilding(building.build));
        }
        let row = plan.active.ok_or(VerifyError::NotBuilt)?;
        let compared = self.compare(projection, &row).await;
        let rows = self.builds.rows(facts.name).await?;
        if newest_active(&rows).map(|newest| newest.incarnation) != Some(row.incarnation) {
            return Err(VerifyError::Replaced);
        }
        let report = compared?;
        self.board.verified(facts.name, report.clone());
        Ok(report)
    }

    /// Compares a build that has caught up, before it is asked. Waits for as long as log and store take.
    ///
    /// # Errors
    /// When it can't be compared at all.
    pub(super) async fn compare_new(
        &self,
        projection: &Projection,
        row: &BuildRow,
    ) -> Result<VerifyReport, TableError> {
        let mut backoff = self.backoff();
        loop {
            let compared = {
                let _one_at_a_time = self.comparing.acquire().await;
                self.compare(projection, row).await
            };
            match compared {
                Ok(report) => return Ok(report),
                Err(later) if later.retry() => {
                    let why = with_causes(&later);
                    tracing::warn!(
                        projection = row.projection,
                        build = row.build,
                        error = why,
                        "projection_not_compared: trying again"
                    );
                    self.board.not_compared(row, &why);
                    backoff.wait().await;
                }
                Err(VerifyError::Tables(refused)) => return Err(refused),
                Err(other) => return Err(TableError::Refused(with_causes(&other))),
            }
        }
    }

    async fn compare(&self, projection: &Projection, row: &BuildRow) -> Result<VerifyReport, VerifyError> {
        let mut comparison = Comparison {
            worker: self,
            projection,
            row,
            layouts: projection.facts.tables.iter().map(Layout::of).collect(),
            watch: self.board.watch(row),
            rows_about: 0,
        };
        let report = comparison.run().await?;
        let equal = report.is_equal();
        metrics::counter!("hooklog_projection_verified_total", "projection" => row.projection.clone(), "equal" => equal.to_string())
            .increment(1);
        let (name, build) = (&report.projection, report.build);
        match &report.first_difference {
            None => {
                tracing::info!(projection = %name, build, position = %report.position, rows = report.rows, "projection_equals_the_log")
            }
            Some(first) => {
                tracing::error!(projection = %name, build, differences = report.differences, %first, "projection_differs_from_the_log");
            }
        }
        Ok(report)
    }
}

impl Comparison<'_> {
    async fn run(&mut self) -> Result<VerifyReport, VerifyError> {
        for layout in &self.layouts {
            let count = Layout::count(&self.row.table(layout.name));
            let counted: Vec<Count> = self.worker.tables.query(&count).await?;
            self.rows_about += counted.first().map_or(0, |count| count.rows);
        }
        let rows_max = self.rows_max() as u64;
        let mut parts = u32::try_from(self.rows_about.div_ceil(rows_max))
            .unwrap_or(PARTS_MAX)
            .max(1);
        loop {
            if parts > PARTS_MAX {
                return Err(VerifyError::TooBusy);
            }
            match self.all_parts(parts).await {
                Ok((findings, passes)) => return self.report(findings, passes).await,
                Err(Halt::Full) => parts = parts.saturating_mul(2),
                Err(Halt::Error(error)) => return Err(error),
            }
        }
    }

    fn rows_max(&self) -> usize {
        usize::try_from(self.worker.options.verify_memory_bytes_max / ROW_BYTES)
            .unwrap_or(usize::MAX)
            .max(1)
    }

    async fn all_parts(&self, parts: u32) -> Result<(Findings, u32), Halt> {
        let mut findings = Findings {
            rows: vec![0; self.layouts.len()],
            ..Findings::default()
        };
        for part in 0..parts {
            self.watch.part(part, parts);
            self.one_part(part, parts, &mut findings).await?;
            if findings.differences >= ENOUGH {
                return Ok((findings, part + 1));
            }
        }
        Ok((findings, parts))
    }

    async fn one_part(&self, part: u32, parts: u32, findings: &mut Findings) -> Result<(), Halt> {
        let mut fold = self.fold(part, parts, Sink::Digests(Expected::default()));
        let mut upto = self.reached().await?;
        // A long pass leaves much to fold event by event afterwards: first go on to where the build is by now. What a short one
        // leaves is not worth another, and a busy log would leave some for ever.
        while self.feed(&mut fold, upto, false).await? > PIECE_EVENTS {
            upto = self.reached().await?;
        }
        findings.position = findings.position.or(Some(upto));
        findings.latest = upto;
        let mut aside = Vec::new();
        for table in 0..self.layouts.len() {
            self.read_table(table, &mut fold, &mut aside, findings).await?;
            if findings.differences >= ENOUGH {
                return Ok(());
            }
        }
        self.settle(&mut fold, &mut aside, findings).await?;
        if let Sink::Digests(expected) = &fold.sink {
            for key in expected.missing() {
                findings.differences += 1;
                if findings.missing.len() < ASIDE_MAX {
                    findings.missing.push(key);
                }
            }
        }
        Ok(())
    }

    /// The position that the build holds everything up to, in every partition.
    async fn reached(&self) -> Result<Position, VerifyError> {
        let reached = progress::read(self.worker.tables.as_ref(), self.row).await?;
        let Some(reached) = progress::whole(self.row, Some(&reached)) else {
            return Ok(Position::START);
        };
        match self.worker.still_in_log(reached).await {
            Ok(()) => Ok(reached.upto),
            Err(OpenError::Tables(error) | OpenError::Control(error)) => Err(error.into()),
            Err(OpenError::Log(error)) => Err(error.into()),
            Err(OpenError::Diverged { upto }) => Err(VerifyError::Diverged(upto)),
            Err(OpenError::NewerSchema(_)) => Err(VerifyError::NotBuilt),
        }
    }

    /// Reads a table from its first row to its last.
    async fn read_table(
        &self,
        table: usize,
        fold: &mut Fold,
        aside: &mut Vec<Aside>,
        findings: &mut Findings,
    ) -> Result<(), Halt> {
        let Some(layout) = self.layouts.get(table) else {
            return Ok(());
        };
        let (real, page_rows) = (
            self.row.table(layout.name),
            self.worker.options.verify_page_rows.max(1),
        );
        let mut after: Option<Vec<String>> = None;
        loop {
            let query = layout.page(&real, after.as_deref(), page_rows);
            let page: Bytes = self.worker.tables.query_json(&query).await?;
            let mut read = 0;
            for row in rows_of(layout.name, &page) {
                let row = row?;
                read += 1;
                let digest = Digest::of(layout, &row)?;
                after = Some(layout.identity(&row)?);
                if digest.part(fold.parts) != fold.part {
                    continue;
                }
                if let Some(rows) = findings.rows.get_mut(table) {
                    *rows += 1;
                }
                if fold.judge(&digest) != Standing::Right {
                    let identity = after.clone().unwrap_or_default();
                    aside.push(Aside {
                        table,
                        identity,
                        digest,
                        row,
                    });
                }
            }
            self.watch.rows(read as u64, self.rows_about);
            if aside.len() >= ASIDE_MAX {
                self.settle(fold, aside, findings).await?;
            }
            if read < page_rows || findings.differences >= ENOUGH {
                return Ok(());
            }
        }
    }

    /// Lets the fold go on to the end of the log, by which time it must have come to what the tables held before.
    async fn settle(
        &self,
        fold: &mut Fold,
        aside: &mut Vec<Aside>,
        findings: &mut Findings,
    ) -> Result<(), Halt> {
        if aside.is_empty() {
            return Ok(());
        }
        let head = self.worker.log.head().await?;
        self.feed(fold, head, true).await?;
        aside.retain(|one| fold.judge(&one.digest) != Standing::Right);
        if self.row.partitions > 1 && !aside.is_empty() {
            self.read_again(fold, aside).await?;
        }
        for one in aside.drain(..) {
            findings.differences += 1;
            let first = findings.odd.as_ref();
            if first.is_none_or(|first| one.order() < first.order()) {
                findings.odd = Some(one);
            }
        }
        Ok(())
    }
}
