//! All keys, folded from the log in its order. Every replica folds the same.
//!
//! What can't be read opens nothing: a key that is damaged does not exist, a revocation that is damaged revokes, and either
//! way the keyless rule is over.

use std::collections::BTreeMap;

use super::{KeyEvent, KeyId, KeyRevoked, KeyState};
use crate::{Category, RecordedEvent};

/// All keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyDirectory {
    keys: BTreeMap<KeyId, KeyState>,
    /// Whether there ever was a key.
    any: bool,
}

impl KeyDirectory {
    /// The directory after the next event. Events of other categories, and ones seen before, change nothing.
    ///
    /// # Errors
    /// When the event claims to be about a key but can't be read; what is said above holds then.
    pub fn evolve(&mut self, event: &RecordedEvent) -> Result<(), serde_json::Error> {
        if event.stream.category() != Category::Key.as_str() {
            return Ok(());
        }
        self.any = true;
        match KeyEvent::of(event) {
            Some(Ok(KeyEvent::Created(created))) => {
                let key = KeyState::new(created, event);
                // An id means the first that was made under it; its stream says whose it is.
                if key.stream() == event.stream {
                    self.keys.entry(key.created.key.clone()).or_insert(key);
                }
                Ok(())
            }
            Some(Ok(KeyEvent::Revoked(revoked))) => {
                self.revoke(event, revoked);
                Ok(())
            }
            Some(Err(error)) => {
                if event.event_type.as_str() == KeyEvent::REVOKED {
                    let revoked_by = "unknown".to_owned();
                    self.revoke(event, KeyRevoked { revoked_by });
                }
                self.pass(event);
                Err(error)
            }
            None => {
                self.pass(event);
                Ok(())
            }
        }
    }

    /// What a later version did to a key does not keep it from being revoked.
    fn pass(&mut self, event: &RecordedEvent) {
        let keys = self.keys.values_mut();
        for key in keys.filter(|key| key.stream() == event.stream && key.revision < event.revision) {
            key.revision = event.revision;
        }
    }

    fn revoke(&mut self, event: &RecordedEvent, revoked: KeyRevoked) {
        let Ok(id) = event.stream.id().parse::<KeyId>() else {
            return;
        };
        if let Some(key) = self.keys.get_mut(&id)
            && key.stream() == event.stream
            && key.revoked.is_none()
        {
            key.revoked = Some((revoked, event.recorded_at));
            key.revision = event.revision;
        }
    }

    /// Whether there never was a key, so that the keyless rule holds. Once there was one it is over for good: a key that
    /// expires or is revoked must not open the door to everybody on the machine.
    #[must_use]
    pub const fn is_keyless(&self) -> bool {
        !self.any
    }

    /// The key of an id, whatever became of it.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<&KeyState> {
        self.keys.get(id)
    }

    /// All keys, by id.
    pub fn iter(&self) -> impl Iterator<Item = &KeyState> {
        self.keys.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{KeyCreated, KeyStanding, Scope};
    use crate::testing::recorded_as;
    use crate::{ContentHash, EventId, StreamName, TenantId, Timestamp};

    fn event(tenant: &str, fact: &KeyEvent, position: u64) -> RecordedEvent {
        let stream = StreamName::of_key(&tenant.parse().unwrap(), &"k1".parse().unwrap());
        let new = fact.to_event(EventId::new(uuid::Uuid::from_u128(position.into())));
        let at = Timestamp::from_millis(i64::try_from(position).unwrap());
        recorded_as(new, stream, position - 1, position, at)
    }

    fn created(tenant: &str) -> KeyEvent {
        KeyEvent::Created(KeyCreated {
            tenant: tenant.parse().unwrap(),
            key: "k1".parse().unwrap(),
            name: "ci".parse().unwrap(),
            scopes: vec![Scope::Admin],
            hash: ContentHash::of(b"x"),
            expires_at: None,
            created_by: "loopback".into(),
        })
    }

    fn revoked() -> KeyEvent {
        KeyEvent::Revoked(KeyRevoked {
            revoked_by: "alice".into(),
        })
    }

    fn standing(directory: &KeyDirectory) -> Option<KeyStanding> {
        let key = directory.get(&"k1".parse().unwrap());
        key.map(|key| key.standing(Timestamp::default()))
    }

    #[test]
    fn keys_come_and_go_and_the_keyless_rule_goes_for_good() {
        let mut all = KeyDirectory::default();
        assert!(all.is_keyless());
        all.evolve(&event("a", &created("a"), 1)).unwrap();
        assert!(!all.is_keyless());
        assert_eq!(standing(&all), Some(KeyStanding::Active));
        all.evolve(&event("a", &revoked(), 2)).unwrap();
        let once = all.clone();
        // Read again, as after a reconnect, nothing changes.
        all.evolve(&event("a", &created("a"), 1)).unwrap();
        all.evolve(&event("a", &revoked(), 2)).unwrap();
        assert_eq!(all, once);
        assert_eq!(standing(&all), Some(KeyStanding::Revoked));
        assert!(!all.is_keyless());
        assert_eq!(all.iter().count(), 1);
    }

    #[test]
    fn an_id_means_the_first_key_of_it_and_only_its_own_stream_revokes_it() {
        let mut all = KeyDirectory::default();
        all.evolve(&event("a", &created("a"), 1)).unwrap();
        all.evolve(&event("b", &created("b"), 2)).unwrap();
        // A fact that stands in the stream of another tenant is not believed.
        all.evolve(&event("c", &created("a"), 3)).unwrap();
        let tenant: TenantId = "a".parse().unwrap();
        assert_eq!(all.get(&"k1".parse().unwrap()).unwrap().created.tenant, tenant);
        all.evolve(&event("b", &revoked(), 4)).unwrap();
        assert_eq!(standing(&all), Some(KeyStanding::Active));
    }

    #[test]
    fn what_can_not_be_read_opens_nothing() {
        let mut all = KeyDirectory::default();
        let mut damaged = event("a", &created("a"), 1);
        damaged.metadata = bytes::Bytes::from_static(b"{}");
        assert!(all.evolve(&damaged).is_err());
        assert!(!all.is_keyless());
        assert_eq!(standing(&all), None);
        all.evolve(&event("a", &created("a"), 2)).unwrap();
        let mut damaged = event("a", &revoked(), 3);
        damaged.metadata = bytes::Bytes::from_static(b"[");
        assert!(all.evolve(&damaged).is_err());
        assert_eq!(standing(&all), Some(KeyStanding::Revoked));
    }

    #[test]
    fn other_categories_and_later_types_open_nothing() {
        let mut all = KeyDirectory::default();
        let mut other = event("a", &created("a"), 1);
        other.stream = "source-a.k1".parse().unwrap();
        all.evolve(&other).unwrap();
        assert!(all.is_keyless());
        let mut later = event("a", &created("a"), 1);
        later.event_type = "KeyPainted".parse().unwrap();
        all.evolve(&later).unwrap();
        assert!(!all.is_keyless());
        assert_eq!(standing(&all), None);
    }

    #[test]
    fn what_a_later_version_did_to_a_key_does_not_keep_it_from_being_revoked() {
        let mut all = KeyDirectory::default();
        all.evolve(&event("a", &created("a"), 1)).unwrap();
        let mut painted = event("a", &created("a"), 2);
        painted.event_type = "KeyPainted".parse().unwrap();
        all.evolve(&painted).unwrap();
        let key = all.get(&"k1".parse().unwrap()).unwrap();
        assert_eq!(key.revision.get(), 1, "a revocation is appended behind it");
        all.evolve(&event("a", &revoked(), 3)).unwrap();
        assert_eq!(standing(&all), Some(KeyStanding::Revoked));
    }
}
