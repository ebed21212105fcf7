//! What a key may do; each scope includes the ones before it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at everything of its tenant.
    Read,
    /// Have things done: replays, retries, pauses, test deliveries.
    Operate,
    /// Say who may ask: keys, sources, the audit trail.
    Admin,
}

/// Text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; there are read, operate and admin, each with what the former may")]
pub struct InvalidScope(String);

impl Scope {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// Whether it includes another.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self >= other
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;
    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| InvalidScope(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_includes_the_ones_before_it_and_no_other() {
        for (n, scope) in Scope::ALL.into_iter().enumerate() {
            for (m, other) in Scope::ALL.into_iter().enumerate() {
                assert_eq!(scope.includes(other), n >= m, "{scope} {other}");
            }
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!("Admin".parse::<Scope>().is_err());
    }
}
