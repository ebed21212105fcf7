(
    tenant LowCardinality(String),
    repository_key LowCardinality(String),
    minute DateTime('UTC'),
    event LowCardinality(String),
    action LowCardinality(String),
    partition UInt32,
    block UInt64,
    upto UInt64,
    repository LowCardinality(String),
    events UInt64,
    commits UInt64,
    merged UInt64,
    last_at DateTime64(6, 'UTC'),
    INDEX by_minute minute TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(upto)
ORDER BY (tenant, repository_key, minute, event, action, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
