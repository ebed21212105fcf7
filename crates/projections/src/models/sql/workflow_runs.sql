(
    tenant LowCardinality(String),
    host LowCardinality(String),
    run_id UInt64,
    version UInt128,
    run_attempt UInt32,
    run_number UInt64,
    repository LowCardinality(String),
    repository_key LowCardinality(String),
    workflow_id UInt64,
    workflow_name LowCardinality(String),
    head_branch String,
    head_sha String,
    event LowCardinality(String),
    status LowCardinality(String),
    conclusion LowCardinality(String),
    actor LowCardinality(String),
    created_at Nullable(DateTime64(6, 'UTC')),
    updated_at Nullable(DateTime64(6, 'UTC')),
    run_started_at Nullable(DateTime64(6, 'UTC')),
    url String,
    INDEX by_status status TYPE set(20) GRANULARITY 4,
    INDEX by_repository repository_key TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, run_id, host)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1
