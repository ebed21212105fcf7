//! Why a log does not open, and where it is damaged.

use std::fmt;
use std::io;

use domain::ReadError;

/// A place in the log where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment.
    pub segment: u64,
    /// Offset in its file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl Damage {
    pub(crate) fn at(segment: u64, offset: u64, what: impl Into<String>) -> Self {
        Self {
            segment,
            offset,
            what: what.into(),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "segment {} at offset {}: {}",
            self.segment, self.offset, self.what
        )
    }
}

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("the log in {0} is in use by another process")]
    InUse(String),
    /// It was written by a newer version.
    #[error(
        "the log has format {found}, this version reads up to {}",
        super::format::FORMAT
    )]
    Newer {
        /// The format on disk.
        found: u32,
    },
    /// Acknowledged data is damaged: a person must act.
    #[error("the log is damaged: {0}")]
    Corrupt(Damage),
    /// The folder holds something that is not a log, or a log of which parts are missing.
    #[error("this is no complete log: {0}")]
    Incomplete(String),
    /// A setting can't be used.
    #[error("the log can't be opened with these settings: {0}")]
    Settings(String),
    /// The disk failed.
    #[error("opening the log failed: {operation}")]
    Io {
        /// What was being done.
        operation: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The index could be neither opened nor rebuilt.
    #[error("the index of the log can't be built: {0}")]
    Index(String),
}

impl OpenError {
    /// Names the operation that an I/O error interrupted.
    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Io { operation, source }
    }
}

/// Why reading from a segment failed, inside the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentError {
    #[error("{0}")]
    Damaged(Damage),
    #[error("segment {segment} can't be read: {source}")]
    Io { segment: u64, source: io::Error },
}

impl SegmentError {
    pub(crate) fn damaged(segment: u64, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged(Damage::at(segment, offset, what))
    }
}

impl From<SegmentError> for OpenError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Damaged(damage) => Self::Corrupt(damage),
            SegmentError::Io { segment, source } => Self::Io {
                operation: format!("reading segment {segment}"),
                source,
            },
        }
    }
}

impl From<SegmentError> for ReadError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Damaged(damage) => Self::Corrupt(damage.to_string()),
            SegmentError::Io { .. } => Self::Unavailable(error.to_string()),
        }
    }
}
