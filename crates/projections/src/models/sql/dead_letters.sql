(
    tenant LowCardinality(String),
    position UInt64,
    version UInt64,
    dead Bool,
    source LowCardinality(String),
    event LowCardinality(String),
    action LowCardinality(String),
    repository_key LowCardinality(String),
    synthetic Bool,
    destination LowCardinality(String),
    error_code LowCardinality(String),
    dead_at Nullable(DateTime64(6, 'UTC')),
    INDEX by_dead dead TYPE set(2) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, position)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1
