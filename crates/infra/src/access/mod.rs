//! API keys and the audit trail, kept in the log like everything else.
//!
//! Never here: whether a caller may do something. A key in clear is made here and handed to whoever asked for it; nothing
//! keeps or logs it.

mod keys;
mod trail;

#[cfg(test)]
mod tests;

pub use keys::{KeyKeeper, KeyOptions};
pub use trail::AuditTrail;
