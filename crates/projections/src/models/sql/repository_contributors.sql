(
    tenant LowCardinality(String),
    repository_key LowCardinality(String),
    hour DateTime('UTC'),
    sender LowCardinality(String),
    partition UInt32,
    block UInt64,
    upto UInt64,
    events UInt64,
    pushes UInt64,
    commits UInt64,
    last_at DateTime64(6, 'UTC'),
    INDEX by_hour hour TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(upto)
ORDER BY (tenant, repository_key, hour, sender, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
