//! The read store in memory, with faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::rows_as_json;
use domain::{Query, Rows, TableError, Tables, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Notify;

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
    /// How many times it does.
    pub(crate) refusals_left: u64,
    /// A table that loses so many rows of the next inserts, and says that it has them.
    pub(crate) swallowed: Option<(String, usize)>,
    /// Whoever asks next for something that begins so, or inserts into what is named so, gets no further until it is told to go on: with
    /// the answer before it, or the insert not done.
    pub(crate) held: Option<(String, Arc<Notify>)>,
    /// After so many more calls the process is dead: nothing is done and nothing comes back.
    pub(crate) dies_after: Option<u64>,
    /// The call it dies in is still done.
    pub(crate) dies_late: bool,
    /// How long an insert takes, in milliseconds.
    pub(crate) insert_ms: u64,
    /// How long a query takes, in milliseconds.
    pub(crate) query_ms: u64,
    /// How each statement and insert began.
    pub(crate) said: Vec<String>,
    pub(crate) dice: Dice,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Breath {
    Lives,
    /// What is asked for is done, but no answer comes.
    Last,
    Dead,
}

impl Breath {
    async fn before(self) {
        if self == Self::Dead {
            std::future::pending::<()>().await;
        }
    }

    async fn after(self) {
        if self == Self::Last {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Default)]
pub(crate) struct FakeTable {
    definition: String,
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
            definition: statement.to_owned(),
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

impl FakeTable {
    /// The rows after an identity, in the order of their identity.
    fn page(&self, query: &Query) -> Vec<Value> {
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Numbers before texts, as a table has only one of them in a column.
        let sortable = |text: String| (text.parse::<u64>().ok(), text);
        let identity =
            |row: &Value| -> Vec<_> { self.order.iter().map(|c| sortable(plain(&row[c]))).collect() };
        let after: Vec<_> = query
            .params
            .iter()
            .map(|(_, value)| sortable(value.clone()))
            .collect();
        let (_, limit) = query.sql.split_once("LIMIT ").unwrap();
        let limit = limit.split_whitespace().next().unwrap().parse().unwrap();
        let mut rows = self.finals();
        let one = query.sql.contains("WHERE") && !query.sql.contains(" > CAST");
        let wanted = |row: &Value| {
            let identity = identity(row);
            if one { identity == after } else { identity > after }
        };
        rows.retain(|row| after.is_empty() || wanted(row));
        rows.sort_by_key(identity);
        rows.truncate(limit);
        rows
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
                refusals_left: u64::MAX,
                swallowed: None,
                held: None,
                dies_after: None,
                dies_late: false,
                insert_ms: 0,
                query_ms: 0,
                said: Vec::new(),
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

    /// Somebody writes into a table behind everybody's back.
    pub(crate) fn doctor(&self, table: &str, doctor: impl FnOnce(&mut Vec<Value>)) {
        doctor(&mut self.state().tables.get_mut(table).unwrap().rows);
    }

    /// Counts a call of a process that is to die.
    fn last_breath(&self) -> Breath {
        let mut state = self.state();
        match &mut state.dies_after {
            None => Breath::Lives,
            Some(0) => Breath::Dead,
            Some(left) => {
                *left -= 1;
                let dies = *left == 0;
                match (dies, state.dies_late) {
                    (false, _) => Breath::Lives,
                    (true, true) => Breath::Last,
                    (true, false) => Breath::Dead,
                }
            }
        }
    }

    fn held(&self, call: &str) -> Option<Arc<Notify>> {
        let mut state = self.state();
        let is_held = state
            .held
            .as_ref()
            .is_some_and(|(name, _)| call.starts_with(name));
        is_held.then(|| state.held.take().unwrap().1)
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

    fn lost_of(&mut self, table: &str, rows: usize) -> usize {
        let Some((_, left)) = self.swallowed.as_mut().filter(|(name, _)| name == table) else {
            return 0;
        };
        let lost = rows.min(*left);
        *left -= lost;
        lost
    }

    fn run(&mut self, sql: &str) -> Result<(), TableError> {
        let name = |rest: &str| rest.split_whitespace().next().unwrap_or_default().to_owned();
        if let Some(rest) = sql.strip_prefix("CREATE TABLE IF NOT EXISTS hooklog.") {
            self.tables
                .entry(name(rest))
                .or_insert_with(|| FakeTable::of(sql));
        } else if let Some(rest) = sql.strip_prefix("CREATE TABLE hooklog.") {
            let table = FakeTable::of(sql);
            if let Some(there) = self.tables.insert(name(rest), table) {
                self.tables.insert(name(rest), there);
                return Err(TableError::Refused(format!("{} already exists", name(rest))));
            }
        } else if let Some(rest) = sql.strip_prefix("DROP TABLE IF EXISTS hooklog.") {
            self.tables.remove(&name(rest));
        } else if let Some(rest) = sql.strip_prefix("CREATE OR REPLACE VIEW hooklog.") {
            self.views.insert(name(rest), rest.to_owned());
        } else {
            assert!(sql.starts_with("CREATE DATABASE"), "{sql}");
        }
        Ok(())
    }

    fn insert(&mut self, name: &str, rows: Rows) -> Result<(), TableError> {
        self.fails()?;
        if self.refused.as_deref() == Some(name) && self.refusals_left > 0 {
            self.refusals_left -= 1;
            return Err(TableError::Refused("set so by the test".into()));
        }
        self.inserts.push(name.to_owned());
        let missing = || TableError::Refused(format!("no table {name}"));
        let lost = self.lost_of(name, rows.len());
        let into = self.tables.get_mut(name).ok_or_else(missing)?;
        let given = rows_as_json(&into.definition, rows);
        let kept = given.iter().skip(lost);
        into.rows
            .extend(kept.map(|row| serde_json::from_str::<Value>(row).unwrap()));
        self.fails()
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
        let of = self.tables.get(table).ok_or_else(missing)?;
        if query.sql.starts_with("SELECT count() AS rows") {
            return Ok(vec![json!({ "rows": of.rows.len() })]);
        }
        if query.sql.starts_with("SELECT * FROM") {
            return Ok(of.page(query));
        }
        let mut rows = of.finals();
        rows.retain(|row| param("projection").is_none_or(|p| row["projection"] == json!(p)));
        rows.retain(|row| param("build").is_none_or(|b| row["build"] == json!(b.parse::<u64>().unwrap())));
        rows.retain(|row| {
            let named = |list: String| row["incarnation"].as_str().is_some_and(|one| list.contains(one));
            param("incarnations").is_none_or(named)
        });
        for row in &mut rows {
            for (column, micros) in [("updated_at", "updated_us"), ("at", "at_us")] {
                if let Some(time) = row[column].as_str() {
                    let time: Timestamp = format!("{}Z", time.replace(' ', "T")).parse().unwrap();
                    row[micros] = json!(time.as_micros());
                }
            }
        }
        Ok(rows)
    }
}

#[async_trait]
impl Tables for FakeTables {
    async fn execute(&self, statement: &Query) -> Result<(), TableError> {
        tokio::task::yield_now().await;
        let breath = self.last_breath();
        breath.before().await;
        let done = {
            let mut state = self.state();
            state.said.push(statement.sql.clone());
            state.fails()?;
            state.run(&statement.sql)?;
            state.fails()
        };
        breath.after().await;
        done
    }

    async fn insert(&self, table: &str, rows: Rows) -> Result<(), TableError> {
        let takes = self.state().insert_ms;
        if takes > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(takes)).await;
        }
        tokio::task::yield_now().await;
        let name = table.strip_prefix("hooklog.").unwrap();
        if let Some(go_on) = self.held(name) {
            go_on.notified().await;
        }
        let breath = self.last_breath();
        breath.before().await;
        self.state().said.push(format!("INSERT INTO {name}"));
        let done = self.state().insert(name, rows);
        breath.after().await;
        done
    }

    async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
        let takes = self.state().query_ms;
        if takes > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(takes)).await;
        }
        tokio::task::yield_now().await;
        // A question leaves nothing behind, so that it is of no matter whether it was answered.
        self.last_breath().before().await;
        let rows = {
            let mut state = self.state();
            state.said.push(query.sql.clone());
            state.fails()?;
            state.answer(query)?
        };
        if let Some(go_on) = self.held(&query.sql) {
            go_on.notified().await;
        }
        Ok(rows
            .iter()
            .map(|row| format!("{row}\n"))
            .collect::<String>()
            .into())
    }
}
