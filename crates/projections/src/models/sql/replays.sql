(
    tenant LowCardinality(String),
    replay String,
    position UInt64,
    filter_json String,
    delivery String,
    target Enum8('processing' = 1, 'subjects' = 2),
    destinations Array(LowCardinality(String)),
    dead_only Bool,
    rate_per_second UInt32,
    to_position UInt64,
    expected Nullable(UInt64),
    requested_by String,
    reason String,
    requested_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(position)
ORDER BY (tenant, replay)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
