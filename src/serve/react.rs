//! The reactors and the replays, put together from the settings.

use std::sync::{Arc, OnceLock};

use anyhow::ensure;
use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, Checkpoints, CommandError, DestinationName, DestinationStatus,
    Destinations, EventId, EventLog, Leases, PublishError, PublishToSubject, TenantId,
};
use reactors::destination::{self, Router, TargetPorts};
use reactors::replay::{ReplayHandle, ReplayPorts, ReplayRunner};
use reactors::{DestinationPlan, ReactorHandle, ReactorPorts, Reactors};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::SystemClock;
use crate::settings::Settings;

/// A receipt names those that want it, in metadata of bounded size.
const DESTINATIONS_MAX: usize = 256;

/// The destinations of the settings: how each is reached, and which deliveries it wants. Those with a subject wait for
/// NATS: a start may take longer than all attempts of a delivery.
pub(crate) fn destinations(
    settings: &Settings,
    bodies: Arc<dyn BodyStore>,
    subjects: Arc<LateSubjects>,
) -> anyhow::Result<(Vec<DestinationPlan>, Arc<Router>)> {
    let there = subjects.there.clone();
    let ports = TargetPorts::new(bodies, subjects, settings.server.base_url());
    let (mut plans, router) = destination::plans(&settings.reactors, &settings.destination, &ports)?;
    for (plan, options) in plans.iter_mut().zip(&settings.destination) {
        plan.ready = options.subject.is_some().then(|| there.clone());
    }
    Ok((plans, Arc::new(router)))
}

/// Checks the destinations of the settings without reaching any.
///
/// # Errors
/// Says which destination can't be used, for which of its settings, and what to do.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    ensure!(
        settings.destination.len() <= DESTINATIONS_MAX,
        "there are {} destinations; at most {DESTINATIONS_MAX} can be named in one receipt",
        settings.destination.len()
    );
    destinations(settings, Arc::new(NoBodies), Arc::default()).map(drop)
}

/// A body store that is never asked: destinations are only made, to see whether they can be.
struct NoBodies;

fn no_bodies<T>() -> Result<T, BodyError> {
    Err(BodyError::NoRoom("there is no body store here".into()))
}

#[async_trait]
impl BodyStore for NoBodies {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        no_bodies()
    }

    async fn read(&self, _: &BodyRef, _: u64, _: usize) -> Result<Bytes, BodyError> {
        no_bodies()
    }

    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        no_bodies()
    }
}

/// The reactors and the replays, not running yet.
pub(crate) struct Assembled {
    reactors: Reactors,
    replays: ReplayRunner,
    pub(crate) handle: ReactorHandle,
    pub(crate) replay_handle: ReplayHandle,
}

/// What they need from outside.
pub(crate) struct Ports {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) checkpoints: Arc<dyn Checkpoints>,
    pub(crate) leases: Arc<dyn Leases>,
}

/// Puts them together.
pub(crate) fn assemble(
    settings: &Settings,
    plans: Vec<DestinationPlan>,
    router: Arc<Router>,
    ports: Ports,
) -> anyhow::Result<Assembled> {
    let Ports {
        log,
        checkpoints,
        leases,
    } = ports;
    let options = settings.reactors.clone();
    let (reactors, handle) = Reactors::build(
        options.clone(),
        plans,
        ReactorPorts {
            log: Arc::clone(&log),
            checkpoints: Arc::clone(&checkpoints),
            clock: Arc::new(SystemClock),
            new_id: Arc::new(|| EventId::new(Uuid::now_v7())),
            leases: Arc::clone(&leases),
        },
    )?;
    let (replays, replay_handle) = ReplayRunner::build(
        options,
        ReplayPorts {
            log,
            checkpoints,
            new_id: Arc::new(Uuid::now_v7),
            router,
            pace: Arc::new(handle.clone()),
            dead_letters: Arc::new(handle.clone()),
            leases,
        },
    );
    Ok(Assembled {
        reactors,
        replays,
        handle,
        replay_handle,
    })
}

impl Assembled {
    /// The destinations, for the API of a process that hands deliveries on or does not.
    pub(crate) fn destinations(&self, reacts: bool) -> Arc<dyn Destinations> {
        let handle = self.handle.clone();
        if reacts {
            Arc::new(handle)
        } else {
            Arc::new(FromTheLog { handle })
        }
    }

    /// Starts them. They need neither the stream nor the tables, so only destinations with a subject wait for an engine.
    pub(crate) fn start(self, shutdown: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (reactors, stop) = (self.reactors, shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = reactors.run(stop).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "deliveries are no longer handed on: restart the server"
                );
            }
        });
        tasks.spawn(self.replays.run(shutdown.clone()));
        tasks
    }
}

/// Subjects of NATS, once its server is there.
#[derive(Default)]
pub(crate) struct LateSubjects {
    subjects: OnceLock<Arc<dyn PublishToSubject>>,
    /// Cancelled once they are there.
    there: CancellationToken,
}

impl LateSubjects {
    /// Puts the real ones behind.
    pub(crate) fn set(&self, subjects: Arc<dyn PublishToSubject>) {
        // A second set would be a second start of the engines, which compose never does.
        let _ = self.subjects.set(subjects);
        self.there.cancel();
    }
}

#[async_trait]
impl PublishToSubject for LateSubjects {
    async fn publish(
        &self,
        subject: &str,
        headers: Vec<(String, String)>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        match self.subjects.get() {
            Some(subjects) => subjects.publish(subject, headers, payload).await,
            None => Err(PublishError::Unavailable("it is being started".into())),
        }
    }
}

/// The destinations of the settings, in a process that hands nothing on: orders go into the log, where those who do find
/// them. What only they know, such as how many deliveries are open, is shown as none.
struct FromTheLog {
    handle: ReactorHandle,
}

#[async_trait]
impl Destinations for FromTheLog {
    async fn list(&self) -> Vec<DestinationStatus> {
        // One that can't be read is shown as it was known last.
        if let Err(error) = self.handle.read_states().await {
            tracing::warn!(%error, "which destinations are paused can't be read now");
        }
        self.handle.list().await
    }

    async fn pause(
        &self,
        tenant: &TenantId,
        name: &DestinationName,
        paused_by: String,
        reason: Option<String>,
    ) -> Result<DestinationStatus, CommandError> {
        self.handle.pause(tenant, name, paused_by, reason).await
    }

    async fn resume(
        &self,
        tenant: &TenantId,
        name: &DestinationName,
        resumed_by: String,
    ) -> Result<DestinationStatus, CommandError> {
        self.handle.resume(tenant, name, resumed_by).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_with_a_subject_waits_until_nats_is_there_and_no_other_does() {
        let mut settings = crate::settings::Overrides::default().load().unwrap().settings;
        settings.destination.clear();
        for options in [
            r#"{"name": "web", "url": "https://example.com/hooks"}"#,
            r#"{"name": "nats", "subject": "ci.events"}"#,
        ] {
            settings.destination.push(serde_json::from_str(options).unwrap());
        }
        let subjects = Arc::<LateSubjects>::default();
        let (plans, _) = destinations(&settings, Arc::new(NoBodies), Arc::clone(&subjects)).unwrap();
        let ready: Vec<_> = plans.iter().map(|plan| plan.ready.clone()).collect();
        assert!(ready[0].is_none());
        assert!(!ready[1].as_ref().unwrap().is_cancelled());
        subjects.set(Arc::<LateSubjects>::default());
        assert!(ready[1].as_ref().unwrap().is_cancelled());
    }
}
