//! A source as an aggregate: a sender that was added while the program runs, in the stream `source-default.<name>`.
//!
//! Names of sources are unique over all tenants, so all streams stand under one tenant and two adds of one name meet; whose
//! the source is stands in its first event. Secrets are in events as ciphertext only; what a scheme makes of the terms is
//! not known here.

mod directory;
mod event;
mod port;
mod sealed;
mod state;
mod terms;
#[cfg(test)]
mod tests;

pub use directory::SourceDirectory;
pub use event::{
    SourceAdded, SourceChanged, SourceEvent, SourcePaused, SourceRemoved, SourceResumed, SourceSecretAdded,
    SourceSecretRevoked, SourceSecretRotated, SourceSecretsResealed,
};
pub use port::{
    AddSource, AddSourceSecret, ChangeSource, Hold, NewSecret, OpenSecret, OpenSource, RotateSourceSecret,
    SecretFacts, SourceKnown, SourceOrigin, SourceRef, SourceStatus, Sources, UseSources,
};
pub use sealed::{InvalidSecretId, SealedSecret, SecretId};
pub use state::{SourceCommand, SourceRejection, SourceSecret, SourceStanding, SourceState};
pub use terms::{SOURCE_SCHEMES, SourceTerms};
