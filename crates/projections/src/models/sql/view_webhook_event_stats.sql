WITH
    arrayCumSum(mapValues(buckets)) AS ranks,
    mapKeys(buckets)[arrayFirstIndex(c -> c >= greatest(1, ceil(50 / 100 * ranks[-1])), ranks)] AS b50,
    mapKeys(buckets)[arrayFirstIndex(c -> c >= greatest(1, ceil(95 / 100 * ranks[-1])), ranks)] AS b95,
    mapKeys(buckets)[arrayFirstIndex(c -> c >= greatest(1, ceil(99 / 100 * ranks[-1])), ranks)] AS b99
SELECT
    tenant,
    source,
    event,
    total,
    processed,
    pending,
    failed,
    duplicates,
    attempts,
    retries,
    if(total = 0, 100, round(100 * processed / total, 2)) AS success_rate,
    if(times = 0, NULL, times_us / times / 1000) AS avg_processing_ms,
    multiIf(
        empty(buckets), NULL,
        b50 < 16, b50,
        bitShiftLeft(toUInt64(16 + b50 % 16), intDiv(b50, 16) - 1) + (bitShiftLeft(toUInt64(1), intDiv(b50, 16) - 1) - 1) / 2
    ) / 1000 AS p50_processing_ms,
    multiIf(
        empty(buckets), NULL,
        b95 < 16, b95,
        bitShiftLeft(toUInt64(16 + b95 % 16), intDiv(b95, 16) - 1) + (bitShiftLeft(toUInt64(1), intDiv(b95, 16) - 1) - 1) / 2
    ) / 1000 AS p95_processing_ms,
    multiIf(
        empty(buckets), NULL,
        b99 < 16, b99,
        bitShiftLeft(toUInt64(16 + b99 % 16), intDiv(b99, 16) - 1) + (bitShiftLeft(toUInt64(1), intDiv(b99, 16) - 1) - 1) / 2
    ) / 1000 AS p99_processing_ms,
    first_minute,
    last_minute
FROM
(
    SELECT
        s.tenant AS tenant,
        s.source AS source,
        s.event AS event,
        sum(s.total) AS total,
        sum(s.processed) AS processed,
        sum(s.received + s.processing + s.retrying) AS pending,
        sum(s.dead) AS failed,
        sum(s.duplicates) AS duplicates,
        sum(s.attempts) AS attempts,
        sum(s.retries) AS retries,
        sum(s.processing_count) AS times,
        sum(s.processing_us) AS times_us,
        sumMap(s.processing_buckets) AS buckets,
        min(s.minute) AS first_minute,
        max(s.minute) AS last_minute
    FROM {statistics} AS s FINAL
    WHERE NOT s.synthetic
    GROUP BY s.tenant, s.source, s.event
)
