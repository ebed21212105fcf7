//! Deliveries of a status that few have: dead letters, and those that wait or are tried again. All others are processed in the
//! end, and every delivery with a destination was received and processing once.
//!
//! Raw rows that ever said such a status are found by its index; which of them still do is judged by ClickHouse within a
//! window at the end of the table, and the next window is larger as long as the page is short: never the whole table at
//! once, and hardly any rows over the wire. Dead letters have a narrow table of their own for it.

use domain::{DeliveryStatus, Query, TenantId};
use serde::Deserialize;

use super::deliveries::{COLUMNS, Filter, PROJECTION, Row};
use super::newest::{Listed, newest_of};
use super::{Build, Conditions, Store};
use crate::failure::Failure;

/// Candidates of the first window.
const WINDOW_ROWS: usize = 4096;
/// The most candidates of a window.
const WINDOW_ROWS_MAX: usize = 500_000;
/// The most candidates looked at for one page; what they did not give comes with the next page.
const ROWS_READ_MAX: usize = 1_000_000;

/// Where candidates are found, and how they are told.
#[derive(Debug, Clone)]
struct Told {
    table: &'static str,
    column: &'static str,
    /// What fits, of the column; the words are ours, not the caller's.
    condition: String,
}

impl Told {
    fn of(filter: &Filter) -> Self {
        let timed = filter.from.is_some() || filter.until.is_some();
        let dead = filter.statuses.as_deref() == Some(&[DeliveryStatus::Dead]);
        // The narrow table does not know when a delivery was received.
        if dead && !timed {
            return Self {
                table: "dead_letters",
                column: "dead",
                condition: "dead".to_owned(),
            };
        }
        Self {
            table: "deliveries",
            column: "status",
            condition: filter.status_condition().unwrap_or_else(|| "1".to_owned()),
        }
    }
}

/// Whether a filter is of such statuses only.
pub(crate) fn answers(filter: &Filter) -> bool {
    let rare = |statuses: &[DeliveryStatus]| !statuses.contains(&DeliveryStatus::Processed);
    filter.statuses.as_deref().is_some_and(rare)
}

/// Where a window of candidates ends.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Edge {
    /// How many it has.
    seen: u64,
    /// The smallest position among them; 0 when there is none.
    edge: u64,
}

/// The window of so many candidates before a position.
pub(crate) fn edge(build: Build, tenant: &TenantId, filter: &Filter, before: u64, rows: usize) -> Query {
    let told = Told::of(filter);
    let conditions = filter
        .conditions(tenant)
        .with("position < {before:UInt64}", "before", before);
    let sql = format!(
        "SELECT count() AS seen, min(position) AS edge FROM
            (SELECT position FROM {} WHERE {} AND {} ORDER BY tenant DESC, position DESC LIMIT {rows})",
        build.table(told.table),
        conditions.text(),
        told.condition
    );
    conditions.bind(sql)
}

/// The position of a delivery that fits.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Fitting {
    position: u64,
}

/// Those of the candidates in a window, from an edge to before a position, that still fit; the newest so many.
pub(crate) fn fitting(
    build: Build,
    tenant: &TenantId,
    filter: &Filter,
    (edge, before): (u64, u64),
    rows: usize,
) -> Query {
    let Told {
        table,
        column,
        condition,
    } = Told::of(filter);
    let table = build.table(table);
    let window = filter
        .conditions(tenant)
        .with("position >= {edge:UInt64}", "edge", edge)
        .with("position < {before:UInt64}", "before", before);
    let sql = format!(
        "SELECT position FROM
            (SELECT raw.position AS position, argMax(raw.{column}, raw.version) AS {column} FROM
                (SELECT position, version, {column} FROM {table} WHERE {tenant_only} AND position IN
                    (SELECT position FROM {table} WHERE {} AND {condition})) AS raw
             GROUP BY raw.position)
         WHERE {condition} ORDER BY position DESC LIMIT {rows}",
        window.text(),
        tenant_only = Conditions::of(tenant).text(),
    );
    window.bind(sql)
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
    /// Reads the deliveries that fit a filter of rare statuses backwards from before a position.
    pub(crate) async fn list_rare(
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
        // Between the two statements, and between two tables that are written one after the other, a delivery may get well.
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
                .ask_one(PROJECTION, |build| edge(build, tenant, filter, before, window))
                .await?;
            if at.seen == 0 {
                return Ok((found, None));
            }
            let (span, wanted) = ((at.edge, before), needed - found.len());
            let here: Vec<Fitting> = self
                .ask(PROJECTION, |build| fitting(build, tenant, filter, span, wanted))
                .await?;
            found.extend(here.iter().map(|fitting| fitting.position));
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use bytes::Bytes;
    use domain::{LogId, Rows, TableError, Tables};
    use serde_json::json;

    use super::*;
    use crate::ApiOptions;

    /// Positions of candidates, the greatest first, each with whether it still fits; answers as ClickHouse would.
    struct Candidates {
        all: Vec<(u64, bool)>,
        statements: Mutex<usize>,
        /// Got well between the two statements.
        well: Option<u64>,
    }

    fn number(query: &Query, name: &str) -> u64 {
        let found = query.params.iter().find(|(param, _)| *param == name);
        found.unwrap().1.parse().unwrap()
    }

    fn limit(sql: &str) -> usize {
        let (_, rest) = sql.rsplit_once("LIMIT ").unwrap();
        rest.trim_end_matches(')').parse().unwrap()
    }

    impl Candidates {
        fn answer(&self, query: &Query) -> Vec<serde_json::Value> {
            *self.statements.lock().unwrap() += 1;
            let sql = query.sql.as_str();
            if let Some((_, list)) = sql
                .split_once("position IN (")
                .filter(|_| sql.contains("received_us"))
            {
                let list = list.split(')').next().unwrap();
                let positions = list.split(", ").map(|p| p.parse::<u64>().unwrap());
                return positions.map(|position| self.row(position)).collect();
            }
            let before = number(query, "before");
            let beyond = self.all.iter().filter(|(position, _)| *position < before);
            if sql.contains("AS edge") {
                let window: Vec<u64> = beyond.map(|(p, _)| *p).take(limit(sql)).collect();
                return vec![json!({"seen": window.len(), "edge": window.last().unwrap_or(&0)})];
            }
            let edge = number(query, "edge");
            let here = beyond.filter(|(position, fits)| *position >= edge && *fits);
            here.take(limit(sql))
                .map(|(p, _)| json!({"position": p}))
                .collect()
        }

        fn row(&self, position: u64) -> serde_json::Value {
            let status = if self.well == Some(position) {
                "processed"
            } else {
                "dead"
            };
            json!({"position": position, "version": position, "id": "x", "delivery_id": "", "hook_id": "", "source": "",
                "repository": "", "event": "", "action": "", "sender": "", "received_us": 0, "status": status,
                "attempts": 1, "processing_ms": null, "error": "", "error_code": "", "retryable": null,
                "error_destination": "", "failed_us": null, "duplicate_of": ""})
        }
    }

    #[async_trait]
    impl Tables for Candidates {
        async fn execute(&self, _: &Query) -> Result<(), TableError> {
            Ok(())
        }

        async fn insert(&self, _: &str, _: Rows) -> Result<(), TableError> {
            Ok(())
        }

        async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
            if query.sql.contains("projection_builds") {
                let id = uuid::Uuid::nil();
                let row = json!({"projection": "deliveries", "schema": 1, "build": 1, "log_id": id});
                return Ok(row.to_string().into());
            }
            let rows: Vec<String> = self.answer(query).iter().map(ToString::to_string).collect();
            Ok(rows.join("\n").into())
        }
    }

    async fn list(tables: Candidates, before: u64, needed: usize) -> (Listed<Row, u64>, usize) {
        let log_id = LogId::new(uuid::Uuid::nil());
        let tables = Arc::new(tables);
        let store = Store::new(Arc::<Candidates>::clone(&tables), log_id, &ApiOptions::default());
        let filter = Filter {
            statuses: Some(vec![DeliveryStatus::Dead]),
            ..Filter::default()
        };
        let listed = store
            .list_rare(&TenantId::default(), &filter, before, needed)
            .await
            .unwrap();
        let statements = *tables.statements.lock().unwrap();
        (listed, statements)
    }

    fn candidates(count: u64, fits: fn(u64) -> bool) -> Candidates {
        Candidates {
            all: (1..=count).rev().map(|p| (p, fits(p))).collect(),
            statements: Mutex::default(),
            well: None,
        }
    }

    fn positions(listed: &Listed<Row, u64>) -> Vec<u64> {
        listed.rows.iter().map(|row| row.position).collect()
    }

    #[tokio::test]
    async fn what_is_well_again_is_passed_over_in_growing_windows() {
        let (listed, statements) = list(candidates(100_000, |p| p % 30_000 == 0), u64::MAX, 10).await;
        assert_eq!(positions(&listed), [90_000, 60_000, 30_000]);
        assert_eq!(listed.reached, None, "the end was seen");
        assert_eq!(statements, 7, "three windows and the rows");
        let (listed, statements) = list(candidates(100_000, |_| true), 51, 3).await;
        assert_eq!((positions(&listed), statements), (vec![50, 49, 48], 3));
    }

    #[tokio::test]
    async fn looking_for_what_hardly_is_any_more_is_given_up_and_can_go_on() {
        let (listed, _) = list(candidates(3_000_000, |p| p == 5), u64::MAX, 10).await;
        assert!(listed.rows.is_empty());
        let reached = listed.reached.unwrap();
        assert!((5..2_100_000).contains(&reached), "{reached}");
    }

    #[tokio::test]
    async fn a_page_from_which_one_got_well_goes_on_after_it() {
        let tables = Candidates {
            well: Some(8),
            ..candidates(10, |_| true)
        };
        let (listed, _) = list(tables, u64::MAX, 3).await;
        assert_eq!((positions(&listed), listed.reached), (vec![10, 9], Some(8)));
    }

    #[tokio::test]
    async fn where_there_is_none_one_statement_says_so() {
        let (listed, statements) = list(candidates(0, |_| true), u64::MAX, 3).await;
        assert!(listed.rows.is_empty() && listed.reached.is_none());
        assert_eq!(statements, 1);
    }
}
