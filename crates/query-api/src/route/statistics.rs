//! Counts and latencies of deliveries.

use std::collections::HashMap;
use std::sync::Arc;

use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::Group;
use crate::access::Caller;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::param::{Count, Flag, Source, Text, spelt};
use crate::shape::statistics::{DestinationCounts, EventCounts, SeriesPoint, Statistics, Summary};
use crate::shape::{percent, round_ms, time};
use crate::sql::destinations::{self, OfDestination, by_destination};
use crate::sql::histogram::{Buckets, merge, percentile_ms};
use crate::sql::statistics::{OfEvent, OfStep, PROJECTION, Scope, Sums, by_event, mean_ms, series};
use crate::state::{State, shared};
use crate::window::{Window, interval_word, of_secs};

const DEFAULT_HOURS: u32 = 24;

pub(crate) struct StatisticsApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/webhooks", tag = "Group::Statistics")]
impl StatisticsApi {
    /// Count deliveries and measure their processing.
    ///
    /// Deliveries made by `POST /api/webhooks/test` are left out unless `synthetic=true`. Percentiles are at most 5 % off.
    /// Answers are kept for about a second.
    #[oai(path = "/statistics", method = "get", operation_id = "getStatistics")]
    async fn statistics(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// The window: the last so many hours, 24 unless given.
        hours: Query<Option<Count>>,
        /// `owner/name`, without regard to case.
        repository: Query<Option<Text>>,
        /// The configured sender.
        source: Query<Option<Source>>,
        /// Whether deliveries made up for tests count too.
        synthetic: Query<Option<Flag>>,
    ) -> Result<Answer<Statistics>, Failure> {
        spelt(request, &["hours", "repository", "source", "synthetic"])?;
        let hours = hours.0.map(|count| count.0);
        let window = Window::last(self.state.clock.now(), hours, None, DEFAULT_HOURS)?;
        let scope = Scope {
            start_secs: window.start_secs,
            end_secs: window.end_secs,
            repository: repository.0.map(|text| text.0.to_lowercase()),
            source: source.0.map(|name| name.0.to_string()),
            synthetic: synthetic.0.is_some_and(|flag| flag.0),
        };
        let statistics = self.remembered(&caller, window, scope).await?;
        Ok(Answer(Statistics::clone(&statistics)))
    }
}

impl StatisticsApi {
    /// Those of the last 24 hours, as they are answered without parameters.
    pub(crate) async fn of_today(&self, caller: &Caller) -> Result<Arc<Statistics>, Failure> {
        let window = Window::last(self.state.clock.now(), None, None, DEFAULT_HOURS)?;
        let scope = Scope {
            start_secs: window.start_secs,
            end_secs: window.end_secs,
            repository: None,
            source: None,
            synthetic: false,
        };
        self.remembered(caller, window, scope).await
    }

    async fn remembered(
        &self,
        caller: &Caller,
        window: Window,
        scope: Scope,
    ) -> Result<Arc<Statistics>, Failure> {
        let key = (caller.tenant.clone(), scope.clone());
        let asking = Box::pin(async { self.ask(caller, window, scope).await.map(Arc::new) });
        self.state
            .statistics
            .try_get_with(key, asking)
            .await
            .map_err(shared)
    }

    async fn ask(&self, caller: &Caller, window: Window, scope: Scope) -> Result<Statistics, Failure> {
        let (store, tenant) = (&self.state.store, &caller.tenant);
        let step_secs = window.natural_step_secs();
        let of_destinations = async {
            if scope.is_narrow() {
                return Ok(None);
            }
            let rows = store.ask::<OfDestination>(destinations::PROJECTION, |build| {
                by_destination(build, tenant, &scope)
            });
            rows.await.map(Some)
        };
        let (events, steps, destinations) = tokio::try_join!(
            store.ask::<OfEvent>(PROJECTION, |build| by_event(build, tenant, &scope)),
            store.ask::<OfStep>(PROJECTION, |build| series(build, tenant, &scope, step_secs)),
            of_destinations,
        )?;
        let by_destination = destinations.map(|rows| rows.into_iter().map(of_destination).collect());
        Ok(Statistics {
            by_destination,
            ..shape(window, step_secs, events, steps)
        })
    }
}

fn shape(window: Window, step_secs: u32, events: Vec<OfEvent>, steps: Vec<OfStep>) -> Statistics {
    let (mut sums, mut buckets) = (Sums::default(), Buckets::new());
    for event in &events {
        sums.add(&event.sums);
        merge(&mut buckets, &event.buckets);
    }
    let rank = |percent| percentile_ms(&buckets, percent).map(round_ms);
    Statistics {
        time_window: window.shape(),
        summary: Summary {
            total_events: sums.total,
            processed_events: sums.processed,
            pending_events: sums.pending,
            failed_events: sums.failed,
            duplicates: sums.duplicates,
            attempts: sums.tried,
            retries: sums.repeated,
            success_rate: percent(sums.processed, sums.total),
            avg_processing_time_ms: sums.mean_ms(),
            p50_processing_time_ms: rank(50),
            p95_processing_time_ms: rank(95),
            p99_processing_time_ms: rank(99),
        },
        by_event: events.into_iter().map(counts).collect(),
        by_destination: None,
        interval: interval_word(step_secs).to_owned(),
        series: points(window, step_secs, &steps),
    }
}

fn of_destination(row: OfDestination) -> DestinationCounts {
    let rank = |percent| percentile_ms(&row.buckets, percent).map(round_ms);
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    DestinationCounts {
        attempts: row.tried,
        delivered: row.arrived,
        failed: row.to_retry,
        dead: row.given_up,
        retries: row.repeated,
        skipped: row.left_out,
        success_rate: percent(count(row.arrived), count(row.tried)),
        avg_duration_ms: mean_ms(row.micros, row.tried),
        p50_duration_ms: rank(50),
        p95_duration_ms: rank(95),
        p99_duration_ms: rank(99),
        last_delivered_at: time(row.delivered_us),
        last_failed_at: time(row.failed_us),
        destination: row.destination,
    }
}

fn counts(event: OfEvent) -> EventCounts {
    EventCounts {
        event: event.event,
        total: event.sums.total,
        processed: event.sums.processed,
        pending: event.sums.pending,
        failed: event.sums.failed,
        avg_processing_time_ms: event.sums.mean_ms(),
    }
}

fn points(window: Window, step_secs: u32, steps: &[OfStep]) -> Vec<SeriesPoint> {
    let by_step: HashMap<i64, &Sums> = steps.iter().map(|step| (step.step, &step.sums)).collect();
    let nothing = Sums::default();
    window
        .steps(step_secs)
        .map(|start| {
            let sums = by_step.get(&start).copied().unwrap_or(&nothing);
            SeriesPoint {
                timestamp: of_secs(start).to_string(),
                total: sums.total,
                processed: sums.processed,
                pending: sums.pending,
                failed: sums.failed,
                duplicates: sums.duplicates,
                avg_processing_time_ms: sums.mean_ms(),
            }
        })
        .collect()
}
