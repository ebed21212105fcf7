//! Dead letters by cause: at which destination they were given up, with which code, and in which words.

use domain::{Query, TenantId, Timestamp, VARYING, VARYING_SHOWN};
use serde::Deserialize;

use super::{Build, Conditions};
use crate::shape::delivery::{CauseShape, DeadLetter};
use crate::shape::given;

/// The newest deliveries that are shown of each cause.
const NEWEST: u32 = 10;

/// All causes, the most frequent first, so many of them; with the sums over all of them.
///
/// What is dead is found by its own narrow table, and judged by the newest version of its row. The facts are one tuple: `argMax` of
/// a nullable column would pass over nulls.
pub(crate) fn all(build: Build, tenant: &TenantId, limit: u32) -> Query {
    let (deliveries, dead) = (build.table("deliveries"), build.table("dead_letters"));
    let conditions = Conditions::of(tenant);
    let sql = format!(
        "SELECT *, toInt64(sum(n) OVER ()) AS total, toInt64(count() OVER ()) AS causes FROM
            (SELECT now.2 AS destination, now.3 AS error_code,
                replaceRegexpAll(now.4, {{varying:String}}, {{shown:String}}) AS error,
                toInt64(count()) AS n, any(now.5) AS retryable, min(now.6) AS first_us, max(now.6) AS last_us,
                arraySlice(arrayReverseSort(groupArray(position)), 1, {NEWEST}) AS newest
             FROM
                (SELECT raw.position AS position, argMax(raw.facts, raw.version) AS now FROM
                    (SELECT position, version, (status = 'dead', error_destination, error_code, error, retryable,
                        ifNull(toUnixTimestamp64Micro(failed_at), 0)) AS facts
                     FROM {deliveries} WHERE {tenant_only} AND position IN
                        (SELECT position FROM {dead} WHERE {tenant_only} AND dead)) AS raw
                 GROUP BY raw.position)
             WHERE now.1 GROUP BY destination, error_code, error)
         ORDER BY n DESC, last_us DESC, destination, error_code, error LIMIT {limit}",
        tenant_only = conditions.text(),
    );
    let mut query = conditions.bind(sql);
    query.params.push(("varying", VARYING.to_owned()));
    query.params.push(("shown", VARYING_SHOWN.to_owned()));
    query
}

/// A cause as the store answers it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    destination: String,
    error_code: String,
    error: String,
    n: i64,
    retryable: Option<bool>,
    first_us: i64,
    last_us: i64,
    /// Positions of the newest of its deliveries, the greatest first.
    pub(crate) newest: Vec<u64>,
    /// Over all causes.
    pub(crate) total: i64,
    /// How many causes there are.
    pub(crate) causes: i64,
}

impl Row {
    /// The cause, with those of its deliveries that still stand in the list.
    pub(crate) fn shown(self, newest: Vec<DeadLetter>) -> CauseShape {
        let time = |micros: i64| (micros > 0).then(|| Timestamp::from_micros(micros).to_string());
        CauseShape {
            destination: given(self.destination),
            error_code: given(self.error_code),
            error: self.error,
            retryable: self.retryable,
            count: self.n,
            first_failed_at: time(self.first_us),
            last_failed_at: time(self.last_us),
            newest,
        }
    }
}
