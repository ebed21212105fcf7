//! Which rejected requests are kept, how much of them, and for how long.

use serde::Deserialize;

use super::Settings;

/// Settings of rejected requests: what is kept of them, and the stream that it is kept in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RejectedSettings {
    pub(crate) keep: bool,
    pub(crate) stream: String,
    pub(crate) bytes_max: u64,
    pub(crate) age_ms_max: u64,
    pub(crate) kind_max: u32,
    pub(crate) queue_max: usize,
    pub(crate) kind_per_minute: u32,
    pub(crate) sender_per_minute: u32,
    pub(crate) senders_max: usize,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_every: u32,
    pub(crate) header_bytes_max: usize,
}

impl Settings {
    /// What is kept of requests that are turned away.
    pub(crate) const fn rejected_kept(&self) -> ingest::RejectedOptions {
        let settings = &self.rejected;
        ingest::RejectedOptions {
            kind_per_minute: settings.kind_per_minute,
            sender_per_minute: settings.sender_per_minute,
            senders_max: settings.senders_max,
            body_bytes_max: settings.body_bytes_max,
            body_every: settings.body_every,
            header_bytes_max: settings.header_bytes_max,
        }
    }

    /// The stream that they are kept in.
    pub(crate) fn rejected_stream(&self) -> infra::jetstream::rejected::RejectedOptions {
        let settings = &self.rejected;
        infra::jetstream::rejected::RejectedOptions {
            stream: settings.stream.clone(),
            replicas: self.nats.replicas,
            bytes_max: settings.bytes_max,
            age_max_ms: settings.age_ms_max,
            kind_max: settings.kind_max,
            queue_max: settings.queue_max,
        }
    }
}
