//! The ports by which sources are added and changed, and by which receiving learns of it.

use async_trait::async_trait;
use secrecy::SecretString;

use super::{SecretId, SourceTerms};
use crate::{CommandError, Revision, SourceName, TenantId, Timestamp};

/// Which source somebody means, and who asks. A caller of the tenant `default` acts for all tenants, any other for sources of
/// its own only; what belongs to others does not exist for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRef {
    /// The source.
    pub name: SourceName,
    /// Whose key the caller has.
    pub caller: TenantId,
    /// Who asks, for the log.
    pub by: String,
}

/// A secret that is not known yet, in clear.
#[derive(Debug, Clone)]
pub struct NewSecret {
    /// What to call it; none for a name of the keeper's.
    pub id: Option<SecretId>,
    /// The secret.
    pub value: SecretString,
    /// Whose deliveries it verifies; none for whoever the source belongs to.
    pub tenant: Option<TenantId>,
    /// The hook or connection that it belongs to.
    pub hook: Option<String>,
}

/// An order to add a source.
#[derive(Debug, Clone)]
pub struct AddSource {
    /// What it is called, and who asks.
    pub source: SourceRef,
    /// Whose it shall be; none for the caller's.
    pub tenant: Option<TenantId>,
    /// What it is.
    pub terms: SourceTerms,
    /// Its first secret; none only where nothing has to be proved.
    pub secret: Option<NewSecret>,
}

/// An order to change what a source is.
#[derive(Debug, Clone)]
pub struct ChangeSource {
    /// Which one.
    pub source: SourceRef,
    /// What it is from now on, as a whole.
    pub terms: SourceTerms,
    /// The revision that the terms were made from: a change that came between refuses the order.
    pub revision: Option<Revision>,
}

/// An order to add a secret.
#[derive(Debug, Clone)]
pub struct AddSourceSecret {
    /// To which source.
    pub source: SourceRef,
    /// The secret.
    pub secret: NewSecret,
}

/// An order to put a new secret into the place of those of its tenant and hook.
#[derive(Debug, Clone)]
pub struct RotateSourceSecret {
    /// Of which source.
    pub source: SourceRef,
    /// The new one.
    pub secret: NewSecret,
    /// How long the old ones verify beside it, in milliseconds; none for the default.
    pub grace_ms: Option<u64>,
}

/// Where a source comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceOrigin {
    /// From the settings: it is changed there.
    Settings,
    /// From the log: it was added while the program ran.
    Log,
}

impl SourceOrigin {
    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Log => "log",
        }
    }
}

/// Whether a source takes deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceStatus {
    /// It does.
    Active,
    /// Somebody paused it.
    Paused {
        /// Who.
        by: String,
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: Option<String>,
    },
    /// It can't be used as it is; the text says why.
    Unavailable(String),
}

impl SourceStatus {
    /// The wire name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused { .. } => "paused",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// What may be known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFacts {
    /// What it is called.
    pub id: String,
    /// Whose deliveries it verifies.
    pub tenant: TenantId,
    /// The hook or connection it belongs to.
    pub hook: Option<String>,
    /// Since when it is known; none for one of the settings.
    pub added_at: Option<Timestamp>,
    /// Until when it verifies; none for no end.
    pub valid_until: Option<Timestamp>,
}

/// A source as it is now, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceKnown {
    /// Its name.
    pub name: SourceName,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it comes from.
    pub origin: SourceOrigin,
    /// What it is.
    pub terms: SourceTerms,
    /// The secrets that verify, as far as the caller may know of them.
    pub secrets: Vec<SecretFacts>,
    /// Whether it takes deliveries.
    pub status: SourceStatus,
    /// Who added it, and when; none for one of the settings.
    pub added: Option<(String, Timestamp)>,
    /// The revision of its stream; none for one of the settings.
    pub revision: Option<Revision>,
}

/// Adds, changes and removes sources. What was done holds at once in this process, and soon in all others.
#[async_trait]
pub trait Sources: Send + Sync {
    /// All sources that a caller may know of, by name.
    ///
    /// # Errors
    /// When the log has not been read yet.
    async fn list(&self, caller: &TenantId) -> Result<Vec<SourceKnown>, CommandError>;

    /// One of them.
    async fn get(&self, source: &SourceRef) -> Result<SourceKnown, CommandError>;

    /// Adds one.
    async fn add(&self, order: AddSource) -> Result<SourceKnown, CommandError>;

    /// Changes what one is.
    async fn change(&self, order: ChangeSource) -> Result<SourceKnown, CommandError>;

    /// Adds a secret.
    async fn add_secret(&self, order: AddSourceSecret) -> Result<SourceKnown, CommandError>;

    /// Puts a new secret into the place of others.
    async fn rotate(&self, order: RotateSourceSecret) -> Result<SourceKnown, CommandError>;

    /// Has a secret verify nothing any more; one that does not already stays as it is.
    async fn revoke_secret(&self, source: &SourceRef, secret: &SecretId)
    -> Result<SourceKnown, CommandError>;

    /// Has it take no deliveries; one that is paused already stays as it is.
    async fn pause(&self, source: &SourceRef, reason: Option<String>) -> Result<SourceKnown, CommandError>;

    /// Has it take deliveries again.
    async fn resume(&self, source: &SourceRef) -> Result<SourceKnown, CommandError>;

    /// Removes one.
    async fn remove(&self, source: &SourceRef, reason: Option<String>) -> Result<(), CommandError>;

    /// Encrypts all secrets with the newest key, and says how many were not. Only for callers of the tenant `default`.
    async fn reseal(&self, caller: &TenantId, by: String) -> Result<u64, CommandError>;
}

/// A secret of a source, open.
#[derive(Debug, Clone)]
pub struct OpenSecret {
    /// What deliveries say instead of it.
    pub id: SecretId,
    /// Whose deliveries it verifies.
    pub tenant: TenantId,
    /// The hook or connection it belongs to.
    pub hook: Option<String>,
    /// The secret.
    pub value: SecretString,
    /// From when on it verifies nothing; none for no end.
    pub valid_until: Option<Timestamp>,
}

/// A source with its secrets open, as receiving uses it.
#[derive(Debug, Clone)]
pub struct OpenSource {
    /// Its name.
    pub name: SourceName,
    /// What it is.
    pub terms: SourceTerms,
    /// Its secrets.
    pub secrets: Vec<OpenSecret>,
}

/// Why a source that exists takes no deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Somebody paused it.
    Paused,
    /// It can't be used as it is.
    Unavailable,
}

/// Receives deliveries of sources that come and go. Never here: a source of the settings.
pub trait UseSources: Send + Sync {
    /// Whether a source could be used; nothing changes.
    ///
    /// # Errors
    /// Says what of it can't be used, never a secret.
    fn check(&self, source: &OpenSource) -> Result<(), String>;

    /// Takes its deliveries from now on, in the place of what was known under its name.
    ///
    /// # Errors
    /// Says what of it can't be used, never a secret; what was known before stays.
    fn put(&self, source: &OpenSource) -> Result<(), String>;

    /// Knows it, and its own path where it has one, and takes nothing of it: senders are asked to come back.
    fn hold(&self, name: &SourceName, path: Option<&str>, why: Hold);

    /// Knows nothing of it any more.
    fn remove(&self, name: &SourceName);

    /// All sources that were in the log at the start are known now: whoever asks for another asks for nothing.
    fn complete(&self);
}
