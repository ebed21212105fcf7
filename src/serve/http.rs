//! The front door: one port, deliveries to ingest, everything else to the API.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use ingest::Ingest;
use poem::endpoint::BoxEndpoint;
use poem::listener::{Acceptor as _, Listener as _, TcpAcceptor, TcpListener};
use poem::{Endpoint, Request, Response, Server};
use tokio_util::sync::CancellationToken;

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

/// Takes the address, so that a port in use is an error before anything else has started.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<(TcpAcceptor, SocketAddr)> {
    let acceptor = TcpListener::bind(address).into_acceptor().await;
    let acceptor =
        acceptor.with_context(|| format!("{address} can't be listened on; is another server there?"))?;
    let bound = acceptor
        .local_addr()
        .first()
        .and_then(|a| a.as_socket_addr().copied())
        .unwrap_or(address);
    Ok((acceptor, bound))
}

/// Serves until `stop`, then lets open requests finish.
pub(crate) async fn run(
    acceptor: TcpAcceptor,
    door: FrontDoor,
    idle_timeout: Duration,
    shutdown_timeout: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    Server::new_with_acceptor(acceptor)
        .idle_timeout(idle_timeout)
        .run_with_graceful_shutdown(
            door,
            async move { stop.cancelled().await },
            Some(shutdown_timeout),
        )
        .await
        .context("the HTTP server failed")
}
