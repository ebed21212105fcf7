//! Finds deliveries by the id that their sender gave them: they were announced under it.

use std::collections::HashSet;

use domain::{ReadError, StreamName, TenantId};

use super::Shared;
use super::claim;
use super::read::first_event;
use super::retry::Retry;

/// The most announcements that are looked at.
const CLAIMS_MAX: usize = 10_000;

pub(super) async fn by_sender_id(
    shared: &Shared,
    tenant: &TenantId,
    sender_id: &str,
    limit: usize,
) -> Result<Vec<StreamName>, ReadError> {
    let mut retry = Retry::read(&shared.options);
    let claims = shared.names.sender_claims(tenant, sender_id);
    let claims = claim::forwards(shared, &mut retry, &claims, 0, CLAIMS_MAX).await?;
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for claim in claims {
        if !seen.insert(claim.stream.clone()) {
            continue;
        }
        // Announced is not written.
        let Some((event, header)) = first_event(shared, &mut retry, &claim.stream).await? else {
            continue;
        };
        let is_asked_for = header.content.is_some_and(|content| {
            content.tenant == *tenant && content.sender_id.as_deref() == Some(sender_id)
        });
        if is_asked_for {
            found.push((event.position, claim.stream));
        }
    }
    found.sort();
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, stream)| stream).collect())
}
