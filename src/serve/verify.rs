//! `POST /api/webhooks/verify` by the receiver itself.

use std::sync::Arc;

use async_trait::async_trait;
use domain::TenantId;
use ingest::{Asker, Checked, Explanation, Ingest, Question};
use query_api::{CheckRequest, CheckedRequest, NotChecked, RequestCheck, RequestToCheck};
use tokio::sync::Semaphore;

/// The most requests that are worked on at once, also where whoever asked has gone.
const AT_ONCE_MAX: usize = 2;

/// Asks the receiver what it would do.
pub(crate) struct ByReceiver {
    ingest: Ingest,
    places: Arc<Semaphore>,
}

impl ByReceiver {
    /// Over the receiver that receives.
    pub(crate) fn new(ingest: Ingest) -> Self {
        Self {
            ingest,
            places: Arc::new(Semaphore::new(AT_ONCE_MAX)),
        }
    }
}

#[async_trait]
impl CheckRequest for ByReceiver {
    async fn check(&self, request: RequestToCheck) -> Result<CheckedRequest, NotChecked> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| NotChecked)?;
        let (ingest, question) = (self.ingest.clone(), question(request));
        let runtime = tokio::runtime::Handle::current();
        // It signs megabytes many times over: not on a thread that others wait for.
        let explained = tokio::task::spawn_blocking(move || {
            let explanation = runtime.block_on(ingest.explain(&question));
            drop(place);
            explanation
        });
        explained.await.map(shown).map_err(|error| {
            tracing::error!(%error, "a request could not be checked");
            NotChecked
        })
    }
}

fn question(request: RequestToCheck) -> Question {
    let asker = if request.tenant == TenantId::default() {
        Asker::Instance
    } else {
        Asker::Tenant(request.tenant)
    };
    Question {
        asker,
        source: request.source.to_string(),
        connection: request.connection,
        headers: request.headers,
        body: request.body,
        at: request.at,
    }
}

fn shown(explanation: Explanation) -> CheckedRequest {
    let check = |check: Checked| RequestCheck {
        name: check.name.as_str().to_owned(),
        outcome: check.outcome.as_str().to_owned(),
        message: check.message,
        hint: check.hint,
    };
    CheckedRequest {
        source: explanation.source,
        scheme: explanation.scheme,
        verified: explanation.verified,
        would_be: explanation.would_be.as_str().to_owned(),
        checks: explanation.checks.into_iter().map(check).collect(),
        secret_id: explanation.secret_id,
        tenant: explanation.tenant,
        event: explanation.event,
        action: explanation.action,
        repository: explanation.repository,
        delivery_id: explanation.delivery_id,
    }
}
