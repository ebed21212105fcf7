(
    tenant LowCardinality(String),
    hour DateTime('UTC'),
    partition UInt32,
    block UInt64,
    upto UInt64,
    total Int64,
    retrying Int64,
    processed Int64,
    dead Int64,
    duplicates Int64,
    attempts UInt64,
    retries UInt64,
    processing_count UInt64,
    processing_us UInt64,
    last_received_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(upto)
ORDER BY (tenant, hour, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
