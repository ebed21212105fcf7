//! What became of a source, and what may become of it.

use super::{
    SealedSecret, SecretId, SourceAdded, SourceChanged, SourceEvent, SourcePaused, SourceRemoved,
    SourceResumed, SourceSecretAdded, SourceSecretRevoked, SourceSecretRotated, SourceSecretsResealed,
    SourceTerms,
};
use crate::{
    Append, Expected, NewEvent, Position, RecordedEvent, Revision, SourceName, StreamName, TenantId,
    Timestamp,
};

/// Behind all that is in the log.
const NOWHERE: Position = Position::new(u64::MAX);

/// A secret of a source, and how long it verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSecret {
    /// The secret.
    pub sealed: SealedSecret,
    /// Since when it is known.
    pub added_at: Timestamp,
    /// From when on it verifies nothing; none for no end.
    pub valid_until: Option<Timestamp>,
}

impl SourceSecret {
    /// Whether it verifies at a time.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }
}

/// Whether a source takes deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceStanding {
    /// It does.
    Active,
    /// Not now.
    Paused(SourcePaused, Timestamp),
    /// Never again, unless it is added again.
    Removed(SourceRemoved, Timestamp),
}

/// What somebody wants of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceCommand {
    /// It shall be another one, but for its secrets.
    Change(SourceChanged),
    /// One more secret shall verify.
    AddSecret(SourceSecretAdded),
    /// A new secret shall take the place of those of its tenant and hook, which verify until a time.
    RotateSecret {
        /// The new one.
        secret: SealedSecret,
        /// Until when the old ones verify.
        valid_until: Timestamp,
        /// Who asks.
        rotated_by: String,
    },
    /// A secret shall verify nothing any more.
    RevokeSecret(SourceSecretRevoked),
    /// Secrets are encrypted with another key.
    Reseal(SourceSecretsResealed),
    /// It shall take no deliveries.
    Pause(SourcePaused),
    /// It shall take deliveries again.
    Resume(SourceResumed),
    /// It shall be gone.
    Remove(SourceRemoved),
}

/// The rule that says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceRejection {
    /// There is one of the name.
    #[error("there is a source of this name already")]
    SourceExists,
    /// The name was another tenant's, whose deliveries still carry it.
    #[error("the name belongs to another tenant")]
    NameIsTaken,
    /// There is none of the name.
    #[error("there is no source of this name")]
    SourceIsUnknown,
    /// An id means one secret, for ever: deliveries name it.
    #[error("the source has, or had, a secret of this id; choose another")]
    SecretIdIsTaken,
    /// There is none of the id.
    #[error("the source has no secret of this id")]
    SecretIsUnknown,
    /// Nothing could verify any more.
    #[error("it is the last secret that verifies: add or rotate one first, or remove the source")]
    SecretIsTheLast,
    /// There is nothing whose place a new secret could take.
    #[error("the source has no secret of this tenant and hook: add one instead")]
    NothingToRotate,
}

/// A source and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// Its name.
    pub name: SourceName,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub terms: SourceTerms,
    /// All its secrets since it was added, in the order in which they came.
    pub secrets: Vec<SourceSecret>,
    /// Ids of secrets from before it was removed and added again.
    pub past_secrets: Vec<SecretId>,
    /// Whether it takes deliveries.
    pub standing: SourceStanding,
    /// Who added it.
    pub added_by: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// When anything about it last changed.
    pub changed_at: Timestamp,
    /// Where in the log it was given its path, or its lack of one: of several with one path the first has it.
    pub path_since: Position,
    /// Why it can't be used: an event of its stream can't be understood. Adding it again mends it.
    pub trouble: Option<String>,
    /// The stream's last revision.
    pub revision: Revision,
}

impl SourceState {
    /// Decides on adding a source, given what is known under its name.
    ///
    /// # Errors
    /// The rule that says no.
    pub fn add(known: Option<&Self>, added: SourceAdded) -> Result<SourceEvent, SourceRejection> {
        match known {
            None => Ok(SourceEvent::Added(added)),
            Some(known) if known.tenant != added.tenant => Err(SourceRejection::NameIsTaken),
            Some(known) if !known.is_removed() => Err(SourceRejection::SourceExists),
            Some(known) => {
                if let Some(secret) = &added.secret {
                    known.check_id(&secret.id)?;
                }
                Ok(SourceEvent::Added(added))
            }
        }
    }

    /// What follows from a command; nothing when it is so already.
    ///
    /// # Errors
    /// The rule that says no.
    pub fn decide(
        &self,
        command: SourceCommand,
        now: Timestamp,
    ) -> Result<Option<SourceEvent>, SourceRejection> {
        if self.is_removed() {
            return match command {
                SourceCommand::Remove(_) => Ok(None),
                SourceCommand::Change(_)
                | SourceCommand::AddSecret(_)
                | SourceCommand::RotateSecret { .. }
                | SourceCommand::RevokeSecret(_)
                | SourceCommand::Reseal(_)
                | SourceCommand::Pause(_)
                | SourceCommand::Resume(_) => Err(SourceRejection::SourceIsUnknown),
            };
        }
        match command {
            SourceCommand::Change(fact) => {
                Ok((self.terms != fact.terms).then_some(SourceEvent::Changed(fact)))
            }
            SourceCommand::AddSecret(fact) => {
                self.check_id(&fact.secret.id)?;
                Ok(Some(SourceEvent::SecretAdded(fact)))
            }
            SourceCommand::RotateSecret {
                secret,
                valid_until,
                rotated_by,
            } => self.rotate(secret, valid_until, rotated_by, now).map(Some),
            SourceCommand::RevokeSecret(fact) => self.revoke(fact, now),
            SourceCommand::Reseal(fact) => Ok(self.reseal(fact)),
            SourceCommand::Pause(fact) => Ok((!self.is_paused()).then_some(SourceEvent::Paused(fact))),
            SourceCommand::Resume(fact) => Ok(self.is_paused().then_some(SourceEvent::Resumed(fact))),
            SourceCommand::Remove(fact) => Ok(Some(SourceEvent::Removed(fact))),
        }
    }

    fn rotate(
        &self,
        secret: SealedSecret,
        valid_until: Timestamp,
        rotated_by: String,
        now: Timestamp,
    ) -> Result<SourceEvent, SourceRejection> {
        self.check_id(&secret.id)?;
        let place = |other: &&SourceSecret| {
            other.is_valid(now) && other.sealed.tenant == secret.tenant && other.sealed.hook == secret.hook
        };
        let replaces: Vec<SecretId> = self
            .secrets
            .iter()
            .filter(place)
            .map(|s| s.sealed.id.clone())
            .collect();
        if replaces.is_empty() {
            return Err(SourceRejection::NothingToRotate);
        }
        Ok(SourceEvent::SecretRotated(SourceSecretRotated {
            secret,
            replaces,
            valid_until,
            rotated_by,
        }))
    }

    fn revoke(
        &self,
        fact: SourceSecretRevoked,
        now: Timestamp,
    ) -> Result<Option<SourceEvent>, SourceRejection> {
        let secret = self.secrets.iter().find(|s| s.sealed.id == fact.secret);
        let secret = secret.ok_or(SourceRejection::SecretIsUnknown)?;
        if !secret.is_valid(now) {
            return Ok(None);
        }
        let others = self.secrets.iter().filter(|s| s.sealed.id != fact.secret);
        if self.terms.verify && !others.into_iter().any(|s| s.is_valid(now)) {
            return Err(SourceRejection::SecretIsTheLast);
        }
        Ok(Some(SourceEvent::SecretRevoked(fact)))
    }

    fn reseal(&self, mut fact: SourceSecretsResealed) -> Option<SourceEvent> {
        fact.secrets.retain(|new| {
            let known = self.secrets.iter().find(|s| s.sealed.id == new.id);
            known.is_some_and(|s| s.sealed.tenant == new.tenant && s.sealed.hook == new.hook)
        });
        (!fact.secrets.is_empty()).then_some(SourceEvent::SecretsResealed(fact))
    }

    fn check_id(&self, id: &SecretId) -> Result<(), SourceRejection> {
        let present = self.secrets.iter().any(|s| s.sealed.id == *id);
        if present || self.past_secrets.contains(id) {
            return Err(SourceRejection::SecretIdIsTaken);
        }
        Ok(())
    }

    /// A source that was just added, for the first time or again.
    #[must_use]
    pub fn added(before: Option<Self>, fact: SourceAdded, event: &RecordedEvent) -> Self {
        Self::new(before, fact, event.recorded_at, (event.position, event.revision))
    }

    /// What it would be after being added by a fact that is not in the log.
    #[must_use]
    pub fn if_added(fact: SourceAdded, at: Timestamp) -> Self {
        Self::new(None, fact, at, (NOWHERE, Revision::new(0)))
    }

    fn new(
        before: Option<Self>,
        fact: SourceAdded,
        at: Timestamp,
        (position, revision): (Position, Revision),
    ) -> Self {
        let mut past_secrets = Vec::new();
        if let Some(before) = before {
            past_secrets = before.past_secrets;
            past_secrets.extend(before.secrets.into_iter().map(|s| s.sealed.id));
        }
        let mut state = Self {
            name: fact.source,
            tenant: fact.tenant,
            terms: fact.terms,
            secrets: Vec::new(),
            past_secrets,
            standing: SourceStanding::Active,
            added_by: fact.added_by,
            added_at: at,
            changed_at: at,
            path_since: position,
            trouble: None,
            revision,
        };
        if let Some(secret) = fact.secret {
            state.learn(secret, at);
        }
        state
    }

    /// The state after the next event of its stream that is not `SourceAdded`.
    pub fn evolve(&mut self, fact: SourceEvent, event: &RecordedEvent) {
        self.revision = event.revision;
        self.apply(fact, event.recorded_at, event.position);
    }

    /// What it would be after a fact that is not in the log.
    #[must_use]
    pub fn after(&self, fact: SourceEvent, at: Timestamp) -> Self {
        let mut state = self.clone();
        state.apply(fact, at, NOWHERE);
        state
    }

    fn apply(&mut self, fact: SourceEvent, at: Timestamp, position: Position) {
        self.changed_at = at;
        match fact {
            // The directory makes a new state of it.
            SourceEvent::Added(_) => {}
            SourceEvent::Changed(fact) => {
                if self.terms.path != fact.terms.path {
                    self.path_since = position;
                }
                self.terms = fact.terms;
            }
            SourceEvent::SecretAdded(fact) => self.learn(fact.secret, at),
            SourceEvent::SecretRotated(fact) => {
                fact.replaces.iter().for_each(|id| self.end(id, fact.valid_until));
                self.learn(fact.secret, at);
            }
            SourceEvent::SecretRevoked(fact) => self.end(&fact.secret, at),
            SourceEvent::SecretsResealed(fact) => {
                for new in fact.secrets {
                    if let Some(known) = self.secrets.iter_mut().find(|s| s.sealed.id == new.id) {
                        known.sealed = new;
                    }
                }
            }
            SourceEvent::Paused(fact) => self.standing = SourceStanding::Paused(fact, at),
            SourceEvent::Resumed(_) => self.standing = SourceStanding::Active,
            SourceEvent::Removed(fact) => self.standing = SourceStanding::Removed(fact, at),
        }
    }

    fn learn(&mut self, sealed: SealedSecret, added_at: Timestamp) {
        self.secrets.push(SourceSecret {
            sealed,
            added_at,
            valid_until: None,
        });
    }

    /// An end that is set already is never put off.
    fn end(&mut self, id: &SecretId, at: Timestamp) {
        for secret in self.secrets.iter_mut().filter(|s| s.sealed.id == *id) {
            secret.valid_until = Some(secret.valid_until.map_or(at, |until| until.min(at)));
        }
    }

    /// Whether it was removed.
    #[must_use]
    pub const fn is_removed(&self) -> bool {
        matches!(self.standing, SourceStanding::Removed(..))
    }

    /// Whether it is paused.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        matches!(self.standing, SourceStanding::Paused(..))
    }

    /// The secrets that verify at a time.
    pub fn valid_secrets(&self, now: Timestamp) -> impl Iterator<Item = &SourceSecret> {
        self.secrets.iter().filter(move |secret| secret.is_valid(now))
    }

    /// The stream it stands in.
    #[must_use]
    pub fn stream(&self) -> StreamName {
        StreamName::of_source(&self.name)
    }

    /// The append of facts about it: they stand only if nothing happened to it since this state was read.
    #[must_use]
    pub fn append(&self, events: Vec<NewEvent>) -> Append {
        Append {
            stream: self.stream(),
            expected: Expected::Revision(self.revision),
            events,
            content: None,
        }
    }

    /// The append of its first event, or of the one with which it comes back.
    #[must_use]
    pub fn append_first(known: Option<&Self>, name: &SourceName, event: NewEvent) -> Append {
        let events = vec![event];
        match known {
            Some(known) => known.append(events),
            None => Append {
                stream: StreamName::of_source(name),
                expected: Expected::NoStream,
                events,
                content: None,
            },
        }
    }
}
