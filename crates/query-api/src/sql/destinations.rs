//! What destinations did, summed over the rollups per minute.

use domain::{Query, TenantId};
use serde::Deserialize;

use super::Build;
use super::histogram::Buckets;
use super::statistics::Scope;

pub(crate) const PROJECTION: &str = "destinations";

/// What one destination did.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OfDestination {
    pub(crate) destination: String,
    pub(crate) tried: u64,
    pub(crate) repeated: u64,
    pub(crate) arrived: u64,
    pub(crate) to_retry: u64,
    pub(crate) given_up: u64,
    pub(crate) left_out: u64,
    pub(crate) micros: u64,
    pub(crate) buckets: Buckets,
    pub(crate) delivered_us: Option<i64>,
    pub(crate) failed_us: Option<i64>,
}

/// What each destination did in the minutes of a scope; its repository and source don't narrow.
pub(crate) fn by_destination(build: Build, tenant: &TenantId, scope: &Scope) -> Query {
    let conditions = scope.minutes(tenant);
    let sql = format!(
        "SELECT destination, sum(attempts) AS tried, sum(retries) AS repeated, sum(delivered) AS arrived,
            sum(retried) AS to_retry, sum(dead) AS given_up, sum(skipped) AS left_out, sum(attempt_us) AS micros,
            sumMap(attempt_buckets) AS buckets, toUnixTimestamp64Micro(max(last_delivered_at)) AS delivered_us,
            toUnixTimestamp64Micro(max(last_failed_at)) AS failed_us
         FROM {} FINAL WHERE {} GROUP BY destination ORDER BY destination",
        build.table("destination_minutes"),
        conditions.text()
    );
    conditions.bind(sql)
}
