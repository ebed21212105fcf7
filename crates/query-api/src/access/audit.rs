//! The audit trail as the edge writes it: before an action is done, after it ended, and, sampled, what was refused.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::{
    ActionAudited, Audit, AuditMark, AuditOutcome, AuditPage, AuditWanted, CommandError, EventId, TenantId,
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use poem::http::StatusCode;

use super::Caller;

const TARGET_CHARS_MAX: usize = 300;

/// Writes the trail.
#[derive(Clone)]
pub(crate) struct Trail {
    audit: Arc<dyn Audit>,
    refusals: Arc<Refusals>,
}

/// How many refused attempts are written down.
struct Refusals {
    rate: Option<DefaultDirectRateLimiter>,
    unwritten: AtomicU64,
}

/// What an endpoint knows better than its path: the id of what it made.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditNote(Arc<Mutex<Option<String>>>);

impl AuditNote {
    pub(crate) fn set(&self, target: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(target.into());
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An action that was begun.
pub(crate) struct Begun {
    id: EventId,
    action: ActionAudited,
    pub(crate) note: AuditNote,
}

/// What an action is, and who does it.
pub(crate) struct Deed<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) action: &'a str,
    pub(crate) target: Option<String>,
    pub(crate) request_id: &'a str,
}

impl Deed<'_> {
    fn with(self, outcome: AuditOutcome, status: Option<StatusCode>) -> ActionAudited {
        ActionAudited {
            tenant: self.caller.tenant.clone(),
            by: self.caller.name.clone(),
            key: self.caller.key.clone(),
            action: self.action.to_owned(),
            target: self.target.as_deref().map(plain),
            remote: self.caller.remote.clone(),
            request_id: self.request_id.to_owned(),
            outcome,
            status: status.map(|status| status.as_u16()),
            begun: None,
            unwritten: 0,
        }
    }
}

/// Of text from outside, only what can be shown on one line.
fn plain(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(TARGET_CHARS_MAX).collect()
}

impl Trail {
    /// Of refused attempts so many a minute are written.
    pub(crate) fn new(audit: Arc<dyn Audit>, refused_per_minute: u32) -> Self {
        let rate =
            NonZeroU32::new(refused_per_minute).map(|rate| RateLimiter::direct(Quota::per_minute(rate)));
        let unwritten = AtomicU64::new(0);
        Self {
            audit,
            refusals: Arc::new(Refusals { rate, unwritten }),
        }
    }

    /// Writes that an action begins. It may only be done when this succeeded.
    pub(crate) async fn begin(&self, deed: Deed<'_>) -> Result<Begun, CommandError> {
        let action = deed.with(AuditOutcome::Begun, None);
        let id = self.audit.record(action.clone()).await?;
        Ok(Begun {
            id,
            action,
            note: AuditNote::default(),
        })
    }

    /// Writes how it ended. It is done already, so a trail that can't be written now is only warned of: what stands there is
    /// that it began.
    pub(crate) async fn end(&self, begun: Begun, status: StatusCode) {
        let done = status.is_success() || status.is_redirection();
        let target = begun.note.take().map(|note| plain(&note));
        let ended = ActionAudited {
            outcome: if done {
                AuditOutcome::Done
            } else {
                AuditOutcome::Failed
            },
            status: Some(status.as_u16()),
            begun: Some(begun.id),
            target: target.or_else(|| begun.action.target.clone()),
            ..begun.action
        };
        let (action, request_id) = (ended.action.clone(), ended.request_id.clone());
        if let Err(error) = self.audit.record(ended).await {
            tracing::warn!(%error, action, request_id, "how an action ended is not in the audit trail");
        }
    }

    /// Writes something that was done and has no end of its own.
    pub(crate) async fn done(&self, deed: Deed<'_>) -> Result<(), CommandError> {
        let done = deed.with(AuditOutcome::Done, Some(StatusCode::OK));
        self.audit.record(done).await.map(drop)
    }

    /// Reads a part of a tenant's trail.
    pub(crate) async fn page(
        &self,
        tenant: &TenantId,
        wanted: &AuditWanted,
        before: Option<AuditMark>,
        limit: usize,
    ) -> Result<AuditPage, CommandError> {
        self.audit.page(tenant, wanted, before, limit).await
    }

    /// Writes that an attempt was refused, unless too many were lately: those are counted and told with the next. The
    /// caller does not wait for it.
    pub(crate) fn refused(&self, deed: Deed<'_>, status: StatusCode) {
        let Some(rate) = &self.refusals.rate else {
            return;
        };
        if rate.check().is_err() {
            self.refusals.unwritten.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let refused = ActionAudited {
            unwritten: self.refusals.unwritten.swap(0, Ordering::Relaxed),
            ..deed.with(AuditOutcome::Refused, Some(status))
        };
        let audit = Arc::clone(&self.audit);
        tokio::spawn(async move {
            if let Err(error) = audit.record(refused).await {
                tracing::warn!(%error, "a refused attempt is not in the audit trail");
            }
        });
    }
}
