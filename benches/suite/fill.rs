//! Rows of a realistic distribution for the read models: the last 30 days, a thousand repositories of which few have most
//! deliveries, events as busy organisations have them, nearly half of them of CI jobs. ClickHouse makes them itself.

use std::time::Duration;

use super::tables::Store;

/// One that has many deliveries, but not the most.
pub(crate) const REPOSITORY: &str = "octo-org/repo-7";

/// Positions of one insert: whole blocks of the rollups.
const CHUNK: u64 = 8192 * 64;
/// Where the positions begin: after those of real deliveries.
const FIRST: u64 = 8192;
const DAYS: u64 = 30;
/// Of how many deliveries one is the end of a CI job.
const PER_JOB: u64 = 7;
const MERGES: Duration = Duration::from_secs(120);

/// Puts that many deliveries into the tables.
pub(crate) async fn deliveries(store: &Store, count: u64) {
    let (deliveries, statistics) = (store.model("deliveries").await, store.model("statistics").await);
    let hours = store.model("statistics_hours").await;
    let repositories = store.model("statistics_repositories").await;
    let activity = store.model("repository_activity").await;
    let contributors = store.model("repository_contributors").await;
    for from in (0..count).step_by(CHUNK as usize) {
        let (first, rows) = (FIRST + from, CHUNK.min(count - from));
        store.ask(&delivery_rows(&deliveries, first, rows, count)).await;
        let of = format!(
            "FROM hooklog.{deliveries} WHERE tenant = 'default' AND position >= {first} AND position < {}",
            first + rows
        );
        store
            .ask(&statistics_rows(
                &statistics,
                "toStartOfMinute(received_at) AS minute, source, event, action, repository_key",
                &of,
            ))
            .await;
        store
            .ask(&statistics_rows(
                &hours,
                "toStartOfHour(received_at) AS hour, source, event",
                &of,
            ))
            .await;
        store
            .ask(&statistics_rows(
                &repositories,
                "repository_key, toStartOfHour(received_at) AS hour, source, event",
                &of,
            ))
            .await;
        store.ask(&activity_rows(&activity, &of)).await;
        store.ask(&contributor_rows(&contributors, &of)).await;
    }
    let (jobs, states) = (store.model("jobs").await, store.model("job_states").await);
    let count = (count / PER_JOB).max(10);
    for from in (0..count).step_by(CHUNK as usize) {
        let rows = CHUNK.min(count - from);
        store.ask(&job_rows(&jobs, from, rows, count)).await;
        store.ask(&state_rows(&states, &jobs, from, rows)).await;
    }
    merged(store).await;
}

/// Waits until the parts are merged, as they are after days and not seconds.
async fn merged(store: &Store) {
    let deadline = std::time::Instant::now() + MERGES;
    let mut quiet = 0;
    while quiet < 5 && std::time::Instant::now() < deadline {
        let merges = store
            .number("SELECT count() FROM system.merges WHERE database = 'hooklog'")
            .await;
        quiet = if merges == 0 { quiet + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

/// Few of a thousand have most: uniform in the logarithm.
fn skewed(salt: &str) -> String {
    format!("toUInt32(pow(1000, (cityHash64(n, '{salt}') % 1000000) / 1000000.))")
}

fn delivery_rows(table: &str, first: u64, rows: u64, count: u64) -> String {
    let repository = skewed("repository");
    let sender = skewed("sender");
    format!(
        "INSERT INTO hooklog.{table} (tenant, position, version, id, delivery_id, hook_id, source, event, action, repository, repository_key, sender,
            entity_kind, entity_id, received_at, recorded_at, status, attempts, processing_ms, error, error_code, error_destination,
            duplicate_of, synthetic, signature, body_bytes, body_sha256)
         WITH number + {first} AS n, cityHash64(n) % 1000 AS dice,
            multiIf(dice < 450, 'workflow_job', dice < 650, 'check_run', dice < 770, 'push', dice < 870, 'pull_request', dice < 920, 'issues',
                dice < 960, 'issue_comment', dice < 990, 'workflow_run', 'release') AS kind,
            lower(hex(SHA256(toString(n)))) AS sha,
            now64(6) - toIntervalMicrosecond(toUInt64(({count} - (n - {FIRST})) / {count} * {DAYS} * 86400e6)) AS at,
            concat('octo-org/repo-', toString({repository})) AS name
         SELECT 'default', n, n, concat('github.4711.fill-', toString(n)), concat('fill-', toString(n)), '4711', 'github', kind,
            multiIf(kind = 'push', '', kind IN ('workflow_job', 'workflow_run', 'check_run'), arrayElement(['queued', 'in_progress', 'completed'], 1 + n % 3),
                arrayElement(['opened', 'closed', 'edited', 'labeled'], 1 + n % 4)),
            name, name, concat('user-', toString({sender})), kind, toString(n), at, at + toIntervalMicrosecond(800),
            multiIf(cityHash64(n, 'status') % 1000 < 5, 'dead', cityHash64(n, 'status') % 1000 < 7, 'retrying', 'processed'),
            toUInt32(1 + (cityHash64(n, 'status') % 1000 < 20)), exp(log(40) + (cityHash64(n, 'time') % 1000) / 300.), '', '', '', '', false, 'verified',
            5000 + cityHash64(n, 'size') % 10000, sha
         FROM numbers({rows})"
    )
}

/// Statistics by some columns of the receipt, minute or hour among them.
fn statistics_rows(table: &str, by: &str, of: &str) -> String {
    let named = by
        .split(", ")
        .map(|column| column.rsplit(' ').next().unwrap_or(column));
    let columns = named.collect::<Vec<_>>().join(", ");
    // Buckets as docs/read-models.md says: sixteen to each doubling of microseconds.
    format!(
        "INSERT INTO hooklog.{table} (tenant, {columns}, synthetic, partition, block, upto, total, received, processing,
            retrying, processed, dead, duplicates, attempts, retries, processing_count, processing_us, processing_buckets)
         WITH toUInt64(assumeNotNull(processing_ms) * 1000) AS us, toUInt64(greatest(0, toInt64(floor(log2(greatest(us, 1)))) + 1 - 5)) AS shift
         SELECT tenant, {by}, synthetic, 0, intDiv(position, 8192) AS block, max(position),
            toInt64(count()), 0, 0, toInt64(countIf(status = 'retrying')), toInt64(countIf(status = 'processed')), toInt64(countIf(status = 'dead')), 0, sum(attempts),
            toUInt64(countIf(attempts > 1)), count(), sum(us), sumMap(map(toUInt16(shift * 16 + bitShiftRight(us, shift)), toUInt64(1)))
         {of} GROUP BY tenant, {columns}, synthetic, block"
    )
}

fn activity_rows(table: &str, of: &str) -> String {
    format!(
        "INSERT INTO hooklog.{table} (tenant, repository_key, minute, event, action, partition, block, upto, repository, events, commits, merged, last_at)
         SELECT tenant, repository_key, toStartOfMinute(received_at) AS minute, event, action, 0, intDiv(position, 8192) AS block, max(position), any(repository), count(),
            toUInt64(countIf(event = 'push') * 2), 0, max(received_at)
         {of} GROUP BY tenant, repository_key, minute, event, action, block"
    )
}

fn contributor_rows(table: &str, of: &str) -> String {
    format!(
        "INSERT INTO hooklog.{table} (tenant, repository_key, hour, sender, partition, block, upto, events, pushes, commits, last_at)
         SELECT tenant, repository_key, toStartOfHour(received_at) AS hour, sender, 0, intDiv(position, 8192) AS block, max(position), count(), countIf(event = 'push'),
            toUInt64(countIf(event = 'push') * 2), max(received_at)
         {of} GROUP BY tenant, repository_key, hour, sender, block"
    )
}

fn job_rows(table: &str, from: u64, rows: u64, count: u64) -> String {
    let repository = skewed("repository");
    format!(
        "INSERT INTO hooklog.{table} (tenant, host, job_id, run_attempt, version, run_id, repository, repository_key, name, workflow_name, head_branch, head_sha, status,
            conclusion, labels, priority, runner_id, runner_name, runner_group_id, runner_group, queued_at, started_at, completed_at, queue_ms, duration_ms, url)
         WITH number + {from} AS n, now64(6) - toIntervalMicrosecond(toUInt64(({count} - n) / {count} * {DAYS} * 86400e6)) AS at,
            concat('octo-org/repo-', toString({repository})) AS of_name,
            toUInt64(exp(log(2000) + (cityHash64(n, 'queue') % 1000) / 250.)) AS queued, toUInt64(exp(log(20000) + (cityHash64(n, 'run') % 1000) / 250.)) AS ran,
            n + 20 > {count} AS open
         SELECT 'default', 'github.com', n + 1000, 1, toUInt128(n), intDiv(n, 4), of_name, of_name, concat('job-', toString(n % 12)), concat('workflow-', toString(n % 9)),
            if(n % 3 = 0, 'main', concat('feature-', toString(n % 500))), lower(hex(SHA1(toString(n)))), if(open, 'in_progress', 'completed'),
            if(open, '', multiIf(cityHash64(n) % 100 < 88, 'success', cityHash64(n) % 100 < 95, 'failure', 'cancelled')),
            [arrayElement(['ubuntu-latest', 'ubuntu-24.04', 'large', 'self-hosted'], 1 + n % 4)], 10, 1 + n % 200, concat('runner-', toString(1 + n % 200)), 1, 'Default',
            at, at + toIntervalMillisecond(queued), if(open, NULL, at + toIntervalMillisecond(queued + ran)), queued, if(open, NULL, ran),
            concat('https://github.com/', of_name, '/actions/runs/', toString(intDiv(n, 4)))
         FROM numbers({rows})"
    )
}

fn state_rows(table: &str, jobs: &str, from: u64, rows: u64) -> String {
    let (first, end) = (from + 1000, from + rows + 1000);
    format!(
        "INSERT INTO hooklog.{table} (tenant, host, job_id, run_attempt, state, version, queued_at, started_at, completed_at, labels, runner_id, runner_name, runner_group_id,
            runner_group)
         SELECT tenant, host, job_id, run_attempt, state, version, queued_at, started_at, if(state = 'completed', completed_at, NULL), labels, runner_id, runner_name,
            runner_group_id, runner_group
         FROM hooklog.{jobs} ARRAY JOIN if(status = 'completed', ['queued', 'in_progress', 'completed'], ['queued', 'in_progress']) AS state
         WHERE tenant = 'default' AND job_id >= {first} AND job_id < {end}"
    )
}
