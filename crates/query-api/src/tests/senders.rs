//! The port of sources, in memory, by the domain's own rules. It keeps what it was given in clear, so that tests can look for
//! it where it must not be.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::{
    AddSource, AddSourceSecret, CategoryFold as _, ChangeSource, CommandError, EventId, NewSecret, Position,
    RecordedEvent, Revision, RotateSourceSecret, SealedSecret, SecretFacts, SecretId, SourceAdded,
    SourceChanged, SourceCommand, SourceDirectory, SourceEvent, SourceKnown, SourceName, SourceOrigin,
    SourcePaused, SourceRef, SourceRejection, SourceRemoved, SourceResumed, SourceSecretAdded,
    SourceSecretRevoked, SourceSecretsResealed, SourceStanding, SourceState, SourceStatus, SourceTerms,
    Sources, StreamName, TenantId, Timestamp,
};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

/// Sources of a small program: one of its settings, and those that were added.
#[derive(Default)]
pub(crate) struct Senders {
    directory: Mutex<SourceDirectory>,
    /// Every secret that it was given, by its id.
    pub(super) given: Mutex<Vec<(String, String)>>,
    made: AtomicUsize,
    /// Whether the log is still being read.
    pub(super) reading: AtomicBool,
}

fn now() -> Timestamp {
    super::NOW.parse().unwrap()
}

fn refused(why: SourceRejection) -> CommandError {
    match why {
        SourceRejection::SourceIsUnknown | SourceRejection::SecretIsUnknown => {
            CommandError::NotFound(why.to_string())
        }
        SourceRejection::SourceExists
        | SourceRejection::NameIsTaken
        | SourceRejection::SecretIdIsTaken
        | SourceRejection::SecretIsTheLast
        | SourceRejection::NothingToRotate => CommandError::Refused(why.to_string()),
    }
}

/// The one of the settings.
fn configured() -> SourceKnown {
    SourceKnown {
        name: "github".parse().unwrap(),
        tenant: TenantId::default(),
        origin: SourceOrigin::Settings,
        terms: SourceTerms::of_scheme("github"),
        secrets: vec![SecretFacts {
            id: "GITHUB_WEBHOOK_SECRET".into(),
            tenant: TenantId::default(),
            hook: None,
            added_at: None,
            valid_until: None,
        }],
        status: SourceStatus::Active,
        added: None,
        revision: None,
    }
}

fn shown(state: &SourceState) -> SourceKnown {
    let facts = |secret: &domain::SourceSecret| SecretFacts {
        id: secret.sealed.id.to_string(),
        tenant: secret.sealed.tenant.clone(),
        hook: secret.sealed.hook.clone(),
        added_at: Some(secret.added_at),
        valid_until: secret.valid_until,
    };
    let status = match (&state.standing, &state.trouble) {
        (_, Some(trouble)) => SourceStatus::Unavailable(trouble.clone()),
        (SourceStanding::Paused(fact, since), None) => SourceStatus::Paused {
            by: fact.paused_by.clone(),
            since: *since,
            reason: fact.reason.clone(),
        },
        (SourceStanding::Active | SourceStanding::Removed(..), None) => SourceStatus::Active,
    };
    SourceKnown {
        name: state.name.clone(),
        tenant: state.tenant.clone(),
        origin: SourceOrigin::Log,
        terms: state.terms.clone(),
        secrets: state.valid_secrets(now()).map(facts).collect(),
        status,
        added: Some((state.added_by.clone(), state.added_at)),
        revision: Some(state.revision),
    }
}

fn may(caller: &TenantId, tenant: &TenantId) -> bool {
    *caller == TenantId::default() || caller == tenant
}

impl Senders {
    /// Adds a source of a tenant with a secret.
    pub(super) async fn with(&self, name: &str, tenant: &str, secret: &str) {
        let source = SourceRef {
            name: name.parse().unwrap(),
            caller: TenantId::default(),
            by: "test".into(),
        };
        let secret = NewSecret {
            id: None,
            value: secret.into(),
            tenant: Some(tenant.parse().unwrap()),
            hook: None,
        };
        let order = AddSource {
            source,
            tenant: Some(tenant.parse().unwrap()),
            terms: SourceTerms::of_scheme("github"),
            secret: Some(secret),
        };
        self.add(order).await.unwrap();
    }

    /// All there are, whoever asks.
    pub(super) async fn list_all(&self) -> Vec<SourceKnown> {
        self.list(&TenantId::default()).await.unwrap()
    }

    /// Has an event come by that nobody understands.
    pub(super) fn trouble(&self, name: &str) {
        let name: SourceName = name.parse().unwrap();
        let mut event = SourceEvent::Resumed(SourceResumed {
            resumed_by: "test".into(),
        })
        .to_event(EventId::new(Uuid::now_v7()));
        event.metadata = "{}".into();
        self.append(&name, event);
    }

    fn append(&self, name: &SourceName, new: domain::NewEvent) {
        let mut directory = self.directory.lock().unwrap();
        let revision = directory.get(name).map_or(0, |known| known.revision.get() + 1);
        directory.evolve(&RecordedEvent {
            position: Position::new(1),
            stream: StreamName::of_source(name),
            revision: Revision::new(revision),
            id: new.id,
            event_type: new.event_type,
            schema: new.schema,
            recorded_at: now(),
            duplicate_of: None,
            metadata: new.metadata,
            data: new.data,
        });
    }

    fn learn(&self, name: &SourceName, fact: &SourceEvent) -> SourceKnown {
        self.append(name, fact.to_event(EventId::new(Uuid::now_v7())));
        shown(self.directory.lock().unwrap().get(name).unwrap())
    }

    fn seal(&self, secret: NewSecret, caller: &TenantId) -> SealedSecret {
        let made = self.made.fetch_add(1, Ordering::SeqCst);
        let id = secret
            .id
            .unwrap_or_else(|| format!("secret-{made}").parse().unwrap());
        let value = secret.value.expose_secret().to_owned();
        self.given.lock().unwrap().push((id.to_string(), value));
        SealedSecret {
            id,
            tenant: secret.tenant.unwrap_or_else(|| caller.clone()),
            hook: secret.hook,
            sealed_with: "nothing".into(),
            nonce: String::new(),
            ciphertext: String::new(),
        }
    }

    fn state(&self, source: &SourceRef) -> Result<SourceState, CommandError> {
        if self.reading.load(Ordering::SeqCst) {
            return Err(CommandError::Unavailable(
                "the sources are still being read".into(),
            ));
        }
        let directory = self.directory.lock().unwrap();
        let known = directory.get(&source.name);
        let known = known.filter(|known| may(&source.caller, &known.tenant) && !known.is_removed());
        if source.name == configured().name && may(&source.caller, &TenantId::default()) {
            let why = "the source stands in the settings: change it there";
            return Err(CommandError::Refused(why.into()));
        }
        known
            .cloned()
            .ok_or_else(|| refused(SourceRejection::SourceIsUnknown))
    }

    fn then(&self, source: &SourceRef, command: SourceCommand) -> Result<SourceKnown, CommandError> {
        let state = self.state(source)?;
        match state.decide(command, now()).map_err(refused)? {
            Some(fact) => Ok(self.learn(&source.name, &fact)),
            None => Ok(shown(&state)),
        }
    }
}

#[async_trait]
impl Sources for Senders {
    async fn list(&self, caller: &TenantId) -> Result<Vec<SourceKnown>, CommandError> {
        let directory = self.directory.lock().unwrap();
        let added = directory.iter().filter(|known| !known.is_removed()).map(shown);
        let all = std::iter::once(configured()).chain(added);
        Ok(all.filter(|known| may(caller, &known.tenant)).collect())
    }

    async fn get(&self, source: &SourceRef) -> Result<SourceKnown, CommandError> {
        if source.name == configured().name && may(&source.caller, &TenantId::default()) {
            return Ok(configured());
        }
        self.state(source).map(|state| shown(&state))
    }

    async fn add(&self, order: AddSource) -> Result<SourceKnown, CommandError> {
        let caller = &order.source.caller;
        let added = SourceAdded {
            source: order.source.name.clone(),
            tenant: order.tenant.unwrap_or_else(|| caller.clone()),
            terms: order.terms,
            secret: order.secret.map(|secret| self.seal(secret, caller)),
            added_by: order.source.by.clone(),
        };
        let known = self.directory.lock().unwrap().get(&order.source.name).cloned();
        let fact = SourceState::add(known.as_ref(), added).map_err(refused)?;
        Ok(self.learn(&order.source.name, &fact))
    }

    async fn change(&self, order: ChangeSource) -> Result<SourceKnown, CommandError> {
        let now = self.state(&order.source)?.revision;
        if order.revision.is_some_and(|read| read != now) {
            return Err(CommandError::Refused("the source was changed meanwhile".into()));
        }
        let changed_by = order.source.by.clone();
        let fact = SourceChanged {
            terms: order.terms,
            changed_by,
        };
        self.then(&order.source, SourceCommand::Change(fact))
    }

    async fn add_secret(&self, order: AddSourceSecret) -> Result<SourceKnown, CommandError> {
        let fact = SourceSecretAdded {
            secret: self.seal(order.secret, &order.source.caller),
            added_by: order.source.by.clone(),
        };
        self.then(&order.source, SourceCommand::AddSecret(fact))
    }

    async fn rotate(&self, order: RotateSourceSecret) -> Result<SourceKnown, CommandError> {
        let grace_ms = i64::try_from(order.grace_ms.unwrap_or(86_400_000)).unwrap();
        let command = SourceCommand::RotateSecret {
            secret: self.seal(order.secret, &order.source.caller),
            valid_until: now().plus_millis(grace_ms),
            rotated_by: order.source.by.clone(),
        };
        self.then(&order.source, command)
    }

    async fn revoke_secret(
        &self,
        source: &SourceRef,
        secret: &SecretId,
    ) -> Result<SourceKnown, CommandError> {
        let fact = SourceSecretRevoked {
            secret: secret.clone(),
            revoked_by: source.by.clone(),
        };
        self.then(source, SourceCommand::RevokeSecret(fact))
    }

    async fn pause(&self, source: &SourceRef, reason: Option<String>) -> Result<SourceKnown, CommandError> {
        let paused_by = source.by.clone();
        self.then(source, SourceCommand::Pause(SourcePaused { paused_by, reason }))
    }

    async fn resume(&self, source: &SourceRef) -> Result<SourceKnown, CommandError> {
        let resumed_by = source.by.clone();
        self.then(source, SourceCommand::Resume(SourceResumed { resumed_by }))
    }

    async fn remove(&self, source: &SourceRef, reason: Option<String>) -> Result<(), CommandError> {
        let removed_by = source.by.clone();
        let fact = SourceRemoved { removed_by, reason };
        self.then(source, SourceCommand::Remove(fact)).map(drop)
    }

    async fn reseal(&self, caller: &TenantId, by: String) -> Result<u64, CommandError> {
        assert_eq!(*caller, TenantId::default(), "nobody else is let through");
        let all: Vec<SourceState> = self.directory.lock().unwrap().iter().cloned().collect();
        let mut resealed = 0;
        for state in all {
            let secrets = state.secrets.iter().map(|secret| secret.sealed.clone());
            let fact = SourceSecretsResealed {
                secrets: secrets.collect(),
                resealed_by: by.clone(),
            };
            resealed += fact.secrets.len() as u64;
            self.learn(&state.name, &SourceEvent::SecretsResealed(fact));
        }
        Ok(resealed)
    }
}
