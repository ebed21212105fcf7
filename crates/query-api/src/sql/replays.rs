//! Replays: windows of the orders, the newest first, and the states that they were in.

use domain::{
    DestinationName, Position, Query, ReplayCounts, ReplayFilter, ReplayId, ReplayRequested, ReplayState,
    ReplayStatus, ReplayTo, Revision, TenantId, Timestamp,
};
use serde::Deserialize;
use uuid::Uuid;

use super::newest::Versioned;
use super::{Build, Conditions};

pub(crate) const PROJECTION: &str = "replays";

/// An order. Its id is a UUIDv7, so that its order as text, as a number and in time are the same.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Order {
    replay: ReplayId,
    position: u64,
    filter_json: String,
    target: ReplayTo,
    destinations: Vec<DestinationName>,
    dead_only: bool,
    rate_per_second: u32,
    to_position: u64,
    expected: Option<u64>,
    requested_by: String,
    reason: String,
    requested_us: i64,
}

impl Versioned for Order {
    type Key = u128;
    type Version = u64;

    fn key(&self) -> u128 {
        self.replay.as_uuid().as_u128()
    }

    fn version(&self) -> u64 {
        self.position
    }
}

/// A window of orders before an id, backwards.
pub(crate) fn window(build: Build, tenant: &TenantId, before: u128, rows: usize) -> Query {
    let conditions =
        Conditions::of(tenant).with("replay < {before:String}", "before", Uuid::from_u128(before));
    let sql = format!(
        "SELECT replay, position, filter_json, target, destinations, dead_only, rate_per_second, to_position, expected,
            requested_by, reason, toUnixTimestamp64Micro(requested_at) AS requested_us
         FROM {} WHERE {} ORDER BY tenant DESC, replay DESC LIMIT {rows}",
        build.table("replays"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// How many orders there are among the newest so many rows.
pub(crate) fn count_among(build: Build, tenant: &TenantId, rows: u32) -> Query {
    let conditions = Conditions::of(tenant);
    let sql = format!(
        "SELECT toInt64(count()) AS seen, toInt64(uniqExact(replay)) AS n FROM
            (SELECT replay FROM {} WHERE {} ORDER BY tenant DESC, replay DESC LIMIT {rows})",
        build.table("replays"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// A state that a replay was in.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Stated {
    replay: ReplayId,
    state: ReplayStatus,
    position: u64,
    upto: u64,
    matched: u64,
    requested: u64,
    skipped: u64,
    error: String,
    cancelled_by: String,
    stated_us: i64,
}

/// The states of some replays, any version of each.
pub(crate) fn states(build: Build, tenant: &TenantId, orders: &[Order]) -> Query {
    // Ids that were read as such: nothing of a caller's text is in them.
    let ids: Vec<String> = orders.iter().map(|order| format!("'{}'", order.replay)).collect();
    let conditions = Conditions::of(tenant).and(&format!("replay IN ({})", ids.join(", ")));
    let sql = format!(
        "SELECT replay, state, position, upto, matched, requested, skipped, error, cancelled_by,
            toUnixTimestamp64Micro(stated_at) AS stated_us
         FROM {} WHERE {} ORDER BY position",
        build.table("replay_states"),
        conditions.text()
    );
    conditions.bind(sql)
}

impl Order {
    /// The replay as its states tell, in their order: as a fold of its stream would, but for the revision.
    pub(crate) fn with(self, tenant: &TenantId, stated: &[Stated]) -> Result<ReplayState, serde_json::Error> {
        let filter: ReplayFilter = serde_json::from_str(&self.filter_json)?;
        let requested_at = Timestamp::from_micros(self.requested_us);
        let mut state = ReplayState {
            requested: ReplayRequested {
                tenant: tenant.clone(),
                replay: self.replay,
                filter,
                to: self.target,
                destinations: self.destinations,
                dead_only: self.dead_only,
                rate_per_second: self.rate_per_second,
                to_position: Position::new(self.to_position),
                expected: self.expected,
                requested_by: self.requested_by,
                reason: Some(self.reason).filter(|reason| !reason.is_empty()),
            },
            requested_at,
            status: ReplayStatus::Running,
            upto: Position::START,
            counts: ReplayCounts::default(),
            error: None,
            cancelled_by: None,
            updated_at: requested_at,
            revision: Revision::new(0),
        };
        let mut own: Vec<&Stated> = stated.iter().filter(|s| s.replay == self.replay).collect();
        own.sort_by_key(|stated| stated.position);
        own.into_iter().for_each(|stated| stated.onto(&mut state));
        Ok(state)
    }
}

impl Stated {
    fn onto(&self, state: &mut ReplayState) {
        let counts = ReplayCounts {
            matched: self.matched,
            requested: self.requested,
            skipped: self.skipped,
        };
        match self.state {
            ReplayStatus::Running => {
                state.upto = Position::new(self.upto);
                state.counts = counts;
            }
            ReplayStatus::Completed => {
                state.upto = state.requested.to_position;
                state.counts = counts;
            }
            ReplayStatus::Cancelled => state.cancelled_by = Some(self.cancelled_by.clone()),
            ReplayStatus::Failed => {
                state.error = Some(self.error.clone());
                state.counts = counts;
            }
        }
        state.status = self.state;
        state.updated_at = Timestamp::from_micros(self.stated_us);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order() -> Order {
        let row = json!({"replay": Uuid::from_u128(9), "position": 40, "filter_json": "{\"repository\":\"octo-org/*\"}",
            "target": "processing", "destinations": ["ci"], "dead_only": false, "rate_per_second": 200, "to_position": 39,
            "expected": 12, "requested_by": "loopback", "reason": "", "requested_us": 1_795_248_000_000_000_i64});
        serde_json::from_value(row).unwrap()
    }

    fn stated(replay: u128, state: &str, position: u64, matched: u64) -> Stated {
        let row = json!({"replay": Uuid::from_u128(replay), "state": state, "position": position, "upto": 30,
            "matched": matched, "requested": matched, "skipped": 0, "error": "", "cancelled_by": "loopback",
            "stated_us": 1_795_248_000_000_000_i64 + i64::try_from(position).unwrap()});
        serde_json::from_value(row).unwrap()
    }

    fn fold(stated: &[Stated]) -> ReplayState {
        order().with(&TenantId::default(), stated).unwrap()
    }

    #[test]
    fn a_replay_that_said_nothing_yet_runs() {
        let state = fold(&[stated(8, "completed", 50, 7)]);
        assert_eq!(
            (state.status, state.counts, state.updated_at),
            (ReplayStatus::Running, ReplayCounts::default(), state.requested_at)
        );
        assert_eq!(state.requested.filter.repository.as_deref(), Some("octo-org/*"));
        assert_eq!(state.requested.reason, None);
    }

    #[test]
    fn the_newest_state_counts_in_whatever_order_rows_come() {
        let done = fold(&[stated(9, "completed", 60, 12), stated(9, "running", 50, 5)]);
        assert_eq!(
            (done.status, done.counts.matched, done.upto),
            (ReplayStatus::Completed, 12, Position::new(39))
        );
    }

    #[test]
    fn a_cancelled_replay_keeps_the_counts_of_its_last_step() {
        let cancelled = fold(&[stated(9, "running", 50, 5), stated(9, "cancelled", 60, 0)]);
        assert_eq!(
            (cancelled.status, cancelled.counts.matched, cancelled.upto),
            (ReplayStatus::Cancelled, 5, Position::new(30))
        );
        assert_eq!(cancelled.cancelled_by.as_deref(), Some("loopback"));
    }
}
