//! What can be set about keeping rejected requests.

/// How much is kept of requests that were turned away.
#[derive(Debug, Clone)]
pub struct RejectedOptions {
    /// Requests a minute of one source and reason, and as many at once; 0 for no limit.
    pub kind_per_minute: u32,
    /// The same of one address within them.
    pub sender_per_minute: u32,
    /// The most addresses that are counted apart.
    pub senders_max: usize,
    /// The longest body that is kept, in bytes; a longer one is not, because a part of one verifies nothing.
    pub body_bytes_max: usize,
    /// Of how many requests kept one has its body kept too; 0 keeps none.
    pub body_every: u32,
    /// The most bytes of header names and values.
    pub header_bytes_max: usize,
}

impl Default for RejectedOptions {
    fn default() -> Self {
        Self {
            kind_per_minute: 120,
            sender_per_minute: 20,
            senders_max: 20_000,
            body_bytes_max: 16 * 1024,
            body_every: 1,
            header_bytes_max: 4 * 1024,
        }
    }
}
