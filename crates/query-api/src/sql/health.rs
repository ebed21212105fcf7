//! Figures for the health score, from the rollups per hour.

use domain::{Query, TenantId};
use serde::Deserialize;

use super::{Build, Conditions};

pub(crate) const PROJECTION: &str = "health";

/// All time.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct AllTime {
    pub(crate) dead: i64,
    pub(crate) last_us: i64,
}

/// Totals over all time. The whole history of a tenant is a few thousand rows.
pub(crate) fn all_time(build: Build, tenant: &TenantId) -> Query {
    let conditions = Conditions::of(tenant);
    let sql = format!(
        "SELECT sum(t.dead) AS dead, max(toUnixTimestamp64Micro(t.last_received_at)) AS last_us
         FROM (SELECT * FROM {} FINAL WHERE {}) AS t",
        build.table("health_hours"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// Deliveries of one hour.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Hour {
    pub(crate) hour_secs: i64,
    pub(crate) n: i64,
}

/// The hours from a time on that are the given hour of the day, and the first hour of all.
pub(crate) fn same_hours(build: Build, tenant: &TenantId, since_secs: i64, hour_secs: i64) -> Query {
    let conditions = Conditions::of(tenant)
        .with("hour >= toDateTime({since:Int64}, 'UTC')", "since", since_secs)
        .with("hour <= toDateTime({hour:Int64}, 'UTC')", "hour", hour_secs)
        .and("(toInt64(toUnixTimestamp(hour)) - {hour:Int64}) % 86400 = 0");
    let sql = format!(
        "SELECT toInt64(toUnixTimestamp(hour)) AS hour_secs, sum(total) AS n FROM {} FINAL WHERE {}
         GROUP BY hour ORDER BY hour",
        build.table("health_hours"),
        conditions.text()
    );
    conditions.bind(sql)
}
