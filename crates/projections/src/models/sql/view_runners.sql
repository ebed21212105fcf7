SELECT
    r.tenant AS tenant,
    r.host AS host,
    r.runner_id AS runner_id,
    r.runner_name AS runner_name,
    r.runner_group AS runner_group,
    r.labels AS labels,
    if(j.running_jobs > 0, 'busy', 'idle') AS status,
    j.running_jobs AS running_jobs,
    j.jobs AS jobs,
    r.last_job_id AS last_job_id,
    r.last_repository AS last_repository,
    r.last_seen_at AS last_seen_at
FROM (SELECT * FROM {runners} FINAL) AS r
LEFT JOIN
(
    SELECT tenant, host, runner_id, count() AS jobs, countIf(status = 'in_progress') AS running_jobs
    FROM {jobs} FINAL
    WHERE runner_id > 0
    GROUP BY tenant, host, runner_id
) AS j ON j.tenant = r.tenant AND j.host = r.host AND j.runner_id = r.runner_id
