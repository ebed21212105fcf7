//! Rejected requests in a stream of their own, bounded in bytes, in time and per kind, so that whatever is sent, neither the
//! disk fills nor does one kind push out the others. Best effort: nothing here is waited for, and what can't be kept is
//! counted.
//!
//! Never here: deciding what of a request is kept; whoever turned it away has done that.

mod find;
mod keep;
mod queue;
mod wire;

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use domain::FanOutError;

pub use find::RejectedRequests;
pub use keep::RejectedKeeper;
pub use queue::RejectedQueue;

use super::JetStream;
use super::error::{is_unknown_stream, request_failed};

/// The longest message that the stream takes: a body of the most that is kept, in base64, its headers and the rest.
const MESSAGE_BYTES_MAX: i32 = 768 * 1024;

/// How many requests are kept, and for how long.
#[derive(Debug, Clone)]
pub struct RejectedOptions {
    /// Name of the stream.
    pub stream: String,
    /// Copies of it that a cluster keeps; only used when it is created here.
    pub replicas: usize,
    /// The most bytes of it; the oldest go first.
    pub bytes_max: u64,
    /// How long a request is kept at most, in milliseconds; 0 for as long as there is room.
    pub age_max_ms: u64,
    /// The most requests of one tenant, source and reason; the oldest of the kind go first.
    pub kind_max: u32,
    /// The most requests that wait to be written; more are counted and dropped.
    pub queue_max: usize,
}

/// The stream, made when it is missing and brought into shape when it is not.
async fn ensure_stream(jetstream: &JetStream, options: &RejectedOptions) -> Result<Stream, FanOutError> {
    let context = &jetstream.context;
    let config = match context.get_stream(&options.stream).await {
        Ok(stream) => {
            let config = stream.cached_info().config.clone();
            if config.retention != RetentionPolicy::Limits || config.sealed || config.mirror.is_some() {
                let text = format!(
                    "the stream {} exists, but with another retention, sealed or as a mirror",
                    options.stream
                );
                return Err(FanOutError::Refused(text));
            }
            let wanted = shaped(options, config.clone());
            if wanted == config {
                return Ok(stream);
            }
            let updated = context.update_stream(&wanted).await;
            updated.map_err(|error| request_failed("update the stream of rejected requests", &error))?;
            let stream = context.get_stream(&options.stream).await;
            return stream.map_err(|error| request_failed("read the stream of rejected requests", &error));
        }
        Err(error) if is_unknown_stream(&error) => Config {
            name: options.stream.clone(),
            description: Some("requests that were turned away, lately; nothing else depends on them".into()),
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            num_replicas: options.replicas.max(1),
            allow_direct: true,
            ..Config::default()
        },
        Err(error) => return Err(request_failed("read the stream of rejected requests", &error)),
    };
    let created = context.create_stream(shaped(options, config)).await;
    created.map_err(|error| request_failed("create the stream of rejected requests", &error))
}

/// What must hold for it; the rest is the operator's.
fn shaped(options: &RejectedOptions, config: Config) -> Config {
    Config {
        subjects: vec![wire::all()],
        // Zero would mean no limit.
        max_bytes: i64::try_from(options.bytes_max.max(1)).unwrap_or(i64::MAX),
        max_messages_per_subject: i64::from(options.kind_max.max(1)),
        max_age: Duration::from_millis(options.age_max_ms),
        max_message_size: MESSAGE_BYTES_MAX,
        discard: DiscardPolicy::Old,
        duplicate_window: duplicate_window(options.age_max_ms),
        no_ack: false,
        ..config
    }
}

/// How long a repeated write of a request is known by its id. The server wants it to be no longer than the age.
fn duplicate_window(age_max_ms: u64) -> Duration {
    let window = Duration::from_secs(60);
    match age_max_ms {
        0 => window,
        age => window.min(Duration::from_millis(age)),
    }
}
