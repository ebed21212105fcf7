//! Settings of the leases.

/// When leases are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UseLeases {
    /// Where several processes may work on the log.
    Auto,
    /// Always.
    Always,
    /// Never: every process does all the work of its roles.
    Never,
}

/// Settings of the leases by which processes share work.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseOptions {
    /// When they are used.
    pub r#use: UseLeases,
    /// The bucket of NATS that they are kept in.
    pub bucket: String,
    /// The bucket of the notes on how far the log was read.
    pub checkpoint_bucket: String,
    /// How long a lease that is not renewed lasts, in milliseconds; the same in all processes.
    pub ttl_ms: u64,
    /// How long a standby of the relay and of the projections waits for a store of leases that can't be reached before it
    /// works without one, in milliseconds.
    pub unreachable_ms: u64,
    /// The same for handing deliveries on. Longer: destinations would hear of each delivery from every process.
    pub react_unreachable_ms: u64,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self {
            r#use: UseLeases::Auto,
            bucket: "HOOKLOG_LEASES".to_owned(),
            checkpoint_bucket: "HOOKLOG_CHECKPOINTS".to_owned(),
            ttl_ms: 5_000,
            unreachable_ms: 5_000,
            react_unreachable_ms: 60_000,
        }
    }
}
