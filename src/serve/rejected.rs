//! Rejected requests: the queue that receiving fills from the first moment, and the stream that is there later.

use std::sync::{Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use domain::{FindRejected, RejectedError, RejectedFilter, RejectedPage, RejectedRequest, TenantId};
use infra::jetstream::JetStream;
use infra::jetstream::rejected::{RejectedKeeper, RejectedQueue, RejectedRequests};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::settings::Settings;

/// Where rejected requests go, and where they are found once NATS is there.
pub(crate) struct LateRejected {
    queue: RejectedQueue,
    keeper: Mutex<Option<RejectedKeeper>>,
    found: OnceLock<RejectedRequests>,
}

impl LateRejected {
    /// An empty queue that nothing writes from yet.
    pub(crate) fn new(settings: &Settings) -> Self {
        let (queue, keeper) = RejectedQueue::new(settings.rejected_stream());
        Self {
            queue,
            keeper: Mutex::new(Some(keeper)),
            found: OnceLock::new(),
        }
    }

    /// The way in.
    pub(crate) fn queue(&self) -> RejectedQueue {
        self.queue.clone()
    }

    /// NATS is there: from now on they can be found, and, where this process receives, are written.
    pub(crate) fn start(
        &self,
        stream: &JetStream,
        receives: bool,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(keeper) = keeper else {
            // A second start of the engines, which compose never makes.
            return;
        };
        let found = RejectedRequests::new(stream.clone(), keeper.options().clone());
        let _ = self.found.set(found);
        if receives {
            tasks.spawn(keeper.run(stream.clone(), stop.clone()));
        }
    }

    fn there(&self) -> Result<&RejectedRequests, RejectedError> {
        let starting = || RejectedError::Unavailable("it is being started".into());
        self.found.get().ok_or_else(starting)
    }
}

#[async_trait]
impl FindRejected for LateRejected {
    async fn find(&self, filter: &RejectedFilter) -> Result<RejectedPage, RejectedError> {
        self.there()?.find(filter).await
    }

    async fn get(&self, tenant: &TenantId, id: Uuid) -> Result<Option<RejectedRequest>, RejectedError> {
        self.there()?.get(tenant, id).await
    }
}
