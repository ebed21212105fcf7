//! An error with all that caused it on one line, for a status and for the log.

use std::error::Error;
use std::fmt::Write as _;

/// The error's text and those of its sources.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing into a string can't fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
