//! An API key as an aggregate: made once, revoked once, in the stream `key-<tenant>.<id>`.

use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{KeyId, Scope};
use crate::{
    Append, ContentHash, EventData, EventId, EventType, Expected, KeyName, NewEvent, RecordedEvent, Revision,
    StreamName, TenantId, Timestamp,
};

/// Names of callers without a key, and of the program itself: a key may not pass for one of them.
pub const RESERVED_NAMES: [&str; 6] = ["anonymous", "hooklog", "local", "loopback", "sender", "settings"];

/// A key was made. What opens the door is known to its bearer only: the log keeps a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyCreated {
    /// Whose deliveries it sees.
    pub tenant: TenantId,
    /// By what it is looked up.
    pub key: KeyId,
    /// What people call it, and what stands where the log keeps who did something.
    pub name: KeyName,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the key's text.
    pub hash: ContentHash,
    /// From when on it opens nothing; never when there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
}

/// A key opens nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRevoked {
    /// Who says so.
    pub revoked_by: String,
}

/// An event of a key's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyEvent {
    /// `KeyCreated`.
    Created(KeyCreated),
    /// `KeyRevoked`.
    Revoked(KeyRevoked),
}

impl KeyEvent {
    /// The newest schema of their metadata.
    pub const SCHEMA: u16 = 1;
    /// The wire name of the first event.
    pub const CREATED: &'static str = "KeyCreated";
    /// The wire name of the last event.
    pub const REVOKED: &'static str = "KeyRevoked";

    /// The wire name.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Created(_) => Self::CREATED,
            Self::Revoked(_) => Self::REVOKED,
        }
    }

    /// Reads the metadata of an event; `None` for events of other types.
    ///
    /// # Errors
    /// When the event claims to be one of these but can't be read.
    pub fn of(event: &RecordedEvent) -> Option<Result<Self, serde_json::Error>> {
        match event.event_type.as_str() {
            Self::CREATED => Some(serde_json::from_slice(&event.metadata).map(Self::Created)),
            Self::REVOKED => Some(serde_json::from_slice(&event.metadata).map(Self::Revoked)),
            _ => None,
        }
    }

    /// The event as the log takes it.
    #[must_use]
    pub fn to_event(&self, id: EventId) -> NewEvent {
        let metadata = match self {
            Self::Created(fact) => serde_json::to_vec(fact),
            Self::Revoked(fact) => serde_json::to_vec(fact),
        };
        NewEvent {
            id,
            event_type: EventType::from_str(self.type_name())
                .unwrap_or_else(|_| unreachable!("the constants are alphanumeric")),
            schema: Self::SCHEMA,
            // Only strings and lists: serialising into memory cannot fail.
            metadata: metadata.unwrap_or_default().into(),
            data: EventData::Inline(Bytes::new()),
        }
    }
}

/// Why a key is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejection {
    /// It would pass for somebody else where the log says who did something.
    #[error(
        "the name is reserved: anonymous, hooklog, local, loopback, sender and settings are callers without a key"
    )]
    NameIsReserved,
    /// It could do nothing.
    #[error("a key needs a scope: read, operate or admin")]
    ScopeIsMissing,
    /// It would open nothing.
    #[error("the key would have expired before it was made")]
    ExpiryIsPast,
}

/// What somebody wants of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCommand {
    /// It shall open nothing any more.
    Revoke(KeyRevoked),
}

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStanding {
    /// It does.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

impl KeyStanding {
    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A key and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// As it was made.
    pub created: KeyCreated,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who revoked it, and when.
    pub revoked: Option<(KeyRevoked, Timestamp)>,
    /// The stream's last revision.
    pub revision: Revision,
}

impl KeyState {
    /// Decides on making a key.
    ///
    /// # Errors
    /// The rule that says no.
    pub fn create(mut created: KeyCreated, now: Timestamp) -> Result<KeyEvent, KeyRejection> {
        if RESERVED_NAMES.contains(&created.name.as_str()) {
            return Err(KeyRejection::NameIsReserved);
        }
        if created.expires_at.is_some_and(|at| at <= now) {
            return Err(KeyRejection::ExpiryIsPast);
        }
        created.scopes.sort_unstable();
        created.scopes.dedup();
        if created.scopes.is_empty() {
            return Err(KeyRejection::ScopeIsMissing);
        }
        Ok(KeyEvent::Created(created))
    }

    /// A key that was just made.
    #[must_use]
    pub const fn new(created: KeyCreated, event: &RecordedEvent) -> Self {
        Self {
            created,
            created_at: event.recorded_at,
            revoked: None,
            revision: event.revision,
        }
    }

    /// What follows from a command; `None` when it is so already.
    #[must_use]
    pub fn decide(&self, command: KeyCommand) -> Option<KeyEvent> {
        match command {
            KeyCommand::Revoke(revoked) => self.revoked.is_none().then_some(KeyEvent::Revoked(revoked)),
        }
    }

    /// Whether it opens anything at a time.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> KeyStanding {
        match self.created.expires_at {
            _ if self.revoked.is_some() => KeyStanding::Revoked,
            Some(at) if at <= now => KeyStanding::Expired,
            _ => KeyStanding::Active,
        }
    }

    /// The greatest of its scopes, which includes the others.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        self.created.scopes.iter().copied().max()
    }

    /// The stream it stands in.
    #[must_use]
    pub fn stream(&self) -> StreamName {
        StreamName::of_key(&self.created.tenant, &self.created.key)
    }

    /// The append of a fact about it: it stands only if nothing happened to the key since this state was read.
    #[must_use]
    pub fn append(&self, fact: &KeyEvent, id: EventId) -> Append {
        Append {
            stream: self.stream(),
            expected: Expected::Revision(self.revision),
            events: vec![fact.to_event(id)],
            content: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(name: &str, scopes: &[Scope], expires_ms: Option<i64>) -> KeyCreated {
        KeyCreated {
            tenant: TenantId::default(),
            key: "k1".parse().unwrap(),
            name: name.parse().unwrap(),
            scopes: scopes.to_vec(),
            hash: ContentHash::of(b"x"),
            expires_at: expires_ms.map(Timestamp::from_millis),
            created_by: "loopback".into(),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1000)
    }

    #[test]
    fn a_key_is_made_with_a_scope_an_honest_name_and_time_ahead() {
        let create = |c| KeyState::create(c, now());
        assert!(create(created("ci", &[Scope::Read], None)).is_ok());
        assert!(create(created("ci", &[Scope::Read], Some(1001))).is_ok());
        assert_eq!(
            create(created("ci", &[Scope::Read], Some(1000))),
            Err(KeyRejection::ExpiryIsPast)
        );
        assert_eq!(
            create(created("ci", &[], None)),
            Err(KeyRejection::ScopeIsMissing)
        );
        for name in RESERVED_NAMES {
            assert_eq!(
                create(created(name, &[Scope::Read], None)),
                Err(KeyRejection::NameIsReserved)
            );
        }
        let both = create(created(
            "ci",
            &[Scope::Operate, Scope::Read, Scope::Operate],
            None,
        ));
        let Ok(KeyEvent::Created(both)) = both else {
            panic!("{both:?}")
        };
        assert_eq!(both.scopes, [Scope::Read, Scope::Operate]);
    }

    fn state(expires_ms: Option<i64>) -> KeyState {
        KeyState {
            created: created("ci", &[Scope::Read, Scope::Operate], expires_ms),
            created_at: now(),
            revoked: None,
            revision: Revision::new(0),
        }
    }

    #[test]
    fn a_key_is_revoked_once_and_stands_revoked_whatever_its_time() {
        let revoke = |by: &str| {
            KeyCommand::Revoke(KeyRevoked {
                revoked_by: by.into(),
            })
        };
        let mut key = state(Some(2000));
        let fact = key.decide(revoke("alice")).unwrap();
        assert_eq!(fact.type_name(), "KeyRevoked");
        let append = key.append(&fact, EventId::new(uuid::Uuid::from_u128(1)));
        assert_eq!(
            (append.stream.as_str(), append.expected),
            ("key-default.k1", Expected::Revision(Revision::new(0)))
        );
        assert_eq!(key.standing(Timestamp::from_millis(1999)), KeyStanding::Active);
        assert_eq!(key.standing(Timestamp::from_millis(2000)), KeyStanding::Expired);
        key.revoked = Some((
            KeyRevoked {
                revoked_by: "alice".into(),
            },
            now(),
        ));
        assert_eq!(key.standing(Timestamp::from_millis(0)), KeyStanding::Revoked);
        assert_eq!(key.decide(revoke("bob")), None);
    }

    #[test]
    fn the_greatest_scope_counts() {
        assert_eq!(state(None).scope(), Some(Scope::Operate));
        assert_eq!(
            state(None).standing(Timestamp::from_millis(i64::MAX / 1000)),
            KeyStanding::Active
        );
    }
}
