//! The health of the whole: always answered with 200, whatever is down.

use std::sync::Arc;

use domain::{BreakerState, DestinationStatus, LogHealth, Timestamp};
use poem::web::Data;
use poem_openapi::OpenApi;

use super::Group;
use crate::access::Caller;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::ports::{Component, ComponentState, Progress, ProjectionState, SystemSnapshot};
use crate::score::{self, Backlog, Facts, Figures};
use crate::shape::destination;
use crate::shape::health::{Health, HealthMetrics, HourlyEvent, HourlyMetrics};
use crate::shape::system::ComponentShape;
use crate::sql::health::{AllTime, Hour, all_time, same_hours};
use crate::sql::statistics::{OfEvent, Scope, Sums};
use crate::sql::{Counted, deliveries, health, statistics};
use crate::state::{State, shared};
use crate::window::Window;

const RECENT_MS: i64 = 5 * 60 * 1000;
const HOUR_SECS: i64 = 3600;
const DAY_SECS: i64 = 86_400;

pub(crate) struct HealthApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/webhooks", tag = "Group::Statistics")]
impl HealthApi {
    /// Score the health of the service.
    ///
    /// 100 minus named deductions: failure rate, lag, backlog, queue, dead letters, silence or an unusual rate, rejected
    /// requests, parts that are down. healthy from 80, degraded from 50. Always 200; what is down says so. Kept for about a second.
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn health(&self, caller: Data<&Caller>) -> Result<Answer<Health>, Failure> {
        let health = self.of_now(&caller).await?;
        Ok(Answer(Health::clone(&health)))
    }
}

/// What the read store says.
struct Asked {
    all_time: AllTime,
    recent: i64,
    events: Vec<OfEvent>,
    figures: Figures,
}

impl HealthApi {
    /// The health as it is answered.
    pub(crate) async fn of_now(&self, caller: &Caller) -> Result<Arc<Health>, Failure> {
        let key = (caller.tenant.clone(), ());
        let asking = Box::pin(async { Ok(Arc::new(self.ask(caller).await)) });
        self.state.health.try_get_with(key, asking).await.map_err(shared)
    }

    async fn ask(&self, caller: &Caller) -> Health {
        let now = self.state.clock.now();
        let (snapshot, destinations, asked) = tokio::join!(
            self.state.status.snapshot(),
            self.state.destinations(&caller.tenant),
            self.figures(caller, now)
        );
        let log = self.state.log.health();
        let snapshot = if caller.runs_the_instance() {
            snapshot
        } else {
            of_any_tenant(snapshot)
        };
        let mut parts = if caller.runs_the_instance() {
            components(&log, &snapshot, &destinations)
        } else {
            // How much others send is not theirs to know.
            destinations.iter().map(destination::component).collect()
        };
        if let Err(failure) = &asked {
            parts.push(read_store(failure));
        }
        let asked = asked.ok();
        let (score, deductions) = score::score(&Facts {
            figures: asked.as_ref().map(|a| a.figures.clone()),
            lag_ms: greatest_lag_ms(&snapshot),
            backlog: greatest_backlog(&destinations),
            queue_len: log.queue_len,
            queue_max: log.queue_max,
            intake: snapshot.intake,
            // The read store has a deduction of its own.
            components: parts
                .get(..parts.len() - usize::from(asked.is_none()))
                .unwrap_or(&parts),
        });
        let hour = asked.as_ref().map_or_else(Sums::default, |a| sum(&a.events));
        let last_us = asked.as_ref().map(|a| a.all_time.last_us).filter(|us| *us > 0);
        Health {
            status: score::status(score).to_owned(),
            health_score: score,
            recent_events: asked.as_ref().map(|a| a.recent),
            last_event_time: last_us.map(|us| Timestamp::from_micros(us).to_string()),
            failed_webhooks_count: asked.as_ref().map(|a| a.all_time.dead),
            metrics: HealthMetrics {
                hourly: HourlyMetrics {
                    total: hour.total,
                    failed: hour.failed,
                    avg_processing_time_ms: hour.mean_ms(),
                },
            },
            hourly_stats: asked.map_or_else(Vec::new, |a| a.events.into_iter().map(hourly).collect()),
            components: parts.iter().map(ComponentShape::from).collect(),
            deductions,
        }
    }

    async fn figures(&self, caller: &Caller, now: Timestamp) -> Result<Asked, Failure> {
        let (store, tenant) = (&self.state.store, &caller.tenant);
        let window = Window::last(now, Some(1), None, 1)?;
        let scope = Scope {
            start_secs: window.start_secs,
            end_secs: window.end_secs,
            repository: None,
            source: None,
            synthetic: false,
        };
        // The last full hour, which can be compared with full hours of other days.
        let full_hour = now.as_secs().div_euclid(HOUR_SECS) * HOUR_SECS - HOUR_SECS;
        let since = full_hour - score::BAND_DAYS * DAY_SECS;
        let (all_time, recent, events, hours) = tokio::try_join!(
            store.ask_one::<AllTime>(health::PROJECTION, |build| all_time(build, tenant)),
            store.ask_one::<Counted>(deliveries::PROJECTION, |build| {
                deliveries::count_since(build, tenant, now.plus_millis(-RECENT_MS))
            }),
            store.ask::<OfEvent>(statistics::PROJECTION, |build| {
                statistics::by_event(build, tenant, &scope)
            }),
            store.ask::<Hour>(health::PROJECTION, |build| same_hours(
                build, tenant, since, full_hour
            )),
        )?;
        let hour = sum(&events);
        let figures = Figures {
            hour_total: hour.total,
            hour_failed: hour.failed,
            dead_now: all_time.dead,
            full_hour: hours.iter().find(|h| h.hour_secs == full_hour).map_or(0, |h| h.n),
            same_hour: past_days(&hours, full_hour),
        };
        Ok(Asked {
            all_time,
            recent: recent.n,
            events,
            figures,
        })
    }
}

/// The same hour of past days since the first that had any; days without one count as 0.
fn past_days(hours: &[Hour], full_hour: i64) -> Vec<i64> {
    let past = || hours.iter().filter(|hour| hour.hour_secs < full_hour);
    let Some(first) = past().map(|hour| hour.hour_secs).min() else {
        return Vec::new();
    };
    let days = (full_hour - first) / DAY_SECS;
    (1..=days)
        .map(|day| {
            let start = full_hour - day * DAY_SECS;
            past()
                .find(|hour| hour.hour_secs == start)
                .map_or(0, |hour| hour.n)
        })
        .collect()
}

/// What of the program's state counts for a tenant's health: that it lags, and not what others send or were refused.
fn of_any_tenant(snapshot: SystemSnapshot) -> SystemSnapshot {
    SystemSnapshot {
        intake: None,
        components: Vec::new(),
        ..snapshot
    }
}

fn sum(events: &[OfEvent]) -> Sums {
    let mut sums = Sums::default();
    for event in events {
        sums.add(&event.sums);
    }
    sums
}

fn hourly(event: OfEvent) -> HourlyEvent {
    HourlyEvent {
        event: event.event,
        total: event.sums.total,
        processed: event.sums.processed,
        pending: event.sums.pending,
        failed: event.sums.failed,
    }
}

fn read_store(failure: &Failure) -> Component {
    Component {
        name: "read-store".to_owned(),
        state: ComponentState::Down,
        required: false,
        message: failure.to_string(),
    }
}

/// The log, whatever else the program is made of, its projections and destinations.
pub(crate) fn components(
    log: &LogHealth,
    snapshot: &SystemSnapshot,
    destinations: &[DestinationStatus],
) -> Vec<Component> {
    let (state, message) = match &log.unwritable {
        Some(why) => (ComponentState::Down, format!("can't be written: {why}")),
        None => (ComponentState::Ok, format!("at position {}", log.head)),
    };
    let log = Component {
        name: "log".to_owned(),
        state,
        required: true,
        message,
    };
    let others = snapshot.components.iter().filter(|c| c.name != "log").cloned();
    // One part may speak for all of them.
    let told = snapshot.components.iter().any(|c| c.name == "projections");
    let projections = snapshot.projections.iter().filter(|_| !told).map(|projection| {
        let (state, word) = match projection.state {
            ProjectionState::Live => (ComponentState::Ok, "live"),
            ProjectionState::CatchingUp => (ComponentState::Degraded, "catching up"),
            ProjectionState::Building => (ComponentState::Degraded, "being built"),
            ProjectionState::Failed => (ComponentState::Down, "failed"),
            ProjectionState::Stopped => (ComponentState::Ok, "run by another process"),
        };
        let progress = projection.progress;
        let error = projection
            .error
            .as_ref()
            .map(|e| format!(": {e}"))
            .unwrap_or_default();
        Component {
            name: format!("projection {}", projection.name),
            state,
            required: false,
            message: format!(
                "{word} at position {}, {}{error}",
                progress.position,
                behind(progress)
            ),
        }
    });
    let destinations = destinations.iter().map(destination::component);
    std::iter::once(log)
        .chain(others)
        .chain(projections)
        .chain(destinations)
        .collect()
}

fn behind(progress: Progress) -> String {
    // A lag in milliseconds fits a double for 285,000 years.
    #[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let seconds = || format!("{:.1} s behind", progress.lag_ms as f64 / 1000.0);
    let events = progress.lag_events;
    events.map_or_else(seconds, |events| format!("{events} events behind"))
}

fn greatest_lag_ms(snapshot: &SystemSnapshot) -> u64 {
    let projections = snapshot.projections.iter().map(|p| p.progress.lag_ms);
    projections
        .chain(snapshot.relay.map(|relay| relay.lag_ms))
        .max()
        .unwrap_or(0)
}

/// The longest wait of a due delivery at a destination that could take it. One that is paused or whose breaker is open is
/// told of as a part.
fn greatest_backlog(destinations: &[DestinationStatus]) -> Option<Backlog> {
    let takes =
        |d: &&DestinationStatus| d.configured && d.paused.is_none() && d.breaker != BreakerState::Open;
    let slowest = destinations.iter().filter(takes).max_by_key(|d| d.lag_ms)?;
    Some(Backlog {
        destination: slowest.name.to_string(),
        lag_ms: slowest.lag_ms,
        open: slowest.open,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_without_a_delivery_count_since_the_first_with_one() {
        let hour = |day: i64, n| Hour {
            hour_secs: 100 * DAY_SECS - day * DAY_SECS,
            n,
        };
        let hours = [hour(5, 7), hour(3, 4), hour(1, 9), hour(0, 2)];
        assert_eq!(past_days(&hours, 100 * DAY_SECS), [9, 0, 4, 0, 7]);
        assert_eq!(past_days(&[hour(0, 2)], 100 * DAY_SECS), Vec::<i64>::new());
    }
}
