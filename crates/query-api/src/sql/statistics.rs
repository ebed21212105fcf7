//! Sums over the rollups per minute, and over those per hour, of one repository or of all, wherever whole hours are asked.

use domain::{DeliveryStatus, Query, TenantId, Timestamp};
use serde::Deserialize;

use super::deliveries::Filter;
use super::histogram::Buckets;
use super::{Build, Conditions};

pub(crate) const PROJECTION: &str = "statistics";

/// Rows of the rollups that a total may read; beyond, the sum is not worth its price. ClickHouse knows before it reads any.
const TOTAL_ROWS_MAX: u32 = 20_000_000;

const HOUR_SECS: i64 = 3600;

/// Which deliveries are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// Start of the first minute.
    pub(crate) start_secs: i64,
    /// Start of the minute after the last.
    pub(crate) end_secs: i64,
    /// In lower case.
    pub(crate) repository: Option<String>,
    pub(crate) source: Option<String>,
    /// Whether deliveries made up for tests count too.
    pub(crate) synthetic: bool,
}

impl Scope {
    fn conditions(&self, tenant: &TenantId) -> Conditions {
        self.of_part(self.minutes(tenant))
    }

    fn of_part(&self, conditions: Conditions) -> Conditions {
        conditions
            .with_given("source = {source:String}", "source", self.source.as_ref())
            .with_given(
                "repository_key = {repository:String}",
                "repository",
                self.repository.as_ref(),
            )
    }

    /// The start of its first whole hour and the end of its last, which rollups by the hour know.
    const fn whole_hours(&self) -> Option<(i64, i64)> {
        let first = (self.start_secs + HOUR_SECS - 1).div_euclid(HOUR_SECS) * HOUR_SECS;
        let end = self.end_secs.div_euclid(HOUR_SECS) * HOUR_SECS;
        if first < end { Some((first, end)) } else { None }
    }

    /// Whether it is of a part of the deliveries only.
    pub(crate) const fn is_narrow(&self) -> bool {
        self.repository.is_some() || self.source.is_some()
    }

    /// Its minutes, whatever the repository and source.
    pub(crate) fn minutes(&self, tenant: &TenantId) -> Conditions {
        let conditions = Conditions::of(tenant)
            .with(
                "minute >= toDateTime({start:Int64}, 'UTC')",
                "start",
                self.start_secs,
            )
            .with("minute < toDateTime({end:Int64}, 'UTC')", "end", self.end_secs);
        self.or_synthetic(conditions)
    }

    fn or_synthetic(&self, conditions: Conditions) -> Conditions {
        if self.synthetic {
            conditions
        } else {
            conditions.and("NOT synthetic")
        }
    }
}

/// The schema from which on there are rollups of each repository.
const WITH_REPOSITORIES: u16 = 4;

/// The rollups by the hour of one repository, or of all together, if the build has them.
const fn hours_of(build: Build, repository: Option<&String>) -> Option<&'static str> {
    match repository {
        Some(_) if build.knows(WITH_REPOSITORIES) => Some("statistics_repositories"),
        Some(_) => None,
        None => Some("statistics_hours"),
    }
}

/// The columns that are summed.
const SUMMED: &str = "total, received, processing, retrying, processed, dead, duplicates, attempts, retries, processing_count, processing_us";

/// The rows of a scope, to stand behind `FROM`: its whole hours by the hour, where that is allowed, and what lies before and
/// behind them by the minute. A month by the minute has a row for nearly every delivery.
fn rows(
    build: Build,
    tenant: &TenantId,
    scope: &Scope,
    by_hour: bool,
    columns: &str,
) -> (String, Conditions) {
    let (minutes, conditions) = (build.table("statistics"), scope.conditions(tenant));
    let hours = hours_of(build, scope.repository.as_ref()).filter(|_| by_hour);
    let Some(((first, end), hours)) = scope.whole_hours().zip(hours) else {
        return (format!("{minutes} FINAL WHERE {}", conditions.text()), conditions);
    };
    let of_hours = Conditions::of(tenant)
        .and("hour >= toDateTime({first_hour:Int64}, 'UTC')")
        .and("hour < toDateTime({end_hour:Int64}, 'UTC')");
    let of_hours = scope.of_part(scope.or_synthetic(of_hours));
    let conditions = conditions
        .with(
            "(minute < toDateTime({first_hour:Int64}, 'UTC')",
            "first_hour",
            first,
        )
        .or("minute >= toDateTime({end_hour:Int64}, 'UTC'))", "end_hour", end);
    let text = format!(
        "(SELECT hour AS minute, {columns} FROM {} FINAL WHERE {}
          UNION ALL SELECT minute, {columns} FROM {minutes} FINAL WHERE {})",
        build.table(hours),
        of_hours.text(),
        conditions.text()
    );
    (text, conditions)
}

const SUMS: &str = "sum(total) AS total, sum(processed) AS processed, sum(received + processing + retrying) AS pending,
    sum(dead) AS failed, sum(duplicates) AS duplicates, sum(attempts) AS tried, sum(retries) AS repeated, sum(processing_count) AS timed, sum(processing_us) AS micros";

/// Counts of a group.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Sums {
    pub(crate) total: i64,
    pub(crate) processed: i64,
    pub(crate) pending: i64,
    pub(crate) failed: i64,
    pub(crate) duplicates: i64,
    pub(crate) tried: u64,
    pub(crate) repeated: u64,
    pub(crate) timed: u64,
    pub(crate) micros: u64,
}

impl Sums {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.processed += other.processed;
        self.pending += other.pending;
        self.failed += other.failed;
        self.duplicates += other.duplicates;
        self.tried += other.tried;
        self.repeated += other.repeated;
        self.timed += other.timed;
        self.micros += other.micros;
    }

    /// The mean processing time in milliseconds, 0 without any.
    pub(crate) fn mean_ms(&self) -> f64 {
        mean_ms(self.micros, self.timed).unwrap_or(0.0)
    }
}

/// The mean of so many times in milliseconds.
#[allow(clippy::cast_precision_loss, reason = "shown with three decimals")]
pub(crate) fn mean_ms(micros: u64, times: u64) -> Option<f64> {
    (times > 0).then(|| crate::shape::round_ms(micros as f64 / times as f64 / 1000.0))
}

/// Counts of one event type.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OfEvent {
    pub(crate) event: String,
    #[serde(flatten)]
    pub(crate) sums: Sums,
    pub(crate) buckets: Buckets,
}

/// Counts per event type, the most frequent first.
pub(crate) fn by_event(build: Build, tenant: &TenantId, scope: &Scope) -> Query {
    let columns = format!("event, {SUMMED}, processing_buckets");
    let (rows, conditions) = rows(build, tenant, scope, true, &columns);
    let sql = format!(
        "SELECT event, {SUMS}, sumMap(processing_buckets) AS buckets
         FROM {rows} GROUP BY event HAVING total != 0 ORDER BY total DESC, event"
    );
    conditions.bind(sql)
}

/// Counts of one step of time.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct OfStep {
    pub(crate) step: i64,
    #[serde(flatten)]
    pub(crate) sums: Sums,
}

/// Counts per step of so many seconds, those without deliveries left out.
pub(crate) fn series(build: Build, tenant: &TenantId, scope: &Scope, step_secs: u32) -> Query {
    let by_hour = i64::from(step_secs) % HOUR_SECS == 0;
    let (rows, conditions) = rows(build, tenant, scope, by_hour, SUMMED);
    let sql = format!(
        "SELECT intDiv(toInt64(toUnixTimestamp(minute)), {step_secs}) * {step_secs} AS step, {SUMS}
         FROM {rows} GROUP BY step ORDER BY step"
    );
    conditions.bind(sql)
}

/// Whether a filter's range cuts a minute in two, which rollups per minute can't see.
pub(crate) fn cuts_a_minute(filter: &Filter) -> bool {
    let cut = |time: Option<Timestamp>| time.is_some_and(|t| t.as_micros().rem_euclid(60_000_000) != 0);
    cut(filter.from) || cut(filter.until)
}

/// How many deliveries fit a filter of the list, by whole minutes. The filters are on columns of the key, which all versions of
/// a row share, so they may come before `FINAL`; and where parts don't overlap, `FINAL` has nothing to merge. Grouping by
/// the key to take the newest version by hand takes nearly seven times as long (470 ms of processor time against 70, over 8.6
/// million rows). Where nothing is asked that rollups by the hour don't know, they have far fewer rows to read.
pub(crate) fn total(build: Build, tenant: &TenantId, filter: &Filter) -> Query {
    let minute = |time: Timestamp| time.as_secs().div_euclid(60) * 60;
    let conditions = Conditions::of(tenant)
        .with_given("source = {source:String}", "source", filter.source.as_ref())
        .with_given("event = {event:String}", "event", filter.event.as_ref())
        .with_given("action = {action:String}", "action", filter.action.as_ref())
        .with_given(
            "repository_key = {repository:String}",
            "repository",
            filter.repository.as_ref(),
        )
        .with_given(
            "minute >= toDateTime({from:Int64}, 'UTC')",
            "from",
            filter.from.map(minute),
        )
        .with_given(
            "minute < toDateTime({until:Int64}, 'UTC')",
            "until",
            filter.until.map(|time| minute(time.plus_millis(59_999))),
        )
        .and_given(filter.category_condition().as_deref());
    let counted = match &filter.statuses {
        None => "total".to_owned(),
        Some(statuses) if statuses.is_empty() => "toInt64(0)".to_owned(),
        Some(statuses) => statuses
            .iter()
            .map(|s: &DeliveryStatus| s.as_str())
            .collect::<Vec<_>>()
            .join(" + "),
    };
    let by_minute = filter.action.is_some() || filter.from.is_some() || filter.until.is_some();
    let hours = hours_of(build, filter.repository.as_ref()).filter(|_| !by_minute);
    let table = hours.unwrap_or("statistics");
    let sql = format!(
        "SELECT sum({counted}) AS n FROM {} FINAL PREWHERE {} SETTINGS max_rows_to_read = {TOTAL_ROWS_MAX}",
        build.table(table),
        conditions.text()
    );
    conditions.bind(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(start_secs: i64, end_secs: i64) -> Scope {
        Scope {
            start_secs,
            end_secs,
            repository: None,
            source: None,
            synthetic: false,
        }
    }

    #[test]
    fn whole_hours_are_those_that_lie_within() {
        let hour = 1_795_248_000;
        for (start, end, whole) in [
            (hour, hour + 3600, Some((hour, hour + 3600))),
            (hour - 60, hour + 3660, Some((hour, hour + 3600))),
            (hour + 60, hour + 3600, None),
            (hour, hour + 3540, None),
            (hour + 60, hour + 7260, Some((hour + 3600, hour + 7200))),
        ] {
            assert_eq!(scope(start, end).whole_hours(), whole, "{start} to {end}");
        }
    }

    /// Which tables are read.
    fn tables(query: &Query) -> Vec<&str> {
        let named = query.sql.split("hooklog.").skip(1);
        named.map(|rest| rest.split_once("_s4_b1 ").unwrap().0).collect()
    }

    #[test]
    fn hours_are_read_where_minutes_are_not_needed() {
        let (build, tenant) = (Build::for_test(4, 1), TenantId::default());
        for (repository, hours) in [
            (None, "statistics_hours"),
            (Some("a/b".to_owned()), "statistics_repositories"),
        ] {
            let day = Scope {
                repository: repository.clone(),
                ..scope(1_795_248_060, 1_795_334_460)
            };
            let with_edges = [hours, "statistics"];
            assert_eq!(tables(&by_event(build, &tenant, &day)), with_edges);
            assert_eq!(tables(&series(build, &tenant, &day, 3600)), with_edges);
            assert_eq!(tables(&series(build, &tenant, &day, 86_400)), with_edges);
            assert_eq!(tables(&series(build, &tenant, &day, 60)), ["statistics"]);
            let all = Filter {
                repository,
                event: Some("push".into()),
                source: Some("github".into()),
                statuses: Some(vec![DeliveryStatus::Dead]),
                ..Filter::default()
            };
            assert_eq!(tables(&total(build, &tenant, &all)), [hours]);
            let time = Some(Timestamp::from_millis(1_795_248_060_000));
            for by_minute in [
                Filter {
                    action: Some("opened".into()),
                    ..all.clone()
                },
                Filter {
                    from: time,
                    ..all.clone()
                },
                Filter { until: time, ..all },
            ] {
                assert_eq!(tables(&total(build, &tenant, &by_minute)), ["statistics"]);
            }
        }
    }

    #[test]
    fn a_build_without_rollups_of_repositories_is_asked_by_the_minute() {
        let (build, tenant) = (Build::for_test(3, 1), TenantId::default());
        let asked = |query: &Query| query.sql.matches("hooklog.statistics_s3_b1 ").count();
        let day = Scope {
            repository: Some("a/b".into()),
            ..scope(1_795_248_060, 1_795_334_460)
        };
        let of_one = Filter {
            repository: Some("a/b".into()),
            ..Filter::default()
        };
        for query in [by_event(build, &tenant, &day), total(build, &tenant, &of_one)] {
            assert_eq!(asked(&query), 1, "{}", query.sql);
            assert!(!query.sql.contains("statistics_repositories"), "{}", query.sql);
        }
    }

    #[test]
    fn hours_and_the_minutes_around_them_are_of_one_repository() {
        let day = Scope {
            repository: Some("a/b".into()),
            source: Some("github".into()),
            ..scope(1_795_248_060, 1_795_334_460)
        };
        let query = by_event(Build::for_test(4, 1), &TenantId::default(), &day);
        for condition in [
            "repository_key = {repository:String}",
            "source = {source:String}",
            "NOT synthetic",
        ] {
            assert_eq!(
                query.sql.matches(condition).count(),
                2,
                "{condition}: {}",
                query.sql
            );
        }
        assert!(query.params.contains(&("repository", "a/b".into())));
    }
}
