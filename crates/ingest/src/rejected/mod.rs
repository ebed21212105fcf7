//! What is kept of the requests that were turned away, for whoever has to find out why.
//!
//! Anybody can cause them, so that all of it is bounded: how many of a sender, how many of a kind, how much of each. It
//! decides quickly, hands on what it keeps to a port that never waits, and counts the rest.
//!
//! Never here: a secret in clear, a signature that might be right, or waiting.

mod mask;
mod options;
mod seen;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use domain::{KeepRejected, RejectedRequest, SourceName, Timestamp};
use metrics::counter;
use uuid::Uuid;

pub use options::RejectedOptions;
pub(crate) use seen::Seen;

use crate::address::address_key;
use crate::head::Head;
use crate::rate::{Allowed, KeyedRate};
use crate::rejection::Rejection;
use crate::source::Source;

/// The longest connection that is kept of a path.
const CONNECTION_BYTES_MAX: usize = 128;

/// What each counts for.
const ONE: NonZeroU32 = NonZeroU32::MIN;

/// Sources and reasons: bounded by what is configured.
type Kind = (SourceName, &'static str);

/// Decides what is kept.
pub(crate) struct Rejected {
    options: RejectedOptions,
    port: Arc<dyn KeepRejected>,
    senders: Option<KeyedRate<(Kind, IpAddr)>>,
    kinds: Option<KeyedRate<Kind>>,
    left_out: Mutex<HashMap<Kind, u64>>,
    kept: AtomicU64,
}

/// A request that was turned away.
pub(crate) struct TurnedAway<'a> {
    pub(crate) source: &'a Source,
    pub(crate) connection: Option<&'a str>,
    pub(crate) head: &'a Head,
    pub(crate) rejection: &'a Rejection,
    pub(crate) request_id: Uuid,
    pub(crate) received_at: Timestamp,
    pub(crate) seen: &'a Seen,
}

impl Rejected {
    /// Hands on to a port what the options allow.
    pub(crate) fn new(options: RejectedOptions, port: Arc<dyn KeepRejected>) -> Self {
        Self {
            senders: KeyedRate::new(Allowed::new(options.sender_per_minute, 0), options.senders_max),
            kinds: KeyedRate::new(Allowed::new(options.kind_per_minute, 0), options.senders_max),
            left_out: Mutex::default(),
            kept: AtomicU64::new(0),
            options,
            port,
        }
    }

    /// Keeps a request, if it is one of those that are kept and there were not too many of the kind lately.
    pub(crate) fn keep(&self, request: &TurnedAway<'_>) {
        if !request.rejection.is_kept() {
            return;
        }
        let kind = (request.source.name.clone(), request.rejection.reason());
        if !self.admits(&kind, request.head.peer) {
            counter!("hooklog_rejected_left_out_total", "reason" => kind.1).increment(1);
            *self.left_out().entry(kind).or_default() += 1;
            return;
        }
        let left_out_before = self.left_out().remove(&kind).unwrap_or_default();
        self.port.keep(self.record(request, left_out_before));
    }

    /// The sender's share first, so that one who sends much leaves room for others of the kind.
    fn admits(&self, kind: &Kind, peer: Option<IpAddr>) -> bool {
        let peer = address_key(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        let sender = (kind.clone(), peer);
        let within = |rate: Result<(), _>| rate.is_ok();
        self.senders
            .as_ref()
            .is_none_or(|rate| within(rate.check(&sender, ONE)))
            && self
                .kinds
                .as_ref()
                .is_none_or(|rate| within(rate.check(kind, ONE)))
    }

    fn record(&self, request: &TurnedAway<'_>, left_out_before: u64) -> RejectedRequest {
        let TurnedAway {
            source,
            head,
            rejection,
            seen,
            ..
        } = request;
        let body = self.body(request);
        let (headers, headers_left_out) = mask::headers(head, source, self.options.header_bytes_max);
        RejectedRequest {
            request_id: request.request_id,
            received_at: request.received_at,
            tenant: source.tenant_of(head, request.connection, request.received_at),
            source: source.name.clone(),
            connection: request.connection.map(cut),
            reason: rejection.reason().to_owned(),
            code: rejection.code().to_owned(),
            status: rejection.status().as_u16(),
            message: rejection.message(),
            remote: head.peer.map(|peer| peer.to_canonical()),
            headers,
            headers_left_out,
            announced_bytes: head.content_length(),
            body_bytes: seen.bytes,
            sha256: seen.sha256,
            body_kept: body.is_some(),
            body,
            left_out_before,
        }
    }

    /// The body, if it is its turn, short enough and holds no secret.
    fn body(&self, request: &TurnedAway<'_>) -> Option<Bytes> {
        let body = request.seen.body.as_ref()?;
        let turn = self.kept.fetch_add(1, Ordering::Relaxed);
        let every = u64::from(self.options.body_every);
        let its_turn = turn.checked_rem(every) == Some(0);
        let plain = !mask::holds_secret(body, request.source);
        (its_turn && body.len() <= self.options.body_bytes_max && plain).then(|| body.clone())
    }

    fn left_out(&self) -> std::sync::MutexGuard<'_, HashMap<Kind, u64>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(CONNECTION_BYTES_MAX))
        .unwrap_or_default()
        .to_owned()
}
