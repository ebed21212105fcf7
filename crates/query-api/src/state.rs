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
use crate::failure::Failure;
use crate::live::LiveOptions;
use crate::live::hub::Hub;
use crate::options::ApiOptions;
use crate::param::{Limit, Number};
use crate::ports::{CheckRequest, RenderMetrics, SendTest, SystemStatus};
use crate::shape::delivery::CauseList;
use crate::shape::health::Health;
use crate::shape::statistics::Statistics;
use crate::sql::Store;
use crate::sql::deliveries::Filter;
use crate::sql::statistics::Scope;
use crate::sql::{jobs, runs};
use crate::{ApiDeps, delivery};

/// The most requests that are checked at once.
const CHECKS_MAX: usize = 2;

/// How long the list of destinations is waited for.
const DESTINATIONS_WAIT: Duration = Duration::from_secs(1);

/// Answers that many ask for at once, kept for about a second; one asks, the others wait for it.
pub(crate) type Memory<K, V> = Cache<(TenantId, K), Arc<V>>;

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

/// An error that several waited for.
pub(crate) fn shared(failure: Arc<Failure>) -> Failure {
    Arc::unwrap_or_clone(failure)
}
