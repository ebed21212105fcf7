(
    tenant LowCardinality(String),
    repository_key LowCardinality(String),
    hour DateTime('UTC'),
    source LowCardinality(String),
    event LowCardinality(String),
    synthetic Bool,
    partition UInt32,
    block UInt64,
    upto UInt64,
    total Int64,
    received Int64,
    processing Int64,
    retrying Int64,
    processed Int64,
    dead Int64,
    duplicates Int64,
    attempts UInt64,
    retries UInt64,
    processing_count UInt64,
    processing_us UInt64,
    processing_buckets Map(UInt16, UInt64)
)
ENGINE = ReplacingMergeTree(upto)
ORDER BY (tenant, repository_key, hour, source, event, synthetic, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
