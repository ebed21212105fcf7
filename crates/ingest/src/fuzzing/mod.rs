//! What a fuzzer calls: requests as anybody may send them, and the readers of bodies on their own. A panic is a finding.
//!
//! `fuzz/` calls these for as long as one likes, `tests/fuzz` over the corpus that was kept and what is close to it.

mod form;
mod json;
mod request;

pub use form::form;
pub use json::json;
pub use request::{SCHEMES, is_taken, request};
