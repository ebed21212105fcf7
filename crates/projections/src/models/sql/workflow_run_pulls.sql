(
    tenant LowCardinality(String),
    host LowCardinality(String),
    run_id UInt64,
    pull_request UInt64,
    version UInt128,
    repository_key LowCardinality(String),
    INDEX by_pull_request pull_request TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, run_id, pull_request, host)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1
