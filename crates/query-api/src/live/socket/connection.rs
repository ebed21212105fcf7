//! What carries the namespaces of a client, and its end. The library ends a connection that never joined one; a connection
//! whose client left the last, or was dismissed from it, it would keep as long as pings are answered, and with it a place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::{Endpoint as _, Request, Response, Upgraded};
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use tokio_util::sync::CancellationToken;

use super::cut::Cut;
use super::endpoint::session;
use super::visitor::Visitor;

/// How a client of engine.io says that it goes: <https://socket.io/docs/v4/engine-io-protocol/#protocol>.
const CLOSE: &str = "1";

/// The connections of all clients.
pub(super) struct Connections {
    polling: Arc<BoxEndpoint<'static, Response>>,
    websockets: Arc<WebSockets>,
    /// How long one may be in no namespace.
    idle: Duration,
}

impl Connections {
    pub(super) fn new(polling: Arc<BoxEndpoint<'static, Response>>, idle: Duration) -> Self {
        Self {
            polling,
            websockets: Arc::default(),
            idle,
        }
    }

    /// A WebSocket that can be cut off: by whom it belongs to, by the session that it goes on with, or with all others.
    pub(super) fn cuttable(
        &self,
        stream: Upgraded,
        request: &poem::http::Request<()>,
        all: &CancellationToken,
    ) -> Cut {
        if let Some(visitor) = request.extensions().get::<Arc<Visitor>>() {
            return Cut::new(stream, visitor.cut.clone(), None);
        }
        let session = session(request.uri()).unwrap_or_default();
        let entered = self.websockets.enter(session, all);
        Cut::new(stream, entered.cut.clone(), Some(entered))
    }

    /// Ends the connection of a client that is in no namespace any more, unless it comes back to one soon.
    pub(super) fn left(self: &Arc<Self>, socket: &SocketRef) {
        let Some(visitor) = visitor(socket) else {
            return;
        };
        let Some(leaving) = visitor.joined.leave() else {
            return;
        };
        let (this, session, visitor) = (Arc::clone(self), socket.id, Arc::downgrade(visitor));
        tokio::spawn(async move {
            tokio::time::sleep(this.idle).await;
            // Most have gone by themselves meanwhile.
            if let Some(visitor) = visitor.upgrade()
                && visitor.joined.is_out_since(leaving)
            {
                this.end(session, &visitor).await;
            }
        });
    }

    /// Ends the connection of a client at once, whatever waits for it.
    pub(super) async fn hang_up(&self, socket: &SocketRef) {
        if let Some(visitor) = visitor(socket) {
            self.end(socket.id, visitor).await;
        }
    }

    async fn end(&self, session: Sid, visitor: &Visitor) {
        let session = session.to_string();
        visitor.cut.cancel();
        self.websockets.cut(&session);
        // A session of polling has no connection of its own: it is told what its client would say at the end. One that
        // is a WebSocket by now is none of polling, and says so.
        let uri = format!("/socket.io/?EIO=4&transport=polling&sid={session}");
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

/// WebSockets that go on with a session which began by polling, by its id.
#[derive(Debug, Default)]
struct WebSockets(Mutex<HashMap<String, Cuttable>>);

/// Of one session there may be several for a moment: the library keeps one of them.
#[derive(Debug)]
struct Cuttable {
    cut: CancellationToken,
    count: usize,
}

/// Keeps a WebSocket among those that can be cut off, for as long as it lives.
#[derive(Debug)]
pub(super) struct Entered {
    websockets: Arc<WebSockets>,
    session: String,
    cut: CancellationToken,
}

impl WebSockets {
    fn enter(self: &Arc<Self>, session: &str, all: &CancellationToken) -> Entered {
        let mut entered = self.entered();
        let own = entered.entry(session.to_owned()).or_insert_with(|| Cuttable {
            cut: all.child_token(),
            count: 0,
        });
        own.count += 1;
        Entered {
            websockets: Arc::clone(self),
            session: session.to_owned(),
            cut: own.cut.clone(),
        }
    }

    fn cut(&self, session: &str) {
        if let Some(own) = self.entered().get(session) {
            own.cut.cancel();
        }
    }

    fn entered(&self) -> MutexGuard<'_, HashMap<String, Cuttable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Entry::Occupied(mut own) = self.websockets.entered().entry(std::mem::take(&mut self.session)) {
            own.get_mut().count -= 1;
            if own.get().count == 0 {
                own.remove();
            }
        }
    }
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

    #[test]
    fn all_of_a_session_are_cut_off_and_forgotten_with_the_last() {
        let (websockets, all) = (Arc::new(WebSockets::default()), CancellationToken::new());
        let (first, second) = (websockets.enter("a", &all), websockets.enter("a", &all));
        let other = websockets.enter("b", &all);
        drop(second);
        websockets.cut("a");
        assert!(first.cut.is_cancelled() && !other.cut.is_cancelled());
        drop(first);
        assert_eq!(websockets.entered().len(), 1);
        all.cancel();
        assert!(other.cut.is_cancelled());
        drop(other);
        assert!(websockets.entered().is_empty());
    }
}
