//! The stream itself: made, kept in shape, bound to a log, its end read and positions found in it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, Placement, RetentionPolicy, StorageType, Stream,
};
use domain::{EventId, FanOutError, FanOutTail, LogId, Position};

use super::JetStream;
use super::error::{is_missing, is_unknown_stream, request_failed};

/// Where the log's id stands in the stream's metadata.
const LOG_ID: &str = "hooklog-log-id";

/// Messages of others that are skipped in search of one of ours before we give up.
const FOREIGN_MAX: u64 = 64;

/// The longest wait for ids to be forgotten; with a longer window publishing is turned away until it is over.
const FORGETTING_MAX: Duration = Duration::from_secs(1);

/// The subjects of everything the relay publishes.
const SUBJECTS: [&str; 2] = ["hooklog.v1.>", "hooklog.log.v1.>"];

impl JetStream {
    /// The stream, made when it is missing and brought into shape when it is not.
    pub(super) async fn ensure_stream(&self) -> Result<Stream, FanOutError> {
        let stream = match self.context.get_stream(&self.options.stream).await {
            Ok(stream) => stream,
            Err(error) if is_unknown_stream(&error) => return self.create_stream().await,
            Err(error) => return Err(request_failed("read the stream", &error)),
        };
        let config = &stream.cached_info().config;
        if config.retention != RetentionPolicy::Limits || config.sealed || config.mirror.is_some() {
            let text = "the stream exists, but with another retention, sealed or as a mirror".to_owned();
            return Err(FanOutError::Refused(text));
        }
        let wanted = self.shaped(config.clone());
        if wanted == *config {
            return Ok(stream);
        }
        self.update(wanted).await
    }

    async fn create_stream(&self) -> Result<Stream, FanOutError> {
        let config = self.shaped(Config {
            name: self.options.stream.clone(),
            description: Some("every event of the log, in its order; rebuilt from the log when lost".into()),
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            placement: self.placement(),
            allow_direct: true,
            ..Config::default()
        });
        let created = self.context.create_stream(config).await;
        let stream = created.map_err(|error| request_failed("create the stream", &error))?;
        tracing::info!(stream = %self.options.stream, bytes_max = self.bytes_max.load(Ordering::SeqCst), "stream created");
        Ok(stream)
    }

    /// What must hold for any stream of ours; the rest is the operator's.
    pub(super) fn shaped(&self, config: Config) -> Config {
        Config {
            subjects: SUBJECTS.map(str::to_owned).into(),
            // Zero would mean no limit.
            max_bytes: i64::try_from(self.bytes_max.load(Ordering::SeqCst).max(1)).unwrap_or(i64::MAX),
            max_messages: -1,
            max_messages_per_subject: -1,
            max_age: Duration::ZERO,
            max_message_size: -1,
            discard: DiscardPolicy::Old,
            duplicate_window: Duration::from_millis(self.options.duplicate_window_ms),
            no_ack: false,
            num_replicas: config.num_replicas.max(self.options.replicas).max(1),
            ..config
        }
    }

    /// Where streams are put that we create.
    pub(super) fn placement(&self) -> Option<Placement> {
        let (cluster, tags) = (&self.options.placement_cluster, &self.options.placement_tags);
        (cluster.is_some() || !tags.is_empty()).then(|| Placement {
            cluster: cluster.clone(),
            tags: tags.clone(),
        })
    }

    async fn update(&self, config: Config) -> Result<Stream, FanOutError> {
        let updated = self.context.update_stream(&config).await;
        updated.map_err(|error| request_failed("update the stream", &error))?;
        self.stream().await
    }

    /// The stream as it is.
    pub(super) async fn stream(&self) -> Result<Stream, FanOutError> {
        let stream = self.context.get_stream(&self.options.stream).await;
        stream.map_err(|error| request_failed("read the stream", &error))
    }

    /// Empties the stream and writes the log's id into it. In this order: a crash in between leaves an empty stream
    /// of another log, which is bound again.
    pub(super) async fn bind(&self, log: LogId) -> Result<(), FanOutError> {
        let stream = self.ensure_stream().await?;
        let info = stream.cached_info();
        if info.state.messages > 0 {
            tracing::warn!(messages = info.state.messages, from = ?log_id(info), to = %log, "stream emptied");
            let purged = stream.purge().await;
            purged.map_err(|error| request_failed("empty the stream", &error))?;
            // Emptying forgets the messages, but not their ids: a log restored from its backup has the same again.
            tokio::time::sleep(2 * info.config.duplicate_window.min(FORGETTING_MAX)).await;
        }
        if log_id(info) == Some(log) {
            return Ok(());
        }
        let mut config = info.config.clone();
        config.metadata.insert(LOG_ID.into(), log.to_string());
        let bound = self.update(config).await?;
        if log_id(bound.cached_info()) != Some(log) {
            let text =
                "the server keeps no metadata of streams: nats-server 2.10 or newer is needed".to_owned();
            return Err(FanOutError::Refused(text));
        }
        Ok(())
    }

    /// The stream's end. Reads again when its last message is discarded meanwhile.
    pub(super) async fn read_tail(&self) -> Result<FanOutTail, FanOutError> {
        let mut stream = self.ensure_stream().await?;
        loop {
            let info = stream.cached_info();
            let tail = FanOutTail {
                log_id: log_id(info),
                last_sequence: info.state.last_sequence,
                last_position: None,
                last_event: None,
            };
            if info.state.messages == 0 {
                return Ok(tail);
            }
            let first = info.state.first_sequence;
            if let Some((position, event)) = last_of_ours(&stream, first, tail.last_sequence).await? {
                return Ok(FanOutTail {
                    last_position: Some(position),
                    last_event: event,
                    ..tail
                });
            }
            let before = (first, tail.last_sequence);
            stream = self.stream().await?;
            let state = &stream.cached_info().state;
            if before == (state.first_sequence, state.last_sequence) {
                let text = "the stream ends with messages that are not ours: empty it".to_owned();
                return Err(FanOutError::Refused(text));
            }
        }
    }
}

/// The log that the stream was filled from.
pub(super) fn log_id(info: &Info) -> Option<LogId> {
    let metadata: &HashMap<String, String> = &info.config.metadata;
    metadata.get(LOG_ID)?.parse().ok()
}

/// The position in a message's headers; `None` when it is not one of ours.
pub(super) fn position_of(headers: &HeaderMap) -> Option<Position> {
    headers.get("Hooklog-Position")?.as_str().parse().ok()
}

/// The event id in a message's headers.
fn event_id_of(headers: &HeaderMap) -> Option<EventId> {
    headers.get("ce-id")?.as_str().parse().ok()
}

/// The sequence of the first message after a position; one beyond the last when there is none. Positions grow with
/// the sequence, so it halves the stream until it is found, whatever was discarded from its head.
pub(super) async fn first_after(stream: &Stream, after: Position) -> Result<u64, FanOutError> {
    let state = &stream.cached_info().state;
    let end = state.last_sequence.saturating_add(1);
    if state.messages == 0 {
        return Ok(end);
    }
    let (mut low, mut high) = (state.first_sequence.max(1), end);
    if after == Position::START {
        return Ok(low);
    }
    // Everything below `low` is not after the position; `high` is, or is the end.
    while low < high {
        let middle = low + (high - low) / 2;
        match ours_from(stream, middle, high).await? {
            Some((sequence, position)) if position <= after => low = sequence + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The first message of ours from a sequence on and before another, and its position.
async fn ours_from(stream: &Stream, from: u64, before: u64) -> Result<Option<(u64, Position)>, FanOutError> {
    let mut next = from;
    for _ in 0..FOREIGN_MAX {
        let request = stream.raw_message_builder().sequence(next).next_by_subject(">");
        let message: StreamMessage = match request.send().await {
            Ok(message) => message,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(request_failed("read a message", &error)),
        };
        if message.sequence >= before {
            return Ok(None);
        }
        if let Some(position) = position_of(&message.headers) {
            return Ok(Some((message.sequence, position)));
        }
        next = message.sequence + 1;
    }
    Ok(None)
}

/// Position and event id of the last message of ours between two sequences; `None` when it is gone or there is none at
/// the end.
async fn last_of_ours(
    stream: &Stream,
    first: u64,
    last: u64,
) -> Result<Option<(Position, Option<EventId>)>, FanOutError> {
    let from = first.max(last.saturating_sub(FOREIGN_MAX));
    for sequence in (from..=last).rev() {
        match stream.get_raw_message(sequence).await {
            Ok(message) => {
                if let Some(position) = position_of(&message.headers) {
                    return Ok(Some((position, event_id_of(&message.headers))));
                }
                tracing::warn!(sequence, subject = %message.subject, "a message on our subjects is not ours");
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(request_failed("read the last message", &error)),
        }
    }
    Ok(None)
}
