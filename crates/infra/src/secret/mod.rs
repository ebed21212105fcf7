//! Secrets at rest: encrypted with AES-256-GCM under a key that is not in the log.
//!
//! Never here: a secret or a key in an error, a log line or a `Debug`.

mod key;
mod memory;
mod sealer;

pub use key::{KeyError, MasterKey, read_key_file};
pub use memory::forbid_core_dumps;
pub use sealer::{OpenError, SealError, Sealer};
