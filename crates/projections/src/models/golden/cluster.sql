CREATE DATABASE IF NOT EXISTS hooklog ON CLUSTER `main` ENGINE = Atomic;

CREATE TABLE IF NOT EXISTS hooklog.projection_builds_local ON CLUSTER `main` (
    `projection` LowCardinality(String), schema UInt16, build UInt32, partitions UInt32, block_size UInt64, log_id UUID,
    incarnation UUID, state LowCardinality(String), updated_at DateTime64(6, 'UTC')
) ENGINE = ReplicatedReplacingMergeTree(updated_at) ORDER BY (projection, build)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.projection_builds ON CLUSTER `main` AS hooklog.projection_builds_local ENGINE = Distributed(`main`, hooklog, projection_builds_local, cityHash64(projection, build));

CREATE TABLE IF NOT EXISTS hooklog.projection_progress_local ON CLUSTER `main` (
    `projection` LowCardinality(String), build UInt32, partition UInt32, log_id UUID, upto UInt64, event_id UUID,
    incarnation UUID, at DateTime64(6, 'UTC')
) ENGINE = ReplicatedReplacingMergeTree(upto) ORDER BY (projection, build, partition, incarnation)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.projection_progress ON CLUSTER `main` AS hooklog.projection_progress_local ENGINE = Distributed(`main`, hooklog, projection_progress_local, cityHash64(projection, build, partition, incarnation));

CREATE TABLE IF NOT EXISTS hooklog.deliveries_s2_b1_local ON CLUSTER `main` (
    tenant LowCardinality(String),
    position UInt64,
    version UInt64,
    id String,
    delivery_id String,
    hook_id String,
    source LowCardinality(String),
    event LowCardinality(String),
    action LowCardinality(String),
    repository LowCardinality(String),
    repository_key LowCardinality(String),
    sender LowCardinality(String),
    entity_kind LowCardinality(String),
    entity_id String,
    received_at DateTime64(6, 'UTC'),
    recorded_at DateTime64(6, 'UTC'),
    status Enum8('received' = 1, 'processing' = 2, 'retrying' = 3, 'processed' = 4, 'dead' = 5),
    attempts UInt32,
    processing_ms Nullable(Float64),
    error String,
    error_code LowCardinality(String),
    retryable Nullable(Bool),
    error_destination LowCardinality(String),
    failed_at Nullable(DateTime64(6, 'UTC')),
    last_attempt_at Nullable(DateTime64(6, 'UTC')),
    next_attempt_at Nullable(DateTime64(6, 'UTC')),
    duplicate_of String,
    synthetic Bool,
    signature Enum8('verified' = 1, 'unverified' = 2, 'imported' = 3),
    body_bytes UInt64,
    body_sha256 String,
    INDEX by_id id TYPE bloom_filter(0.001) GRANULARITY 4,
    INDEX by_delivery_id delivery_id TYPE bloom_filter(0.001) GRANULARITY 4,
    INDEX by_repository repository_key TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_event event TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_action action TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_source source TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_status status TYPE set(5) GRANULARITY 4,
    INDEX by_received_at received_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedReplacingMergeTree(version)
ORDER BY (tenant, position)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.deliveries_s2_b1 ON CLUSTER `main` AS hooklog.deliveries_s2_b1_local ENGINE = Distributed(`main`, hooklog, deliveries_s2_b1_local, cityHash64(tenant, position));

CREATE TABLE IF NOT EXISTS hooklog.dead_letters_s2_b1_local ON CLUSTER `main` (
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
ENGINE = ReplicatedReplacingMergeTree(version)
ORDER BY (tenant, position)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.dead_letters_s2_b1 ON CLUSTER `main` AS hooklog.dead_letters_s2_b1_local ENGINE = Distributed(`main`, hooklog, dead_letters_s2_b1_local, cityHash64(tenant, position));

CREATE TABLE IF NOT EXISTS hooklog.statistics_s4_b1_local ON CLUSTER `main` (
    tenant LowCardinality(String),
    minute DateTime('UTC'),
    source LowCardinality(String),
    event LowCardinality(String),
    action LowCardinality(String),
    repository_key LowCardinality(String),
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
ENGINE = ReplicatedReplacingMergeTree(upto)
ORDER BY (tenant, minute, source, event, action, repository_key, synthetic, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.statistics_s4_b1 ON CLUSTER `main` AS hooklog.statistics_s4_b1_local ENGINE = Distributed(`main`, hooklog, statistics_s4_b1_local, cityHash64(tenant, minute, source, event, action, repository_key, synthetic, partition, block));

CREATE TABLE IF NOT EXISTS hooklog.statistics_hours_s4_b1_local ON CLUSTER `main` (
    tenant LowCardinality(String),
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
ENGINE = ReplicatedReplacingMergeTree(upto)
ORDER BY (tenant, hour, source, event, synthetic, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.statistics_hours_s4_b1 ON CLUSTER `main` AS hooklog.statistics_hours_s4_b1_local ENGINE = Distributed(`main`, hooklog, statistics_hours_s4_b1_local, cityHash64(tenant, hour, source, event, synthetic, partition, block));

CREATE TABLE IF NOT EXISTS hooklog.statistics_repositories_s4_b1_local ON CLUSTER `main` (
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
ENGINE = ReplicatedReplacingMergeTree(upto)
ORDER BY (tenant, repository_key, hour, source, event, synthetic, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.statistics_repositories_s4_b1 ON CLUSTER `main` AS hooklog.statistics_repositories_s4_b1_local ENGINE = Distributed(`main`, hooklog, statistics_repositories_s4_b1_local, cityHash64(tenant, repository_key, hour, source, event, synthetic, partition, block));

CREATE TABLE IF NOT EXISTS hooklog.health_hours_s2_b1_local ON CLUSTER `main` (
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
ENGINE = ReplicatedReplacingMergeTree(upto)
ORDER BY (tenant, hour, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.health_hours_s2_b1 ON CLUSTER `main` AS hooklog.health_hours_s2_b1_local ENGINE = Distributed(`main`, hooklog, health_hours_s2_b1_local, cityHash64(tenant, hour, partition, block));

CREATE TABLE IF NOT EXISTS hooklog.destination_minutes_s1_b1_local ON CLUSTER `main` (
    tenant LowCardinality(String),
    minute DateTime('UTC'),
    destination LowCardinality(String),
    synthetic Bool,
    partition UInt32,
    block UInt64,
    upto UInt64,
    attempts UInt64,
    retries UInt64,
    delivered UInt64,
    retried UInt64,
    dead UInt64,
    skipped UInt64,
    attempt_us UInt64,
    attempt_buckets Map(UInt16, UInt64),
    last_delivered_at Nullable(DateTime64(6, 'UTC')),
    last_failed_at Nullable(DateTime64(6, 'UTC'))
)
ENGINE = ReplicatedReplacingMergeTree(upto)
ORDER BY (tenant, minute, destination, synthetic, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.destination_minutes_s1_b1 ON CLUSTER `main` AS hooklog.destination_minutes_s1_b1_local ENGINE = Distributed(`main`, hooklog, destination_minutes_s1_b1_local, cityHash64(tenant, minute, destination, synthetic, partition, block));

CREATE TABLE IF NOT EXISTS hooklog.replays_s1_b1_local ON CLUSTER `main` (
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
ENGINE = ReplicatedReplacingMergeTree(position)
ORDER BY (tenant, replay)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.replays_s1_b1 ON CLUSTER `main` AS hooklog.replays_s1_b1_local ENGINE = Distributed(`main`, hooklog, replays_s1_b1_local, cityHash64(tenant, replay));

CREATE TABLE IF NOT EXISTS hooklog.replay_states_s1_b1_local ON CLUSTER `main` (
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
ENGINE = ReplicatedReplacingMergeTree(position)
ORDER BY (tenant, replay, state)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.replay_states_s1_b1 ON CLUSTER `main` AS hooklog.replay_states_s1_b1_local ENGINE = Distributed(`main`, hooklog, replay_states_s1_b1_local, cityHash64(tenant, replay, state));

CREATE TABLE IF NOT EXISTS hooklog.repository_activity_s2_b1_local ON CLUSTER `main` (
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
ENGINE = ReplicatedReplacingMergeTree(upto)
ORDER BY (tenant, repository_key, minute, event, action, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.repository_activity_s2_b1 ON CLUSTER `main` AS hooklog.repository_activity_s2_b1_local ENGINE = Distributed(`main`, hooklog, repository_activity_s2_b1_local, cityHash64(tenant, repository_key, minute, event, action, partition, block));

CREATE TABLE IF NOT EXISTS hooklog.repository_contributors_s2_b1_local ON CLUSTER `main` (
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
ENGINE = ReplicatedReplacingMergeTree(upto)
ORDER BY (tenant, repository_key, hour, sender, partition, block)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.repository_contributors_s2_b1 ON CLUSTER `main` AS hooklog.repository_contributors_s2_b1_local ENGINE = Distributed(`main`, hooklog, repository_contributors_s2_b1_local, cityHash64(tenant, repository_key, hour, sender, partition, block));

CREATE TABLE IF NOT EXISTS hooklog.repositories_s2_b1_local ON CLUSTER `main` (
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
ENGINE = ReplicatedReplacingMergeTree(version)
ORDER BY (tenant, repository_key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.repositories_s2_b1 ON CLUSTER `main` AS hooklog.repositories_s2_b1_local ENGINE = Distributed(`main`, hooklog, repositories_s2_b1_local, cityHash64(tenant, repository_key));

CREATE TABLE IF NOT EXISTS hooklog.jobs_s3_b1_local ON CLUSTER `main` (
    tenant LowCardinality(String),
    host LowCardinality(String),
    job_id UInt64,
    run_attempt UInt32,
    version UInt128,
    run_id UInt64,
    repository LowCardinality(String),
    repository_key LowCardinality(String),
    name String,
    workflow_name LowCardinality(String),
    head_branch String,
    head_sha String,
    status Enum8('queued' = 1, 'waiting' = 2, 'in_progress' = 3, 'completed' = 4),
    conclusion LowCardinality(String),
    labels Array(LowCardinality(String)),
    priority Int32,
    runner_id UInt64,
    runner_name String,
    runner_group_id UInt64,
    runner_group String,
    queued_at Nullable(DateTime64(6, 'UTC')),
    started_at Nullable(DateTime64(6, 'UTC')),
    completed_at Nullable(DateTime64(6, 'UTC')),
    queue_ms Nullable(UInt64),
    duration_ms Nullable(UInt64),
    url String,
    INDEX by_status status TYPE set(4) GRANULARITY 4,
    INDEX by_repository repository_key TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_label labels TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_completed_at completed_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplicatedReplacingMergeTree(version)
ORDER BY (tenant, job_id, run_attempt, host)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.jobs_s3_b1 ON CLUSTER `main` AS hooklog.jobs_s3_b1_local ENGINE = Distributed(`main`, hooklog, jobs_s3_b1_local, cityHash64(tenant, job_id, run_attempt, host));

CREATE TABLE IF NOT EXISTS hooklog.job_states_s3_b1_local ON CLUSTER `main` (
    tenant LowCardinality(String),
    host LowCardinality(String),
    job_id UInt64,
    run_attempt UInt32,
    state Enum8('queued' = 1, 'waiting' = 2, 'in_progress' = 3, 'completed' = 4),
    version UInt128,
    queued_at Nullable(DateTime64(6, 'UTC')),
    started_at Nullable(DateTime64(6, 'UTC')),
    completed_at Nullable(DateTime64(6, 'UTC')),
    labels Array(LowCardinality(String)),
    runner_id UInt64,
    runner_name String,
    runner_group_id UInt64,
    runner_group String
)
ENGINE = ReplicatedReplacingMergeTree(version)
ORDER BY (tenant, job_id, run_attempt, host, state)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.job_states_s3_b1 ON CLUSTER `main` AS hooklog.job_states_s3_b1_local ENGINE = Distributed(`main`, hooklog, job_states_s3_b1_local, cityHash64(tenant, job_id, run_attempt, host, state));

CREATE TABLE IF NOT EXISTS hooklog.workflow_runs_s3_b1_local ON CLUSTER `main` (
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
ENGINE = ReplicatedReplacingMergeTree(version)
ORDER BY (tenant, run_id, host)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.workflow_runs_s3_b1 ON CLUSTER `main` AS hooklog.workflow_runs_s3_b1_local ENGINE = Distributed(`main`, hooklog, workflow_runs_s3_b1_local, cityHash64(tenant, run_id, host));

CREATE TABLE IF NOT EXISTS hooklog.workflow_run_pulls_s3_b1_local ON CLUSTER `main` (
    tenant LowCardinality(String),
    host LowCardinality(String),
    run_id UInt64,
    pull_request UInt64,
    version UInt128,
    repository_key LowCardinality(String),
    INDEX by_pull_request pull_request TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplicatedReplacingMergeTree(version)
ORDER BY (tenant, run_id, pull_request, host)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.workflow_run_pulls_s3_b1 ON CLUSTER `main` AS hooklog.workflow_run_pulls_s3_b1_local ENGINE = Distributed(`main`, hooklog, workflow_run_pulls_s3_b1_local, cityHash64(tenant, run_id, pull_request, host));

CREATE TABLE IF NOT EXISTS hooklog.runners_s3_b1_local ON CLUSTER `main` (
    tenant LowCardinality(String),
    host LowCardinality(String),
    runner_id UInt64,
    version UInt128,
    runner_name String,
    runner_group_id UInt64,
    runner_group String,
    labels Array(LowCardinality(String)),
    last_job_id UInt64,
    last_repository LowCardinality(String),
    last_seen_at Nullable(DateTime64(6, 'UTC'))
)
ENGINE = ReplicatedReplacingMergeTree(version)
ORDER BY (tenant, runner_id, host)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hooklog.runners_s3_b1 ON CLUSTER `main` AS hooklog.runners_s3_b1_local ENGINE = Distributed(`main`, hooklog, runners_s3_b1_local, cityHash64(tenant, runner_id, host));

DROP TABLE IF EXISTS hooklog.t_s1_b1_local ON CLUSTER `main` SYNC;

DROP TABLE IF EXISTS hooklog.t_s1_b1 ON CLUSTER `main` SYNC;

CREATE OR REPLACE VIEW hooklog.v ON CLUSTER `main` AS SELECT 1;

