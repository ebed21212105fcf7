//! What carries the namespaces of a client, and its end. The library ends a connection that never joined one; a connection
//! whose client left the last, or was dismissed from it, it would keep as long as pings are answered, and with it a place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::{Endpoint as _, Request, Response, Upgraded};
use socketioxide::extract::SocketRef;
use tokio_util::sync::CancellationToken;

use super::arrivals::{Arrival, Arrivals};
use super::cut::Cut;
use super::endpoint::session;
use super::queue::{Queue, Waiting};
use super::sessions::Sessions;
use super::visitor::Visitor;
use crate::live::options::LiveOptions;
use crate::live::places::Owner;

/// How a client of engine.io says that it goes: <https://socket.io/docs/v4/engine-io-protocol/#protocol>.
const CLOSE: &str = "1";

/// The connections of all clients.
pub(super) struct Connections {
    polling: Arc<BoxEndpoint<'static, Response>>,
    pub(super) sessions: Arc<Sessions>,
    arrivals: Arc<Arrivals>,
    waiting: Arc<Waiting>,
    /// How long one may be in no namespace.
    idle: Duration,
}

impl Connections {
    pub(super) fn new(polling: Arc<BoxEndpoint<'static, Response>>, options: &LiveOptions) -> Self {
        Self {
            polling,
            sessions: Arc::default(),
            arrivals: Arrivals::new(options.arrivals_max),
            waiting: Waiting::new(options.sockets_buffer_bytes, options.socket_buffer_bytes),
            idle: Duration::from_millis(options.connect_timeout_ms),
        }
    }

    /// What waits for a new one.
    pub(super) fn queue(&self) -> Arc<Queue> {
        self.waiting.queue()
    }

    /// Somebody is at the door; who gives way to them is sent away.
    pub(super) fn arrive(self: &Arc<Self>, owner: Owner, visitor: Weak<Visitor>) -> Arrival {
        let (arrival, gone) = self.arrivals.enter(owner, visitor);
        if let Some(gone) = gone {
            metrics::counter!("hooklog_live_refused_total", "kind" => "socketio", "reason" => "gave_way")
                .increment(1);
            let this = Arc::clone(self);
            tokio::spawn(async move {
                if let Some(gone) = gone.upgrade() {
                    this.end(&gone).await;
                }
            });
        }
        arrival
    }

    /// A WebSocket that can be cut off, with whom it belongs to or with all others.
    pub(super) fn cuttable(
        &self,
        stream: Upgraded,
        request: &poem::http::Request<()>,
        all: &CancellationToken,
    ) -> Cut {
        let began = request.extensions().get::<Arc<Visitor>>().cloned();
        let visitor = began.or_else(|| self.sessions.get(session(request.uri())?));
        match visitor {
            Some(visitor) => Cut::new(stream, visitor.cut.clone(), Some(Arc::clone(&visitor.queue))),
            None => Cut::new(stream, all.clone(), None),
        }
    }

    /// Ends the connection of a client that is in no namespace any more, unless it comes back to one soon.
    pub(super) fn left(self: &Arc<Self>, socket: &SocketRef) {
        let Some(visitor) = visitor(socket) else {
            return;
        };
        let Some(leaving) = visitor.joined.leave() else {
            return;
        };
        let (this, visitor) = (Arc::clone(self), Arc::downgrade(visitor));
        tokio::spawn(async move {
            tokio::time::sleep(this.idle).await;
            // Most have gone by themselves meanwhile.
            if let Some(visitor) = visitor.upgrade()
                && visitor.joined.is_out_since(leaving)
            {
                this.end(&visitor).await;
            }
        });
    }

    /// Ends the connection of a client at once, whatever waits for it.
    pub(super) async fn hang_up(&self, socket: &SocketRef) {
        if let Some(visitor) = visitor(socket) {
            self.end(visitor).await;
        }
    }

    async fn end(&self, visitor: &Visitor) {
        visitor.cut.cancel();
        // A session of polling has no connection of its own: it is told what its client would say at the end. One that
        // is a WebSocket by now is none of polling, and says so.
        let Some(session) = visitor.session.get() else {
            return;
        };
        let uri = format!("/socket.io/?EIO=4&transport=polling&sid={}", session.id);
        let Ok(uri) = uri.parse() else {
            return;
        };
        let goodbye = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .content_type("text/plain;charset=UTF-8")
            .body(CLOSE);
        let _ended = self.polling.call(goodbye).await;
    }
}

/// Who began the connection.
pub(super) fn visitor(socket: &SocketRef) -> Option<&Arc<Visitor>> {
    socket.req_parts().extensions.get()
}

/// In how many namespaces a connection is.
#[derive(Debug, Default)]
pub(super) struct Joined(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    now: usize,
    /// How often it left the last one.
    out: u64,
}

impl Joined {
    pub(super) fn join(&self) {
        self.count().now += 1;
    }

    /// Leaves one; which time it was that it left the last.
    fn leave(&self) -> Option<u64> {
        let mut count = self.count();
        count.now = count.now.saturating_sub(1);
        if count.now > 0 {
            return None;
        }
        count.out += 1;
        Some(count.out)
    }

    /// Whether it has been in none ever since.
    fn is_out_since(&self, leaving: u64) -> bool {
        let count = self.count();
        count.now == 0 && count.out == leaving
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_back_is_not_out_since_the_time_before() {
        let joined = Joined::default();
        joined.join();
        joined.join();
        assert_eq!(joined.leave(), None, "it is in another one");
        let first = joined.leave().unwrap();
        assert!(joined.is_out_since(first));
        joined.join();
        assert!(!joined.is_out_since(first));
        let second = joined.leave().unwrap();
        assert!(!joined.is_out_since(first), "that was another time");
        assert!(joined.is_out_since(second));
    }
}
