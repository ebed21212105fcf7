//! Reads rejected requests: the newest first, or one by its id.
//!
//! A stream is read forwards only, so the newest are found in windows from its end, each larger than the one before, until
//! there are enough. All of it is bounded by the size of the stream.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::stream::Stream;
use async_trait::async_trait;
use domain::{
    FanOutError, FindRejected, RejectedError, RejectedFilter, RejectedKind, RejectedPage, RejectedRequest,
    TenantId,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::{RejectedOptions, wire};
use crate::jetstream::JetStream;
use crate::jetstream::error::{is_unknown_stream, request_failed};

/// The first window, and how much larger each one is than the one before, in messages.
const WINDOW: u64 = 512;
const GROWTH: u64 = 4;
/// Messages fetched at once.
const FETCH_MAX: u64 = 256;
/// The longest that one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server keeps a consumer that nobody asks any more.
const FORGET: Duration = Duration::from_secs(30);
/// How far the clocks of the receiver and of the NATS server may differ for an id to be found at once.
const SKEW_MS: i64 = 60_000;
/// The most kinds listed.
const KINDS_MAX: usize = 1000;

/// The rejected requests of a stream.
#[derive(Clone)]
pub struct RejectedRequests {
    jetstream: JetStream,
    options: RejectedOptions,
}

/// Which messages of a stream are read.
struct Part<'a> {
    stream: &'a Stream,
    subjects: String,
    from: DeliverPolicy,
    /// The last sequence that counts.
    to: u64,
}

impl RejectedRequests {
    /// Reads over that connection.
    #[must_use]
    pub const fn new(jetstream: JetStream, options: RejectedOptions) -> Self {
        Self { jetstream, options }
    }

    /// The stream; none while it was never made, or was deleted.
    async fn stream(&self) -> Result<Option<Stream>, FanOutError> {
        match self.jetstream.context.get_stream(&self.options.stream).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if is_unknown_stream(&error) => Ok(None),
            Err(error) => Err(request_failed("read the stream", &error)),
        }
    }

    async fn newest(&self, filter: &RejectedFilter) -> Result<RejectedPage, FanOutError> {
        let Some(stream) = self.stream().await? else {
            return Ok(RejectedPage::default());
        };
        let state = &stream.cached_info().state;
        let (first, mut end) = (state.first_sequence.max(1), state.last_sequence);
        let mut requests = Vec::new();
        let mut window = WINDOW;
        while requests.len() < filter.limit && end >= first && state.messages > 0 {
            let start = end.saturating_sub(window - 1).max(first);
            let part = Part {
                stream: &stream,
                subjects: wire::subjects(&filter.tenant, filter.source.as_ref()),
                from: DeliverPolicy::ByStartSequence {
                    start_sequence: start,
                },
                to: end,
            };
            let found = newest_of(&part, filter, filter.limit - requests.len()).await?;
            requests.extend(found.requests.into_iter().rev());
            if found.passed {
                break;
            }
            (end, window) = (start - 1, window.saturating_mul(GROWTH));
        }
        let kinds = kinds(&stream, &filter.tenant).await?;
        Ok(RejectedPage { requests, kinds })
    }

    async fn one(&self, tenant: &TenantId, id: Uuid) -> Result<Option<RejectedRequest>, FanOutError> {
        let Some(stream) = self.stream().await? else {
            return Ok(None);
        };
        let mut found = None;
        // Where its time says; should the clocks differ by more, anywhere.
        for from in start_of(id).into_iter().chain([DeliverPolicy::All]) {
            let part = Part {
                stream: &stream,
                subjects: wire::subjects(tenant, None),
                from,
                to: stream.cached_info().state.last_sequence,
            };
            let text = id.to_string();
            part.read(|message| {
                let headers = message.headers.as_ref();
                let its = headers.and_then(|h| h.get("Nats-Msg-Id"));
                if its.is_some_and(|its| its.as_str() == text) {
                    found = wire::read_whole(&message.payload);
                }
                found.is_none()
            })
            .await?;
            if found.is_some() {
                break;
            }
        }
        Ok(found)
    }

    async fn within<T>(
        &self,
        asked: impl Future<Output = Result<T, FanOutError>> + Send,
    ) -> Result<T, RejectedError> {
        let answer = tokio::time::timeout(TIMEOUT, self.jetstream.while_connected(asked)).await;
        let answer = answer.unwrap_or_else(|_| Err(FanOutError::Unavailable("no answer in time".into())));
        answer.map_err(|error| RejectedError::Unavailable(error.to_string()))
    }
}

/// Requests of one window, the newest last.
struct Found {
    requests: VecDeque<RejectedRequest>,
    /// Whether older ones than asked for were met, so that nothing before them counts.
    passed: bool,
}

async fn newest_of(part: &Part<'_>, filter: &RejectedFilter, limit: usize) -> Result<Found, FanOutError> {
    let mut found = Found {
        requests: VecDeque::new(),
        passed: false,
    };
    part.read(|message| {
        let Some(request) = wire::read(&message.payload) else {
            return true;
        };
        let too_old = filter.since.is_some_and(|since| request.received_at < since);
        // Requests are written a moment after they came, so that their order is not quite that of their times.
        found.passed |= filter
            .since
            .is_some_and(|since| request.received_at.plus_millis(SKEW_MS) < since);
        let fits = filter
            .reason
            .as_deref()
            .is_none_or(|reason| request.is_for(reason));
        if fits && !too_old {
            if found.requests.len() == limit {
                found.requests.pop_front();
            }
            found.requests.push_back(request);
        }
        true
    })
    .await?;
    Ok(found)
}

/// How many of each kind are kept.
async fn kinds(stream: &Stream, tenant: &TenantId) -> Result<Vec<RejectedKind>, FanOutError> {
    let failed = |error: &dyn std::fmt::Display| FanOutError::Unavailable(format!("count: {error}"));
    let subjects = stream.info_with_subjects(wire::subjects(tenant, None)).await;
    let subjects: Vec<(String, usize)> = subjects
        .map_err(|error| failed(&error))?
        .take(KINDS_MAX)
        .try_collect()
        .await
        .map_err(|error| failed(&error))?;
    let kind = |(subject, kept): &(String, usize)| {
        let (source, reason) = wire::kind_of(subject)?;
        Some(RejectedKind {
            source: source.to_owned(),
            reason: reason.to_owned(),
            kept: *kept as u64,
        })
    };
    let mut kinds: Vec<RejectedKind> = subjects.iter().filter_map(kind).collect();
    kinds.sort();
    Ok(kinds)
}

/// A little before a request with this id can have been written.
fn start_of(id: Uuid) -> Option<DeliverPolicy> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let skew = i128::from(SKEW_MS) * 1_000_000;
    let at = i128::from(seconds) * 1_000_000_000 + i128::from(nanos) - skew;
    let start_time = async_nats::datetime::from_nanos(at).ok()?;
    Some(DeliverPolicy::ByStartTime { start_time })
}

impl Part<'_> {
    /// Shows each message in its order, until `see` has seen enough or the part ends.
    async fn read(&self, mut see: impl FnMut(&Message) -> bool + Send) -> Result<(), FanOutError> {
        let consumer = self.consumer().await?;
        let mut pending = consumer.cached_info().num_pending;
        while pending > 0 {
            let messages = fetch(&consumer, pending.min(FETCH_MAX)).await?;
            if messages.is_empty() {
                break;
            }
            for message in messages {
                let info = message.info().map_err(|error| unreadable(&error))?;
                pending = info.pending;
                if info.stream_sequence > self.to || !see(&message) {
                    pending = 0;
                    break;
                }
            }
        }
        // It would be forgotten in a while; a failure to say so earlier changes nothing.
        let _ = self.stream.delete_consumer(&consumer.cached_info().name).await;
        Ok(())
    }

    async fn consumer(&self) -> Result<Consumer<Config>, FanOutError> {
        let config = Config {
            description: Some("hooklog, reading rejected requests".into()),
            deliver_policy: self.from,
            ack_policy: AckPolicy::None,
            filter_subject: self.subjects.clone(),
            inactive_threshold: FORGET,
            memory_storage: true,
            num_replicas: 1,
            ..Config::default()
        };
        let consumer = self.stream.create_consumer(config).await;
        consumer.map_err(|error| request_failed("read rejected requests", &error))
    }
}

async fn fetch(consumer: &Consumer<Config>, most: u64) -> Result<Vec<Message>, FanOutError> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let batch = consumer.fetch().max_messages(most).messages().await;
    let batch = batch.map_err(|error| unreadable(&error))?;
    batch.try_collect().await.map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::fmt::Display) -> FanOutError {
    FanOutError::Unavailable(format!("read rejected requests: {error}"))
}

#[async_trait]
impl FindRejected for RejectedRequests {
    async fn find(&self, filter: &RejectedFilter) -> Result<RejectedPage, RejectedError> {
        self.within(Box::pin(self.newest(filter))).await
    }

    async fn get(
        &self,
        tenant: &TenantId,
        request_id: Uuid,
    ) -> Result<Option<RejectedRequest>, RejectedError> {
        self.within(Box::pin(self.one(tenant, request_id))).await
    }
}
