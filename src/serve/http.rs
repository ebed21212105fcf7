//! The front door: one port, deliveries to ingest, everything else to the API.
//!
//! It bounds what a connection may cost before anybody has looked at a request: how many there are, how long a head may
//! take, how long nothing may move. It never looks into a request beyond its method and path.

mod patience;
#[cfg(test)]
mod tests;

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
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use patience::Patience;

/// After a connection could not be taken, usually because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// More than anybody sends; ingest has a limit of its own, with an answer that explains it.
const HEADERS_MAX: usize = 256;

/// Sends each request to the side it is for.
pub(crate) struct FrontDoor {
    pub(crate) ingest: Option<Ingest>,
    pub(crate) api: BoxEndpoint<'static, Response>,
}

impl Endpoint for FrontDoor {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match &self.ingest {
            Some(ingest) if ingest.claims(request.method(), request.uri().path()) => {
                ingest.call(request).await
            }
            _ => self.api.call(request).await,
        }
    }
}

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most connections at once; more wait in the system's queue.
    pub(crate) connections_max: usize,
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

/// Serves until `stop`, then lets open requests finish.
pub(crate) async fn run(listener: TcpListener, door: FrontDoor, limits: Limits, stop: CancellationToken) {
    let hall = Hall {
        door: Arc::new(door),
        limits,
        stop,
        cut: CancellationToken::new(),
    };
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(limits.connections_max));
    while let Some((socket, peer)) = hall.next(&listener, &places).await {
        connections.spawn(hall.clone().serve(socket, peer));
    }
    drop(listener);
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

/// A connection, with the place that it takes.
struct Guest {
    socket: TcpStream,
    _place: tokio::sync::OwnedSemaphorePermit,
}

/// What every connection needs.
#[derive(Clone)]
struct Hall {
    door: Arc<FrontDoor>,
    limits: Limits,
    /// No new requests from now on.
    stop: CancellationToken,
    /// No requests at all any more.
    cut: CancellationToken,
}

impl Hall {
    /// The next connection, once there is a place for it; `None` after the stop.
    async fn next(&self, listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(Guest, SocketAddr)> {
        loop {
            let place = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                place = Arc::clone(places).acquire_owned() => place.ok()?,
            };
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    return Some((
                        Guest {
                            socket,
                            _place: place,
                        },
                        peer,
                    ));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self, guest: Guest, peer: SocketAddr) {
        let Guest { socket, _place } = guest;
        // An answer is written at once and whole: waiting for more of it only delays it.
        let _slower = socket.set_nodelay(true);
        let local = socket
            .local_addr()
            .map_or_else(|_| Addr::default(), Addr::SocketAddr);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let door = Arc::clone(&self.door);
            let addresses = (LocalAddr(local.clone()), RemoteAddr(Addr::SocketAddr(peer)));
            async move {
                let request = Request::from((request, addresses.0, addresses.1, Scheme::HTTP));
                Ok::<_, Infallible>(hyper::Response::from(door.get_response(request).await))
            }
        });
        let idle = self.limits.idle_timeout;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(Patience::new(socket, idle)), service)
            .with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return note(ended, peer),
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            ended = connection => note(ended, peer),
            () = self.cut.cancelled() => {}
        }
    }
}

/// How connections end is the other side's business.
fn note(ended: hyper::Result<()>, peer: SocketAddr) {
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "connection ended early");
    }
}
