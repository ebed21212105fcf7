//! The port to the store of read models.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use binary::Encoder;

mod binary;

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It can't be reached or answers slowly; try again later. An insert may have been done.
    #[error("the read store can't be reached: {0}")]
    Unavailable(String),
    /// It refused the statement: a defect or a missing table.
    #[error("the read store refused the statement: {0}")]
    Refused(String),
    /// Rows can't be encoded or decoded.
    #[error("rows can't be read or written")]
    Encoding(#[from] serde_json::Error),
}

/// Rows of one table, in ClickHouse's `RowBinary`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    columns: Vec<&'static str>,
    bytes: Vec<u8>,
    count: usize,
}

impl Rows {
    /// Adds a row: a struct whose fields are the columns, each of the type of its column. A variant stands for the value of
    /// an `Enum8` with its number, from 1.
    ///
    /// # Errors
    /// When the row can't be encoded, or has other columns than those before it; it is left out.
    pub fn push<T: Serialize>(&mut self, row: &T) -> Result<(), TableError> {
        let (columns, bytes) = (self.columns.len(), self.bytes.len());
        let encoded = row.serialize(Encoder::of_row(&mut self.bytes, &mut self.columns));
        if encoded.is_err() {
            self.columns.truncate(columns);
            self.bytes.truncate(bytes);
        }
        encoded?;
        self.count += 1;
        Ok(())
    }

    /// Adds the rows of another block; gives them back if they are of other columns.
    ///
    /// # Errors
    /// Those rows.
    pub fn append(&mut self, others: Self) -> Result<(), Self> {
        if self.is_empty() {
            *self = others;
        } else if others.is_empty() || self.columns == others.columns {
            self.bytes.extend(others.bytes);
            self.count += others.count;
        } else {
            return Err(others);
        }
        Ok(())
    }

    /// The columns, in the order of their values; none without a row.
    #[must_use]
    pub fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// How many rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// How many bytes they take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The rows in `RowBinary`.
    #[must_use]
    pub fn into_binary(self) -> Bytes {
        self.bytes.into()
    }
}

/// A statement with named parameters, written `{name:Type}` in its text: values never become text of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The statement.
    pub sql: String,
    /// Names and values.
    pub params: Vec<(&'static str, String)>,
}

impl Query {
    /// A statement without parameters yet.
    #[must_use]
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            params: Vec::new(),
        }
    }

    /// Binds a parameter.
    #[must_use]
    pub fn bind(mut self, name: &'static str, value: impl ToString) -> Self {
        self.params.push((name, value.to_string()));
        self
    }
}

/// Tables of read models. Statements are bounded in time and memory by the adapter.
#[async_trait]
pub trait Tables: Send + Sync {
    /// Runs a statement that returns nothing.
    async fn execute(&self, statement: &Query) -> Result<(), TableError>;

    /// Inserts rows in one block and waits until they are durable. Repeating it must be harmless by the table's design.
    async fn insert(&self, table: &str, rows: Rows) -> Result<(), TableError>;

    /// Runs a query and returns its rows, one JSON object a line; 64-bit numbers are not quoted.
    async fn query_json(&self, query: &Query) -> Result<Bytes, TableError>;

    /// The cluster on all of whose servers tables are made; `None` where there is one server.
    fn cluster(&self) -> Option<&str> {
        None
    }
}

impl dyn Tables + '_ {
    /// Runs a query and reads its rows.
    ///
    /// # Errors
    /// When the store fails or a row is not of the expected shape.
    pub async fn query<T: DeserializeOwned>(&self, query: &Query) -> Result<Vec<T>, TableError> {
        let json = self.query_json(query).await?;
        let rows = serde_json::Deserializer::from_slice(&json).into_iter::<T>();
        rows.map(|row| row.map_err(TableError::from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::testing::rows_as_json;

    #[derive(Serialize)]
    struct Row<'a, T> {
        name: &'a str,
        value: T,
    }

    fn block<T: Serialize>(value: T) -> Rows {
        let mut rows = Rows::default();
        rows.push(&Row { name: "ü", value }).unwrap();
        rows
    }

    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum State {
        Open,
        Done,
    }

    #[test]
    fn a_value_is_written_as_its_column_reads_it() {
        fn check<T: Serialize>(value: T, kind: &str, expected: &str) {
            let definition = format!("(name LowCardinality(String), value {kind}, INDEX i name TYPE set(2))");
            let read = rows_as_json(&definition, block(value));
            assert_eq!(
                read,
                [format!("{{\"name\":\"ü\",\"value\":{expected}}}")],
                "{kind}"
            );
        }
        let long = "x".repeat(300);
        check(&long, "String", &format!("\"{long}\""));
        check('ü', "String", "\"ü\"");
        check(true, "Bool", "true");
        check(u64::MAX, "UInt64", "18446744073709551615");
        check(
            u128::MAX - 1,
            "UInt128",
            "340282366920938463463374607431768211454",
        );
        check(-7_i32, "Int32", "-7");
        check(1.5_f64, "Float64", "1.5");
        check(Some(3_u16), "Nullable(UInt16)", "3");
        check(None::<u16>, "Nullable(UInt16)", "null");
        check(vec!["a", ""], "Array(LowCardinality(String))", "[\"a\",\"\"]");
        check(
            BTreeMap::from([(3_u16, 1_u64), (9, 2)]),
            "Map(UInt16, UInt64)",
            "{\"3\":1,\"9\":2}",
        );
        check(State::Done, "Enum8('open' = 1, 'done' = 2)", "\"done\"");
        check(State::Open, "Enum8('open' = 1, 'done' = 2)", "\"open\"");
        let id = "0197c1f2-0001-7002-8003-000000000004";
        check(id.parse::<Uuid>().unwrap(), "UUID", &format!("\"{id}\""));
    }

    /// From <https://clickhouse.com/docs/interfaces/formats/RowBinary> and <https://clickhouse.com/docs/sql-reference/data-types/uuid>.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let bytes = |rows: Rows| rows.into_binary().slice(3..).to_vec();
        assert_eq!(bytes(block(Some(258_u32))), [0, 2, 1, 0, 0]);
        assert_eq!(bytes(block(vec!["x"; 128]))[..4], [0x80, 1, 1, b'x']);
        let id = Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
        assert_eq!(
            bytes(block(id)),
            [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]
        );
    }

    #[test]
    fn what_is_no_row_is_an_error_and_leaves_nothing() {
        #[derive(Serialize)]
        struct Other {
            other: u8,
        }
        let mut rows = block(1_u8);
        let before = rows.clone();
        assert!(rows.push(&Other { other: 1 }).is_err());
        assert!(
            rows.push(&Row {
                name: "a",
                value: Other { other: 1 }
            })
            .is_err()
        );
        assert!(rows.push(&Row { name: "a", value: () }).is_err());
        assert!(rows.push(&7).is_err());
        assert!(rows.push(&vec!["a"]).is_err());
        assert!(rows.push(&BTreeMap::from([("name", 1)])).is_err());
        assert_eq!(rows, before);
        let mut none = Rows::default();
        assert!(
            none.push(&Row {
                name: "a",
                value: (1, 2)
            })
            .is_err()
        );
        assert_eq!(none, Rows::default());
    }

    #[test]
    fn blocks_of_the_same_columns_are_put_together() {
        let mut rows = Rows::default();
        rows.append(block(1_u8)).unwrap();
        rows.append(Rows::default()).unwrap();
        rows.append(block(2_u8)).unwrap();
        let read = rows_as_json("(name String, value UInt8)", rows.clone());
        assert_eq!(read, [r#"{"name":"ü","value":1}"#, r#"{"name":"ü","value":2}"#]);
        #[derive(Serialize)]
        struct Other {
            other: u8,
        }
        let mut others = Rows::default();
        others.push(&Other { other: 1 }).unwrap();
        assert_eq!(rows.append(others.clone()), Err(others));
        assert_eq!(rows.len(), 2);
    }
}
