//! Socket.IO, for clients that know it: <https://socket.io/docs/v4/>.
//!
//! One task goes through the log as any other client does, and shows each delivery to all who want it. The JSON of an event
//! is made once; a client whose queue is full is dropped, and nobody waits for it.

mod arrivals;
mod connection;
mod cut;
mod endpoint;
mod member;
mod monitor;
mod namespace;
mod queue;
mod sessions;
mod show;
mod typed;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use hyper::service::Service as _;
use poem::EndpointExt as _;
use poem::endpoint::TowerCompatExt as _;
use serde_json::value::RawValue;
use socketioxide::{SendError, SocketError, SocketIo};
use tokio_util::sync::CancellationToken;

use connection::Connections;
pub(crate) use endpoint::{SocketEndpoint, begins};
use member::{Member, Members};
use namespace::serve;

use super::notice::Notice;
use crate::state::State;

const ROOT: &str = "/";
const WEBHOOKS: &str = "/webhooks";
const MONITORING: &str = "/monitoring";

/// How often `/monitoring` is looked at.
const UPDATE_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked at who went.
const SEE_OFF_EVERY: Duration = Duration::from_millis(100);
/// How often the last words to a slow client are tried.
const LAST_WORDS_EVERY: Duration = Duration::from_millis(50);
/// How long the last words have to leave before a WebSocket is cut off, and how long that takes to be noticed.
const FAREWELL: Duration = Duration::from_millis(200);
/// How long connections may take to end when the server stops.
const CLOSE: Duration = Duration::from_secs(2);

/// The clients of Socket.IO.
pub(crate) struct Gateway {
    root: Members,
    webhooks: Members,
    monitoring: Members,
    connections: Arc<Connections>,
    /// How long the last words to a client may take.
    last_words: Duration,
}

/// Socket.IO as it is served and fed.
#[derive(Clone)]
pub(crate) struct Sockets {
    state: Arc<State>,
    gateway: Arc<Gateway>,
    io: SocketIo,
    polling: Arc<poem::endpoint::BoxEndpoint<'static, poem::Response>>,
    take_over: Arc<endpoint::TakeOver>,
    /// Cuts off every WebSocket.
    cut: CancellationToken,
}

impl Sockets {
    /// Sets the namespaces up.
    pub(crate) fn new(state: Arc<State>) -> Self {
        let options = &state.live.options;
        let (service, io) = SocketIo::builder()
            .max_buffer_size(options.socket_buffer_events.max(1))
            .max_payload(options.poll_bytes_max as u64)
            .ws_max_message_size(options.message_bytes_max)
            .ws_max_frame_size(options.message_bytes_max)
            .connect_timeout(Duration::from_millis(options.connect_timeout_ms))
            .ping_interval(Duration::from_millis(options.ping_interval_ms))
            .ping_timeout(Duration::from_millis(options.ping_timeout_ms))
            .build_svc();
        let polling = Arc::new(service.clone().compat().boxed());
        let connections = Arc::new(Connections::new(Arc::clone(&polling), options));
        let gateway = Arc::new(Gateway {
            root: Members::default(),
            webhooks: Members::default(),
            monitoring: Members::default(),
            connections: Arc::clone(&connections),
            last_words: Duration::from_millis(options.stall_timeout_ms),
        });
        serve(&io, ROOT, &state, &gateway);
        serve(&io, WEBHOOKS, &state, &gateway);
        serve(&io, MONITORING, &state, &gateway);
        let cut = CancellationToken::new();
        let all = cut.clone();
        Self {
            polling,
            take_over: Arc::new(move |stream, request| {
                let stream = connections.cuttable(stream, &request, &all);
                if let Err(error) = service.call((stream, request)).into_inner() {
                    tracing::debug!(?error, "a websocket is not one of Socket.IO");
                }
            }),
            state,
            gateway,
            io,
            cut,
        }
    }

    /// What is served at `/socket.io`.
    pub(crate) fn endpoint(&self) -> SocketEndpoint {
        SocketEndpoint {
            state: Arc::clone(&self.state),
            connections: Arc::clone(&self.gateway.connections),
            polling: Arc::clone(&self.polling),
            take_over: Arc::clone(&self.take_over),
            cut: self.cut.clone(),
        }
    }

    /// Shows clients what comes, until the end of everything live.
    pub(crate) async fn run(self) {
        let stop = &self.state.live.stop;
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.show_all() => {}
            () = self.look_around() => {}
            () = self.see_off() => {}
            () = self.monitor() => {}
        }
        self.gateway.farewell(Notice::ShuttingDown);
        tokio::time::sleep(FAREWELL).await;
        self.cut.cancel();
        tokio::time::sleep(FAREWELL).await;
        if tokio::time::timeout(CLOSE, self.io.close()).await.is_err() {
            tracing::debug!("some live connections did not end in time");
        }
    }

    /// Ends the connections of those who may not listen any longer.
    async fn look_around(&self) {
        let every = Duration::from_millis(self.state.live.options.recheck_ms.max(1));
        loop {
            tokio::time::sleep(every).await;
            for members in self.gateway.all() {
                for member in members.all().iter() {
                    if let Some(notice) = member.pass.ended(&self.state) {
                        self.gateway.dismiss(members, member, notice);
                    }
                }
            }
        }
    }

    /// Forgets those who went.
    async fn see_off(&self) {
        loop {
            tokio::time::sleep(SEE_OFF_EVERY).await;
            for members in self.gateway.all() {
                for member in members.all().iter() {
                    if !member.socket.connected() {
                        self.gateway.leave(members, member);
                    }
                }
            }
        }
    }

    async fn monitor(&self) {
        let mut shown = monitor::Shown::default();
        loop {
            tokio::time::sleep(UPDATE_EVERY).await;
            shown.update(&self.state, &self.gateway).await;
        }
    }
}

impl Gateway {
    fn all(&self) -> [&Members; 3] {
        [&self.root, &self.webhooks, &self.monitoring]
    }

    fn of(&self, namespace: &str) -> &Members {
        match namespace {
            WEBHOOKS => &self.webhooks,
            MONITORING => &self.monitoring,
            _ => &self.root,
        }
    }

    /// Hands an event to a client; one whose queue is full is dropped.
    fn send(&self, members: &Members, member: &Arc<Member>, name: &str, json: &RawValue) {
        if !self.hand(members, member, name, json) {
            self.dismiss(members, member, Notice::SlowClient);
        }
    }

    /// Hands an event to a client, unless its queue is full.
    fn hand(&self, members: &Members, member: &Arc<Member>, name: &str, json: &RawValue) -> bool {
        if member.is_dismissed() {
            return true;
        }
        if member.queue.is_empty() {
            member.keeps_up();
        }
        let bytes = name.len() + json.get().len();
        if !member.queue.put(bytes) {
            return false;
        }
        match member.socket.emit(name, json) {
            Ok(()) => {
                metrics::counter!("hooklog_live_events_total", "kind" => "socketio").increment(1);
                return true;
            }
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                member.queue.took(bytes);
                return false;
            }
            Err(SendError::Socket(SocketError::Closed)) => self.leave(members, member),
            Err(SendError::Serialize(error)) => {
                tracing::warn!(%error, "a live event can't be written as JSON");
            }
        }
        member.queue.took(bytes);
        true
    }

    /// Forgets one who went, and ends the connection if that was the last of it.
    fn leave(&self, members: &Members, member: &Arc<Member>) {
        if members.leave(member) {
            self.connections.left(&member.socket);
        }
    }

    /// Tells a client why, and ends its part of the connection. Nobody waits for it.
    fn dismiss(&self, members: &Members, member: &Arc<Member>, notice: Notice) {
        if !member.dismiss() || !members.leave(member) {
            return;
        }
        metrics::counter!("hooklog_live_ended_total", "kind" => "socketio", "reason" => notice.code())
            .increment(1);
        let (member, connections) = (Arc::clone(member), Arc::clone(&self.connections));
        let patience = self.last_words;
        tokio::spawn(async move {
            let words = async {
                while matches!(
                    member.socket.emit("notice", &notice.without_place()),
                    Err(SendError::Socket(SocketError::InternalChannelFull))
                ) {
                    tokio::time::sleep(LAST_WORDS_EVERY).await;
                }
                while matches!(
                    member.socket.clone().disconnect(),
                    Err(SocketError::InternalChannelFull)
                ) {
                    tokio::time::sleep(LAST_WORDS_EVERY).await;
                }
            };
            if tokio::time::timeout(patience, words).await.is_err() {
                connections.hang_up(&member.socket).await;
            }
            connections.left(&member.socket);
        });
    }

    fn dismiss_all(&self, notice: Notice) {
        for members in self.all() {
            for member in members.all().iter() {
                self.dismiss(members, member, notice);
            }
        }
    }

    fn farewell(&self, notice: Notice) {
        for members in self.all() {
            for member in members.all().iter() {
                // Whose queue is full learns of the end from the end.
                let _told = member.socket.emit("notice", &notice.without_place());
            }
        }
    }
}
