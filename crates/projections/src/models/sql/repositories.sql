(
    tenant LowCardinality(String),
    repository_key LowCardinality(String),
    version UInt128,
    repository String,
    stars UInt64,
    forks UInt64,
    open_issues UInt64,
    default_branch String,
    language LowCardinality(String),
    private Bool,
    url String,
    updated_at Nullable(DateTime64(6, 'UTC'))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, repository_key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
