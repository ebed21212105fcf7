//! What a table's definition says about reading it row by row: which columns identify a row, and what types they are of.

use domain::Query;

use crate::model::Table;
use crate::models::{FoldError, FoldedRow};

/// A table as its definition declares it.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    /// The columns of a row's identity, in the order of the table, with their types.
    identity: Vec<(&'static str, &'static str)>,
    version: &'static str,
    /// All columns, in the order of their declaration.
    columns: Vec<&'static str>,
}

impl Layout {
    pub(crate) fn of(table: &Table) -> Self {
        let declared = declarations(table.definition);
        let type_of = |column: &str| {
            let found = declared.iter().find(|(name, _)| *name == column);
            found.map_or("String", |(_, kind)| kind)
        };
        let identity = between(table.definition, "ORDER BY (", ")")
            .split(',')
            .map(str::trim);
        Self {
            name: table.name,
            identity: identity.map(|column| (column, type_of(column))).collect(),
            version: between(table.definition, "ReplacingMergeTree(", ")"),
            columns: declared.into_iter().map(|(name, _)| name).collect(),
        }
    }

    /// The values of a row's identity.
    pub(crate) fn identity(&self, row: &FoldedRow) -> Result<Vec<String>, FoldError> {
        let value = |column: &str| {
            row.get(column)
                .cloned()
                .flatten()
                .ok_or_else(|| self.lacks(column))
        };
        self.identity.iter().map(|(column, _)| value(column)).collect()
    }

    /// What decides between two rows of one identity.
    pub(crate) fn version(&self, row: &FoldedRow) -> Result<u128, FoldError> {
        let version = row.get(self.version).and_then(Option::as_deref);
        version
            .and_then(|version| version.parse().ok())
            .ok_or_else(|| self.lacks(self.version))
    }

    /// By what identities are put in order: numbers as numbers.
    pub(crate) fn order(identity: &[String]) -> Vec<(Option<u128>, &str)> {
        let values = identity.iter().map(|value| (value.parse().ok(), value.as_str()));
        values.collect()
    }

    /// An identity with the names of its columns.
    pub(crate) fn named(&self, identity: &[String]) -> Vec<(String, String)> {
        let columns = self.identity.iter().map(|(column, _)| (*column).to_owned());
        columns.zip(identity.iter().cloned()).collect()
    }

    /// The first column that differs. The version counts last: it says which row was taken, not what it means.
    pub(crate) fn first_difference(&self, one: &FoldedRow, other: &FoldedRow) -> Option<&'static str> {
        let columns = || self.columns.iter().copied();
        let meaning = columns().filter(|column| *column != self.version);
        meaning
            .chain(columns().filter(|column| *column == self.version))
            .find(|column| one.get(*column) != other.get(*column))
    }

    /// Reads the next rows in the order of their identity, as they are after the last merge.
    pub(crate) fn page(&self, real: &str, after: Option<&[String]>, rows: usize) -> Query {
        let order: Vec<&str> = self.identity.iter().map(|(column, _)| *column).collect();
        let order = order.join(", ");
        let beyond = after.map_or_else(String::new, |_| format!("WHERE {} ", self.beyond()));
        let sql = format!(
            "SELECT * FROM hooklog.{real} FINAL {beyond}ORDER BY {order} LIMIT {rows}
             SETTINGS date_time_output_format = 'simple', output_format_json_quote_64bit_integers = 0"
        );
        let values = AFTER.iter().zip(after.unwrap_or_default());
        values.fold(Query::new(sql), |query, (name, value)| query.bind(name, value))
    }

    /// Reads one row, as it is after the last merge.
    pub(crate) fn row(&self, real: &str, identity: &[String]) -> Query {
        let equal = |((column, kind), name): (&(&str, &str), &str)| {
            format!("{column} = CAST({{{name}:String}} AS {})", plain_kind(kind))
        };
        let equal: Vec<String> = self.identity.iter().zip(AFTER).map(equal).collect();
        let sql = format!(
            "SELECT * FROM hooklog.{real} FINAL WHERE {} LIMIT 1
             SETTINGS date_time_output_format = 'simple', output_format_json_quote_64bit_integers = 0",
            equal.join(" AND ")
        );
        let values = AFTER.iter().zip(identity);
        values.fold(Query::new(sql), |query, (name, value)| query.bind(name, value))
    }

    /// How many rows are stored, merged or not.
    pub(crate) fn count(real: &str) -> Query {
        Query::new(format!("SELECT count() AS rows FROM hooklog.{real}"))
    }

    /// `(a, b) > (x, y)` in words that the primary key understands: `a > x OR (a = x AND (b > y))`.
    fn beyond(&self) -> String {
        let terms = self.identity.iter().zip(AFTER).rev();
        terms.fold(String::new(), |rest, ((column, kind), name)| {
            let value = format!("CAST({{{name}:String}} AS {})", plain_kind(kind));
            if rest.is_empty() {
                format!("{column} > {value}")
            } else {
                format!("{column} > {value} OR ({column} = {value} AND ({rest}))")
            }
        })
    }

    fn lacks(&self, column: &str) -> FoldError {
        FoldError::Column {
            table: self.name.to_owned(),
            column: column.to_owned(),
        }
    }
}

/// A type that a value can be cast to.
fn plain_kind(kind: &str) -> &str {
    kind.strip_prefix("LowCardinality(")
        .and_then(|inner| inner.strip_suffix(')'))
        .unwrap_or(kind)
}

/// Names of parameters: no table has more columns in its identity.
const AFTER: [&str; 16] = [
    "after_0", "after_1", "after_2", "after_3", "after_4", "after_5", "after_6", "after_7", "after_8",
    "after_9", "after_10", "after_11", "after_12", "after_13", "after_14", "after_15",
];

/// The columns of a definition and their types; indexes are left out.
fn declarations(definition: &'static str) -> Vec<(&'static str, &'static str)> {
    let Some((_, inside)) = definition.split_once('(') else {
        return Vec::new();
    };
    let (mut depth, mut start, mut parts) = (0_u32, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match (c, depth) {
            ('(', _) => depth += 1,
            (')', 0) => {
                parts.extend(inside.get(start..at));
                break;
            }
            (')', _) => depth -= 1,
            (',', 0) => {
                parts.extend(inside.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    let split = |part: &'static str| {
        part.trim()
            .split_once(' ')
            .map(|(name, kind)| (name, kind.trim()))
    };
    let columns = parts.into_iter().filter_map(split);
    columns.filter(|(name, _)| *name != "INDEX").collect()
}

fn between(text: &'static str, start: &str, end: &str) -> &'static str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or("", |(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BuildShape;

    const TABLE: Table = Table {
        name: "t",
        definition: "(
    tenant LowCardinality(String),
    hour DateTime('UTC'),
    state Enum8('queued' = 1, 'waiting' = 2),
    n UInt64,
    v UInt128,
    INDEX by_n n TYPE set(4) GRANULARITY 4
)
ENGINE = ReplacingMergeTree(v)
ORDER BY (tenant, hour, state)",
    };

    #[test]
    fn a_page_goes_on_after_the_last_identity_in_words_that_the_primary_key_understands() {
        let layout = Layout::of(&TABLE);
        let first = layout.page("t_s1_b2", None, 10).sql;
        assert!(
            first.starts_with("SELECT * FROM hooklog.t_s1_b2 FINAL ORDER BY tenant, hour, state LIMIT 10"),
            "{first}"
        );
        let after = ["a", "2026-11-21 08:00:00", "queued"].map(str::to_owned);
        let next = layout.page("t_s1_b2", Some(&after), 10);
        let expected = "WHERE tenant > CAST({after_0:String} AS String) OR (tenant = CAST({after_0:String} AS String) AND (\
            hour > CAST({after_1:String} AS DateTime('UTC')) OR (hour = CAST({after_1:String} AS DateTime('UTC')) AND (\
            state > CAST({after_2:String} AS Enum8('queued' = 1, 'waiting' = 2)))))) ORDER BY";
        assert!(next.sql.contains(expected), "{}", next.sql);
        assert_eq!(next.params[2], ("after_2", "queued".to_owned()));
    }

    #[test]
    fn every_table_can_be_read_so() {
        for model in crate::models::all(BuildShape::default()) {
            for table in model.tables() {
                let layout = Layout::of(table);
                assert!(layout.identity.len() <= AFTER.len(), "{}", table.name);
                assert!(layout.columns.contains(&layout.version), "{}", table.name);
                for (column, kind) in &layout.identity {
                    assert!(layout.columns.contains(column), "{}.{column}", table.name);
                    assert!(
                        !kind.contains("Nullable") && !kind.is_empty(),
                        "{}.{column}",
                        table.name
                    );
                }
                assert_eq!(
                    layout.columns.len(),
                    table.definition.matches(",\n").count() + 1 - table.definition.matches("INDEX").count(),
                    "{}: one column a line",
                    table.name
                );
            }
        }
    }

    #[test]
    fn the_version_is_named_only_when_nothing_else_differs() {
        let layout = Layout::of(&TABLE);
        let row = |n: &str, v: &str| -> FoldedRow {
            [("n", n), ("v", v)]
                .map(|(column, value)| (column.to_owned(), Some(value.to_owned())))
                .into()
        };
        assert_eq!(layout.first_difference(&row("1", "1"), &row("2", "2")), Some("n"));
        assert_eq!(layout.first_difference(&row("1", "1"), &row("1", "2")), Some("v"));
        assert_eq!(layout.first_difference(&row("1", "1"), &row("1", "1")), None);
    }
}
