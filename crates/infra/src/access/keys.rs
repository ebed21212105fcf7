//! Makes keys, revokes them, and knows them all: a fold of the log that every replica keeps for itself.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use domain::{
    Append, AppendError, Category, Clock, CommandError, EventId, EventLog, Expected, KeyCommand, KeyCreated,
    KeyDirectory, KeyEvent, KeyId, KeyRevoked, KeyStanding, KeyState, KeyText, Keys, MadeKey, NewKey,
    PageLimit, RecordedEvent, Revision, StreamName,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::category::{self, Fold};

/// How often others may be quicker, or the log silent, before the caller is sent away.
const TRIES_MAX: u32 = 5;

/// What can be set about keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyOptions {
    /// The most active keys, over all tenants.
    pub keys_max: usize,
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self { keys_max: 1000 }
    }
}

/// Knows the keys of a log.
pub struct KeyKeeper {
    options: KeyOptions,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    directory: Arc<KeyDirectory>,
    /// Whether the log was read to where it ended at the start.
    complete: bool,
}

impl KeyKeeper {
    /// Knows nothing yet, and lets nobody in, until [`KeyKeeper::follow`] has read the log.
    #[must_use]
    pub fn new(options: KeyOptions, log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self {
            options,
            log,
            clock,
            known: RwLock::default(),
        }
    }

    /// Reads the log, and goes on reading it until it is told to stop. While the log can't be read, what was known holds.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        category::follow(&*self, &*self.log, stop).await;
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Arc<KeyDirectory> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known.directory)
    }

    /// Appends a fact and lets it hold at once.
    async fn append(&self, append: Append) -> Result<(), AppendError> {
        let appended = category::append(&*self.log, &append).await?;
        if let Some(event) = category::recorded(&append, &appended) {
            self.learn(&event);
        }
        Ok(())
    }

    fn order(&self, order: &NewKey) -> Result<(KeyEvent, KeyText, StreamName), CommandError> {
        let key = KeyId::of_random(rand::random());
        let text = KeyText::new(&key, &rand::random());
        let stream = StreamName::of_key(&order.tenant, &key);
        let created = KeyCreated {
            tenant: order.tenant.clone(),
            key,
            name: order.name.clone(),
            scopes: order.scopes.clone(),
            hash: text.hash(),
            expires_at: order.expires_at,
            created_by: order.created_by.clone(),
        };
        let fact = KeyState::create(created, self.clock.now());
        let fact = fact.map_err(|rejection| CommandError::Invalid(rejection.to_string()))?;
        Ok((fact, text, stream))
    }

    fn check_room(&self) -> Result<(), CommandError> {
        let (now, max) = (self.clock.now(), self.options.keys_max);
        let known = self.known();
        let active = known
            .iter()
            .filter(|key| key.standing(now) == KeyStanding::Active);
        if active.count() < max {
            return Ok(());
        }
        Err(CommandError::Refused(format!(
            "there are {max} active keys, and no more may be (`keys.keys_max`): revoke one first"
        )))
    }

    /// Reads a key's own stream, because something happened to it that is not known yet.
    async fn read_again(&self, stream: &StreamName) -> Result<(), CommandError> {
        let events = self
            .log
            .read_stream(stream, Revision::new(0), PageLimit::default())
            .await;
        for event in events.map_err(unavailable)? {
            self.learn(&event);
        }
        Ok(())
    }
}

impl Fold for KeyKeeper {
    const CATEGORY: Category = Category::Key;

    fn learn(&self, event: &RecordedEvent) {
        let mut known = self.write();
        if let Err(error) = Arc::make_mut(&mut known.directory).evolve(event) {
            tracing::error!(
                %error,
                position = event.position.get(),
                stream = event.stream.as_str(),
                "an event about an API key can't be understood: the key opens nothing"
            );
        }
    }

    fn complete(&self) {
        self.write().complete = true;
    }
}

#[async_trait]
impl Keys for KeyKeeper {
    fn directory(&self) -> Option<Arc<KeyDirectory>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.complete.then(|| Arc::clone(&known.directory))
    }

    async fn create(&self, order: NewKey) -> Result<MadeKey, CommandError> {
        self.check_room()?;
        for _ in 0..TRIES_MAX {
            let (fact, text, stream) = self.order(&order)?;
            let append = Append {
                stream,
                expected: Expected::NoStream,
                events: vec![fact.to_event(EventId::new(Uuid::now_v7()))],
                content: None,
            };
            match self.append(append).await {
                Ok(()) => {}
                // Somebody has the id already: one in 2^60.
                Err(AppendError::Conflict { .. }) => continue,
                Err(error) => return Err(unavailable(error)),
            }
            let KeyEvent::Created(created) = fact else {
                break;
            };
            // An id that another tenant has means that key.
            let known = self.known();
            let made = known.get(&created.key).filter(|key| key.created == created);
            if let Some(key) = made {
                let key = key.clone();
                return Ok(MadeKey { key, text });
            }
        }
        Err(CommandError::Unavailable(
            "no free id was found for the key".into(),
        ))
    }

    async fn revoke(&self, id: &KeyId, revoked_by: String) -> Result<KeyState, CommandError> {
        let unknown = || CommandError::NotFound("there is no key of this id".into());
        for _ in 0..TRIES_MAX {
            let key = self.known().get(id).cloned().ok_or_else(unknown)?;
            let revoked = KeyRevoked {
                revoked_by: revoked_by.clone(),
            };
            let Some(fact) = key.decide(KeyCommand::Revoke(revoked)) else {
                return Ok(key);
            };
            let append = key.append(&fact, EventId::new(Uuid::now_v7()));
            match self.append(append).await {
                Ok(()) => {}
                Err(AppendError::Conflict { .. }) => self.read_again(&key.stream()).await?,
                Err(error) => return Err(unavailable(error)),
            }
        }
        // The last try may have been the one.
        let key = self.known().get(id).cloned().ok_or_else(unknown)?;
        if key.revoked.is_some() {
            return Ok(key);
        }
        Err(CommandError::Unavailable(
            "others change the key at the same time".into(),
        ))
    }
}

fn unavailable(error: impl ToString) -> CommandError {
    CommandError::Unavailable(error.to_string())
}
