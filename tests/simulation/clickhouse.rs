//! A ClickHouse as it was measured to be: an insert may fail and be there, fail and not be there, be there in part, or be
//! there only later, even after the process that sent it is gone. Rows stay until they are merged, and of those with one
//! sort key the one with the greatest version counts, of equals the last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::rows_as_json;
use domain::{Query, Rows, TableError, Tables, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::world::World;

/// The store.
#[derive(Default)]
pub struct ClickHouse {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tables: BTreeMap<String, TableData>,
    views: BTreeMap<String, String>,
    /// Sent, and not done yet.
    under_way: BTreeMap<u64, Insert>,
    /// Done later, whoever sent them.
    late: Vec<(Duration, Insert)>,
    next: u64,
    down_until: Duration,
}

#[derive(Debug, Clone)]
struct Insert {
    table: String,
    lines: Vec<String>,
}

struct TableData {
    definition: String,
    lines: Vec<String>,
}

impl TableData {
    fn between(&self, start: &str) -> Vec<String> {
        let rest = self.definition.split_once(start).map_or("", |(_, rest)| rest);
        let inside = rest.split_once(')').map_or("", |(inside, _)| inside);
        inside.split(',').map(|column| column.trim().to_owned()).collect()
    }

    /// The rows as `FINAL` gives them, in the order of their identity.
    fn finals(&self) -> Vec<String> {
        let (order, version) = (
            self.between("ORDER BY ("),
            self.between("ReplacingMergeTree(").remove(0),
        );
        let mut last: BTreeMap<Vec<Sortable>, (Sortable, &String)> = BTreeMap::new();
        for line in &self.lines {
            let row: BTreeMap<&str, &RawValue> = serde_json::from_str(line).unwrap();
            let key = order
                .iter()
                .map(|column| sortable(&plain(row[column.as_str()])))
                .collect();
            let version = sortable(&plain(row[version.as_str()]));
            let kept = last.get(&key);
            if kept.is_none_or(|(kept, _)| version >= *kept) {
                last.insert(key, (version, line));
            }
        }
        last.into_values().map(|(_, line)| line.clone()).collect()
    }

    /// The final rows after an identity.
    fn page(&self, query: &Query) -> Vec<String> {
        let after: Vec<Sortable> = query.params.iter().map(|(_, value)| sortable(value)).collect();
        let (_, limit) = query.sql.split_once("LIMIT ").unwrap();
        let limit = limit.split_whitespace().next().unwrap().parse().unwrap();
        let order = self.between("ORDER BY (");
        let beyond = |line: &String| {
            let row: BTreeMap<&str, &RawValue> = serde_json::from_str(line).unwrap();
            let identity: Vec<Sortable> = order
                .iter()
                .map(|column| sortable(&plain(row[column.as_str()])))
                .collect();
            after.is_empty() || identity > after
        };
        self.finals().into_iter().filter(beyond).take(limit).collect()
    }
}

/// A value in the order of its column: numbers by their size, texts as they are.
type Sortable = (Option<u128>, String);

fn sortable(text: &str) -> Sortable {
    (text.parse().ok(), text.to_owned())
}

fn plain(value: &RawValue) -> String {
    serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

impl ClickHouse {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What a dead process had sent is done, done in part, done later, or not at all.
    pub fn after_crash(&self, world: &World, dice: &mut Dice) {
        let now = world.elapsed();
        let mut state = self.state();
        for insert in std::mem::take(&mut state.under_way).into_values() {
            match dice.below(4) {
                0 => {}
                1 => state.insert(&insert),
                2 => state.insert(&insert.part(dice)),
                _ => {
                    let at = now + Duration::from_millis(dice.between(1, 8000));
                    state.late.push((at, insert));
                }
            }
        }
    }

    /// Somebody drops the whole database.
    pub fn wipe(&self) {
        let mut state = self.state();
        state.tables.clear();
        state.views.clear();
    }

    /// It is away for a while.
    pub fn down_for(&self, world: &World, time: Duration) {
        self.state().down_until = world.elapsed() + time;
    }

    /// All that is to be done late is done now.
    pub fn settle(&self) {
        let mut state = self.state();
        for (_, insert) in std::mem::take(&mut state.late) {
            state.insert(&insert);
        }
    }

    /// All rows that a table was ever given and still has, in their order.
    pub fn lines(&self, table: &str) -> Option<Vec<String>> {
        let state = self.state();
        state.tables.get(table).map(|table| table.lines.clone())
    }

    fn fails(&self, world: &World, percent: u64) -> Result<(), TableError> {
        let down = !world.is_calm() && world.elapsed() < self.state().down_until;
        if down || world.fails(percent) {
            return Err(TableError::Unavailable("the connection broke".into()));
        }
        Ok(())
    }

    fn do_what_is_late(&self, world: &World) {
        let now = world.elapsed();
        let mut state = self.state();
        let due: Vec<Insert> = state
            .late
            .extract_if(.., |(at, _)| *at <= now)
            .map(|(_, insert)| insert)
            .collect();
        for insert in due {
            world.say(format!("clickhouse: a late insert into {} is done", insert.table));
            world.count("late inserts");
            state.insert(&insert);
        }
    }
}

impl Insert {
    fn part(&self, dice: &mut Dice) -> Self {
        let keep = usize::try_from(dice.below(self.lines.len() as u64 + 1)).unwrap();
        Self {
            table: self.table.clone(),
            lines: self.lines.iter().take(keep).cloned().collect(),
        }
    }
}

impl State {
    /// A table that is gone meanwhile takes nothing.
    fn insert(&mut self, insert: &Insert) {
        if let Some(table) = self.tables.get_mut(&insert.table) {
            table.lines.extend(insert.lines.iter().cloned());
        }
    }

    fn run(&mut self, sql: &str) -> Result<(), TableError> {
        let name = |rest: &str| rest.split_whitespace().next().unwrap_or_default().to_owned();
        if let Some(rest) = sql.strip_prefix("CREATE TABLE IF NOT EXISTS hooklog.") {
            self.tables.entry(name(rest)).or_insert_with(|| TableData {
                definition: rest.to_owned(),
                lines: Vec::new(),
            });
        } else if let Some(rest) = sql.strip_prefix("CREATE TABLE hooklog.") {
            if self.tables.contains_key(&name(rest)) {
                return Err(TableError::Refused(format!("{} already exists", name(rest))));
            }
            let lines = Vec::new();
            let definition = rest.to_owned();
            self.tables.insert(name(rest), TableData { definition, lines });
        } else if let Some(rest) = sql.strip_prefix("DROP TABLE IF EXISTS hooklog.") {
            self.tables.remove(&name(rest));
        } else if let Some(rest) = sql.strip_prefix("CREATE OR REPLACE VIEW hooklog.") {
            self.views.insert(name(rest), rest.to_owned());
        } else {
            assert!(
                sql.starts_with("CREATE DATABASE"),
                "a statement without a meaning here: {sql}"
            );
        }
        Ok(())
    }

    fn answer(&mut self, query: &Query) -> Result<Vec<String>, TableError> {
        if query.sql.contains("FROM system.tables") {
            let names = self.tables.keys().chain(self.views.keys());
            return Ok(names.map(|name| json!({ "name": name }).to_string()).collect());
        }
        let (_, from) = query
            .sql
            .split_once("FROM hooklog.")
            .expect("a query of our tables");
        let table = from.split_whitespace().next().unwrap();
        let missing = || TableError::Refused(format!("there is no table {table}"));
        let table = self.tables.get_mut(table).ok_or_else(missing)?;
        if query.sql.starts_with("SELECT count() AS rows") {
            return Ok(vec![json!({ "rows": table.lines.len() }).to_string()]);
        }
        if query.sql.starts_with("SELECT * FROM") {
            return Ok(table.page(query));
        }
        // The small tables are asked all the time: a merge leaves what counts.
        table.lines = table.finals();
        let mut rows: Vec<Value> = table
            .lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (name, value) in &query.params {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // A list of UUIDs, of which none is in another one.
            let of_list = query.sql.split_once(&format!(" IN {{{name}:Array(UUID)}}"));
            let listed = of_list.and_then(|(before, _)| before.split_whitespace().last());
            rows.retain(|row| match listed {
                Some(column) => value.contains(&text(&row[column])),
                None => text(&row[*name]) == *value,
            });
        }
        for row in &mut rows {
            if let Some(time) = row["updated_at"].as_str() {
                let time: Timestamp = format!("{}Z", time.replace(' ', "T")).parse().unwrap();
                row["updated_us"] = json!(time.as_micros());
            }
        }
        Ok(rows.iter().map(Value::to_string).collect())
    }
}

/// The store as a process holds it.
pub struct TablesPort(pub Arc<World>);

impl TablesPort {
    /// Whether the store has the table at all.
    fn known(&self, table: &str) -> Result<String, TableError> {
        let name = table.strip_prefix("hooklog.").unwrap().to_owned();
        if self.0.tables.state().tables.contains_key(&name) {
            return Ok(name);
        }
        Err(TableError::Refused(format!("there is no table {name}")))
    }
}

#[async_trait]
impl Tables for TablesPort {
    async fn execute(&self, statement: &Query) -> Result<(), TableError> {
        let (world, store) = (&self.0, &self.0.tables);
        let told: String = statement.sql.chars().take(60).collect();
        world.step(format!("clickhouse: {told}")).await;
        store.do_what_is_late(world);
        store.fails(world, world.odds.tables_fail)?;
        store.state().run(&statement.sql)?;
        world.step("clickhouse: done").await;
        // Done, but nobody hears of it.
        store.fails(world, world.odds.tables_fail)
    }

    async fn insert(&self, table: &str, rows: Rows) -> Result<(), TableError> {
        let (world, store) = (&self.0, &self.0.tables);
        world
            .step(format!("clickhouse: insert {} into {table}", rows.len()))
            .await;
        store.do_what_is_late(world);
        store.fails(world, world.odds.tables_fail)?;
        let table = self.known(table)?;
        let insert = Insert {
            lines: rows_as_json(&store.state().tables[&table].definition, rows),
            table: table.clone(),
        };
        let ticket = {
            let mut state = store.state();
            state.next += 1;
            let ticket = state.next;
            state.under_way.insert(ticket, insert.clone());
            ticket
        };
        world.step(format!("clickhouse: inserting into {table}")).await;
        let in_doubt = world.fails(world.odds.insert_in_doubt);
        let (kind, seed) = (world.between(0, 3), world.between(0, u64::MAX - 1));
        let now = world.elapsed();
        {
            let mut state = store.state();
            state.under_way.remove(&ticket);
            match (in_doubt, kind) {
                (true, 0) => {}
                (true, 1) => state.insert(&insert.part(&mut Dice::seeded(seed))),
                (true, 2) => state
                    .late
                    .push((now + Duration::from_millis(seed % 5000), insert)),
                (true, _) | (false, _) => state.insert(&insert),
            }
        }
        if in_doubt {
            world.count("inserts in doubt");
            return Err(TableError::Unavailable("the connection broke".into()));
        }
        world.step(format!("clickhouse: inserted into {table}")).await;
        Ok(())
    }

    async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
        let (world, store) = (&self.0, &self.0.tables);
        let told: String = query
            .sql
            .split("FROM ")
            .nth(1)
            .unwrap_or_default()
            .chars()
            .take(40)
            .collect();
        world.step(format!("clickhouse: select from {told}")).await;
        store.do_what_is_late(world);
        store.fails(world, world.odds.tables_fail)?;
        let rows = store.state().answer(query)?;
        Ok(rows
            .iter()
            .map(|row| format!("{row}\n"))
            .collect::<String>()
            .into())
    }
}
