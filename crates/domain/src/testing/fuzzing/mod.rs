//! What a fuzzer calls. Each function takes any bytes and panics when something does not hold that has to hold for all of
//! them; it never fails for bytes that are merely nonsense.
//!
//! `fuzz/` calls them for as long as one likes, `tests/fuzz` over the corpus that was kept and what is close to it.

mod facts;
mod forwarded;
mod message;
mod names;

pub use facts::facts;
pub use forwarded::forwarded;
pub use message::message;
pub use names::names;
