//! Who asks, and what they may do: API keys, login cookies, the owner of the data directory, and without any key the
//! keyless rule.
//!
//! Every endpoint has its rule in [`rule`]; a path without one is not served. Never here: a decision about data. Whose data
//! it is, statements and streams say by their tenant, which is that of the caller and never a parameter of a request.

pub(crate) mod audit;
mod caller;
pub(crate) mod credential;
pub(crate) mod failures;
pub(crate) mod rule;
pub(crate) mod session;
pub(crate) mod site;

pub(crate) use caller::{Caller, address};
pub(crate) use rule::Need;

/// Marks a request that came through the socket in the data directory, which only the owner of the directory can open.
/// Whoever accepts connections puts it into the request; nothing in a request can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalOwner {
    /// The user id of the process on the other side, where the system says so.
    pub uid: Option<u32>,
}

/// Signs login cookies. Made once and kept in the data directory, so that they survive a restart.
#[derive(Clone)]
pub struct SessionSecret(pub(crate) std::sync::Arc<[u8]>);

impl SessionSecret {
    /// A secret of the program; at least 32 random bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl std::fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSecret(hidden)")
    }
}
