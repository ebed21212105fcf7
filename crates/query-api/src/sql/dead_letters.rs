//! Dead letters: which deliveries they are says a narrow table of their own; their rows are those of deliveries.
//!
//! Most that were ever given up may be well again. Which ones are dead is judged by ClickHouse within a window at the end of
//! the table, and the next window is larger as long as the page is short: never the whole table at once, and hardly any rows
//! over the wire.

use domain::{DeliveryStatus, Query, TenantId};
use serde::Deserialize;

use super::deliveries::{COLUMNS, Filter, PROJECTION, Row};
use super::newest::{Listed, newest_of};
use super::{Build, Conditions, Store};
use crate::failure::Failure;

/// Rows of the first window.
const WINDOW_ROWS: usize = 4096;
/// The most rows of a window.
const WINDOW_ROWS_MAX: usize = 2_000_000;
/// The most rows looked at for one page; what they did not give comes with the next page.
const ROWS_READ_MAX: usize = 4_000_000;

/// Where a window ends.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Edge {
    /// How many rows it has.
    seen: u64,
    /// The smallest position in it; 0 when it is empty.
    edge: u64,
}

/// A delivery that was given up.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Dead {
    position: u64,
}

/// Whether a filter is about dead letters only, by facts that their table has.
pub(crate) fn answers(filter: &Filter) -> bool {
    let dead = |statuses: &[DeliveryStatus]| statuses == [DeliveryStatus::Dead];
    filter.statuses.as_deref().is_some_and(dead) && filter.from.is_none() && filter.until.is_none()
}

fn before(tenant: &TenantId, before: u64) -> Conditions {
    Conditions::of(tenant).with("position < {before:UInt64}", "before", before)
}

/// The window of so many raw rows before a position.
pub(crate) fn edge(build: Build, tenant: &TenantId, position: u64, rows: usize) -> Query {
    let conditions = before(tenant, position);
    let sql = format!(
        "SELECT count() AS seen, min(position) AS edge FROM
            (SELECT position FROM {} WHERE {} ORDER BY tenant DESC, position DESC LIMIT {rows})",
        build.table("dead_letters"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// Those that are dead, and fit, in the window between an edge and a position; the newest so many.
pub(crate) fn dead(
    build: Build,
    tenant: &TenantId,
    filter: &Filter,
    window: (u64, u64),
    rows: usize,
) -> Query {
    let conditions = filter
        .conditions(tenant)
        .with("position >= {edge:UInt64}", "edge", window.0)
        .with("position < {before:UInt64}", "before", window.1)
        .and("dead");
    let sql = format!(
        "SELECT position FROM {} FINAL WHERE {} ORDER BY tenant DESC, position DESC LIMIT {rows}",
        build.table("dead_letters"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// The rows of deliveries by position, any version of each.
pub(crate) fn rows(build: Build, tenant: &TenantId, positions: &[u64]) -> Query {
    let list: Vec<String> = positions.iter().map(u64::to_string).collect();
    let conditions = Conditions::of(tenant).and(&format!("position IN ({})", list.join(", ")));
    let sql = format!(
        "SELECT {COLUMNS} FROM {} WHERE {} ORDER BY tenant DESC, position DESC",
        build.table("deliveries"),
        conditions.text()
    );
    conditions.bind(sql)
}

impl Store {
    /// Reads the dead letters that fit a filter backwards from before a position.
    pub(crate) async fn list_dead(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        before: u64,
        needed: usize,
    ) -> Result<Listed<Row, u64>, Failure> {
        let (found, mut reached) = self.positions(tenant, filter, before, needed).await?;
        if found.is_empty() {
            return Ok(Listed {
                rows: Vec::new(),
                reached,
            });
        }
        let raw: Vec<Row> = self.ask(PROJECTION, |build| rows(build, tenant, &found)).await?;
        // The two tables are written one after the other: what the one says is dead may be well again in the other.
        let rows: Vec<Row> = newest_of(raw)
            .into_values()
            .filter(|row| filter.fits(row))
            .collect();
        if found.len() >= needed && rows.len() < needed {
            reached = found.last().copied();
        }
        Ok(Listed { rows, reached })
    }

    /// Their positions, the greatest first, and where looking for them was given up, if it was.
    async fn positions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        before: u64,
        needed: usize,
    ) -> Result<(Vec<u64>, Option<u64>), Failure> {
        let (mut before, mut window, mut read) = (before, WINDOW_ROWS, 0);
        let mut found: Vec<u64> = Vec::new();
        loop {
            let at: Edge = self
                .ask_one(PROJECTION, |build| edge(build, tenant, before, window))
                .await?;
            if at.seen == 0 {
                return Ok((found, None));
            }
            let wanted = needed - found.len();
            let span = (at.edge, before);
            let here: Vec<Dead> = self
                .ask(PROJECTION, |build| dead(build, tenant, filter, span, wanted))
                .await?;
            found.extend(here.iter().map(|dead| dead.position));
            let ended = usize::try_from(at.seen).is_ok_and(|seen| seen < window);
            if ended || found.len() >= needed {
                return Ok((found, None));
            }
            before = at.edge;
            read += window;
            if read >= ROWS_READ_MAX {
                return Ok((found, Some(before)));
            }
            window = (window * 8).min(WINDOW_ROWS_MAX);
        }
    }
}
