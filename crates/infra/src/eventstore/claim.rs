//! Who is the original of a content. ADR 0014 says why this holds.
//!
//! Every delivery is announced before it is written: in the stream of its sender's id, then in the stream of its body. The
//! order there decides. Whoever finds an announcement before its own looks whether that delivery is there: then it is, or
//! names, the original. If it is not, its writer is slow, or is gone: after a moment the stream that it was about to begin
//! gets a fence, so that it has to look again and then finds those who came after it.

use std::time::Duration;

use domain::{ContentKey, SourceName, StreamName, TenantId};
use eventstore::{EventData, StreamState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Shared;
use super::connection::Wrote;
use super::envelope::Content;
use super::error::Failure;
use super::fence::Stopped;
use super::known::{Original, Turn};
use super::page::{self, Next, Target};
use super::retry::Retry;
use super::search::{By, Search};
use super::server_event::ServerEvent;

/// The type of an announcement.
const TYPE: &str = "hooklog.claim";
/// For so many times the wait for another delivery a turn is kept: enough to wait, to fence off and to write.
const TURN_WAITS: u64 = 3;

/// An announcement: a delivery of this content is about to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claim {
    pub(super) stream: StreamName,
    pub(super) source: SourceName,
    /// Microseconds since the epoch.
    pub(super) received_at: i64,
    /// Where it stands among the announcements of its content.
    #[serde(skip)]
    pub(super) at: u64,
}

impl Claim {
    fn of(stream: &StreamName, content: &ContentKey) -> Self {
        Self {
            stream: stream.clone(),
            source: content.source.clone(),
            received_at: content.received_at.as_micros(),
            at: 0,
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

/// Where a delivery was announced for the first time, however often it had to begin anew.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    sender_id: Option<u64>,
    body: Option<u64>,
}

/// Announces a delivery, and finds the unmarked original that it repeats.
pub(super) async fn original(
    shared: &Shared,
    stream: &StreamName,
    content: &ContentKey,
    firsts: &mut Firsts,
    retry: &mut Retry,
) -> Result<Decided, Stopped> {
    let patience = Duration::from_millis(shared.options.claim_wait_ms.saturating_mul(TURN_WAITS));
    let turn = async |claims: &str, retry: &Retry| {
        let left = retry.left(Duration::MAX);
        shared.known.turn(claims, left, patience).await
    };
    let claim = Claim::of(stream, content);
    let mut turns = Vec::new();
    if let Some(id) = &content.sender_id {
        let claims = shared.names.sender_claims(&content.tenant, id);
        turns.extend(turn(&claims, retry).await);
        // Announced even if the original is known: it is found by its sender's id.
        let mine = announce(shared, &claims, &claim, retry).await?;
        let first = *firsts.sender_id.get_or_insert(mine);
        if mine > 0 {
            let known = known_by_sender_id(shared, stream, content);
            let original = match known {
                Some(known) => Some(known),
                None => {
                    let mut search = Search::new(shared, stream, content, By::SenderId, first);
                    search.original(retry, &claims, mine).await?
                }
            };
            if let Some(original) = original {
                return Ok(Decided::duplicate_of(original));
            }
        }
    }
    // Not before the other is settled: whoever stands here waits for nobody there, so nobody waits in a circle.
    let claims = shared.names.body_claims(content);
    turns.extend(turn(&claims, retry).await);
    let fits = |known: &Original| known.stream != *stream && content.is_within_window(known.received_at);
    if let Some(original) = shared.known.original(&claims, fits) {
        return Ok(Decided::duplicate_of(original));
    }
    let mine = announce(shared, &claims, &claim, retry).await?;
    let first = *firsts.body.get_or_insert(mine);
    let original = if mine == 0 || content.window_ms == 0 {
        None
    } else {
        let mut search = Search::new(shared, stream, content, By::Body, first);
        search.original(retry, &claims, mine).await?
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
            Ok(Wrote {
                revision: Some(before),
                ..
            }) => return Ok(before),
            // How many stand before it decides whether it is the first: nothing is taken for none.
            Ok(Wrote { revision: None, .. }) => {
                retry
                    .after(Failure::Unknown(
                        "the server did not say where an announcement stands".to_owned(),
                    ))
                    .await?;
            }
            Err(failure) => retry.after(failure).await?,
        }
    }
}

/// Announcements, from one on.
pub(super) async fn forwards(
    shared: &Shared,
    retry: &mut Retry,
    claims: &str,
    from: u64,
    events_max: usize,
) -> Result<Vec<Claim>, Failure> {
    let target = Target::Stream {
        name: claims.to_owned(),
        from,
    };
    let (claims, _) = page::read(shared, retry, &target, events_max, Vec::new, take).await?;
    Ok(claims)
}

/// Announcements before one, the newest first.
pub(super) async fn backwards(
    shared: &Shared,
    retry: &mut Retry,
    claims: &str,
    before: u64,
    events_max: usize,
) -> Result<Vec<Claim>, Failure> {
    let target = Target::StreamBackwards {
        name: claims.to_owned(),
        from: before.checked_sub(1),
    };
    let (claims, _) = page::read(shared, retry, &target, events_max, Vec::new, take).await?;
    Ok(claims)
}

/// What is no announcement says nothing.
fn take(claims: &mut Vec<Claim>, event: ServerEvent) -> Next {
    let claim = serde_json::from_slice(&event.data).ok();
    let claim = claim.filter(|_| event.event_type == TYPE);
    claims.extend(claim.map(|claim: Claim| Claim {
        at: event.revision,
        ..claim
    }));
    Next::More
}
