//! What a caller may know of the sources. A tenant sees what is its own, and of it only its own secrets.

use domain::{
    CommandError, SecretFacts, SourceKnown, SourceOrigin, SourceRef, SourceStanding, SourceState,
    SourceStatus, TenantId, Timestamp,
};

use super::SourceKeeper;
use super::receiving::Receiving;

/// Whether a caller acts for all tenants.
pub(super) fn acts_for_all(caller: &TenantId) -> bool {
    *caller == TenantId::default()
}

/// Whether what belongs to a tenant exists for a caller.
pub(super) fn sees(caller: &TenantId, tenant: &TenantId) -> bool {
    acts_for_all(caller) || caller == tenant
}

pub(super) fn unknown() -> CommandError {
    CommandError::NotFound("there is no source of this name".into())
}

impl SourceKeeper {
    /// All sources that a caller may know of, by name.
    pub(super) fn list_known(&self, caller: &TenantId) -> Result<Vec<SourceKnown>, CommandError> {
        let known = self.known();
        let directory = known.directory().ok_or_else(unread)?;
        let added = directory
            .iter()
            .filter(|source| !source.is_removed() && self.fixed(&source.name).is_none());
        let mut list: Vec<SourceKnown> = added
            .filter(|source| sees(caller, &source.tenant))
            .map(|source| self.known_of(&known, source, caller))
            .collect();
        let replaced = |name| directory.get(name).is_some_and(|source| !source.is_removed());
        let configured = self
            .configured
            .iter()
            .filter(|source| !source.replaceable || !replaced(&source.known.name));
        list.extend(configured.filter_map(|source| configured_for(&source.known, caller)));
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    /// One of them.
    pub(super) fn get_known(&self, source: &SourceRef) -> Result<SourceKnown, CommandError> {
        let all = self.list_known(&source.caller)?;
        all.into_iter()
            .find(|known| known.name == source.name)
            .ok_or_else(unknown)
    }

    /// The state of a source of the log that a caller may change.
    pub(super) fn state_of(&self, source: &SourceRef) -> Result<SourceState, CommandError> {
        let known = self.known();
        let directory = known.directory().ok_or_else(unread)?;
        let state = directory.get(&source.name).filter(|state| !state.is_removed());
        let state = state.filter(|state| sees(&source.caller, &state.tenant));
        match state {
            Some(state) if self.fixed(&source.name).is_none() => Ok(state.clone()),
            _ => {
                drop(known);
                // It may be one of the settings, which is not changed here.
                let found = self.get_known(source)?;
                Err(CommandError::Refused(format!(
                    "source {} is one of the settings: change it there",
                    found.name
                )))
            }
        }
    }

    fn known_of(&self, known: &Receiving, source: &SourceState, caller: &TenantId) -> SourceKnown {
        let now = self.clock.now();
        SourceKnown {
            name: source.name.clone(),
            tenant: source.tenant.clone(),
            origin: SourceOrigin::Log,
            terms: source.terms.clone(),
            secrets: secrets_of(source, caller, now),
            status: status_of(source, known.trouble(&source.name)),
            added: Some((source.added_by.clone(), source.added_at)),
            revision: Some(source.revision),
        }
    }
}

pub(super) fn unread() -> CommandError {
    CommandError::Unavailable("the log has not been read yet".into())
}

fn secrets_of(source: &SourceState, caller: &TenantId, now: Timestamp) -> Vec<SecretFacts> {
    let mine = source
        .valid_secrets(now)
        .filter(|secret| sees(caller, &secret.sealed.tenant));
    mine.map(|secret| SecretFacts {
        id: secret.sealed.id.to_string(),
        tenant: secret.sealed.tenant.clone(),
        hook: secret.sealed.hook.clone(),
        added_at: Some(secret.added_at),
        valid_until: secret.valid_until,
    })
    .collect()
}

fn status_of(source: &SourceState, trouble: Option<&String>) -> SourceStatus {
    match (&source.standing, trouble) {
        (_, Some(why)) => SourceStatus::Unavailable(why.clone()),
        (SourceStanding::Paused(fact, since), None) => SourceStatus::Paused {
            by: fact.paused_by.clone(),
            since: *since,
            reason: fact.reason.clone(),
        },
        (SourceStanding::Active | SourceStanding::Removed(..), None) => SourceStatus::Active,
    }
}

/// A source of the settings, for a caller who has a secret of it.
fn configured_for(source: &SourceKnown, caller: &TenantId) -> Option<SourceKnown> {
    let mut known = source.clone();
    known.secrets.retain(|secret| sees(caller, &secret.tenant));
    (sees(caller, &known.tenant) || !known.secrets.is_empty()).then_some(known)
}
