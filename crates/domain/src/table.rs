//! The port to the store of read models.

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// Rows of one table, one JSON object a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    json: Vec<u8>,
    count: usize,
}

impl Rows {
    /// Adds a row; its fields are the columns.
    ///
    /// # Errors
    /// When the row can't be encoded.
    pub fn push<T: Serialize>(&mut self, row: &T) -> Result<(), TableError> {
        serde_json::to_writer(&mut self.json, row)?;
        self.json.push(b'\n');
        self.count += 1;
        Ok(())
    }

    /// Adds the rows of another block.
    pub fn append(&mut self, others: Self) {
        if self.json.is_empty() {
            self.json = others.json;
        } else {
            self.json.extend(others.json);
        }
        self.count += others.count;
    }

    /// How many rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// How many bytes they take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.json.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The rows, one JSON object a line.
    #[must_use]
    pub fn into_json(self) -> Bytes {
        self.json.into()
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
