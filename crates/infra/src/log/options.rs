//! Settings of the log.

/// Settings of the segmented log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// Size of a segment in bytes, at least 64 KiB. Applies to segments begun from now on.
    pub segment_bytes: u64,
    /// How far ahead of the last event the disk is filled with zeroes, in bytes.
    pub fill_ahead_bytes: u64,
    /// How much is filled at a time, in bytes. A sync of an append may have to wait for as much: in a model of it, with 60 MB/s of appends,
    /// steps of 4 MiB made their p99 17 times as long as steps of 256 KiB. Each step is synced.
    pub fill_step_bytes: u64,
    /// The most appends that may wait; over it they are refused.
    pub queue_max: usize,
    /// The most bytes of appends that may wait; over it they are refused.
    pub queue_bytes_max: usize,
    /// The most bytes of appends that share one sync; a larger append has one of its own.
    pub batch_bytes_max: usize,
    /// The most bytes of the newest batches that stay in memory, for those who keep up with the log.
    pub newest_bytes_max: usize,
    /// The most events that may be durable but not yet indexed; over it the writer waits for the index.
    pub unindexed_max: usize,
    /// The least time between the beginnings of two syncs, in microseconds: what comes meanwhile shares the next one. A disk that
    /// is asked without a pause stalls now and then.
    pub sync_interval_us: u64,
    /// The longest that a batch waits for as many appends as were in the one before, in microseconds.
    pub gather_us: u64,
    /// The longest that the index gathers events before they are written, in milliseconds.
    pub index_delay_ms: u64,
    /// Memory for blocks of the index, in bytes.
    pub index_cache_bytes: u64,
    /// Memory for new entries of the index, in bytes.
    pub index_memtable_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 256 * MIB,
            fill_ahead_bytes: 32 * MIB,
            fill_step_bytes: 1024 * 1024,
            queue_max: 10_000,
            queue_bytes_max: 64 * 1024 * 1024,
            batch_bytes_max: 1024 * 1024,
            newest_bytes_max: 4 * 1024 * 1024,
            unindexed_max: 100_000,
            sync_interval_us: 400,
            gather_us: 100,
            index_delay_ms: 5_000,
            index_cache_bytes: 8 * MIB,
            index_memtable_bytes: 8 * MIB,
        }
    }
}

const MIB: u64 = 1024 * 1024;

/// The smallest segment: a header, and room for an append of ordinary size.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 64 * 1024;

/// The largest: offsets within a batch are 32 bits.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 2 * 1024 * MIB;

/// The longest id that a sender may give to a delivery, in bytes.
pub(crate) const SENDER_ID_BYTES_MAX: usize = 8 * 1024;
