(
    tenant LowCardinality(String),
    replay String,
    state Enum8('running' = 1, 'completed' = 2, 'cancelled' = 3, 'failed' = 4),
    position UInt64,
    upto UInt64,
    matched UInt64,
    requested UInt64,
    skipped UInt64,
    error String,
    cancelled_by String,
    stated_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(position)
ORDER BY (tenant, replay, state)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
