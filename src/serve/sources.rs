//! Stands where whoever keeps the sources of the log belongs, until it is wired: it knows none and changes nothing.

use async_trait::async_trait;
use domain::{
    AddSource, AddSourceSecret, ChangeSource, CommandError, RotateSourceSecret, SecretId, SourceKnown,
    SourceRef, Sources, TenantId,
};

/// Nobody keeps sources.
pub(crate) struct NoSources;

fn nobody<T>() -> Result<T, CommandError> {
    Err(CommandError::Unavailable("nobody keeps sources here".into()))
}

#[async_trait]
impl Sources for NoSources {
    async fn list(&self, _: &TenantId) -> Result<Vec<SourceKnown>, CommandError> {
        nobody()
    }

    async fn get(&self, _: &SourceRef) -> Result<SourceKnown, CommandError> {
        nobody()
    }

    async fn add(&self, _: AddSource) -> Result<SourceKnown, CommandError> {
        nobody()
    }

    async fn change(&self, _: ChangeSource) -> Result<SourceKnown, CommandError> {
        nobody()
    }

    async fn add_secret(&self, _: AddSourceSecret) -> Result<SourceKnown, CommandError> {
        nobody()
    }

    async fn rotate(&self, _: RotateSourceSecret) -> Result<SourceKnown, CommandError> {
        nobody()
    }

    async fn revoke_secret(&self, _: &SourceRef, _: &SecretId) -> Result<SourceKnown, CommandError> {
        nobody()
    }

    async fn pause(&self, _: &SourceRef, _: Option<String>) -> Result<SourceKnown, CommandError> {
        nobody()
    }

    async fn resume(&self, _: &SourceRef) -> Result<SourceKnown, CommandError> {
        nobody()
    }

    async fn remove(&self, _: &SourceRef, _: Option<String>) -> Result<(), CommandError> {
        nobody()
    }

    async fn reseal(&self, _: &TenantId, _: String) -> Result<u64, CommandError> {
        nobody()
    }
}
