//! Live: what is received is shown to whoever listens, a moment later.
//!
//! One feed per process fills a ring with the latest events; clients take from it, and read the log when they are behind it.
//! So a client gets every event of its tenant and filters once and in order, whatever happens to the stream, the process or
//! the connection. Never here: a queue without a bound, or a client that others wait for. Start at [`Live::run`].

mod feed;
pub(crate) mod filter;
pub(crate) mod hub;
mod item;
mod notice;
mod options;
pub(crate) mod pass;
pub(crate) mod places;
mod reader;
pub(crate) mod resume;
mod ring;
pub(crate) mod socket;
pub(crate) mod sse;

use std::sync::Arc;

use domain::LiveEvents;
use tokio_util::sync::CancellationToken;

pub use options::LiveOptions;

use crate::state::State;
use feed::Feed;
use socket::Sockets;

/// Ends a connection at once, whatever is on its way. Whoever accepts connections puts it into the request, so that a client
/// that takes nothing any more can't hold on to its connection.
#[derive(Debug, Clone)]
pub struct HangUp(pub CancellationToken);

/// Feeds the live clients.
pub struct Live {
    state: Arc<State>,
    events: Arc<dyn LiveEvents>,
    sockets: Sockets,
}

impl Live {
    pub(crate) fn new(state: Arc<State>, events: Arc<dyn LiveEvents>, sockets: Sockets) -> Self {
        Self {
            state,
            events,
            sockets,
        }
    }

    /// Runs until told to stop; then every stream ends, with a notice.
    pub async fn run(self, stop: CancellationToken) {
        let hub = &self.state.live;
        let feed = Feed::new(Arc::clone(hub), self.events);
        let feeding = async {
            tokio::select! {
                () = feed.run() => {}
                () = stop.cancelled() => {}
            }
            hub.stop.cancel();
        };
        tokio::join!(feeding, self.sockets.run());
    }
}
