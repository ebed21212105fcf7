//! Reading a list backwards without a scan, from a table that may hold several versions of a row.
//!
//! ClickHouse reads backwards along the sort order and stops after a number of rows as long as nothing but the sort order
//! is asked for. `FINAL`, `LIMIT 1 BY` and a sort by version as well make it read everything (measured on 5 million rows:
//! 8 ms against 200 to 900 ms). So a window of raw rows is read, the newest version of each is taken here, and if that
//! gave too few rows, the next window follows.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use domain::Query;
use serde::de::DeserializeOwned;

use super::{Build, Store};
use crate::failure::Failure;

/// The most raw rows read for one page; what they did not give comes with the next page.
const ROWS_READ_MAX: usize = 200_000;
/// The most raw rows of one window.
const WINDOW_ROWS_MAX: usize = 50_000;

/// A row of which there may be several versions.
pub(crate) trait Versioned {
    /// What orders the list and names the row.
    type Key: Ord + Clone + Send + Sync;
    /// What orders the versions.
    type Version: Ord;

    /// The key.
    fn key(&self) -> Self::Key;
    /// The version.
    fn version(&self) -> Self::Version;
}

/// What was read of a list.
#[derive(Debug)]
pub(crate) struct Listed<R, K> {
    /// The newest versions that fit, the greatest key first; at most as many as were needed.
    pub(crate) rows: Vec<R>,
    /// Set when reading was given up before enough rows were found: go on before this key.
    pub(crate) reached: Option<K>,
}

/// How a list is read.
pub(crate) struct Listing<S, F> {
    /// The projection.
    pub(crate) projection: &'static str,
    /// How many rows are wanted.
    pub(crate) needed: usize,
    /// The statement for so many raw rows before a key, in the order of the keys, backwards.
    pub(crate) statement: S,
    /// Whether the newest version of a row fits.
    pub(crate) fits: F,
}

impl Store {
    /// Reads a list backwards from before a key.
    pub(crate) async fn list<R, S, F>(
        &self,
        before: R::Key,
        listing: Listing<S, F>,
    ) -> Result<Listed<R, R::Key>, Failure>
    where
        R: Versioned + DeserializeOwned,
        S: Fn(Build, R::Key, usize) -> Query + Send + Sync,
        F: Fn(&R) -> bool + Send + Sync,
    {
        let Listing {
            projection,
            needed,
            statement,
            fits,
        } = listing;
        let (mut before, mut read, mut rows) = (before, 0, Vec::new());
        // A row lately written has two or three versions, until they are merged; some slack saves the second window.
        let mut window = (2 * needed + needed / 4 + 16).min(WINDOW_ROWS_MAX);
        loop {
            let raw: Vec<R> = self
                .ask(projection, |build| statement(build, before.clone(), window))
                .await?;
            let full = raw.len() >= window;
            read += raw.len();
            let mut newest = newest_of(raw);
            // The window may end amid the versions of its last row: that one belongs to the next window, which has to be
            // larger when there is no other row in this one.
            if full && newest.len() == 1 && window < WINDOW_ROWS_MAX {
                window = (window * 4).min(WINDOW_ROWS_MAX);
                continue;
            }
            if full && newest.len() > 1 {
                newest.pop_last();
            }
            if let Some((Reverse(last), _)) = newest.last_key_value() {
                before = last.clone();
            }
            rows.extend(newest.into_values().filter(|row| fits(row)));
            if !full || rows.len() >= needed {
                rows.truncate(needed);
                return Ok(Listed { rows, reached: None });
            }
            if read >= ROWS_READ_MAX {
                return Ok(Listed {
                    rows,
                    reached: Some(before),
                });
            }
            window = (window * 4).min(WINDOW_ROWS_MAX);
        }
    }
}

/// The newest version of each row, the greatest key first.
pub(crate) fn newest_of<R: Versioned>(raw: Vec<R>) -> BTreeMap<Reverse<R::Key>, R> {
    let mut newest: BTreeMap<Reverse<R::Key>, R> = BTreeMap::new();
    for row in raw {
        match newest.entry(Reverse(row.key())) {
            Entry::Vacant(vacant) => {
                vacant.insert(row);
            }
            Entry::Occupied(mut known) if known.get().version() < row.version() => {
                known.insert(row);
            }
            Entry::Occupied(_) => {}
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use domain::{LogId, Rows, TableError, Tables};
    use serde::Deserialize;

    use super::*;
    use crate::ApiOptions;

    #[derive(Debug, Clone, PartialEq, Deserialize)]
    struct Row {
        key: u64,
        version: u64,
    }

    impl Versioned for Row {
        type Key = u64;
        type Version = u64;

        fn key(&self) -> u64 {
            self.key
        }

        fn version(&self) -> u64 {
            self.version
        }
    }

    /// Answers `before|rows` as ClickHouse would, from rows in the order of the keys, backwards.
    struct Backwards(Vec<(u64, u64)>);

    #[async_trait]
    impl Tables for Backwards {
        async fn execute(&self, _: &Query) -> Result<(), TableError> {
            Ok(())
        }

        async fn insert(&self, _: &str, _: Rows) -> Result<(), TableError> {
            Ok(())
        }

        async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
            let Some((before, rows)) = query.sql.split_once('|') else {
                let id = uuid::Uuid::nil();
                return Ok(format!(r#"{{"projection":"p","schema":1,"build":1,"log_id":"{id}"}}"#).into());
            };
            let (before, rows): (u64, usize) = (before.parse().unwrap(), rows.parse().unwrap());
            let fitting = self.0.iter().filter(|(key, _)| *key < before).take(rows);
            let lines: Vec<String> = fitting
                .map(|(key, version)| format!(r#"{{"key":{key},"version":{version}}}"#))
                .collect();
            Ok(lines.join("\n").into())
        }
    }

    async fn list(rows: Vec<(u64, u64)>, needed: usize, fits: fn(&Row) -> bool) -> Listed<Row, u64> {
        let log_id = LogId::new(uuid::Uuid::nil());
        let store = Store::new(Arc::new(Backwards(rows)), log_id, &ApiOptions::default());
        let listing = Listing {
            projection: "p",
            needed,
            statement: |_, before: u64, rows| Query::new(format!("{before}|{rows}")),
            fits,
        };
        store.list(u64::MAX, listing).await.unwrap()
    }

    #[tokio::test]
    async fn only_the_newest_version_of_a_row_is_listed_wherever_windows_end() {
        // Up to 40 versions of each of 100 rows, in any order within a row.
        let mut rows = Vec::new();
        for key in (1..=100_u64).rev() {
            let versions = key * 7 % 40 + 1;
            rows.extend((1..=versions).map(|v| (key, if v % 2 == 0 { v } else { versions + 1 - v })));
            rows.push((key, 1000 + key));
        }
        for needed in [1, 2, 7, 50, 99, 100, 101, 500] {
            let listed = list(rows.clone(), needed, |_| true).await;
            let wanted: Vec<Row> = (1..=100_u64)
                .rev()
                .take(needed)
                .map(|key| Row {
                    key,
                    version: 1000 + key,
                })
                .collect();
            assert_eq!(listed.rows, wanted, "{needed} rows");
            assert_eq!(listed.reached, None);
        }
    }

    #[tokio::test]
    async fn a_row_with_more_versions_than_a_window_is_read_whole() {
        let rows: Vec<_> = (0..500).map(|version| (9, version)).chain([(8, 1)]).collect();
        let listed = list(rows, 1, |_| true).await;
        assert_eq!(listed.rows, [Row { key: 9, version: 499 }]);
    }

    #[tokio::test]
    async fn reading_for_what_hardly_ever_fits_is_given_up_and_can_go_on() {
        let rows: Vec<_> = (1..=300_000).rev().map(|key| (key, 1)).collect();
        let listed = list(rows, 10, |row| row.key == 5).await;
        assert!(listed.rows.is_empty());
        let reached = listed.reached.unwrap();
        assert!((5..110_000).contains(&reached), "{reached}");
    }
}
