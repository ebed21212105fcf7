//! Carries out what somebody wants of sources: decided on what is known, checked by receiving, appended only if nothing
//! happened in between.

use async_trait::async_trait;
use domain::{
    AddSource, AddSourceSecret, AppendError, ChangeSource, CommandError, EventId, KeyId, NewEvent, NewSecret,
    RotateSourceSecret, SealedSecret, SecretId, SourceAdded, SourceChanged, SourceCommand, SourceEvent,
    SourceKnown, SourceName, SourcePaused, SourceRef, SourceRejection, SourceRemoved, SourceResumed,
    SourceSecretAdded, SourceSecretRevoked, SourceSecretsResealed, SourceState, Sources, StreamName,
    TenantId,
};
use uuid::Uuid;

use super::SourceKeeper;
use super::keeper::TRIES_MAX;
use super::known::{acts_for_all, sees, unknown, unread};
use super::receiving::open;

/// The most secrets in one event: all of them together stay within what the log takes.
const RESEALED_PER_EVENT: usize = 32;

#[async_trait]
impl Sources for SourceKeeper {
    async fn list(&self, caller: &TenantId) -> Result<Vec<SourceKnown>, CommandError> {
        self.list_known(caller)
    }

    async fn get(&self, source: &SourceRef) -> Result<SourceKnown, CommandError> {
        self.get_known(source)
    }

    async fn add(&self, order: AddSource) -> Result<SourceKnown, CommandError> {
        let source = &order.source;
        let tenant = order.tenant.clone().unwrap_or_else(|| source.caller.clone());
        check_tenant(&source.caller, &tenant)?;
        for _ in 0..TRIES_MAX {
            self.check_name(source, &tenant)?;
            let known = self.whatever_is(&source.name)?;
            let secret = order.secret.as_ref();
            let secret = secret
                .map(|secret| self.seal(source, &tenant, secret))
                .transpose()?;
            let added = SourceAdded {
                source: source.name.clone(),
                tenant: tenant.clone(),
                terms: order.terms.clone(),
                secret,
                added_by: source.by.clone(),
            };
            let fact = SourceState::add(known.as_ref(), added).map_err(|why| refused(why, &source.caller))?;
            self.check_usable(None, &fact)?;
            let event = event_of(&fact)?;
            let append = SourceState::append_first(known.as_ref(), &source.name, event);
            match self.append(append).await {
                Ok(()) => return self.get_known(source),
                Err(AppendError::Conflict { .. }) => {
                    self.read_again(&StreamName::of_source(&source.name)).await?
                }
                Err(error) => return Err(unavailable(error)),
            }
        }
        Err(busy())
    }

    async fn change(&self, order: ChangeSource) -> Result<SourceKnown, CommandError> {
        let make = |state: &SourceState| {
            if order.revision.is_some_and(|revision| revision != state.revision) {
                let why = "the source was changed meanwhile: look at it and try again";
                return Err(CommandError::Refused(why.into()));
            }
            Ok(SourceCommand::Change(SourceChanged {
                terms: order.terms.clone(),
                changed_by: order.source.by.clone(),
            }))
        };
        self.command(&order.source, make).await
    }

    async fn add_secret(&self, order: AddSourceSecret) -> Result<SourceKnown, CommandError> {
        let make = |state: &SourceState| {
            self.check_room_for_secret(state, &order.secret)?;
            Ok(SourceCommand::AddSecret(SourceSecretAdded {
                secret: self.seal(&order.source, &state.tenant, &order.secret)?,
                added_by: order.source.by.clone(),
            }))
        };
        self.command(&order.source, make).await
    }

    async fn rotate(&self, order: RotateSourceSecret) -> Result<SourceKnown, CommandError> {
        let grace_ms = order.grace_ms.unwrap_or(self.options.grace_ms);
        if grace_ms > self.options.grace_ms_max {
            return Err(CommandError::Invalid(format!(
                "the old secrets may verify for {} s at most (`sources.grace_ms_max`)",
                self.options.grace_ms_max / 1000
            )));
        }
        let grace_ms = i64::try_from(grace_ms).unwrap_or(i64::MAX);
        let valid_until = self.clock.now().plus_millis(grace_ms);
        let make = |state: &SourceState| {
            self.check_room_for_secret(state, &order.secret)?;
            Ok(SourceCommand::RotateSecret {
                secret: self.seal(&order.source, &state.tenant, &order.secret)?,
                valid_until,
                rotated_by: order.source.by.clone(),
            })
        };
        self.command(&order.source, make).await
    }

    async fn revoke_secret(
        &self,
        source: &SourceRef,
        secret: &SecretId,
    ) -> Result<SourceKnown, CommandError> {
        let make = |state: &SourceState| {
            let known = state.secrets.iter().find(|known| known.sealed.id == *secret);
            // Another tenant's does not exist for the caller.
            if known.is_some_and(|known| !sees(&source.caller, &known.sealed.tenant)) {
                return Err(refused(SourceRejection::SecretIsUnknown, &source.caller));
            }
            Ok(SourceCommand::RevokeSecret(SourceSecretRevoked {
                secret: secret.clone(),
                revoked_by: source.by.clone(),
            }))
        };
        self.command(source, make).await
    }

    async fn pause(&self, source: &SourceRef, reason: Option<String>) -> Result<SourceKnown, CommandError> {
        let paused_by = source.by.clone();
        let command = SourceCommand::Pause(SourcePaused { paused_by, reason });
        self.command(source, |_| Ok(command.clone())).await
    }

    async fn resume(&self, source: &SourceRef) -> Result<SourceKnown, CommandError> {
        let resumed_by = source.by.clone();
        let command = SourceCommand::Resume(SourceResumed { resumed_by });
        self.command(source, |_| Ok(command.clone())).await
    }

    async fn remove(&self, source: &SourceRef, reason: Option<String>) -> Result<(), CommandError> {
        let removed_by = source.by.clone();
        let command = SourceCommand::Remove(SourceRemoved { removed_by, reason });
        self.carry_out(source, |_| Ok(command.clone())).await
    }

    async fn reseal(&self, caller: &TenantId, by: String) -> Result<u64, CommandError> {
        if !acts_for_all(caller) {
            let why = "only a key of the tenant `default` may have secrets encrypted again";
            return Err(CommandError::Refused(why.into()));
        }
        let (mut count, mut lost) = (0, Vec::new());
        for name in self.kept_in_the_log()? {
            let (resealed, more) = self.reseal_one(&name, &by).await?;
            count += resealed;
            lost.extend(more);
        }
        if lost.is_empty() {
            return Ok(count);
        }
        Err(CommandError::Refused(format!(
            "{count} secrets were encrypted anew, and these could not be opened: {}; keep the old key",
            lost.join("; ")
        )))
    }
}

impl SourceKeeper {
    /// Carries out a command and says how the source is then.
    async fn command(
        &self,
        source: &SourceRef,
        make: impl Fn(&SourceState) -> Result<SourceCommand, CommandError> + Send,
    ) -> Result<SourceKnown, CommandError> {
        self.carry_out(source, make).await?;
        self.get_known(source)
    }

    async fn carry_out(
        &self,
        source: &SourceRef,
        make: impl Fn(&SourceState) -> Result<SourceCommand, CommandError> + Send,
    ) -> Result<(), CommandError> {
        for _ in 0..TRIES_MAX {
            let state = self.state_of(source)?;
            let decided = state.decide(make(&state)?, self.clock.now());
            let Some(fact) = decided.map_err(|why| refused(why, &source.caller))? else {
                return Ok(());
            };
            self.check_usable(Some(&state), &fact)?;
            let append = state.append(vec![event_of(&fact)?]);
            match self.append(append).await {
                Ok(()) => return Ok(()),
                Err(AppendError::Conflict { .. }) => self.read_again(&state.stream()).await?,
                Err(error) => return Err(unavailable(error)),
            }
        }
        Err(busy())
    }

    /// Every source of the log, those too in whose place one of the settings stands: it may go again.
    fn kept_in_the_log(&self) -> Result<Vec<SourceName>, CommandError> {
        let known = self.known();
        let directory = known.directory().ok_or_else(unread)?;
        let kept = directory.iter().filter(|source| !source.is_removed());
        Ok(kept.map(|source| source.name.clone()).collect())
    }

    /// Encrypts the secrets of a source anew; how many, and which can't be opened.
    async fn reseal_one(&self, name: &SourceName, by: &str) -> Result<(u64, Vec<String>), CommandError> {
        for _ in 0..TRIES_MAX {
            let state = self.known().directory().and_then(|all| all.get(name)).cloned();
            let Some(state) = state.filter(|state| !state.is_removed()) else {
                return Ok((0, Vec::new()));
            };
            let now = self.clock.now();
            let (mut sealed, mut lost) = (Vec::new(), Vec::new());
            for secret in state.valid_secrets(now).filter(|s| self.sealer.is_old(&s.sealed)) {
                match self.sealed_again(name, &secret.sealed) {
                    Ok(again) => sealed.push(again),
                    Err(error) => lost.push(format!("source {name}: {error}")),
                }
            }
            let mut events = Vec::new();
            for secrets in sealed.chunks(RESEALED_PER_EVENT) {
                let fact = SourceCommand::Reseal(SourceSecretsResealed {
                    secrets: secrets.to_vec(),
                    resealed_by: by.to_owned(),
                });
                let fact = state.decide(fact, now);
                let fact = fact.map_err(|why| refused(why, &TenantId::default()))?;
                events.extend(fact.map(|fact| event_of(&fact)).transpose()?);
            }
            if events.is_empty() {
                return Ok((0, lost));
            }
            match self.append(state.append(events)).await {
                Ok(()) => return Ok((sealed.len() as u64, lost)),
                Err(AppendError::Conflict { .. }) => self.read_again(&state.stream()).await?,
                Err(error) => return Err(unavailable(error)),
            }
        }
        Err(busy())
    }

    fn sealed_again(&self, source: &SourceName, sealed: &SealedSecret) -> Result<SealedSecret, String> {
        let value = self.sealer.open(source, sealed);
        let value = value.map_err(|error| error.to_string())?;
        let place = (sealed.id.clone(), sealed.tenant.clone(), sealed.hook.clone());
        let sealed = self.sealer.seal(source, place, &value);
        sealed.map_err(|error| error.to_string())
    }

    /// A secret as the log may have it, under an id of its own.
    fn seal(
        &self,
        source: &SourceRef,
        owner: &TenantId,
        secret: &NewSecret,
    ) -> Result<SealedSecret, CommandError> {
        let tenant = secret.tenant.clone().unwrap_or_else(|| owner.clone());
        check_tenant(&source.caller, &tenant)?;
        let id = match &secret.id {
            Some(id) => id.clone(),
            None => KeyId::of_random(rand::random())
                .as_str()
                .parse()
                .unwrap_or_else(|_| unreachable!("an id of letters and digits")),
        };
        let place = (id, tenant, secret.hook.clone());
        let sealed = self.sealer.seal(&source.name, place, &secret.value);
        sealed.map_err(|error| CommandError::Invalid(error.to_string()))
    }

    fn whatever_is(&self, name: &SourceName) -> Result<Option<SourceState>, CommandError> {
        let known = self.known();
        let directory = known.directory();
        let directory =
            directory.ok_or_else(|| CommandError::Unavailable("the log has not been read yet".into()))?;
        let all = directory.iter().filter(|source| !source.is_removed()).count();
        let max = self.options.sources_max;
        if all >= max {
            return Err(CommandError::Refused(format!(
                "there are {max} sources, and no more may be (`sources.sources_max`): remove one first"
            )));
        }
        Ok(directory.get(name).cloned())
    }

    /// A name of the settings is its owner's, the tenant `default`: no other takes its deliveries away.
    fn check_name(&self, source: &SourceRef, tenant: &TenantId) -> Result<(), CommandError> {
        let mut configured = self.configured.iter();
        let Some(known) = configured.find(|configured| configured.known.name == source.name) else {
            return Ok(());
        };
        if known.replaceable && *tenant == known.known.tenant {
            return Ok(());
        }
        let why = if acts_for_all(&source.caller) {
            "a source of the settings has the name: change it there"
        } else {
            "the name is taken"
        };
        Err(CommandError::Refused(why.into()))
    }

    fn check_room_for_secret(&self, state: &SourceState, secret: &NewSecret) -> Result<(), CommandError> {
        let valid = || state.valid_secrets(self.clock.now());
        let (all, of_hook) = (
            self.options.secrets_per_source_max,
            self.options.secrets_per_hook_max,
        );
        if valid().count() >= all {
            return Err(CommandError::Refused(format!(
                "the source has {all} secrets, and no more may be (`sources.secrets_per_source_max`): revoke one first"
            )));
        }
        // Each costs a computation over the whole body of whatever anybody sends.
        if valid().filter(|known| known.sealed.hook == secret.hook).count() >= of_hook {
            return Err(CommandError::Refused(format!(
                "there are {of_hook} secrets of this hook, or of none, and no more may be (`sources.secrets_per_hook_max`): \
                 revoke one first"
            )));
        }
        Ok(())
    }

    /// Asks receiving whether the source could be used after a fact that changes what it is.
    fn check_usable(&self, before: Option<&SourceState>, fact: &SourceEvent) -> Result<(), CommandError> {
        if !fact.changes_what_it_is() {
            return Ok(());
        }
        let now = self.clock.now();
        let after = match (fact, before) {
            (SourceEvent::Added(added), _) => SourceState::if_added(added.clone(), now),
            (fact, Some(before)) => before.after(fact.clone(), now),
            (_, None) => return Err(unknown()),
        };
        if !after.terms.verify && !acts_for_all(&after.tenant) {
            let why = "only a source of the tenant `default` may take deliveries without proof: they are that tenant's";
            return Err(CommandError::Invalid(why.into()));
        }
        let open =
            open(&after, &self.sealer, now).map_err(|error| CommandError::Refused(error.to_string()))?;
        self.receiver.check(&open).map_err(CommandError::Invalid)
    }
}

/// The event of a fact, unless it is longer than the log takes.
fn event_of(fact: &SourceEvent) -> Result<NewEvent, CommandError> {
    let event = fact.to_event(EventId::new(Uuid::now_v7()));
    if event.metadata.len() > NewEvent::METADATA_BYTES_MAX {
        return Err(CommandError::Invalid(format!(
            "what is said of the source is too long: {} bytes at most",
            NewEvent::METADATA_BYTES_MAX
        )));
    }
    Ok(event)
}

fn check_tenant(caller: &TenantId, tenant: &TenantId) -> Result<(), CommandError> {
    if sees(caller, tenant) {
        return Ok(());
    }
    let why = "only a key of the tenant `default` may act for another tenant";
    Err(CommandError::Refused(why.into()))
}

/// The rule that said no, to whoever asked: what belongs to another tenant is only said to those who act for all.
fn refused(why: SourceRejection, caller: &TenantId) -> CommandError {
    match why {
        SourceRejection::SourceIsUnknown => unknown(),
        SourceRejection::SecretIsUnknown => CommandError::NotFound(why.to_string()),
        SourceRejection::NameIsTaken if !acts_for_all(caller) => {
            CommandError::Refused("the name is taken".into())
        }
        SourceRejection::NameIsTaken
        | SourceRejection::SourceExists
        | SourceRejection::SecretIdIsTaken
        | SourceRejection::SecretIsTheLast
        | SourceRejection::NothingToRotate => CommandError::Refused(why.to_string()),
    }
}

fn unavailable(error: impl ToString) -> CommandError {
    CommandError::Unavailable(error.to_string())
}

fn busy() -> CommandError {
    CommandError::Unavailable("others change the source at the same time".into())
}
