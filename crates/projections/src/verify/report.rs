//! What came of comparing tables with a fold of the log.

use std::fmt;

use domain::{Position, ReadError, TableError};

use crate::models::FoldError;

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// The table lacks it.
    Missing,
    /// The log knows nothing of it.
    Surplus,
    /// A column has another value.
    Value,
}

/// A row that is not what the log says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The table, without schema and build.
    pub table: String,
    /// The columns of its identity and their values.
    pub key: Vec<(String, String)>,
    /// How it differs.
    pub kind: DifferenceKind,
    /// The first column that differs, when the row is there on both sides.
    pub column: Option<String>,
    /// What the log says; none for NULL, and for a row that is not there.
    pub expected: Option<String>,
    /// What the table holds; none for NULL, and for a row that is not there.
    pub found: Option<String>,
}

/// A table that was compared.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VerifiedTable {
    /// Its name, without schema and build.
    pub table: String,
    /// The rows that it holds.
    pub rows: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// The projection.
    pub projection: String,
    /// The build.
    pub build: u32,
    /// Everything up to this position was compared; what came later was only looked at as far as it could not be told apart.
    pub position: Position,
    /// The tables, with their rows.
    pub tables: Vec<VerifiedTable>,
    /// All rows compared.
    pub rows: u64,
    /// Rows that differ: at least so many, as it ends early when there are very many.
    pub differences: u64,
    /// The first of them, by table and key.
    pub first_difference: Option<Difference>,
    /// How often the log was read to stay within the memory allowed.
    pub passes: u32,
}

impl VerifyReport {
    /// Whether tables and log say the same.
    #[must_use]
    pub const fn is_equal(&self) -> bool {
        self.differences == 0
    }
}

/// Why it could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No projection has that name.
    #[error("there is no projection {0:?}")]
    Unknown(String),
    /// There are no tables that this version fills from this log.
    #[error("it has no tables of this log and schema yet")]
    NotBuilt,
    /// A rebuild is under way.
    #[error("build {0} is under way")]
    Rebuilding(u32),
    /// One comparison at a time: each takes the memory allowed.
    #[error("a projection is being compared already")]
    UnderWay,
    /// The tables were replaced meanwhile.
    #[error("the tables were replaced meanwhile")]
    Replaced,
    /// The tables hold what the log does not have any more.
    #[error(
        "the tables hold position {0}, which the log does not have as it was: it was restored from an older backup"
    )]
    Diverged(Position),
    /// More rows changed meanwhile than fit into the memory allowed.
    #[error(
        "more rows changed meanwhile than fit into the memory allowed: try again when there is less traffic"
    )]
    TooBusy,
    /// The read store failed.
    #[error("the read store failed")]
    Tables(#[from] TableError),
    /// The log can't be read.
    #[error("the log can't be read")]
    Log(#[from] ReadError),
    /// Rows are not of the shape that the table declares.
    #[error("rows can't be compared")]
    Rows(#[from] FoldError),
}

impl VerifyError {
    /// Whether it may succeed later without anybody doing anything.
    #[must_use]
    pub const fn retry(&self) -> bool {
        match self {
            Self::Tables(TableError::Unavailable(_)) | Self::Log(_) | Self::UnderWay | Self::TooBusy => true,
            Self::Tables(TableError::Refused(_) | TableError::Encoding(_))
            | Self::Unknown(_)
            | Self::NotBuilt
            | Self::Rebuilding(_)
            | Self::Replaced
            | Self::Diverged(_)
            | Self::Rows(_) => false,
        }
    }
}

/// The most characters of a value that are shown.
const SHOWN_MAX: usize = 200;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<String> = self
            .key
            .iter()
            .map(|(column, value)| format!("{column} = {value}"))
            .collect();
        write!(f, "{} ({}) ", self.table, key.join(", "))?;
        match self.kind {
            DifferenceKind::Missing => f.write_str("is missing"),
            DifferenceKind::Surplus => f.write_str("should not be there"),
            DifferenceKind::Value => write!(
                f,
                "has {} = {}, expected {}",
                self.column.as_deref().unwrap_or_default(),
                shown(self.found.as_deref()),
                shown(self.expected.as_deref())
            ),
        }
    }
}

fn shown(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(text) if text.chars().count() > SHOWN_MAX => {
            let start: String = text.chars().take(SHOWN_MAX).collect();
            format!("{start:?}…")
        }
        Some(text) => format!("{text:?}"),
    }
}
