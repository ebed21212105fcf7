//! Tables in memory, with the rules of the real ones: to compare what ClickHouse holds with a fold of the log.
//!
//! Nothing here knows a table. Which columns are a row's identity and which one decides between two rows of one
//! identity is read from the table's own definition.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::{RowBatch, Table};

/// A row: column names and values in a plain text form, `None` for NULL.
pub type FoldedRow = BTreeMap<String, Option<String>>;

/// The most differences that are told of one table.
const DIFFERENCES_MAX: usize = 10;

/// Why rows could not be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A row is not a JSON object.
    #[error("a row of {table} can't be read")]
    Row {
        /// The table.
        table: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A row lacks a column of its identity or its version, or there is no such table.
    #[error("a row of {table} has no column {column}")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A batch is of a table that the model does not have.
    #[error("the model has no table {0}")]
    Table(String),
}

/// The tables of a read model as `ReplacingMergeTree` would leave them after the last merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedTables(BTreeMap<&'static str, Folded>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Folded {
    identity: Vec<&'static str>,
    version: &'static str,
    rows: BTreeMap<Vec<Option<String>>, (u128, FoldedRow)>,
}

impl FoldedTables {
    /// The tables, empty.
    #[must_use]
    pub fn new(tables: &'static [Table]) -> Self {
        Self(
            tables
                .iter()
                .map(|table| (table.name, Folded::new(table.definition)))
                .collect(),
        )
    }

    /// Inserts what a model projected, a readable batch.
    ///
    /// # Errors
    /// When the batch does not fit the tables, which is a defect of the model.
    pub fn apply(&mut self, batch: RowBatch) -> Result<(), FoldError> {
        for (table, lines) in batch.into_lines() {
            self.insert(table, &lines)?;
        }
        Ok(())
    }

    /// Inserts rows, one JSON object a line.
    ///
    /// # Errors
    /// When there is no such table or a row does not fit it.
    pub fn insert(&mut self, table: &str, rows: &[u8]) -> Result<(), FoldError> {
        let folded = self
            .0
            .get_mut(table)
            .ok_or_else(|| FoldError::Table(table.to_owned()))?;
        for row in rows_of(table, rows) {
            folded.insert(row?).map_err(|column| FoldError::Column {
                table: table.to_owned(),
                column,
            })?;
        }
        Ok(())
    }

    /// The rows of a table, by their identity.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = &FoldedRow> {
        self.0
            .get(table)
            .into_iter()
            .flat_map(|folded| folded.rows.values().map(|(_, row)| row))
    }

    /// What differs from other tables, for a person to read, a few lines for each table; empty when nothing does.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let none = BTreeMap::new();
        let mut found = Vec::new();
        for (name, folded) in &self.0 {
            let others = other.0.get(name).map_or(&none, |other| &other.rows);
            let missing = folded
                .rows
                .iter()
                .filter_map(|(identity, row)| match others.get(identity) {
                    None => Some(format!("{name}: {identity:?} is missing")),
                    Some(there) if there == row => None,
                    Some(there) => Some(format!(
                        "{name}: {identity:?} is {:?}, expected {:?}",
                        there.1, row.1
                    )),
                });
            found.extend(missing.take(DIFFERENCES_MAX));
            let surplus = others
                .keys()
                .filter(|identity| !folded.rows.contains_key(*identity));
            let surplus = surplus.map(|identity| format!("{name}: {identity:?} should not be there"));
            found.extend(surplus.take(DIFFERENCES_MAX));
        }
        found
    }
}

impl Folded {
    fn new(definition: &'static str) -> Self {
        let columns = between(definition, "ORDER BY (", ")");
        Self {
            identity: columns.split(',').map(str::trim).collect(),
            version: between(definition, "ReplacingMergeTree(", ")"),
            rows: BTreeMap::new(),
        }
    }

    fn insert(&mut self, row: FoldedRow) -> Result<(), String> {
        let column = |name: &str| row.get(name).cloned().ok_or_else(|| name.to_owned());
        let identity: Vec<_> = self
            .identity
            .iter()
            .map(|name| column(name))
            .collect::<Result<_, _>>()?;
        let version = column(self.version)?.and_then(|version| version.parse::<u128>().ok());
        let version = version.ok_or_else(|| self.version.to_owned())?;
        match self.rows.get(&identity) {
            // Of two rows with one version the one inserted later stays, as in ClickHouse.
            Some((there, _)) if *there > version => {}
            Some(_) | None => {
                self.rows.insert(identity, (version, row));
            }
        }
        Ok(())
    }
}

/// Reads rows, one JSON object a line.
pub(crate) fn rows_of<'a>(
    table: &'a str,
    rows: &'a [u8],
) -> impl Iterator<Item = Result<FoldedRow, FoldError>> + 'a {
    let rows = serde_json::Deserializer::from_slice(rows).into_iter::<BTreeMap<String, Box<RawValue>>>();
    rows.map(move |row| {
        let row = row.map_err(|source| FoldError::Row {
            table: table.to_owned(),
            source,
        })?;
        let values = row.into_iter().map(|(name, value)| (name, plain(value.get())));
        Ok(values.collect())
    })
}

fn between(text: &'static str, start: &str, end: &str) -> &'static str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or("", |(found, _)| found)
}

/// A value as text, the same whether ClickHouse or we wrote it: quotes around large numbers, escapes and the way a
/// fraction is written make no difference.
fn plain(json: &str) -> Option<String> {
    if json.parse::<u128>().is_ok() {
        return Some(json.to_owned());
    }
    match serde_json::from_str(json) {
        Ok(Value::Null) => None,
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Number(number)) => {
            let number = number
                .as_i64()
                .map_or_else(|| number.as_f64().map(|n| n.to_string()), |n| Some(n.to_string()));
            number.or_else(|| Some(json.to_owned()))
        }
        Ok(value @ (Value::Bool(_) | Value::Array(_) | Value::Object(_))) => Some(value.to_string()),
        Err(_) => Some(json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &[Table] = &[Table {
        name: "t",
        definition: "(a String, n UInt64, v UInt128) ENGINE = ReplacingMergeTree(v) ORDER BY (a, n)",
    }];

    fn folded(rows: &str) -> FoldedTables {
        let mut tables = FoldedTables::new(TABLES);
        tables.insert("t", rows.as_bytes()).unwrap();
        tables
    }

    #[test]
    fn of_one_identity_the_greatest_version_stays() {
        let tables = folded(
            r#"{"a":"x","n":1,"v":340282366920938463463374607431768211455,"o":"newest"}
               {"a":"x","n":1,"v":340282366920938463463374607431768211454,"o":"older"}
               {"a":"x","n":2,"v":1,"o":null}"#,
        );
        let values: Vec<_> = tables.rows("t").map(|row| row["o"].clone()).collect();
        assert_eq!(values, [Some("newest".to_owned()), None]);
    }

    #[test]
    fn the_way_a_value_is_written_makes_no_difference() {
        let ours = folded(r#"{"a":"x/y","n":18446744073709551615,"v":2,"f":5.0,"m":{"3":1},"l":["b"]}"#);
        let theirs =
            folded(r#"{"a":"x\/y","n":"18446744073709551615","v":"2","f":5,"m":{"3": 1},"l":["b"]}"#);
        assert_eq!(ours.differences(&theirs), Vec::<String>::new());
    }

    #[test]
    fn differences_are_told() {
        let (one, other) = (
            folded(r#"{"a":"x","n":1,"v":1,"o":1} {"a":"y","n":1,"v":1}"#),
            folded(r#"{"a":"x","n":1,"v":1,"o":2} {"a":"z","n":1,"v":1}"#),
        );
        let told = one.differences(&other);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(one.differences(&one.clone()).is_empty());
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let mut tables = FoldedTables::new(TABLES);
        assert!(matches!(tables.insert("u", b"{}"), Err(FoldError::Table(_))));
        assert!(matches!(tables.insert("t", b"{}"), Err(FoldError::Column { .. })));
        assert!(matches!(tables.insert("t", b"[]"), Err(FoldError::Row { .. })));
    }
}
