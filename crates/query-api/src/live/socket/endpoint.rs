//! Socket.IO on the port of everything else. Polling is plain HTTP; for a WebSocket the connection is taken over once the
//! HTTP server has given it away: <https://www.rfc-editor.org/rfc/rfc6455#section-4.2>.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, Method, StatusCode, Uri, header};
use poem::{Endpoint, Request, Response, Upgraded};
use sha1::{Digest as _, Sha1};
use tokio_util::sync::CancellationToken;

use super::visitor::Visitor;
use crate::failure::{Code, Failure};
use crate::state::State;

/// What the key of a client is hashed with, as the protocol says.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Takes a connection over, with the request that asked for it.
pub(super) type TakeOver = dyn Fn(Upgraded, poem::http::Request<()>) + Send + Sync;

/// The endpoint at `/socket.io`.
pub(crate) struct SocketEndpoint {
    pub(super) state: Arc<State>,
    pub(super) polling: Arc<BoxEndpoint<'static, Response>>,
    pub(super) take_over: Arc<TakeOver>,
    /// Cuts off every WebSocket.
    pub(super) cut: CancellationToken,
}

impl Endpoint for SocketEndpoint {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if begins(&request) {
            let visitor = Visitor::welcome(&self.state, &request, self.cut.child_token())?;
            request.extensions_mut().insert(Arc::new(visitor));
        }
        if parameter(request.uri(), "transport") == Some("websocket") {
            return self.upgrade(&request).map_err(Into::into);
        }
        self.polling.call(request).await
    }
}

impl SocketEndpoint {
    fn upgrade(&self, request: &Request) -> Result<Response, Failure> {
        let key = websocket_key(request).ok_or_else(|| {
            Failure::new(
                Code::Validation,
                "a WebSocket is asked for, but not as RFC 6455 says",
            )
        })?;
        let accept = STANDARD.encode(Sha1::digest(format!("{key}{WEBSOCKET_GUID}")));
        let upgrade = request
            .take_upgrade()
            .map_err(|_| Failure::new(Code::Validation, "this connection can't become a WebSocket"))?;
        let (mut parts, ()) = poem::http::Request::new(()).into_parts();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        parts.extensions = request.extensions().clone();
        let take_over = Arc::clone(&self.take_over);
        tokio::spawn(async move {
            match upgrade.await {
                Ok(stream) => take_over(stream, poem::http::Request::from_parts(parts, ())),
                Err(error) => tracing::debug!(%error, "no websocket was made"),
            }
        });
        Ok(Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::UPGRADE, "websocket")
            .header(header::CONNECTION, "Upgrade")
            .header(header::SEC_WEBSOCKET_ACCEPT, accept)
            .finish())
    }
}

/// Whether a request begins a connection. One that goes on with a session was let in when that began, and nobody guesses its id.
pub(crate) fn begins(request: &Request) -> bool {
    let path = request.uri().path();
    path.strip_prefix("/socket.io")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && session(request.uri()).is_none()
}

/// The session that a request goes on with.
pub(super) fn session(uri: &Uri) -> Option<&str> {
    parameter(uri, "sid")
}

/// A parameter; ours need no decoding.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs.find(|(is, _)| *is == name).map(|(_, value)| value)
}

/// The key of a request for a WebSocket, if it is a good one.
fn websocket_key(request: &Request) -> Option<&str> {
    let headers = request.headers();
    let good = request.method() == Method::GET
        && has_token(headers, header::CONNECTION, "upgrade")
        && has_token(headers, header::UPGRADE, "websocket")
        && has_token(headers, header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    good.then_some(key)
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut tokens = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tokens.any(|token| token.trim().eq_ignore_ascii_case(wanted))
}
