//! Socket.IO on the port of everything else. Polling is plain HTTP; for a WebSocket the connection is taken over once the
//! HTTP server has given it away: <https://www.rfc-editor.org/rfc/rfc6455#section-4.2>.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, Method, StatusCode, Uri, header};
use poem::{Endpoint, Request, Response, Upgraded};
use serde::Deserialize;
use sha1::{Digest as _, Sha1};
use tokio_util::sync::CancellationToken;

use super::connection::Connections;
use super::visitor::Visitor;
use crate::failure::{Code, Failure};
use crate::json_body;
use crate::state::State;

/// What the key of a client is hashed with, as the protocol says.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Takes a connection over, with the request that asked for it.
pub(super) type TakeOver = dyn Fn(Upgraded, poem::http::Request<()>) + Send + Sync;

/// The endpoint at `/socket.io`.
pub(crate) struct SocketEndpoint {
    pub(super) state: Arc<State>,
    pub(super) connections: Arc<Connections>,
    pub(super) polling: Arc<BoxEndpoint<'static, Response>>,
    pub(super) take_over: Arc<TakeOver>,
    /// Cuts off every WebSocket.
    pub(super) cut: CancellationToken,
}

impl Endpoint for SocketEndpoint {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let begun = if begins(&request) {
            let visitor = Visitor::welcome(&self.state, &self.connections, &request, self.cut.child_token())?;
            request.extensions_mut().insert(Arc::clone(&visitor));
            Some(visitor)
        } else {
            None
        };
        if parameter(request.uri(), "transport") == Some("websocket") {
            return self.upgrade(&request).map_err(Into::into);
        }
        if let Some(visitor) = begun {
            let answer = self.polling.call(request).await?;
            return self.opened(&visitor, answer).await.map_err(Into::into);
        }
        if request.method() != Method::POST {
            let visitor = session(request.uri()).and_then(|id| self.connections.sessions.get(id));
            let answer = self.polling.call(request).await?;
            if let Some(visitor) = visitor {
                visitor.queue.took(length(&answer));
            }
            return Ok(answer);
        }
        // The library would wait for it for ever.
        let patience = Duration::from_millis(self.state.options.request_timeout_ms);
        let bytes_max = self.state.live.options.message_bytes_max;
        let body = json_body::read(request.take_body(), bytes_max, patience).await?;
        request.set_body(body);
        self.polling.call(request).await
    }
}

/// How much is in an answer.
fn length(answer: &Response) -> usize {
    let length = answer.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

/// What a session of polling is opened with, as far as it is looked at.
#[derive(Deserialize)]
struct Opened {
    sid: String,
}

impl SocketEndpoint {
    /// Learns which session was opened. Its client is told how much it may send: the library knows one number, and takes it for
    /// its own answers as well.
    async fn opened(&self, visitor: &Arc<Visitor>, mut answer: Response) -> Result<Response, Failure> {
        if !answer.is_success() {
            return Ok(answer);
        }
        let text = answer.take_body().into_string().await;
        let text = text.map_err(|_| Failure::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
        let opened = text.strip_prefix('0').map(serde_json::from_str::<Opened>);
        if let Some(Ok(Opened { sid })) = opened {
            let entered = self.connections.sessions.enter(sid, Arc::downgrade(visitor));
            let _first = visitor.session.set(entered);
        }
        let options = &self.state.live.options;
        let said = |bytes: usize| format!("\"maxPayload\":{bytes}}}");
        let text = text.replace(&said(options.poll_bytes_max), &said(options.message_bytes_max));
        answer.headers_mut().remove(header::CONTENT_LENGTH);
        answer.set_body(text);
        Ok(answer)
    }

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
