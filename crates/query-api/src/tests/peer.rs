//! Who is at the other end of a request.

use std::sync::Arc;

use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, Response};

use super::Served;
use crate::{HangUp, LocalOwner};

/// Gives requests the address that a connection would have.
pub(super) struct From<E> {
    pub(super) inner: E,
    pub(super) peer: Addr,
    pub(super) scheme: poem::http::uri::Scheme,
    pub(super) owner: Option<LocalOwner>,
    pub(super) hang_up: Option<HangUp>,
}

impl From<Served> {
    pub(super) fn peer(api: &Served, peer: &str) -> Self {
        Self {
            inner: Arc::clone(api),
            peer: Addr::SocketAddr(peer.parse().unwrap()),
            scheme: poem::http::uri::Scheme::HTTP,
            owner: None,
            hang_up: None,
        }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for From<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let body = request.take_body();
        let parts = poem::http::Request::builder()
            .method(request.method().clone())
            .uri(request.uri().clone())
            .body(())
            .unwrap();
        let (mut parts, ()) = parts.into_parts();
        parts.headers = request.headers().clone();
        let parts = poem::RequestParts::from((
            parts,
            LocalAddr(Addr::SocketAddr("127.0.0.1:3000".parse().unwrap())),
            RemoteAddr(self.peer.clone()),
            self.scheme.clone(),
        ));
        let mut request = Request::from_parts(parts, body);
        if let Some(owner) = self.owner {
            request.set_data(owner);
        }
        if let Some(hang_up) = &self.hang_up {
            request.set_data(hang_up.clone());
        }
        self.inner.call(request).await
    }
}
