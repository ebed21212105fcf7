(
    tenant LowCardinality(String),
    host LowCardinality(String),
    runner_id UInt64,
    version UInt128,
    runner_name String,
    runner_group_id UInt64,
    runner_group String,
    labels Array(LowCardinality(String)),
    last_job_id UInt64,
    last_repository LowCardinality(String),
    last_seen_at Nullable(DateTime64(6, 'UTC'))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, runner_id, host)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
