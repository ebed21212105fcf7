//! The metrics that existing dashboards read, from the log: how long processing takes, how long jobs take, how many there are.
//!
//! It follows the log from the head at its start and remembers nothing beyond the process: reading the log again for a
//! rebuild, or asking for a delivery again, counts nothing. Whatever senders can make up (repositories, events, jobs) is
//! bounded here.

mod label;
mod once;
mod window;

use std::sync::Arc;
use std::time::Duration;

use domain::{
    BodyStore, Clock, DeliveryReceived, EventLog, Lease, LeaseName, Leases, PageLimit, Position, Proof,
    ReadError, RecordedEvent, SharedWork, TenantId, json_payload,
};
use metrics::{counter, gauge};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use self::label::Labels;
use self::once::Once;
use self::window::Means;
use crate::Projected;
use crate::backoff::Backoff;
use crate::causes::with_causes;
use crate::models::{JOB_EVENT, JobEnd, JobMark, Transition, counted_once};

const PROCESSING: &str = "webhook_processing_duration_seconds";
const JOB_DURATION: &str = "github_job_duration_seconds";
const JOBS_QUEUED: &str = "github_jobs_queued_total";
const JOBS_COMPLETED: &str = "github_jobs_completed_total";

/// The words of GitHub for how a job ended.
const CONCLUSIONS: [&str; 9] = [
    "success",
    "failure",
    "cancelled",
    "skipped",
    "timed_out",
    "action_required",
    "neutral",
    "stale",
    "startup_failure",
];

/// Settings of the meter.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeterOptions {
    /// The time over which means are taken, in milliseconds. A mean without data for so long becomes NaN, once, and is then
    /// left alone.
    pub window_ms: u64,
    /// How often means are set anew, in milliseconds.
    pub refresh_ms: u64,
    /// How long the first event waits for others before the log is read, in milliseconds.
    pub batch_wait_ms: u64,
    /// The most repositories that have a label of their own; the others share `other`.
    pub repositories_max: usize,
    /// The most event types that have a label of their own; the others share `other`.
    pub events_max: usize,
    /// The most announcements of jobs that are remembered, so that one sent again is not counted again; the oldest are
    /// forgotten.
    pub jobs_max: usize,
    /// The first wait after the log could not be read, in milliseconds; it doubles from there.
    pub retry_ms_min: u64,
    /// The longest wait after failures, in milliseconds.
    pub retry_ms_max: u64,
}

impl Default for MeterOptions {
    fn default() -> Self {
        Self {
            window_ms: 300_000,
            refresh_ms: 5000,
            batch_wait_ms: 200,
            repositories_max: 200,
            events_max: 200,
            jobs_max: 100_000,
            retry_ms_min: 100,
            retry_ms_max: 10_000,
        }
    }
}

/// Counts and means of what comes into the log.
pub struct Meter {
    options: MeterOptions,
    log: Arc<dyn EventLog>,
    bodies: Arc<dyn BodyStore>,
    clock: Arc<dyn Clock>,
    /// Of several processes one counts: whoever has the first partition.
    lease: Box<dyn Lease>,
    events: Labels,
    repositories: Labels,
    jobs: Once<JobKey>,
    processing: Means,
    durations: Means,
}

/// One of the two announcements of a job that count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct JobKey {
    tenant: TenantId,
    job_id: u64,
    run_attempt: u32,
    ended: bool,
}

impl Meter {
    /// A meter that has counted nothing.
    #[must_use]
    pub fn build(
        options: MeterOptions,
        log: Arc<dyn EventLog>,
        bodies: Arc<dyn BodyStore>,
        clock: Arc<dyn Clock>,
        leases: &dyn Leases,
    ) -> Self {
        Self {
            lease: leases.stand_for(LeaseName::new(SharedWork::Project, 0)),
            events: Labels::new(options.events_max),
            repositories: Labels::new(options.repositories_max),
            jobs: Once::new(options.jobs_max),
            processing: Means::new(options.window_ms),
            durations: Means::new(options.window_ms),
            options,
            log,
            bodies,
            clock,
        }
    }

    /// Counts until it is told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let Some(mut seen) = shutdown.run_until_cancelled(self.head()).await else {
            return;
        };
        let mut refresh = interval(Duration::from_millis(self.options.refresh_ms.max(1)));
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = self.backoff();
        let (log, wait) = (
            Arc::clone(&self.log),
            Duration::from_millis(self.options.batch_wait_ms),
        );
        loop {
            let after = seen;
            let moved = async {
                log.wait_past(after).await?;
                sleep(wait).await;
                Ok::<_, ReadError>(())
            };
            let mut moved = std::pin::pin!(moved);
            let moved = loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    // Goes on waiting where it was, however often this happens.
                    _ = refresh.tick() => self.refresh(),
                    moved = &mut moved => break moved,
                }
            };
            let read = match moved {
                Ok(()) if !self.lease.standing().works() => {
                    let head = shutdown.run_until_cancelled(self.head()).await;
                    head.map(|head| {
                        seen = head;
                        Ok(())
                    })
                }
                Ok(()) => shutdown.run_until_cancelled(self.read(&mut seen)).await,
                Err(error) => Some(Err(error)),
            };
            match read {
                None => return,
                Some(Ok(())) => backoff.reset(),
                Some(Err(error)) => {
                    let error = with_causes(&error);
                    tracing::warn!(%seen, error, "meter_read_failed: trying again");
                    let _ = shutdown.run_until_cancelled(backoff.wait()).await;
                }
            }
        }
    }

    /// The head, for as long as it takes the log to say it.
    async fn head(&self) -> Position {
        let mut backoff = self.backoff();
        loop {
            match self.log.head().await {
                Ok(head) => return head,
                Err(error) => {
                    let error = with_causes(&error);
                    tracing::warn!(error, "meter_read_failed: trying again");
                    backoff.wait().await;
                }
            }
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.options.retry_ms_min, self.options.retry_ms_max)
    }

    /// Reads what came since, page by page.
    async fn read(&mut self, seen: &mut Position) -> Result<(), ReadError> {
        loop {
            let page = self.log.read_all(*seen, PageLimit::default()).await?;
            let Some(last) = page.events.last().map(|event| event.position) else {
                return Ok(());
            };
            for event in page.events {
                self.take(event).await;
            }
            *seen = last;
            if last >= page.head {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, event: RecordedEvent) {
        let (projected, _) = Projected::of(event);
        let Some(step) = Transition::of(&projected) else {
            return;
        };
        if step.received.synthetic || step.received.proof == Proof::Imported {
            return;
        }
        if let Some(micros) = step.processing_us {
            let label = self.events.of(&step.received.event);
            self.processing.add(label, micros, self.clock.now());
        }
        let Some(received) = counted_once(&projected).filter(|received| received.event == JOB_EVENT) else {
            return;
        };
        match json_payload(&projected.event, self.bodies.as_ref()).await {
            Ok(Some(payload)) => self.take_job(received, &payload),
            Ok(None) => {}
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(position = %projected.event.position, error, "meter_payload_unreadable: a job is not counted");
            }
        }
    }

    fn take_job(&mut self, received: &DeliveryReceived, payload: &[u8]) {
        let Some(mark) = JobMark::read(received, payload) else {
            return;
        };
        let key = JobKey {
            tenant: received.tenant.clone(),
            job_id: mark.job_id,
            run_attempt: mark.run_attempt,
            ended: mark.end.is_some(),
        };
        if !self.jobs.is_first(key) {
            return;
        }
        let repository = received.repository.as_deref().unwrap_or("unknown");
        let repository = self.repositories.of(repository);
        match mark.end {
            None => counter!(JOBS_QUEUED, "repository" => repository).increment(1),
            Some(JobEnd {
                conclusion,
                duration_us,
            }) => {
                let known = CONCLUSIONS.into_iter().find(|known| *known == conclusion);
                let conclusion = known.unwrap_or(label::OTHER);
                if let Some(micros) = duration_us.filter(|_| conclusion != "skipped") {
                    self.durations
                        .add(Arc::clone(&repository), micros, self.clock.now());
                }
                counter!(JOBS_COMPLETED, "repository" => repository, "conclusion" => conclusion).increment(1);
            }
        }
    }

    fn refresh(&mut self) {
        let now = self.clock.now();
        for (event, mean) in self.processing.take_means(now) {
            gauge!(PROCESSING, "event" => event).set(mean);
        }
        for (repository, mean) in self.durations.take_means(now) {
            gauge!(JOB_DURATION, "repository" => repository).set(mean);
        }
    }
}

#[cfg(test)]
mod tests;
