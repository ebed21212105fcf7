//! What the proof of a scheme looks like, for whoever has to say in which way one looks otherwise.
//!
//! It only describes. Whether a proof is right is decided by [`Scheme::check`](super::Scheme::check) alone, and nothing here
//! knows a secret.

use crate::options::{Encoding, HashKind};

/// The form of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape<'s> {
    /// HMACs in a header.
    Mac(MacShape<'s>),
    /// The list of Standard Webhooks.
    List(ListShape),
    /// The secret itself.
    Token(TokenShape<'s>),
}

/// HMACs in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MacShape<'s> {
    /// The header.
    pub(crate) header: &'s str,
    /// What stands before each.
    pub(crate) prefix: &'s str,
    /// Their key, in a header that is a list of `key=value`.
    pub(crate) key: Option<&'s str>,
    /// The key of the time beside them.
    pub(crate) time_key: Option<&'s str>,
    /// How each is written.
    pub(crate) encoding: Encoding,
    /// By which hash.
    pub(crate) hash: HashKind,
    /// What stands between several; nothing where there is one only.
    pub(crate) separators: &'static [char],
    /// A header that is signed beside the body.
    pub(crate) signed_header: Option<&'s str>,
}

/// The list of Standard Webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListShape {
    /// The header.
    pub(crate) header: &'static str,
    /// Whether a secret for HMAC is among those that are tried.
    pub(crate) shared: bool,
    /// Whether a key of ed25519 is.
    pub(crate) public: bool,
    /// The headers that are signed beside the body.
    pub(crate) signed_headers: [&'static str; 2],
}

/// The secret itself in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenShape<'s> {
    /// The header.
    pub(crate) header: &'s str,
    /// What stands before it, in any case.
    pub(crate) prefix: &'s str,
}
