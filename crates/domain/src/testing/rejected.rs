//! Rejected requests in memory, and what every keeper of them has to do.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    ContentHash, FindRejected, HeaderFact, KeepRejected, RejectedError, RejectedFilter, RejectedKind,
    RejectedPage, RejectedRequest, TenantId, Timestamp,
};

/// Keeps everything in memory.
#[derive(Debug, Default)]
pub struct MemoryRejected {
    kept: Mutex<Vec<RejectedRequest>>,
    away: Mutex<bool>,
}

impl MemoryRejected {
    /// All that was kept, in its order.
    #[must_use]
    pub fn all(&self) -> Vec<RejectedRequest> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on nothing can be read, or can again.
    pub fn set_away(&self, away: bool) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away;
    }

    fn of(&self, tenant: &TenantId) -> Result<Vec<RejectedRequest>, RejectedError> {
        if *self.away.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(RejectedError::Unavailable("set so by the test".into()));
        }
        let mut all = self.all();
        all.retain(|request| request.tenant == *tenant);
        all.reverse();
        Ok(all)
    }
}

impl KeepRejected for MemoryRejected {
    fn keep(&self, request: RejectedRequest) {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
    }
}

#[async_trait]
impl FindRejected for MemoryRejected {
    async fn find(&self, filter: &RejectedFilter) -> Result<RejectedPage, RejectedError> {
        let all = self.of(&filter.tenant)?;
        let mut kinds: BTreeMap<(String, String), u64> = BTreeMap::new();
        for request in &all {
            let kind = (request.source.to_string(), request.reason.clone());
            *kinds.entry(kind).or_default() += 1;
        }
        let fits = |request: &RejectedRequest| {
            filter
                .source
                .as_ref()
                .is_none_or(|source| request.source == *source)
                && filter.reason.as_ref().is_none_or(|reason| request.is_for(reason))
                && filter.since.is_none_or(|since| request.received_at >= since)
        };
        let fitting = all.into_iter().filter(fits).take(filter.limit);
        let kind = |((source, reason), kept)| RejectedKind { source, reason, kept };
        Ok(RejectedPage {
            requests: fitting
                .map(|request| RejectedRequest {
                    body: None,
                    ..request
                })
                .collect(),
            kinds: kinds.into_iter().map(kind).collect(),
        })
    }

    async fn get(
        &self,
        tenant: &TenantId,
        request_id: Uuid,
    ) -> Result<Option<RejectedRequest>, RejectedError> {
        let mut all = self.of(tenant)?;
        all.retain(|request| request.request_id == request_id);
        Ok(all.pop())
    }
}

/// A forged delivery to `github` of the tenant `default`, with a body. Its id and time are made of `n`.
#[must_use]
pub fn rejected(n: u64) -> RejectedRequest {
    let millis = 1_763_766_000_000 + n;
    let body = Bytes::from(format!("{{\"n\":{n}}}"));
    RejectedRequest {
        request_id: version_7(millis, n),
        received_at: Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)),
        tenant: TenantId::default(),
        source: "github"
            .parse()
            .unwrap_or_else(|_| unreachable!("the constant is a name")),
        connection: None,
        reason: "signature_invalid".into(),
        code: "SIGNATURE_INVALID".into(),
        status: 401,
        message: "the signature is missing or does not fit".into(),
        remote: Some([203, 0, 113, 7].into()),
        headers: vec![HeaderFact("content-type".into(), "application/json".into())],
        headers_left_out: 0,
        announced_bytes: Some(body.len() as u64),
        body_bytes: Some(body.len() as u64),
        sha256: Some(ContentHash::of(&body)),
        body_kept: true,
        body: Some(body),
        left_out_before: 0,
    }
}

/// An id that says its time, as those of requests do.
fn version_7(millis: u64, n: u64) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(millis, &counter(n)).into_uuid()
}

fn counter(n: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes
        .iter_mut()
        .rev()
        .zip(n.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    bytes
}
