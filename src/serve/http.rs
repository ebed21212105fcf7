//! The front door: one port, deliveries to ingest, everything else to the API.
//!
//! It bounds what a connection may cost before anybody has looked at a request: how many there are, how large a head may be
//! and how long it may take, how long nothing may move. It finds out who sent a request, and refuses one that could be read
//! in two ways. It never looks into a request beyond its head.

mod guests;
pub(crate) mod owner;
mod patience;
mod proxies;
mod shape;
mod tail;
#[cfg(test)]
mod tests;
pub(crate) mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ingest::Ingest;
use poem::endpoint::BoxEndpoint;
use poem::http::uri::Scheme;
use poem::http::{HeaderValue, StatusCode, header};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, Response};
use query_api::{HangUp, LocalOwner};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use guests::{Guests, Seat};
use patience::Patience;
pub(crate) use proxies::Proxies;
use tail::Tail;
use tls::Tls;

/// After a connection could not be taken, usually because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// hyper takes no smaller limit.
const HEAD_BYTES_MIN: usize = 8192;
/// Sends each request to the side it is for.
pub(crate) struct FrontDoor {
    pub(crate) ingest: Option<Ingest>,
    pub(crate) api: BoxEndpoint<'static, Response>,
    pub(crate) proxies: Proxies,
    /// Whether clients are to come back on another connection, and so to another process.
    pub(crate) draining: CancellationToken,
}

impl Endpoint for FrontDoor {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if let Err(misshapen) = shape::check(&request) {
            return Ok(misshapen.answer());
        }
        let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        if let Some(peer) = peer {
            let client = self.proxies.client(peer, request.headers());
            request.extensions_mut().insert(client);
        }
        let ends = shape::ends_connection(request.headers());
        let mut response = match &self.ingest {
            Some(ingest) if ingest.claims(request.method(), request.uri().path()) => {
                ingest.get_response(request).await
            }
            _ => self.api.get_response(request).await,
        };
        if ends || self.draining.is_cancelled() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(response)
    }
}

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most connections at once; more wait in the system's queue.
    pub(crate) connections_max: usize,
    /// The most of one address that is no proxy of ours; 0 for no limit of their own.
    pub(crate) connections_per_address_max: usize,
    /// The most bytes of a head, and the most headers in it. Ingest has limits of its own, with an answer that explains them.
    pub(crate) head_bytes_max: usize,
    pub(crate) headers_max: usize,
    /// The longest time for a head, between two requests, and without a byte taken by the other side.
    pub(crate) idle_timeout: Duration,
    /// How long open requests may take after the stop.
    pub(crate) shutdown_timeout: Duration,
}

/// Takes the address, so that a port in use is an error before anything else has started.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await;
    let listener =
        listener.with_context(|| format!("{address} can't be listened on; is another server there?"))?;
    let bound = listener.local_addr().unwrap_or(address);
    Ok((listener, bound))
}

/// What is listened on.
pub(crate) struct Listeners {
    pub(crate) network: TcpListener,
    /// How connections from the network are made private, if they are.
    pub(crate) tls: Option<Arc<Tls>>,
    /// The socket of the data directory's owner.
    pub(crate) owner: Option<UnixListener>,
}

/// Serves until `stop`, then lets open requests finish.
pub(crate) async fn run(listeners: Listeners, door: FrontDoor, limits: Limits, stop: CancellationToken) {
    let hall = Hall {
        door: Arc::new(door),
        tls: listeners.tls,
        limits,
        stop,
        cut: CancellationToken::new(),
    };
    let connections = TaskTracker::new();
    if let Some(owner) = listeners.owner {
        connections.spawn(owner::welcome(hall.clone(), owner, connections.clone()));
    }
    let guests = Guests::new(limits.connections_max, limits.connections_per_address_max);
    while let Some((socket, peer, place)) = hall.next(&listeners.network, &guests).await {
        let exempt = hall.door.proxies.trust(peer.ip());
        if let Some(seat) = guests.seat(peer.ip(), exempt, place) {
            connections.spawn(hall.clone().serve(socket, peer, Arc::new(seat)));
        }
    }
    drop(listeners.network);
    connections.close();
    if tokio::time::timeout(limits.shutdown_timeout, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "open requests took too long and are cut off"
        );
        hall.cut.cancel();
        connections.wait().await;
    }
}

/// Who is at the other end of a connection, and the place that it takes.
#[derive(Clone)]
struct Caller {
    addresses: (LocalAddr, RemoteAddr),
    scheme: Scheme,
    owner: Option<LocalOwner>,
    seat: Arc<Seat>,
}

/// What every connection needs.
#[derive(Clone)]
struct Hall {
    door: Arc<FrontDoor>,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    /// No new requests from now on.
    stop: CancellationToken,
    /// No requests at all any more.
    cut: CancellationToken,
}

impl Hall {
    /// The next connection, once there is a place for it; `None` after the stop.
    async fn next(
        &self,
        listener: &TcpListener,
        guests: &Guests,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        loop {
            let place = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                place = guests.place() => place?,
            };
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => return Some((socket, peer, place)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self, socket: TcpStream, peer: SocketAddr, seat: Arc<Seat>) {
        // An answer is written at once and whole: waiting for more of it only delays it.
        let _slower = socket.set_nodelay(true);
        let local = socket
            .local_addr()
            .map_or_else(|_| Addr::default(), Addr::SocketAddr);
        let caller = |scheme| Caller {
            addresses: (LocalAddr(local), RemoteAddr(Addr::SocketAddr(peer))),
            scheme,
            owner: None,
            seat: Arc::clone(&seat),
        };
        let Some(tls) = self.tls.clone() else {
            return self.converse(socket, caller(Scheme::HTTP)).await;
        };
        let leave = seat.leave();
        let private = tokio::select! {
            private = tls.accept(socket) => private,
            () = leave.cancelled() => return,
            () = self.stop.cancelled() => return,
        };
        match private {
            Ok(stream) => self.converse(stream, caller(Scheme::HTTPS)).await,
            Err(error) => tracing::debug!(%error, %peer, "no TLS connection was made"),
        }
    }

    async fn converse<S>(self, stream: S, caller: Caller)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let leave = caller.seat.leave();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let (door, caller) = (Arc::clone(&self.door), caller.clone());
            caller.seat.is_served();
            async move {
                let (local, remote) = caller.addresses;
                let mut request = Request::from((request, local, remote, caller.scheme));
                request.set_data(HangUp(caller.seat.leave()));
                if let Some(owner) = caller.owner {
                    request.set_data(owner);
                }
                let response = hyper::Response::from(door.get_response(request).await);
                let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                Ok::<_, Infallible>(response.map(|body| {
                    if upgraded {
                        Tail::of_upgrade(body)
                    } else {
                        Tail::new(body, caller.seat)
                    }
                }))
            }
        });
        let idle = self.limits.idle_timeout;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
            .max_buf_size(self.limits.head_bytes_max.max(HEAD_BYTES_MIN))
            .max_headers(self.limits.headers_max)
            .serve_connection(
                TokioIo::new(Patience::new(stream, idle, Arc::clone(&caller.seat))),
                service,
            )
            .with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return note(ended, &caller.addresses.1),
            () = leave.cancelled() => return,
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            ended = connection => note(ended, &caller.addresses.1),
            () = leave.cancelled() => {}
            () = self.cut.cancelled() => {}
        }
    }
}

/// How connections end is the other side's business.
fn note(ended: hyper::Result<()>, peer: &RemoteAddr) {
    if let Err(error) = ended {
        tracing::debug!(%error, peer = %peer.0, "connection ended early");
    }
}
