//! Pages of deliveries: read backwards from a position, never scanned, never `FINAL`.

use domain::{DeliveryStatus, Query, TenantId, Timestamp};
use serde::Deserialize;

use super::{Build, Conditions};
use crate::shape::delivery::DeliveryRow;
use crate::shape::{given, round_ms};

pub(crate) const PROJECTION: &str = "deliveries";

/// Which deliveries are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    /// In lower case.
    pub(crate) repository: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) action: Option<String>,
    /// Any of these; none given means all.
    pub(crate) statuses: Option<Vec<DeliveryStatus>>,
    /// Received at or after.
    pub(crate) from: Option<Timestamp>,
    /// Received before.
    pub(crate) until: Option<Timestamp>,
}

impl Filter {
    /// What never changes about a delivery.
    fn conditions(&self, tenant: &TenantId) -> Conditions {
        const AT: &str = "received_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')";
        const BEFORE: &str = "received_at < fromUnixTimestamp64Micro({until:Int64}, 'UTC')";
        Conditions::of(tenant)
            .with_given(
                "repository_key = {repository:String}",
                "repository",
                self.repository.as_ref(),
            )
            .with_given("source = {source:String}", "source", self.source.as_ref())
            .with_given("event = {event:String}", "event", self.event.as_ref())
            .with_given("action = {action:String}", "action", self.action.as_ref())
            .with_given(AT, "from", self.from.map(Timestamp::as_micros))
            .with_given(BEFORE, "until", self.until.map(Timestamp::as_micros))
    }

    /// What does change, as a condition on the newest version. The words are ours, not the caller's.
    fn status_condition(&self) -> Option<String> {
        let words: Vec<String> = self.statuses.as_ref()?.iter().map(|s| format!("'{s}'")).collect();
        if words.is_empty() {
            return Some("0".to_owned());
        }
        Some(format!("status IN ({})", words.join(", ")))
    }
}

/// A place in the list and how much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Only positions before this one.
    pub(crate) before: u64,
    pub(crate) limit: u32,
    pub(crate) offset: u32,
}

/// The newest version of each delivery that fits, the newest delivery first. The inner part stops reading when the outer
/// has enough rows.
fn newest(build: Build, tenant: &TenantId, filter: &Filter, before: u64) -> (String, Conditions) {
    let table = build.table("deliveries");
    let mut conditions = filter
        .conditions(tenant)
        .with("position < {before:UInt64}", "before", before);
    let status = filter.status_condition();
    // A status that few have is looked up by its index first: any version that ever had it is a candidate. Nearly all
    // are processed in the end, so looking those up first would read everything.
    let rare = filter
        .statuses
        .as_ref()
        .is_some_and(|s| !s.contains(&DeliveryStatus::Processed));
    if let (true, Some(status)) = (rare, &status) {
        let candidates = conditions.clone().and(status);
        conditions = conditions.and(&format!(
            "position IN (SELECT position FROM {table} WHERE {})",
            candidates.text()
        ));
    }
    let outer = status.map(|s| format!(" WHERE {s}")).unwrap_or_default();
    let sql = format!(
        "(SELECT * FROM {table} WHERE {}
          ORDER BY tenant DESC, position DESC, version DESC LIMIT 1 BY tenant, position){outer}",
        conditions.text()
    );
    (sql, conditions)
}

/// A page of the list.
pub(crate) fn page(build: Build, tenant: &TenantId, filter: &Filter, page: Page) -> Query {
    let (from, conditions) = newest(build, tenant, filter, page.before);
    let sql = format!(
        "SELECT position, id, delivery_id, hook_id, source, repository, event, action, sender,
            toUnixTimestamp64Micro(received_at) AS received_us, status, attempts, processing_ms, error, error_code,
            retryable, duplicate_of
         FROM {from} LIMIT {} OFFSET {}",
        page.limit, page.offset
    );
    conditions.bind(sql)
}

/// How many fit, counted up to a bound.
pub(crate) fn count_up_to(build: Build, tenant: &TenantId, filter: &Filter, bound: u32) -> Query {
    let (from, conditions) = newest(build, tenant, filter, u64::MAX);
    conditions.bind(format!(
        "SELECT toInt64(count()) AS n FROM (SELECT 1 FROM {from} LIMIT {bound})"
    ))
}

/// How many were received since a time, those made up for tests left out.
pub(crate) fn count_since(build: Build, tenant: &TenantId, since: Timestamp) -> Query {
    let table = build.table("deliveries");
    let filter = Filter {
        from: Some(since),
        ..Filter::default()
    };
    let conditions = filter.conditions(tenant).and("NOT synthetic");
    let sql = format!(
        "SELECT toInt64(uniqExact(position)) AS n FROM {table} WHERE {}",
        conditions.text()
    );
    conditions.bind(sql)
}

/// A row of the list as the table holds it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    pub(crate) position: u64,
    id: String,
    delivery_id: String,
    hook_id: String,
    source: String,
    repository: String,
    event: String,
    action: String,
    sender: String,
    received_us: i64,
    status: String,
    attempts: u32,
    processing_ms: Option<f64>,
    error: String,
    error_code: String,
    retryable: Option<bool>,
    duplicate_of: String,
}

impl From<Row> for DeliveryRow {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            delivery_id: given(row.delivery_id),
            hook_id: given(row.hook_id),
            source: row.source,
            repository: given(row.repository),
            event: row.event,
            action: given(row.action),
            sender: given(row.sender),
            timestamp: Timestamp::from_micros(row.received_us).to_string(),
            processed: row.status == DeliveryStatus::Processed.as_str(),
            status: row.status,
            attempts: row.attempts,
            processing_time_ms: row.processing_ms.map(round_ms),
            error: given(row.error),
            error_code: given(row.error_code),
            retryable: row.retryable,
            duplicate_of: given(row.duplicate_of),
        }
    }
}
