//! The ports of keys and of the audit trail, in memory, by the domain's own rules.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::{
    ActionAudited, Audit, AuditMark, AuditOutcome, AuditPage, AuditRecord, AuditWanted, CommandError,
    EventId, KeyCommand, KeyCreated, KeyDirectory, KeyEvent, KeyId, KeyRevoked, KeyState, KeyText, Keys,
    MadeKey, NewKey, Position, RecordedEvent, Revision, Scope, StreamName, TenantId, Timestamp,
};
use uuid::Uuid;

/// Keys of a small program.
#[derive(Default)]
pub(crate) struct Doors {
    directory: Mutex<KeyDirectory>,
    made: AtomicU64,
    /// Whether the log is still being read.
    pub(super) reading: AtomicBool,
}

impl Doors {
    fn learn(&self, stream: StreamName, fact: &KeyEvent, revision: u64) {
        let new = fact.to_event(EventId::new(Uuid::now_v7()));
        let event = RecordedEvent {
            position: Position::new(1),
            stream,
            revision: Revision::new(revision),
            id: new.id,
            event_type: new.event_type,
            schema: new.schema,
            recorded_at: super::NOW.parse().unwrap(),
            duplicate_of: None,
            metadata: new.metadata,
            data: new.data,
        };
        self.directory.lock().unwrap().evolve(&event).unwrap();
    }

    /// A key that works.
    pub(super) fn key(&self, name: &str, tenant: &str, scope: Scope) -> String {
        self.key_until(name, tenant, scope, None)
    }

    /// A key that works until a time.
    pub(super) fn key_until(
        &self,
        name: &str,
        tenant: &str,
        scope: Scope,
        expires_at: Option<Timestamp>,
    ) -> String {
        let order = NewKey {
            tenant: tenant.parse().unwrap(),
            name: name.parse().unwrap(),
            scopes: vec![scope],
            expires_at,
            created_by: "test".into(),
        };
        self.make(order, Timestamp::default())
            .unwrap()
            .text
            .expose()
            .to_owned()
    }

    fn make(&self, order: NewKey, now: Timestamp) -> Result<MadeKey, CommandError> {
        let n = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        let key = KeyId::of_random(n);
        let text = KeyText::new(&key, &[u8::try_from(n).unwrap(); 32]);
        let created = KeyCreated {
            tenant: order.tenant,
            key: key.clone(),
            name: order.name,
            scopes: order.scopes,
            hash: text.hash(),
            expires_at: order.expires_at,
            created_by: order.created_by,
        };
        let fact = KeyState::create(created, now).map_err(|no| CommandError::Invalid(no.to_string()))?;
        let KeyEvent::Created(created) = &fact else {
            panic!("{fact:?}")
        };
        self.learn(StreamName::of_key(&created.tenant, &key), &fact, 0);
        let key = self.directory.lock().unwrap().get(&key).cloned().unwrap();
        Ok(MadeKey { key, text })
    }
}

#[async_trait]
impl Keys for Doors {
    fn directory(&self) -> Option<Arc<KeyDirectory>> {
        let ready = !self.reading.load(Ordering::SeqCst);
        ready.then(|| Arc::new(self.directory.lock().unwrap().clone()))
    }

    async fn create(&self, order: NewKey) -> Result<MadeKey, CommandError> {
        self.make(order, super::NOW.parse().unwrap())
    }

    async fn revoke(&self, id: &KeyId, revoked_by: String) -> Result<KeyState, CommandError> {
        let key = self.directory.lock().unwrap().get(id).cloned().unwrap();
        if let Some(fact) = key.decide(KeyCommand::Revoke(KeyRevoked { revoked_by })) {
            self.learn(key.stream(), &fact, 1);
        }
        Ok(self.directory.lock().unwrap().get(id).cloned().unwrap())
    }
}

/// A directory of keys that are made up.
pub(crate) fn directory_of(keys: Vec<KeyState>) -> KeyDirectory {
    let doors = Doors::default();
    for key in keys {
        doors.learn(key.stream(), &KeyEvent::Created(key.created.clone()), 0);
        if let Some((revoked, _)) = &key.revoked {
            doors.learn(key.stream(), &KeyEvent::Revoked(revoked.clone()), 1);
        }
    }
    doors.directory.into_inner().unwrap()
}

/// Remembers what was done.
#[derive(Default)]
pub(crate) struct Written {
    pub(super) actions: Mutex<Vec<(EventId, ActionAudited)>>,
    /// Whether nothing can be written.
    pub(super) full: AtomicBool,
    /// Whether writing takes a while.
    pub(super) slow: AtomicBool,
}

impl Written {
    /// What was done, by whom, and what came of it, in the order of writing.
    pub(super) fn told(&self) -> Vec<(String, String, AuditOutcome)> {
        let actions = self.actions.lock().unwrap();
        let told = |(_, a): &(EventId, ActionAudited)| (a.action.clone(), a.by.clone(), a.outcome);
        actions.iter().map(told).collect()
    }
}

#[async_trait]
impl Audit for Written {
    async fn record(&self, action: ActionAudited) -> Result<EventId, CommandError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(CommandError::Unavailable("the disk is full".into()));
        }
        if self.slow.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        let id = EventId::new(Uuid::now_v7());
        self.actions.lock().unwrap().push((id, action));
        Ok(id)
    }

    async fn page(
        &self,
        tenant: &TenantId,
        wanted: &AuditWanted,
        before: Option<AuditMark>,
        limit: usize,
    ) -> Result<AuditPage, CommandError> {
        let actions = self.actions.lock().unwrap();
        let mut mine: Vec<_> = actions.iter().zip(0_u64..).collect();
        mine.reverse();
        let mine = mine.into_iter();
        let older = mine.filter(|((_, a), n)| {
            a.tenant == *tenant && wanted.fits(a) && before.is_none_or(|mark| *n < mark.before)
        });
        let mut older = older.map(|((id, action), n)| {
            (
                n,
                AuditRecord {
                    id: *id,
                    at: super::NOW.parse().unwrap(),
                    ended_at: None,
                    action: action.clone(),
                },
            )
        });
        let page: Vec<_> = older.by_ref().take(limit).collect();
        let last = page.last().map(|(n, _)| AuditMark {
            day: 20_000,
            before: *n,
        });
        Ok(AuditPage {
            records: page.into_iter().map(|(_, record)| record).collect(),
            next: older.next().and(last),
        })
    }
}
