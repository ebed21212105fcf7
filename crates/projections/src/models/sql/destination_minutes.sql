(
    tenant LowCardinality(String),
    minute DateTime('UTC'),
    destination LowCardinality(String),
    synthetic Bool,
    partition UInt32,
    block UInt64,
    upto UInt64,
    attempts UInt64,
    retries UInt64,
    delivered UInt64,
    retried UInt64,
    dead UInt64,
    skipped UInt64,
    attempt_us UInt64,
    attempt_buckets Map(UInt16, UInt64),
    last_delivered_at Nullable(DateTime64(6, 'UTC')),
    last_failed_at Nullable(DateTime64(6, 'UTC'))
)
ENGINE = ReplacingMergeTree(upto)
ORDER BY (tenant, minute, destination, synthetic, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
