(
    tenant LowCardinality(String),
    host LowCardinality(String),
    job_id UInt64,
    run_attempt UInt32,
    state Enum8('queued' = 1, 'waiting' = 2, 'in_progress' = 3, 'completed' = 4),
    version UInt128,
    queued_at Nullable(DateTime64(6, 'UTC')),
    started_at Nullable(DateTime64(6, 'UTC')),
    completed_at Nullable(DateTime64(6, 'UTC')),
    labels Array(LowCardinality(String)),
    runner_id UInt64,
    runner_name String,
    runner_group_id UInt64,
    runner_group String
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, job_id, run_attempt, host, state)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1
