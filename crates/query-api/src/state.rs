//! What the endpoints share: the ports, the options and the short memory of answers.

use std::sync::Arc;
use std::time::Duration;

use domain::{
    BodyStore, Clock, DestinationStatus, Destinations, EventLog, FindDeliveries, FindRejected, Keys, Replays,
    Sources, TenantId,
};
use moka::future::Cache;
use tokio::sync::Semaphore;

use crate::access::SessionSecret;
use crate::access::audit::Trail;
use crate::access::failures::Failures;
use crate::answer::Written;
use crate::failure::Failure;
use crate::live::LiveOptions;
use crate::live::hub::Hub;
use crate::options::ApiOptions;
use crate::param::{Limit, Number};
use crate::ports::{CheckRequest, RenderMetrics, SendTest, SystemStatus};
use crate::route::page::Asked;
use crate::shape::delivery::{CauseList, DeliveryPage};
use crate::shape::health::Health;
use crate::shape::job::JobMetrics;
use crate::shape::repository::Activity;
use crate::shape::statistics::Statistics;
use crate::sql::Store;
use crate::sql::deliveries::Filter;
use crate::sql::figures::Measured;
use crate::sql::statistics::Scope;
use crate::sql::{jobs, runs};
use crate::window::Window;
use crate::{ApiDeps, delivery};

/// The most requests that are checked at once.
const CHECKS_MAX: usize = 2;

/// How long the list of destinations is waited for.
const DESTINATIONS_WAIT: Duration = Duration::from_secs(1);

/// Answers that many ask for at once, kept for about a second; one asks, the others wait for it.
pub(crate) type Memory<K, V> = Cache<(TenantId, K), Arc<V>>;

/// The same of answers as they go out, bounded in bytes too.
pub(crate) type Answers<K, T> = Cache<(TenantId, K), Written<T>>;

/// What a page of deliveries is remembered by: as long as the list stands where it stood, and its tables are the same.
pub(crate) type PageKey = (u32, u64, Filter, Asked);

/// A window and the step of its series, of one repository.
pub(crate) type ActivityKey = (Window, u32, String);

/// What the endpoints share.
pub(crate) struct State {
    pub(crate) options: Arc<ApiOptions>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) find: Arc<dyn FindDeliveries>,
    pub(crate) bodies: Arc<dyn BodyStore>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) replays: Arc<dyn Replays>,
    pub(crate) destinations: Arc<dyn Destinations>,
    pub(crate) sources: Arc<dyn Sources>,
    pub(crate) rejected: Arc<dyn FindRejected>,
    pub(crate) status: Arc<dyn SystemStatus>,
    pub(crate) test: Arc<dyn SendTest>,
    pub(crate) check: Arc<dyn CheckRequest>,
    /// Places for requests that are checked: each may hold a body of megabytes.
    pub(crate) checking: Semaphore,
    pub(crate) metrics: Arc<dyn RenderMetrics>,
    pub(crate) version: String,
    pub(crate) base_url: String,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) trail: Trail,
    pub(crate) session_secret: SessionSecret,
    pub(crate) failures: Failures,
    pub(crate) live: Arc<Hub>,
    pub(crate) statistics: Memory<Scope, Statistics>,
    pub(crate) health: Memory<(), Health>,
    pub(crate) causes: Memory<u32, CauseList>,
    pub(crate) totals: Memory<Filter, (i64, bool)>,
    pub(crate) job_totals: Memory<jobs::Filter, (i64, bool)>,
    pub(crate) run_totals: Memory<runs::Filter, (i64, bool)>,
    pub(crate) pages: Answers<PageKey, DeliveryPage>,
    pub(crate) activities: Answers<ActivityKey, Activity>,
    pub(crate) job_metrics: Answers<Measured, JobMetrics>,
}

impl State {
    pub(crate) fn new(options: Arc<ApiOptions>, live: LiveOptions, deps: ApiDeps) -> Self {
        let log_id = deps.log.id();
        Self {
            store: Store::new(deps.tables, log_id, &options),
            statistics: memory(&options),
            health: memory(&options),
            causes: memory(&options),
            totals: memory(&options),
            job_totals: memory(&options),
            run_totals: memory(&options),
            pages: answers(&options),
            activities: answers(&options),
            job_metrics: answers(&options),
            live: Arc::new(Hub::new(live, Arc::clone(&deps.log))),
            log: deps.log,
            find: deps.find,
            bodies: deps.bodies,
            clock: deps.clock,
            replays: deps.replays,
            destinations: deps.destinations,
            sources: deps.sources,
            rejected: deps.rejected,
            status: deps.status,
            test: deps.test,
            check: deps.check,
            checking: Semaphore::new(CHECKS_MAX),
            metrics: deps.metrics,
            version: deps.version,
            base_url: deps.base_url,
            keys: deps.keys,
            trail: Trail::new(deps.audit, options.audit_refused_per_minute),
            session_secret: deps.session_secret,
            failures: Failures::per_minute(options.failures_per_minute, options.failure_addresses_max),
            options,
        }
    }

    /// Whether there never was a key, as far as is known.
    pub(crate) fn keyless(&self) -> bool {
        self.keys
            .directory()
            .is_some_and(|directory| directory.is_keyless())
    }

    pub(crate) fn finder<'a>(&'a self, tenant: &'a TenantId) -> delivery::find::Finder<'a> {
        delivery::find::Finder {
            log: self.log.as_ref(),
            index: self.find.as_ref(),
            tenant,
            alternatives_max: self.options.alternatives_max,
        }
    }

    /// The destinations of a tenant; none when it takes too long to say, because what is shown of them is never worth
    /// waiting for.
    pub(crate) async fn destinations(&self, tenant: &TenantId) -> Vec<DestinationStatus> {
        let asked = tokio::time::timeout(DESTINATIONS_WAIT, self.destinations.list()).await;
        let mut all = asked.unwrap_or_default();
        all.retain(|destination| destination.tenant == *tenant);
        all
    }

    /// The size of a page: as asked for, up to the most allowed.
    pub(crate) fn limit(&self, asked: Option<&Limit>, default: u32) -> u32 {
        asked
            .map_or(default, |limit| limit.0)
            .min(self.options.page_rows_max)
    }

    /// Rows to skip: bounded, because skipping reads what it skips.
    pub(crate) fn offset(&self, asked: Option<&Number>) -> Result<u32, Failure> {
        let (offset, max) = (asked.map_or(0, |number| number.0), self.options.offset_max);
        if offset > max {
            let expected = format!("at most {max} is expected; page on with `cursor`");
            return Err(Failure::parameter("offset", &expected));
        }
        Ok(offset)
    }
}

fn memory<K, V>(options: &ApiOptions) -> Memory<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(options.cache_entries_max)
        .time_to_live(Duration::from_millis(options.cache_ms))
        .build()
}

fn answers<K, T>(options: &ApiOptions) -> Answers<K, T>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    T: 'static,
{
    // The least that an entry weighs bounds their number; where there are to be none, none fits.
    let bytes_max = options.cache_bytes_max;
    let least = bytes_max
        .checked_div(options.cache_entries_max)
        .unwrap_or(u64::MAX);
    let weigh = move |_: &(TenantId, K), written: &Written<T>| {
        u32::try_from((written.len() as u64).max(least)).unwrap_or(u32::MAX)
    };
    Cache::builder()
        .max_capacity(bytes_max)
        .weigher(weigh)
        .time_to_live(Duration::from_millis(options.cache_ms))
        .build()
}

/// An answer out of memory; else one asks, and the others who want to know wait for it.
pub(crate) async fn answered<K, T>(
    answers: &Answers<K, T>,
    key: (TenantId, K),
    asking: impl Future<Output = Result<T, Failure>> + Send,
) -> Result<Written<T>, Failure>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    T: serde::Serialize + 'static,
{
    let asking = Box::pin(async { asking.await.map(Written::from) });
    let entry = answers.entry(key).or_try_insert_with(asking).await;
    let entry = entry.map_err(shared)?;
    if entry.is_fresh() {
        // What there is no room for would stay for a moment all the same.
        answers.run_pending_tasks().await;
    }
    Ok(entry.into_value())
}

/// An error that several waited for.
pub(crate) fn shared(failure: Arc<Failure>) -> Failure {
    Arc::unwrap_or_clone(failure)
}
