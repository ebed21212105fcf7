SELECT
    s.tenant AS tenant,
    s.minute AS timestamp,
    s.source AS source,
    s.event AS event,
    s.repository_key AS repository,
    sum(s.total) AS total,
    sum(s.processed) AS processed,
    sum(s.received + s.processing + s.retrying) AS pending,
    sum(s.dead) AS failed,
    sum(s.duplicates) AS duplicates,
    sum(s.attempts) AS attempts,
    sum(s.retries) AS retries,
    if(sum(s.total) = 0, 100, round(100 * sum(s.processed) / sum(s.total), 2)) AS success_rate,
    if(sum(s.processing_count) = 0, NULL, sum(s.processing_us) / sum(s.processing_count) / 1000)
        AS avg_processing_ms
FROM {statistics} AS s FINAL
WHERE NOT s.synthetic
GROUP BY s.tenant, s.minute, s.source, s.event, s.repository_key
