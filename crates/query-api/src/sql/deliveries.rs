//! Windows of deliveries: read backwards from a position, never scanned, never `FINAL`.

use domain::catalogue::{Category, SCHEMES, events};
use domain::{DeliveryStatus, Query, TenantId, Timestamp};
use serde::Deserialize;

use super::newest::Versioned;
use super::{Build, Conditions};
use crate::shape::delivery::{DeadLetter, DeliveryRow};
use crate::shape::{given, round_ms, time};

pub(crate) const PROJECTION: &str = "deliveries";

/// What a [`Row`] is read from.
pub(crate) const COLUMNS: &str = "position, version, id, delivery_id, hook_id, source, repository, event, action, sender,
    toUnixTimestamp64Micro(received_at) AS received_us, status, attempts, processing_ms, error, error_code, retryable,
    error_destination, toUnixTimestamp64Micro(failed_at) AS failed_us, duplicate_of";

/// Which deliveries are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    /// In lower case.
    pub(crate) repository: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) event: Option<String>,
    /// Of events of this category.
    pub(crate) category: Option<Category>,
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
    pub(super) fn conditions(&self, tenant: &TenantId) -> Conditions {
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
            .and_given(self.category_condition().as_deref())
    }

    /// The events of the category, whichever sender names them so. The words are ours, not the caller's.
    pub(super) fn category_condition(&self) -> Option<String> {
        let category = self.category?;
        // All that nobody has heard of is of the last category too.
        let other = category == Category::Other;
        let named = SCHEMES.iter().flat_map(|scheme| events(scheme));
        let named = named.filter(|event| (event.category == category) != other);
        let mut names: Vec<String> = named.map(|event| format!("'{}'", event.name)).collect();
        names.sort();
        names.dedup();
        let not = if other { "NOT " } else { "" };
        Some(format!("event {not}IN ({})", names.join(", ")))
    }

    /// What does change, as a condition on the newest version. The words are ours, not the caller's.
    pub(super) fn status_condition(&self) -> Option<String> {
        let words: Vec<String> = self.statuses.as_ref()?.iter().map(|s| format!("'{s}'")).collect();
        if words.is_empty() {
            return Some("0".to_owned());
        }
        Some(format!("status IN ({})", words.join(", ")))
    }
}

impl Filter {
    /// Whether the newest version of a row fits what can change.
    pub(crate) fn fits(&self, row: &Row) -> bool {
        let has = |statuses: &Vec<DeliveryStatus>| statuses.iter().any(|s| s.as_str() == row.status);
        self.statuses.as_ref().is_none_or(has)
    }
}

/// A window of raw rows before a position, backwards, any version of each, whatever the status.
pub(crate) fn window(build: Build, tenant: &TenantId, filter: &Filter, before: u64, rows: usize) -> Query {
    let conditions = filter
        .conditions(tenant)
        .with("position < {before:UInt64}", "before", before);
    let sql = format!(
        "SELECT {COLUMNS} FROM {} WHERE {} ORDER BY tenant DESC, position DESC LIMIT {rows}",
        build.table("deliveries"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// How many fit among the newest so many raw rows.
pub(crate) fn count_among(build: Build, tenant: &TenantId, filter: &Filter, rows: u32) -> Query {
    let table = build.table("deliveries");
    let conditions = filter.conditions(tenant);
    let fits = filter.status_condition().unwrap_or_else(|| "1".to_owned());
    // Nearly all are processed in the end; any other status is looked up by its index, every row that ever said it.
    let candidates = if super::rare::answers(filter) {
        format!(
            " AND position IN (SELECT position FROM {table} WHERE {} AND {fits} ORDER BY tenant DESC, position DESC LIMIT {rows})",
            conditions.text()
        )
    } else {
        String::new()
    };
    let sql = format!(
        "SELECT toInt64(sum(versions)) AS seen, toInt64(countIf({fits})) AS n FROM
            (SELECT count() AS versions, argMax(raw.status, raw.version) AS status FROM
                (SELECT position, version, status FROM {table} WHERE {}{candidates}
                 ORDER BY tenant DESC, position DESC LIMIT {rows}) AS raw
             GROUP BY raw.position)",
        conditions.text()
    );
    conditions.bind(sql)
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
    version: u64,
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
    error_destination: String,
    failed_us: Option<i64>,
    duplicate_of: String,
}

impl Versioned for Row {
    type Key = u64;
    type Version = u64;

    fn key(&self) -> u64 {
        self.position
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl From<Row> for DeadLetter {
    fn from(mut row: Row) -> Self {
        Self {
            destination: given(std::mem::take(&mut row.error_destination)),
            failed_at: time(row.failed_us),
            row: row.into(),
        }
    }
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
