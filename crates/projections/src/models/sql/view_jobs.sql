WITH
    coalesce(j.queued_at, s.first_queued_at) AS queued,
    coalesce(j.started_at, s.begun_at) AS started
SELECT
    j.tenant AS tenant,
    j.host AS host,
    j.job_id AS job_id,
    j.run_attempt AS run_attempt,
    j.run_id AS run_id,
    j.repository AS repository,
    j.repository_key AS repository_key,
    j.name AS name,
    j.workflow_name AS workflow_name,
    j.head_branch AS head_branch,
    j.head_sha AS head_sha,
    toString(j.status) AS status,
    j.conclusion AS conclusion,
    if(empty(j.labels), s.known_labels, j.labels) AS labels,
    j.priority AS priority,
    if(j.runner_id = 0, s.begun_runner.1, j.runner_id) AS runner_id,
    if(j.runner_id = 0, s.begun_runner.2, j.runner_name) AS runner_name,
    if(j.runner_id = 0, s.begun_runner.3, j.runner_group) AS runner_group,
    p.pull_requests AS pull_requests,
    queued AS queued_at,
    started AS started_at,
    j.completed_at AS completed_at,
    if(isNull(queued) OR isNull(started), NULL, toUInt64(greatest(0, dateDiff('millisecond', assumeNotNull(queued), assumeNotNull(started)))))
        AS queue_ms,
    if(isNull(started) OR isNull(j.completed_at), NULL, toUInt64(greatest(0, dateDiff('millisecond', assumeNotNull(started), assumeNotNull(j.completed_at)))))
        AS duration_ms,
    j.url AS url
FROM (SELECT * FROM {jobs} FINAL) AS j
LEFT JOIN
(
    SELECT
        tenant,
        host,
        job_id,
        run_attempt,
        coalesce(
            maxIf(queued_at, state = 'queued'),
            maxIf(queued_at, state = 'waiting'),
            maxIf(queued_at, state = 'in_progress')
        ) AS first_queued_at,
        maxIf(started_at, state = 'in_progress') AS begun_at,
        argMaxIf(labels, toUInt8(state), notEmpty(labels)) AS known_labels,
        argMaxIf(tuple(runner_id, runner_name, runner_group), toUInt8(state), runner_id > 0 AND state >= 'in_progress')
            AS begun_runner
    FROM {job_states} FINAL
    GROUP BY tenant, host, job_id, run_attempt
) AS s ON s.tenant = j.tenant AND s.host = j.host AND s.job_id = j.job_id AND s.run_attempt = j.run_attempt
LEFT JOIN
(
    SELECT tenant, host, run_id, arraySort(groupUniqArray(pull_request)) AS pull_requests
    FROM {workflow_run_pulls} FINAL
    GROUP BY tenant, host, run_id
) AS p ON p.tenant = j.tenant AND p.host = j.host AND p.run_id = j.run_id
