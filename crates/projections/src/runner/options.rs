//! Settings of the workers.

use crate::model::BuildShape;

/// Settings of the workers that fill the read models.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectorOptions {
    /// The most events of a batch of the stream, and of a page of the log; a batch of the log is up to four such pages. So many
    /// rows of one table are written without waiting for the rest of their batch.
    pub batch_events_max: usize,
    /// The most bytes of rows of a batch, and of the events, and the payloads, that are read at a time for it.
    pub batch_bytes_max: usize,
    /// How long the first event of a batch waits for others, in milliseconds.
    pub batch_wait_ms: u64,
    /// Events per block of a rollup, for new builds: about so many where positions of the log don't count events.
    pub block_size: u64,
    /// Partitions that streams are spread over, for new builds.
    pub partitions: u32,
    /// How long the stream may be silent before the head of the log is looked at, in milliseconds.
    pub silent_ms: u64,
    /// How long following the stream may take to begin, in milliseconds.
    pub follow_timeout_ms: u64,
    /// The most inserts of one batch under way at a time.
    pub inserts_max: usize,
    /// The first wait after a failure, in milliseconds; it doubles from there.
    pub retry_ms_min: u64,
    /// The longest wait after failures, in milliseconds.
    pub retry_ms_max: u64,
    /// How often the tables are looked for, in milliseconds.
    pub check_ms: u64,
    /// How often it is looked what other processes did to the builds and how far they are, in milliseconds. It is looked only
    /// where work is shared.
    pub look_ms: u64,
    /// How long the tables of a replaced build stay for queries under way, in milliseconds.
    pub drop_after_ms: u64,
    /// Rebuild projections that hold events which the log does not have, as after restoring an older backup. Without it
    /// they stop and say so.
    pub rebuild_when_ahead: bool,
    /// Compare a new build with a fold of the log before it is asked; one that differs is thrown away.
    pub verify_rebuilds: bool,
    /// The most memory for the digests of a comparison, in bytes: about 112 a row. Larger tables are compared part by part,
    /// with a pass over the log for each.
    pub verify_memory_bytes_max: u64,
    /// Rows that a comparison reads at a time.
    pub verify_page_rows: usize,
}

impl Default for ProjectorOptions {
    fn default() -> Self {
        let shape = BuildShape::default();
        Self {
            batch_events_max: 10_000,
            batch_bytes_max: 8 * 1024 * 1024,
            batch_wait_ms: 100,
            block_size: shape.block_size,
            partitions: shape.partitions,
            silent_ms: 1000,
            follow_timeout_ms: 5000,
            inserts_max: 2,
            retry_ms_min: 50,
            retry_ms_max: 5000,
            check_ms: 10_000,
            look_ms: 1000,
            drop_after_ms: 60_000,
            rebuild_when_ahead: false,
            verify_rebuilds: true,
            verify_memory_bytes_max: 256 * 1024 * 1024,
            verify_page_rows: 5000,
        }
    }
}
