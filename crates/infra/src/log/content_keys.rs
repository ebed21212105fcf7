//! What the content of a delivery is looked up by: in the current batch, among what is not yet indexed, and in the index.

use std::sync::Arc;

use domain::{ContentKey, SourceName, TenantId, Timestamp};
use sha2::{Digest, Sha256};

/// The keys of one delivery, made once where it comes in: the writer, the batch, and the index ask for them again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentKeys {
    pub(crate) received_at: Timestamp,
    /// Of the entries of bodies: its body within its tenant and source.
    pub(crate) body: Arc<[u8]>,
    /// None of a delivery without a sender's id.
    pub(crate) sender: Option<SenderKeys>,
}

/// The keys of a sender's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SenderKeys {
    /// Of the entries of originals: the id within its tenant and source.
    pub(crate) original: Arc<[u8]>,
    /// Start of the keys of the entries of deliveries: the id within its tenant.
    pub(crate) delivery: Arc<[u8]>,
}

impl ContentKeys {
    pub(crate) fn of(content: &ContentKey) -> Self {
        let (tenant, source) = (&content.tenant, &content.source);
        let sender = content.sender_id.as_ref().map(|id| {
            let hash = Sha256::digest(id.as_bytes());
            SenderKeys {
                original: within_source(tenant, source, &hash),
                delivery: within_tenant(tenant, &hash),
            }
        });
        Self {
            received_at: content.received_at,
            body: within_source(tenant, source, content.body_sha256.as_bytes()),
            sender,
        }
    }
}

/// Start of the keys of the entries of deliveries with a sender's id.
pub(crate) fn delivery_key(tenant: &TenantId, sender_id: &str) -> Arc<[u8]> {
    within_tenant(tenant, &Sha256::digest(sender_id.as_bytes()))
}

fn within_source(tenant: &TenantId, source: &SourceName, hash: &[u8]) -> Arc<[u8]> {
    let (tenant, source) = (tenant.as_str().as_bytes(), source.as_str().as_bytes());
    [tenant, &[0], source, &[0], hash].concat().into()
}

fn within_tenant(tenant: &TenantId, hash: &[u8]) -> Arc<[u8]> {
    [tenant.as_str().as_bytes(), &[0], hash].concat().into()
}
