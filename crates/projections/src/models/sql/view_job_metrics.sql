SELECT
    tenant,
    repository,
    workflow_name,
    timestamp,
    jobs,
    succeeded,
    failed,
    cancelled,
    skipped,
    if(jobs = skipped, 100, round(100 * succeeded / (jobs - skipped), 2)) AS success_rate,
    if(empty(queues), NULL, queues[toUInt64(greatest(1, ceil(0.50 * length(queues))))]) AS p50_queue_ms,
    if(empty(queues), NULL, queues[toUInt64(greatest(1, ceil(0.95 * length(queues))))]) AS p95_queue_ms,
    if(empty(queues), NULL, queues[toUInt64(greatest(1, ceil(0.99 * length(queues))))]) AS p99_queue_ms,
    if(empty(durations), NULL, durations[toUInt64(greatest(1, ceil(0.50 * length(durations))))]) AS p50_duration_ms,
    if(empty(durations), NULL, durations[toUInt64(greatest(1, ceil(0.95 * length(durations))))]) AS p95_duration_ms,
    if(empty(durations), NULL, durations[toUInt64(greatest(1, ceil(0.99 * length(durations))))]) AS p99_duration_ms
FROM
(
    SELECT
        j.tenant AS tenant,
        j.repository_key AS repository,
        j.workflow_name AS workflow_name,
        toStartOfHour(toDateTime(assumeNotNull(j.completed_at), 'UTC')) AS timestamp,
        count() AS jobs,
        countIf(j.conclusion = 'success') AS succeeded,
        countIf(j.conclusion IN ('failure', 'timed_out', 'startup_failure')) AS failed,
        countIf(j.conclusion = 'cancelled') AS cancelled,
        countIf(j.conclusion = 'skipped') AS skipped,
        arraySort(groupArrayIf(assumeNotNull(j.queue_ms), j.conclusion != 'skipped' AND j.queue_ms IS NOT NULL)) AS queues,
        arraySort(groupArrayIf(assumeNotNull(j.duration_ms), j.conclusion != 'skipped' AND j.duration_ms IS NOT NULL)) AS durations
    FROM (SELECT * FROM {jobs} FINAL) AS j
    WHERE j.status = 'completed' AND j.completed_at IS NOT NULL
    GROUP BY tenant, repository, workflow_name, timestamp
)
