//! Who is the original of a content. ADR 0014 says why this holds.
//!
//! Every delivery is announced before it is written: in the stream of its sender's id, then in the stream of its body. The
//! order there decides. Whoever finds an announcement before its own looks whether that delivery is there: then it is, or
//! names, the original. If it is not, its writer is slow, or is gone: after a moment the stream that it was about to begin
//! gets a fence, so that it has to look again and then finds those who came after it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::{ContentKey, RecordedEvent, SourceName, StreamName, TenantId, Timestamp};
use eventstore::{EventData, StreamState};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::Shared;
use super::envelope::{Content, Header};
use super::error::Failure;
use super::fence::{self, Fenced, Stopped};
use super::known::{Original, Turn};
use super::page::{self, Next, Target};
use super::read::first_event;
use super::retry::Retry;
use super::server_event::ServerEvent;

/// The type of an announcement.
const TYPE: &str = "hooklog.claim";
/// The most announcements of one content that are looked at: of a sender's id the first, of a body the last.
const CLAIMS_MAX: usize = 1000;
/// How often it is looked whether an announced delivery came, in milliseconds.
const POLL_MS: u64 = 10;

/// An announcement: a delivery of this content is about to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claim {
    pub(super) stream: StreamName,
    pub(super) source: SourceName,
    /// Microseconds since the epoch.
    received_at: i64,
}

impl Claim {
    fn of(stream: &StreamName, content: &ContentKey) -> Self {
        Self {
            stream: stream.clone(),
            source: content.source.clone(),
            received_at: content.received_at.as_micros(),
        }
    }
}

/// Announces a delivery of which it is known what it repeats.
pub(super) async fn announce_all(
    shared: &Shared,
    stream: &StreamName,
    content: &ContentKey,
    retry: &mut Retry,
) -> Result<(), Failure> {
    let claim = Claim::of(stream, content);
    if let Some(id) = &content.sender_id {
        let claims = shared.names.sender_claims(&content.tenant, id);
        announce(shared, &claims, &claim, retry).await?;
    }
    announce(shared, &shared.names.body_claims(content), &claim, retry).await?;
    Ok(())
}

/// What a delivery repeats, and the turns that it keeps until it is written, if that is nothing.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) original: Option<StreamName>,
    _turns: Vec<Turn>,
}

impl Decided {
    /// A duplicate keeps nobody waiting: who comes after it finds the same original.
    const fn duplicate_of(original: StreamName) -> Self {
        Self {
            original: Some(original),
            _turns: Vec::new(),
        }
    }
}

/// Announces a delivery, and finds the unmarked original that it repeats.
pub(super) async fn original(
    shared: &Shared,
    stream: &StreamName,
    content: &ContentKey,
    retry: &mut Retry,
) -> Result<Decided, Stopped> {
    let patience = Duration::from_millis(shared.options.claim_wait_ms);
    let claim = Claim::of(stream, content);
    let mut turns = Vec::new();
    if let Some(id) = &content.sender_id {
        let claims = shared.names.sender_claims(&content.tenant, id);
        turns.extend(shared.known.turn(&claims, patience).await);
        // Announced even if the original is known: it is found by its sender's id.
        let mine = announce(shared, &claims, &claim, retry).await?;
        if mine > 0 {
            let known = known_by_sender_id(shared, stream, content);
            let original = match known {
                Some(known) => Some(known),
                None => by_sender_id(shared, retry, &claims, mine, stream, content).await?,
            };
            if let Some(original) = original {
                return Ok(Decided::duplicate_of(original));
            }
        }
    }
    // Not before the other is settled: whoever stands here waits for nobody there, so nobody waits in a circle.
    let claims = shared.names.body_claims(content);
    turns.extend(shared.known.turn(&claims, patience).await);
    let fits = |known: &Original| known.stream != *stream && content.is_within_window(known.received_at);
    if let Some(original) = shared.known.original(&claims, fits) {
        return Ok(Decided::duplicate_of(original));
    }
    let mine = announce(shared, &claims, &claim, retry).await?;
    let original = if mine == 0 || content.window_ms == 0 {
        None
    } else {
        by_body(shared, retry, &claims, mine, stream, content).await?
    };
    Ok(original.map_or(
        Decided {
            original: None,
            _turns: turns,
        },
        Decided::duplicate_of,
    ))
}

/// A delivery stands in the log, marked or not.
pub(super) fn learn(
    shared: &Shared,
    stream: &StreamName,
    duplicate_of: Option<&StreamName>,
    content: &Content,
) {
    let original = Original {
        stream: duplicate_of.unwrap_or(stream).clone(),
        received_at: content.received_at(),
    };
    if duplicate_of.is_none() {
        let claims = shared
            .names
            .body_claims_of(&content.tenant, &content.source, &content.sha256);
        shared.known.learn(claims, original.clone());
    }
    if let Some(id) = &content.sender_id {
        let key = known_key(shared, &content.tenant, &content.source, id);
        shared.known.learn(key, original);
    }
}

/// Announcements under a sender's id are of all sources; what is known is of one.
fn known_key(shared: &Shared, tenant: &TenantId, source: &SourceName, id: &str) -> String {
    format!("{source} {}", shared.names.sender_claims(tenant, id))
}

fn known_by_sender_id(shared: &Shared, stream: &StreamName, content: &ContentKey) -> Option<StreamName> {
    let id = content.sender_id.as_ref()?;
    let key = known_key(shared, &content.tenant, &content.source, id);
    shared.known.original(&key, |known| known.stream != *stream)
}

/// Adds an announcement, and returns how many stand before it. One whose end is not known is made again: twice is harmless.
async fn announce(shared: &Shared, claims: &str, claim: &Claim, retry: &mut Retry) -> Result<u64, Failure> {
    loop {
        let event = EventData::json(TYPE, claim).map_err(|error| Failure::Refused(error.to_string()))?;
        let event = event.id(Uuid::new_v4());
        let written = shared
            .connection
            .append_in_session(claims, StreamState::Any, vec![event])
            .await;
        match written {
            Ok(wrote) => return Ok(wrote.revision),
            Err(failure) => retry.after(failure).await?,
        }
    }
}

async fn by_sender_id(
    shared: &Shared,
    retry: &mut Retry,
    claims: &str,
    mine: u64,
    stream: &StreamName,
    content: &ContentKey,
) -> Result<Option<StreamName>, Stopped> {
    let events_max = usize::try_from(mine).unwrap_or(usize::MAX).min(CLAIMS_MAX);
    let mut others = forwards(shared, retry, claims, events_max).await?;
    others.retain(|other| other.source == content.source && other.stream != *stream);
    let is_same = |found: &Content| {
        (&found.tenant, &found.source, &found.sender_id)
            == (&content.tenant, &content.source, &content.sender_id)
    };
    let mut pending = Vec::new();
    for other in distinct(others) {
        match first_event(shared, retry, &other).await? {
            Some(found) => {
                if let Some(original) = leads_to(&found, is_same) {
                    return Ok(Some(original));
                }
            }
            None => pending.push(other),
        }
    }
    for other in pending {
        if let Some(found) = settle(shared, retry, &other).await?
            && let Some(original) = leads_to(&found, is_same)
        {
            return Ok(Some(original));
        }
    }
    Ok(None)
}

/// The original that a delivery is, or repeats, if it is of the content.
fn leads_to(
    (event, header): &(RecordedEvent, Header),
    is_same: impl Fn(&Content) -> bool,
) -> Option<StreamName> {
    let same = header.content.as_ref().is_some_and(is_same);
    let original = event.duplicate_of.as_ref().unwrap_or(&event.stream);
    same.then(|| original.clone())
}

async fn by_body(
    shared: &Shared,
    retry: &mut Retry,
    claims: &str,
    mine: u64,
    stream: &StreamName,
    content: &ContentKey,
) -> Result<Option<StreamName>, Stopped> {
    let mut others = backwards(shared, retry, claims, mine).await?;
    others.retain(|other| {
        other.stream != *stream && content.is_within_window(Timestamp::from_micros(other.received_at))
    });
    let mut search = BodySearch {
        shared,
        content,
        judged: HashMap::new(),
    };
    let mut pending = Vec::new();
    for other in distinct(others) {
        match first_event(shared, retry, &other).await? {
            Some(found) => {
                if let Some(original) = search.original(retry, &found).await? {
                    return Ok(Some(original));
                }
            }
            None => pending.push(other),
        }
    }
    for other in pending {
        if let Some(found) = settle(shared, retry, &other).await?
            && let Some(original) = search.original(retry, &found).await?
        {
            return Ok(Some(original));
        }
    }
    Ok(None)
}

/// A search for an unmarked delivery of a body.
struct BodySearch<'a> {
    shared: &'a Shared,
    content: &'a ContentKey,
    /// Whether those that others name are one.
    judged: HashMap<StreamName, bool>,
}

impl BodySearch<'_> {
    /// The delivery itself, or the one that it repeats: whichever is unmarked, has the body and was received in the window.
    async fn original(
        &mut self,
        retry: &mut Retry,
        found: &(RecordedEvent, Header),
    ) -> Result<Option<StreamName>, Stopped> {
        let Some(named) = &found.0.duplicate_of else {
            return Ok(self.is_original(found).then(|| found.0.stream.clone()));
        };
        let fits = match self.judged.get(named) {
            Some(fits) => *fits,
            None => {
                let first = first_event(self.shared, retry, named).await?;
                let fits = first.is_some_and(|first| self.is_original(&first));
                self.judged.insert(named.clone(), fits);
                fits
            }
        };
        Ok(fits.then(|| named.clone()))
    }

    fn is_original(&self, (event, header): &(RecordedEvent, Header)) -> bool {
        let same = header.content.as_ref().is_some_and(|found| {
            (&found.tenant, &found.source, found.sha256)
                == (
                    &self.content.tenant,
                    &self.content.source,
                    self.content.body_sha256,
                )
                && self.content.is_within_window(found.received_at())
        });
        same && event.duplicate_of.is_none()
    }
}

/// Waits for a delivery that was announced. If it does not come, its writer is fenced off, and it does not count.
async fn settle(
    shared: &Shared,
    retry: &mut Retry,
    stream: &StreamName,
) -> Result<Option<(RecordedEvent, Header)>, Stopped> {
    let deadline = Instant::now() + Duration::from_millis(shared.options.claim_wait_ms);
    // One that was fenced before had its time.
    let mut patient = !fence::is_fenced(shared, retry, stream).await?;
    while patient {
        if let Some(found) = first_event(shared, retry, stream).await? {
            return Ok(Some(found));
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        patient = Instant::now() < deadline;
    }
    match fence::put(shared, retry, stream).await? {
        Fenced::Done => {
            tracing::info!(%stream, "a delivery that was announced and did not come was fenced off");
            metrics::counter!("hooklog_log_fences_total").increment(1);
            Ok(None)
        }
        Fenced::TooLate => Ok(first_event(shared, retry, stream).await?),
    }
}

/// The streams of announcements, each once, in their order.
fn distinct(claims: Vec<Claim>) -> impl Iterator<Item = StreamName> {
    let mut seen = HashSet::new();
    claims
        .into_iter()
        .map(|claim| claim.stream)
        .filter(move |stream| seen.insert(stream.clone()))
}

/// The first announcements.
pub(super) async fn forwards(
    shared: &Shared,
    retry: &mut Retry,
    claims: &str,
    events_max: usize,
) -> Result<Vec<Claim>, Failure> {
    let target = Target::Stream {
        name: claims.to_owned(),
        from: 0,
    };
    let (claims, _) = page::read(shared, retry, &target, events_max, Vec::new, take).await?;
    Ok(claims)
}

/// The last announcements before one, the newest first.
async fn backwards(
    shared: &Shared,
    retry: &mut Retry,
    claims: &str,
    mine: u64,
) -> Result<Vec<Claim>, Failure> {
    let target = Target::StreamBackwards {
        name: claims.to_owned(),
        from: mine.checked_sub(1),
    };
    let (claims, _) = page::read(shared, retry, &target, CLAIMS_MAX, Vec::new, take).await?;
    Ok(claims)
}

/// What is no announcement says nothing.
fn take(claims: &mut Vec<Claim>, event: ServerEvent) -> Next {
    let claim = serde_json::from_slice(&event.data).ok();
    claims.extend(claim.filter(|_| event.event_type == TYPE));
    Next::More
}
