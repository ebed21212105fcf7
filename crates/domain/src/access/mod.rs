//! Who may ask, and what they did: API keys as an aggregate, the directory of all keys folded from the log, and the audit
//! trail.
//!
//! Never here: a key in clear beyond the moment it is made. The log holds the SHA-256 of a key and nothing that leads back
//! to it.

mod audit;
mod directory;
mod key;
mod port;
mod scope;
mod text;

pub use audit::{ActionAudited, AuditOutcome};
pub use directory::KeyDirectory;
pub use key::{
    KeyCommand, KeyCreated, KeyEvent, KeyRejection, KeyRevoked, KeyStanding, KeyState, RESERVED_NAMES,
};
pub use port::{Audit, AuditMark, AuditPage, AuditRecord, AuditWanted, Keys, MadeKey, NewKey};
pub use scope::{InvalidScope, Scope};
pub use text::{InvalidKeyId, KeyId, KeyText, PresentedKey};
