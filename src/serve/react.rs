//! The reactors and the replays, put together from the settings.

use std::sync::{Arc, OnceLock};

use anyhow::ensure;
use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    BodyError, BodyRef, BodyStore, BodyUpload, Checkpoints, CommandError, DestinationName, DestinationStatus,
    Destinations, EventId, EventLog, PublishError, PublishToSubject, ReplayCount, ReplayId, ReplayOne,
    ReplayOrder, ReplayState, ReplayedOne, Replays, RetryDead, TenantId,
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

/// Puts them together.
pub(crate) fn assemble(
    settings: &Settings,
    plans: Vec<DestinationPlan>,
    router: Arc<Router>,
    log: Arc<dyn EventLog>,
    checkpoints: Arc<dyn Checkpoints>,
) -> anyhow::Result<Assembled> {
    let options = settings.reactors.clone();
    let (reactors, handle) = Reactors::build(
        options.clone(),
        plans,
        ReactorPorts {
            log: Arc::clone(&log),
            checkpoints: Arc::clone(&checkpoints),
            clock: Arc::new(SystemClock),
            new_id: Arc::new(|| EventId::new(Uuid::now_v7())),
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

/// A process that hands nothing on, and so can't be told to.
pub(crate) struct Elsewhere;

fn elsewhere<T>() -> Result<T, CommandError> {
    Err(CommandError::Unavailable(
        "this process does not have the role react; ask one that has".into(),
    ))
}

#[async_trait]
impl Replays for Elsewhere {
    async fn replay_one(&self, _: ReplayOne) -> Result<ReplayedOne, CommandError> {
        elsewhere()
    }

    async fn count(&self, _: &ReplayOrder) -> Result<ReplayCount, CommandError> {
        elsewhere()
    }

    async fn start(&self, _: ReplayOrder) -> Result<ReplayState, CommandError> {
        elsewhere()
    }

    async fn retry_dead(&self, _: RetryDead) -> Result<Option<ReplayState>, CommandError> {
        elsewhere()
    }

    async fn state(&self, _: &TenantId, _: ReplayId) -> Result<ReplayState, CommandError> {
        elsewhere()
    }

    async fn cancel(&self, _: &TenantId, _: ReplayId, _: String) -> Result<ReplayState, CommandError> {
        elsewhere()
    }
}

#[async_trait]
impl Destinations for Elsewhere {
    async fn list(&self) -> Vec<DestinationStatus> {
        Vec::new()
    }

    async fn pause(
        &self,
        _: &TenantId,
        _: &DestinationName,
        _: String,
        _: Option<String>,
    ) -> Result<DestinationStatus, CommandError> {
        elsewhere()
    }

    async fn resume(
        &self,
        _: &TenantId,
        _: &DestinationName,
        _: String,
    ) -> Result<DestinationStatus, CommandError> {
        elsewhere()
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
