//! Dead letters: which deliveries they are, from a narrow table of their own, and their rows.

use domain::{DeliveryStatus, Query, TenantId};
use serde::Deserialize;

use super::deliveries::COLUMNS;
use super::newest::Versioned;
use super::{Build, Conditions};

/// A delivery that is, or was, given up.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) position: u64,
    version: u64,
    pub(crate) dead: bool,
}

impl Versioned for Candidate {
    type Key = u64;
    type Version = u64;

    fn key(&self) -> u64 {
        self.position
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// All versions of the newest so many candidates before a position, backwards. Most dead letters are well again one day:
/// those are left out as soon as ClickHouse has merged them.
pub(crate) fn window(build: Build, tenant: &TenantId, before: u64, rows: usize) -> Query {
    let table = build.table("dead_letters");
    let conditions = Conditions::of(tenant).with("position < {before:UInt64}", "before", before);
    let dead = conditions.clone().and("dead");
    let sql = format!(
        "SELECT position, version, dead FROM {table} WHERE {} AND position IN
            (SELECT position FROM {table} WHERE {} ORDER BY tenant DESC, position DESC LIMIT {rows})
         ORDER BY tenant DESC, position DESC LIMIT {rows}",
        conditions.text(),
        dead.text()
    );
    conditions.bind(sql)
}

/// The rows of deliveries by position, any version of each.
pub(crate) fn rows(build: Build, tenant: &TenantId, positions: &[u64]) -> Query {
    let list: Vec<String> = positions.iter().map(u64::to_string).collect();
    let conditions = Conditions::of(tenant).and(&format!("position IN ({})", list.join(", ")));
    let sql = format!(
        "SELECT {COLUMNS} FROM {} WHERE {} ORDER BY tenant DESC, position DESC",
        build.table("deliveries"),
        conditions.text()
    );
    conditions.bind(sql)
}

/// The positions of candidates, of the tenant and everything else that the other conditions say, as a condition.
pub(crate) fn among(build: Build, conditions: &Conditions, rows: usize) -> String {
    format!(
        "position IN (SELECT position FROM {} WHERE {} AND dead ORDER BY tenant DESC, position DESC LIMIT {rows})",
        build.table("dead_letters"),
        conditions.text()
    )
}

/// Whether only dead letters are asked for.
pub(crate) fn only(statuses: &[DeliveryStatus]) -> bool {
    !statuses.is_empty() && statuses.iter().all(|status| *status == DeliveryStatus::Dead)
}
