//! Carries out the replays that the log says are open, a few at once.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{Lease, LeaseName, SharedWork, StreamName};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::registry::{Registry, RunEnd};
use super::{ReplayHandle, ReplayPorts, Shared, follow, run};
use crate::ReactorOptions;
use crate::runtime::PARTS;

/// The lease on carrying them out: beyond the parts that destinations have.
const REPLAYS: LeaseName = LeaseName::new(SharedWork::React, PARTS);

/// Carries out replays.
pub struct ReplayRunner {
    shared: Arc<Shared>,
}

impl ReplayRunner {
    /// A runner, and the handle by which replays are ordered. The handle works without the runner: what it orders is then
    /// carried out by a runner elsewhere, or later.
    #[must_use]
    pub fn build(options: ReactorOptions, ports: ReplayPorts) -> (Self, ReplayHandle) {
        let shared = Arc::new(Shared {
            options,
            ports,
            registry: Registry::default(),
            states: super::load::ReplayStates::default(),
        });
        let handle = ReplayHandle::new(Arc::clone(&shared));
        (Self { shared }, handle)
    }

    /// Runs until it is told to stop; replays under way then take down how far they are.
    /// Of several processes one carries them out, by a lease, so that the rate of a replay is what was asked for; the others
    /// follow the log and go on where it stops.
    pub async fn run(self, shutdown: CancellationToken) {
        let lease = self.shared.ports.leases.stand_for(REPLAYS);
        tokio::join!(
            follow::follow(&self.shared, &shutdown),
            schedule(&self.shared, lease, &shutdown)
        );
    }
}

async fn schedule(shared: &Arc<Shared>, mut lease: Box<dyn Lease>, shutdown: &CancellationToken) {
    let mut changes = shared.registry.changes();
    let mut runs = JoinSet::new();
    let mut streams: HashMap<Id, StreamName> = HashMap::new();
    while !shutdown.is_cancelled() {
        changes.mark_unchanged();
        let works = lease.standing().works();
        if !works {
            shared.registry.stop_all();
            if runs.is_empty() {
                lease.settled();
            }
        }
        while works && let Some((stream, stop)) = shared.registry.next(shared.options.replays_max) {
            let task = runs.spawn(one_run(
                Arc::clone(shared),
                stream.clone(),
                stop,
                shutdown.clone(),
            ));
            streams.insert(task.id(), stream);
        }
        show(shared);
        tokio::select! {
            () = shutdown.cancelled() => {}
            // The sender lives in `shared`, so this never fails.
            _ = changes.changed() => {}
            () = lease.changed() => {}
            Some(ended) = runs.join_next_with_id() => settle(shared, &mut streams, ended),
        }
    }
    while let Some(ended) = runs.join_next_with_id().await {
        settle(shared, &mut streams, ended);
    }
    show(shared);
}

async fn one_run(
    shared: Arc<Shared>,
    stream: StreamName,
    stop: CancellationToken,
    shutdown: CancellationToken,
) -> RunEnd {
    let mut run = std::pin::pin!(run::carry_out(shared, stream, stop.clone()));
    tokio::select! {
        end = &mut run => end,
        () = shutdown.cancelled() => {
            stop.cancel();
            run.await
        }
    }
}

fn settle(shared: &Shared, streams: &mut HashMap<Id, StreamName>, ended: Result<(Id, RunEnd), JoinError>) {
    let (id, end) = ended.unwrap_or_else(|error| {
        tracing::error!(%error, "the run of a replay panicked; the next start goes on with it");
        (error.id(), RunEnd::Broken)
    });
    if let Some(stream) = streams.remove(&id) {
        shared.registry.finished(&stream, end);
    }
}

fn show(shared: &Shared) {
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    metrics::gauge!("hooklog_replays_running").set(shared.registry.running() as f64);
}
