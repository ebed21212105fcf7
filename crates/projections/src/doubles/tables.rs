//! The read store in memory, with faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Query, Rows, TableError, Tables, Timestamp};
use serde_json::{Value, json};

use super::Dice;

/// Tables with the replacing engine, as ClickHouse has them, and a record of what was done.
pub(crate) struct FakeTables {
    state: Mutex<TablesState>,
}

pub(crate) struct TablesState {
    pub(crate) tables: BTreeMap<String, FakeTable>,
    pub(crate) views: BTreeMap<String, String>,
    pub(crate) inserts: Vec<String>,
    /// Percentage of statements and inserts that fail, before or after they are done.
    pub(crate) faults: u64,
    pub(crate) down: bool,
    /// A table that refuses all rows.
    pub(crate) refused: Option<String>,
    pub(crate) dice: Dice,
}

#[derive(Default)]
pub(crate) struct FakeTable {
    order: Vec<String>,
    version: Option<String>,
    rows: Vec<Value>,
}

impl FakeTable {
    fn of(statement: &str) -> Self {
        let between = |from: &str| {
            let (_, rest) = statement.split_once(from)?;
            let (inside, _) = rest.split_once(')')?;
            Some(inside.split(',').map(|c| c.trim().to_owned()).collect::<Vec<_>>())
        };
        Self {
            order: between("ORDER BY (").unwrap_or_default(),
            version: between("ReplacingMergeTree(").and_then(|v| v.into_iter().next()),
            rows: Vec::new(),
        }
    }

    /// The rows as `FINAL` gives them: of a sort key the greatest version, of equals the last.
    pub(crate) fn finals(&self) -> Vec<Value> {
        let mut last: BTreeMap<String, &Value> = BTreeMap::new();
        for row in &self.rows {
            let key: Vec<String> = self.order.iter().map(|c| row[c].to_string()).collect();
            let version = |row: &Value| {
                let value = self.version.as_ref().map_or(&Value::Null, |v| &row[v]);
                (value.as_u64(), value.as_str().map(str::to_owned))
            };
            let kept = last.entry(key.join("|")).or_insert(row);
            if version(row) >= version(kept) {
                *kept = row;
            }
        }
        last.into_values().cloned().collect()
    }
}

impl FakeTables {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(TablesState {
                tables: BTreeMap::new(),
                views: BTreeMap::new(),
                inserts: Vec::new(),
                faults: 0,
                down: false,
                refused: None,
                dice: Dice::new(seed),
            }),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, TablesState> {
        self.state.lock().unwrap()
    }

    pub(crate) fn wipe(&self) {
        let mut state = self.state();
        state.tables.clear();
        state.views.clear();
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.state().tables.keys().cloned().collect()
    }

    /// All rows of a table, in the order of their coming.
    pub(crate) fn history(&self, table: &str) -> Vec<Value> {
        self.state()
            .tables
            .get(table)
            .map(|t| t.rows.clone())
            .unwrap_or_default()
    }

    /// The final rows of a table, without some columns.
    pub(crate) fn finals(&self, table: &str, without: &str) -> Vec<Value> {
        let state = self.state();
        let mut rows = state.tables.get(table).map(FakeTable::finals).unwrap_or_default();
        for row in &mut rows {
            row.as_object_mut().unwrap().remove(without);
        }
        rows
    }
}

impl TablesState {
    fn fails(&mut self) -> Result<(), TableError> {
        if self.down || self.faults > 0 && self.dice.chance(self.faults) {
            return Err(TableError::Unavailable("set so by the test".into()));
        }
        Ok(())
    }

    fn run(&mut self, sql: &str) {
        let name = |rest: &str| rest.split_whitespace().next().unwrap_or_default().to_owned();
        if let Some(rest) = sql.strip_prefix("CREATE TABLE IF NOT EXISTS hooklog.") {
            self.tables
                .entry(name(rest))
                .or_insert_with(|| FakeTable::of(sql));
        } else if let Some(rest) = sql.strip_prefix("DROP TABLE IF EXISTS hooklog.") {
            self.tables.remove(&name(rest));
        } else if let Some(rest) = sql.strip_prefix("CREATE OR REPLACE VIEW hooklog.") {
            self.views.insert(name(rest), rest.to_owned());
        } else {
            assert!(sql.starts_with("CREATE DATABASE"), "{sql}");
        }
    }

    fn answer(&self, query: &Query) -> Result<Vec<Value>, TableError> {
        if query.sql.contains("FROM system.tables") {
            let names = self.tables.keys().chain(self.views.keys());
            return Ok(names.map(|name| json!({ "name": name })).collect());
        }
        let param = |name: &str| query.params.iter().find(|p| p.0 == name).map(|p| p.1.clone());
        let (_, from) = query.sql.split_once("FROM hooklog.").unwrap();
        let table = from.split_whitespace().next().unwrap();
        let missing = || TableError::Refused(format!("no table {table}"));
        let mut rows = self.tables.get(table).ok_or_else(missing)?.finals();
        rows.retain(|row| param("projection").is_none_or(|p| row["projection"] == json!(p)));
        rows.retain(|row| param("build").is_none_or(|b| row["build"] == json!(b.parse::<u64>().unwrap())));
        rows.retain(|row| param("incarnation").is_none_or(|i| row["incarnation"] == json!(i)));
        for row in &mut rows {
            if let Some(time) = row["updated_at"].as_str() {
                let time: Timestamp = format!("{}Z", time.replace(' ', "T")).parse().unwrap();
                row["updated_us"] = json!(time.as_micros());
            }
        }
        Ok(rows)
    }
}

#[async_trait]
impl Tables for FakeTables {
    async fn execute(&self, statement: &Query) -> Result<(), TableError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.fails()?;
        state.run(&statement.sql);
        state.fails()
    }

    async fn insert(&self, table: &str, rows: Rows) -> Result<(), TableError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.fails()?;
        let name = table.strip_prefix("hooklog.").unwrap().to_owned();
        if state.refused.as_ref() == Some(&name) {
            return Err(TableError::Refused("set so by the test".into()));
        }
        state.inserts.push(name.clone());
        let missing = || TableError::Refused(format!("no table {name}"));
        let into = state.tables.get_mut(&name).ok_or_else(missing)?;
        let json = rows.into_json();
        into.rows.extend(
            serde_json::Deserializer::from_slice(&json)
                .into_iter()
                .map(Result::unwrap),
        );
        state.fails()
    }

    async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.fails()?;
        let rows = state.answer(query)?;
        Ok(rows
            .iter()
            .map(|row| format!("{row}\n"))
            .collect::<String>()
            .into())
    }
}
