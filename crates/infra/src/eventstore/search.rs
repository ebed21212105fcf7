//! Looks at the deliveries that were announced before one: is one of them, or does one name, the original of its content?

use std::collections::HashMap;
use std::time::Duration;

use domain::{ContentKey, RecordedEvent, StreamName, Timestamp};
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use super::Shared;
use super::claim::{self, Claim};
use super::envelope::{Content, Header};
use super::fence::{self, Fenced, Stopped};
use super::read::{Begun, begun, first_event};
use super::retry::Retry;

/// How many announcements are read at once.
const PAGE_CLAIMS: usize = 1000;
/// How many announced deliveries are looked at at the same time.
const LOOKS_MAX: usize = 16;
/// How often it is looked whether announced deliveries came, in milliseconds: at first, and after a while.
const POLL_MS: (u64, u64) = (10, 100);

/// By what the original is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    SenderId,
    Body,
}

/// A search for the original of a delivery.
pub(super) struct Search<'a> {
    shared: &'a Shared,
    stream: &'a StreamName,
    content: &'a ContentKey,
    by: By,
    /// Where the delivery itself was announced for the first time.
    first_announced: u64,
    announced: HashMap<StreamName, Announced>,
    /// Whether those that others name are an unmarked delivery of the body.
    judged: HashMap<StreamName, bool>,
}

/// How a delivery was announced.
struct Announced {
    /// Where for the first time.
    first: u64,
    times: usize,
}

/// An announced delivery that is not there.
struct Pending {
    stream: StreamName,
    /// Whether its writer was told already that it is late.
    is_fenced: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        stream: &'a StreamName,
        content: &'a ContentKey,
        by: By,
        first_announced: u64,
    ) -> Self {
        Self {
            shared,
            stream,
            content,
            by,
            first_announced,
            announced: HashMap::new(),
            judged: HashMap::new(),
        }
    }

    /// The original, by the announcements that stand before one's own. Those that are not there yet are waited for, and then
    /// fenced off.
    pub(super) async fn original(
        &mut self,
        retry: &mut Retry,
        claims: &str,
        mine: u64,
    ) -> Result<Option<StreamName>, Stopped> {
        let mut pending = Vec::new();
        let mut next = Some(if self.by == By::SenderId { 0 } else { mine });
        while let Some(at) = next {
            let (page, after) = self.page(retry, claims, at, mine).await?;
            next = after;
            if let Some(original) = self.among(retry, page, &mut pending).await? {
                return Ok(Some(original));
            }
        }
        self.settle(retry, pending).await
    }

    /// The deliveries that a page of announcements names and that may matter, each once, and where the next page begins.
    /// Of a sender's id the first come first, of a body the last.
    async fn page(
        &mut self,
        retry: &mut Retry,
        claims: &str,
        at: u64,
        mine: u64,
    ) -> Result<(Vec<StreamName>, Option<u64>), Stopped> {
        retry.in_time()?;
        let (page, next) = match self.by {
            By::SenderId => {
                let most = usize::try_from(mine - at).unwrap_or(usize::MAX).min(PAGE_CLAIMS);
                let page = claim::forwards(self.shared, retry, claims, at, most).await?;
                let next = at + PAGE_CLAIMS as u64;
                (page, Some(next).filter(|next| *next < mine))
            }
            By::Body => {
                let page = claim::backwards(self.shared, retry, claims, at, PAGE_CLAIMS).await?;
                // Announcements come about in the order of their receipts: before a page without one in the window stands none.
                let may_have_more = page.iter().any(|claim| self.matters(claim));
                let next = at.checked_sub(PAGE_CLAIMS as u64);
                (page, next.filter(|next| *next > 0 && may_have_more))
            }
        };
        let mut streams = Vec::new();
        for claim in page {
            if !self.matters(&claim) {
                continue;
            }
            let announced = self.announced.entry(claim.stream.clone());
            let announced = announced.or_insert_with(|| {
                streams.push(claim.stream);
                Announced {
                    first: claim.at,
                    times: 0,
                }
            });
            announced.first = announced.first.min(claim.at);
            announced.times += 1;
        }
        Ok((streams, next))
    }

    /// Whether a delivery that is not there is waited for: one that was announced before this one, unless it was told that it is
    /// late and has not come back since. So nobody waits in a circle, and of those who fence each other off the first gets
    /// through.
    fn waits_for(&self, pending: &Pending) -> bool {
        let announced = self.announced.get(&pending.stream);
        announced.is_some_and(|announced| {
            announced.first < self.first_announced && (!pending.is_fenced || announced.times > 1)
        })
    }

    fn matters(&self, claim: &Claim) -> bool {
        let of_content = match self.by {
            By::SenderId => claim.source == self.content.source,
            By::Body => self
                .content
                .is_within_window(Timestamp::from_micros(claim.received_at)),
        };
        of_content && claim.stream != *self.stream
    }

    /// The original among deliveries; those that are not there are added to the pending ones.
    async fn among(
        &mut self,
        retry: &mut Retry,
        streams: Vec<StreamName>,
        pending: &mut Vec<Pending>,
    ) -> Result<Option<StreamName>, Stopped> {
        let (shared, each) = (self.shared, retry.clone());
        let mut looks = stream::iter(streams)
            .map(|stream| look(shared, each.clone(), stream))
            .buffered(LOOKS_MAX);
        while let Some(look) = looks.next().await {
            let (stream, begun) = look?;
            match begun {
                Begun::With(found) => {
                    if let Some(original) = self.judge(retry, &found).await? {
                        return Ok(Some(original));
                    }
                }
                Begun::Fenced => pending.push(Pending {
                    stream,
                    is_fenced: true,
                }),
                Begun::No => pending.push(Pending {
                    stream,
                    is_fenced: false,
                }),
            }
        }
        Ok(None)
    }

    /// Waits for deliveries that were announced, all at once. Those that do not come have their writers fenced off, and do not
    /// count.
    async fn settle(
        &mut self,
        retry: &mut Retry,
        mut pending: Vec<Pending>,
    ) -> Result<Option<StreamName>, Stopped> {
        let patience = Duration::from_millis(self.shared.options.claim_wait_ms);
        let deadline = Instant::now() + retry.left(patience);
        let mut pause_ms = POLL_MS.0;
        while pending.iter().any(|pending| self.waits_for(pending)) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (2 * pause_ms).min(POLL_MS.1);
            let (waited, others): (Vec<_>, Vec<_>) =
                pending.into_iter().partition(|pending| self.waits_for(pending));
            pending = others;
            let streams = waited.into_iter().map(|waited| waited.stream).collect();
            if let Some(original) = self.among(retry, streams, &mut pending).await? {
                return Ok(Some(original));
            }
        }
        retry.in_time()?;
        let (shared, each) = (self.shared, retry.clone());
        let fencing = |pending: Pending| fence_off(shared, each.clone(), pending.stream);
        let mut fenced = stream::iter(pending).map(fencing).buffer_unordered(LOOKS_MAX);
        let mut came = Vec::new();
        while let Some(late) = fenced.next().await {
            came.extend(late?);
        }
        for found in came {
            if let Some(original) = self.judge(retry, &found).await? {
                return Ok(Some(original));
            }
        }
        Ok(None)
    }

    /// The original that a delivery is, or names.
    async fn judge(
        &mut self,
        retry: &mut Retry,
        found: &(RecordedEvent, Header),
    ) -> Result<Option<StreamName>, Stopped> {
        let (event, header) = found;
        if self.by == By::SenderId {
            let same = header
                .content
                .as_ref()
                .is_some_and(|found| self.is_of_sender(found));
            let original = event.duplicate_of.as_ref().unwrap_or(&event.stream);
            return Ok(same.then(|| original.clone()));
        }
        let Some(named) = &event.duplicate_of else {
            return Ok(self.is_original(found).then(|| event.stream.clone()));
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

    fn is_of_sender(&self, found: &Content) -> bool {
        (&found.tenant, &found.source, &found.sender_id)
            == (
                &self.content.tenant,
                &self.content.source,
                &self.content.sender_id,
            )
    }

    /// Whether it is unmarked, has the body and was received in the window.
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

async fn look(shared: &Shared, mut retry: Retry, stream: StreamName) -> Result<(StreamName, Begun), Stopped> {
    let begun = begun(shared, &mut retry, &stream).await?;
    Ok((stream, begun))
}

/// Fences a writer off; its delivery, if it was faster.
async fn fence_off(
    shared: &Shared,
    mut retry: Retry,
    stream: StreamName,
) -> Result<Option<(RecordedEvent, Header)>, Stopped> {
    match fence::put(shared, &mut retry, &stream).await? {
        Fenced::Done => {
            tracing::info!(%stream, "a delivery that was announced and did not come was fenced off");
            metrics::counter!("hooklog_log_fences_total").increment(1);
            Ok(None)
        }
        Fenced::TooLate => Ok(first_event(shared, &mut retry, &stream).await?),
    }
}
