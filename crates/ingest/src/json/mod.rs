//! Takes a few facts out of a JSON document of any size, in pieces, in bounded memory.
//!
//! The whole document is checked against the grammar, but nothing is built: strings that nobody asked for are skipped
//! where they stand, nesting costs one bit a level, and only values under the asked paths are captured, up to
//! `CAPTURE_BYTES_MAX`. Never here: recursion over the input, or an answer that depends on how it was cut into pieces.

mod capture;
mod nesting;
mod number;
mod path;
mod plain;
mod scanner;
#[cfg(test)]
mod tests;
mod utf8;

#[cfg(test)]
pub(crate) use capture::CAPTURE_BYTES_MAX;
pub(crate) use path::Path;
pub(crate) use scanner::{Found, Scalar, Scanner};

/// Bytes that are no JSON document, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotJson(pub(crate) &'static str);
