SELECT
    d.tenant AS tenant,
    d.minute AS timestamp,
    d.destination AS destination,
    sum(d.attempts) AS attempts,
    sum(d.retries) AS retries,
    sum(d.delivered) AS delivered,
    sum(d.retried) AS retried,
    sum(d.dead) AS dead,
    sum(d.skipped) AS skipped,
    if(sum(d.attempts) = 0, 100, round(100 * sum(d.delivered) / sum(d.attempts), 2)) AS success_rate,
    if(sum(d.attempts) = 0, NULL, sum(d.attempt_us) / sum(d.attempts) / 1000) AS avg_attempt_ms
FROM {destination_minutes} AS d FINAL
WHERE NOT d.synthetic
GROUP BY d.tenant, d.minute, d.destination
