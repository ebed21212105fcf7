//! The write side as a whole: which requests it claims, the order of checks, the graceful stop.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use domain::{BodyStore, Clock, EventId, EventLog, Hold, KeepRejected, NameReactors, SourceName, Timestamp};
use futures_util::stream;
use poem::http::{HeaderName, HeaderValue, Method};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::address::address_key;
use crate::answer::Answer;
use crate::body::{BodyReader, Incoming};
use crate::build_error::BuildError;
use crate::coding::outlives_decoding;
use crate::explain::{Explanation, Known, Question};
use crate::facts;
use crate::head::{Head, TrustedLocal};
use crate::id::new_id;
use crate::linger::Linger;
use crate::observe::{self, InFlight, Refusals};
use crate::options::{IngestOptions, SourceOptions};
use crate::places::Places;
use crate::pressure::Pressure;
use crate::rate::{Allowed, KeyedRate};
use crate::receive::{self, Receipt, Received, Stored, Writing};
use crate::registry::{Registry, Sources};
use crate::rejected::{Rejected, RejectedOptions, Seen, TurnedAway};
use crate::rejection::Rejection;
use crate::route::Route;
use crate::signature::{SignError, ToSign, Verification, VerifiedRequest};
use crate::source::Source;
use crate::synthetic::SyntheticDelivery;
use crate::tally::{Lately, Tally};

/// Receives deliveries. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Ingest(Arc<Inner>);

struct Inner {
    options: IngestOptions,
    sources: Sources,
    log: Arc<dyn EventLog>,
    bodies: Arc<dyn BodyStore>,
    clock: Arc<dyn Clock>,
    reactors: Arc<dyn NameReactors>,
    places: Places,
    address_rate: Option<KeyedRate<IpAddr>>,
    pressure: Pressure,
    requests: TaskTracker,
    linger: Linger,
    tally: Tally,
    refusals: Refusals,
    rejected: OnceLock<Rejected>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A sender, over HTTP.
    Sender,
    /// The process itself.
    Synthetic,
}

impl Ingest {
    /// Checks the sources and connects them to the ports. `reactors` names what is due for each delivery.
    ///
    /// # Errors
    /// When a source can't be used as configured.
    pub fn build(
        options: IngestOptions,
        sources: Vec<SourceOptions>,
        log: Arc<dyn EventLog>,
        bodies: Arc<dyn BodyStore>,
        clock: Arc<dyn Clock>,
        reactors: Arc<dyn NameReactors>,
    ) -> Result<Self, BuildError> {
        let built: Result<Vec<Source>, _> = sources.into_iter().map(|s| Source::build(s, &options)).collect();
        let sources = Sources::fixed(built?)?;
        Ok(Self(Arc::new(Inner {
            places: Places::new(&options),
            address_rate: KeyedRate::new(
                Allowed::new(options.address_rate_per_minute, options.address_rate_burst),
                options.rate_keys_max,
            ),
            pressure: Pressure::new(options.pressure.clone()),
            requests: TaskTracker::new(),
            linger: Linger::new(&options),
            tally: Tally::default(),
            refusals: Refusals::default(),
            rejected: OnceLock::new(),
            options,
            sources,
            log,
            bodies,
            clock,
            reactors,
        })))
    }

    /// From now on keeps requests that are turned away, as far as the options say. The first port given counts.
    pub fn keep_rejected(&self, options: RejectedOptions, port: Arc<dyn KeepRejected>) {
        let _ = self.0.rejected.set(Rejected::new(options, port));
    }

    /// From now on more sources may come, also in the place of the named ones of the settings: until
    /// [`Ingest::sources_complete`] these are answered 503, and so is one that is not known. A wrong verdict by a secret that
    /// was replaced would lose deliveries of senders that do not come back.
    pub fn await_sources(&self, uncertain: Vec<SourceName>) {
        self.0.sources.wait(uncertain);
    }

    /// All sources are known: one that is not does not exist.
    pub fn sources_complete(&self) {
        self.0.sources.complete();
    }

    /// Whether a source could be put; nothing changes.
    ///
    /// # Errors
    /// Says what of it can't be used.
    pub fn check_source(&self, source: SourceOptions) -> Result<(), BuildError> {
        self.0.sources.check(&Source::build(source, &self.0.options)?)
    }

    /// Receives deliveries of a source from now on, in the place of what has its name. Rates that allow as much as before
    /// go on counting.
    ///
    /// # Errors
    /// Says what of it can't be used; what was there stays.
    pub fn put_source(&self, source: SourceOptions) -> Result<(), BuildError> {
        self.0.sources.put(Source::build(source, &self.0.options)?)
    }

    /// Knows a source, and its own path where it has one, and answers its deliveries 503.
    pub fn hold_source(&self, name: &SourceName, path: Option<&str>, why: Hold) {
        self.0.sources.hold(name, path, why);
    }

    /// Forgets a source that was put or held; one of the settings of its name is back.
    pub fn remove_source(&self, name: &SourceName) {
        self.0.sources.remove(name);
    }

    /// Whether a request is a delivery, and so for this endpoint; everything else is for the API.
    #[must_use]
    pub fn claims(&self, method: &Method, path: &str) -> bool {
        method == Method::POST && self.0.sources.claim(path)
    }

    /// Signs a delivery with its source's own secret and receives it by the very same checks, marked `synthetic`.
    pub async fn receive_synthetic(&self, delivery: SyntheticDelivery) -> Answer {
        let now = self.0.clock.now();
        let request_id = new_id(now);
        let registry = self.registry();
        let refused =
            |rejection: &Rejection| Answer::rejected(rejection, self.0.options.retry_after_s, request_id);
        let source = match sender_of(&registry, &delivery, now) {
            Ok(source) => source,
            Err(rejection) => return refused(&rejection),
        };
        let body = delivery.body(source.scheme.as_ref(), now);
        let head = match synthetic_head(source, &delivery, &body, request_id, now) {
            Ok(head) => head,
            Err(rejection) => return refused(&rejection),
        };
        let announced = Some(body.len() as u64);
        let mut incoming = Incoming::new(Box::pin(stream::iter([Ok(body)])), announced);
        let hook = source
            .signing_secret(&delivery.tenant, now)
            .and_then(|s| s.hook.as_deref());
        let route = Route {
            source: source.name.as_str(),
            connection: hook,
        };
        self.answer(&registry, &head, Some(route), &mut incoming, Origin::Synthetic)
            .await
    }

    /// Says what receiving would do with a request, and why; nothing is received.
    pub async fn explain(&self, question: &Question) -> Explanation {
        let registry = self.registry();
        let sources: Vec<&Source> = registry.ready().map(|source| &**source).collect();
        let known = Known {
            options: &self.0.options,
            sources: &sources,
            held: &registry.all_held(),
            now: self.0.clock.now(),
        };
        known.explain(question).await
    }

    /// Stops gracefully: what was begun finishes, everything later is answered 503. Returns when nothing is in flight.
    pub async fn drain(&self) {
        self.0.requests.close();
        self.0.requests.wait().await;
    }

    /// How many requests are being received.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.requests.len()
    }

    /// How many requests were taken and refused in about the last five minutes.
    #[must_use]
    pub fn lately(&self) -> Lately {
        self.0.tally.lately(self.0.clock.now())
    }

    /// The sources that a request sees to its end.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.0.sources.now()
    }

    /// Receives one request and says what to answer.
    pub(crate) async fn answer(
        &self,
        registry: &Registry,
        head: &Head,
        route: Option<Route<'_>>,
        incoming: &mut Incoming,
        origin: Origin,
    ) -> Answer {
        let (_token, _in_flight) = (self.0.requests.token(), InFlight::begin());
        let (began, received_at) = (Instant::now(), self.0.clock.now());
        let request_id = new_id(received_at);
        let found = route
            .ok_or(Rejection::UnknownSource)
            .and_then(|route| registry.find(route, received_at).map(|source| (route, source)));
        let source = found.as_ref().ok().map(|(_, source)| &***source);
        let mut seen = Seen::default();
        let received = match &found {
            _ if self.0.requests.is_closed() => Err(Rejection::Stopping),
            Ok((route, source)) => {
                let receipt = Receipt {
                    event_id: EventId::new(new_id(received_at)),
                    request_id,
                    received_at,
                    remote: head.peer.map(|peer| peer.to_canonical()),
                    headers: head.kept(source.scheme.secret_headers()),
                    synthetic: origin == Origin::Synthetic,
                };
                Box::pin(self.check_and_receive(source, *route, head, incoming, receipt, &mut seen)).await
            }
            Err(rejection) => Err(rejection.clone()),
        };
        match received {
            Ok(received) => {
                let scheme = source.map_or("", |s| s.scheme.name());
                let synthetic = origin == Origin::Synthetic;
                self.0.tally.taken(received_at);
                observe::taken(scheme, &received, request_id, began.elapsed(), synthetic);
                Answer::of(&received, request_id)
            }
            Err(rejection) => {
                if !rejection.status().is_server_error() {
                    self.0.tally.rejected(received_at);
                }
                let held = || route.and_then(|route| registry.held(route));
                let name = source.map(|s| s.name.as_str()).or_else(held);
                let refusals = &self.0.refusals;
                refusals.refused(name, &rejection, request_id, began.elapsed());
                if let (Some(source), Some(rejected), Origin::Sender) =
                    (source, self.0.rejected.get(), origin)
                {
                    rejected.keep(&TurnedAway {
                        source,
                        connection: route.and_then(|route| route.connection),
                        head,
                        rejection: &rejection,
                        request_id,
                        received_at,
                        seen: &seen,
                    });
                }
                Answer::rejected(&rejection, self.0.options.retry_after_s, request_id)
            }
        }
    }

    /// The order of checks (api.md §1); the path is known already.
    async fn check_and_receive(
        &self,
        source: &Source,
        route: Route<'_>,
        head: &Head,
        incoming: &mut Incoming,
        mut receipt: Receipt,
        seen: &mut Seen,
    ) -> Result<Received, Rejection> {
        let inner = &*self.0;
        let cost = inner.pressure.cost();
        if !receipt.synthetic {
            inner.pressure.admit(inner.log.as_ref())?;
            source.check_address(head.peer)?;
            self.check_address_rate(head.peer, cost)?;
        }
        head.check_size(&inner.options)?;
        source.check_user_agent(head)?;
        let claim = source.scheme.claim(head)?;
        if let Some(coding) = head.content_coding(&inner.options.content_codings)? {
            incoming.decode(coding);
            receipt.headers.retain(outlives_decoding);
        }
        let local = if receipt.synthetic {
            Some(TrustedLocal::made_here())
        } else {
            TrustedLocal::of(head)
        };
        let verification =
            Verification::begin(source, claim, head, route.connection, local, receipt.received_at)?;
        if !receipt.synthetic {
            inner.pressure.hold_back().await;
        }
        let mut reader = BodyReader::new(&inner.options, inner.bodies.as_ref(), &inner.places, head.peer);
        let mut request = VerifiedRequest::read(verification, incoming, &mut reader, seen).await?;
        let facts = facts::read(source, &mut request).await?;
        request.check_freshness(source.tolerance_ms, receipt.received_at)?;
        if !facts.are_wanted(&source.filter) {
            return Ok(Received {
                source: source.name.clone(),
                key: receive::key_of(source, &request, receipt.event_id),
                delivery_id: request.claim().delivery_id.clone(),
                facts,
                stored: Stored::Ignored,
            });
        }
        source.rates.check(facts.repository.as_deref(), cost)?;
        let writing = Writing {
            log: inner.log.as_ref(),
            reactors: inner.reactors.as_ref(),
            source,
            pressure: &inner.pressure,
            timeout_ms: inner.options.append_timeout_ms,
        };
        writing.receive(&mut reader, request, facts, receipt).await
    }

    fn check_address_rate(&self, peer: Option<IpAddr>, cost: NonZeroU32) -> Result<(), Rejection> {
        let Some(rate) = &self.0.address_rate else {
            return Ok(());
        };
        // Senders without an address share one.
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        rate.check(&address_key(peer), cost)
            .map_err(Rejection::AddressRate)
    }

    /// Reads the rest of a refused body, so that its sender gets to read why.
    pub(crate) fn linger(&self, incoming: Incoming) {
        self.0.linger.on(incoming);
    }
}

/// Whose test delivery it is. One tenant's test is never signed with another's secret.
fn sender_of<'r>(
    registry: &'r Registry,
    delivery: &SyntheticDelivery,
    now: Timestamp,
) -> Result<&'r Source, Rejection> {
    let theirs = |source: &&Source| source.delivers_for(&delivery.tenant, now);
    let named = |name| {
        let connection = None;
        registry
            .find(
                Route {
                    source: name,
                    connection,
                },
                now,
            )
            .map(|source| &**source)
    };
    if let Some(name) = &delivery.source {
        return named(name.as_str())
            .and_then(|source| Some(source).filter(theirs).ok_or(Rejection::UnknownSource));
    }
    let usual = named("github");
    let ready = registry.ready().map(|source| &**source);
    let all = usual.as_ref().ok().copied().into_iter().chain(ready);
    // The one that is meant may only be held.
    let held = || usual.clone().err().filter(Rejection::is_held);
    all.into_iter()
        .find(theirs)
        .ok_or_else(|| held().unwrap_or_else(|| registry.absent()))
}

fn synthetic_head(
    source: &Source,
    delivery: &SyntheticDelivery,
    body: &[u8],
    id: uuid::Uuid,
    now: Timestamp,
) -> Result<Head, Rejection> {
    let delivery_id = id.to_string();
    let to_sign = ToSign {
        event: &delivery.event,
        delivery_id: &delivery_id,
        body,
        now,
    };
    let signed = source
        .scheme
        .sign(&to_sign, source.signing_secret(&delivery.tenant, now));
    let mut headers = signed.map_err(|error| match error {
        SignError::Header(name) => Rejection::HeaderInvalid(name.into()),
        SignError::PublicKey => Rejection::OnlyVerifies,
    })?;
    for (name, value) in &delivery.headers {
        let invalid = || Rejection::HeaderInvalid(name.clone().into());
        let of = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        headers.insert(of, HeaderValue::from_str(value).map_err(|_| invalid())?);
    }
    Ok(Head::new(None, headers))
}
