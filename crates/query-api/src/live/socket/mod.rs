//! Socket.IO, for clients that know it: <https://socket.io/docs/v4/>.
//!
//! One task goes through the log as any other client does, and shows each delivery to all who want it. The JSON of an event
//! is made once; a client whose queue is full is dropped, and nobody waits for it.

mod cut;
mod endpoint;
mod member;
mod monitor;
mod typed;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use hyper::service::Service as _;
use poem::EndpointExt as _;
use poem::endpoint::TowerCompatExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef, TryData};
use socketioxide::handler::ConnectHandler as _;
use socketioxide::{SendError, SocketError, SocketIo};
use tokio_util::sync::CancellationToken;

use cut::Cut;
pub(crate) use endpoint::SocketEndpoint;
use member::{Choice, Member, Members};
use visitor::{Auth, Refused};

use super::item::{Delivery, Kind};
use super::notice::Notice;
use super::pass::Pass;
use super::reader::Reader;
use crate::state::State;

const ROOT: &str = "/";
const WEBHOOKS: &str = "/webhooks";
const MONITORING: &str = "/monitoring";

/// How often `/monitoring` is looked at.
const UPDATE_EVERY: Duration = Duration::from_secs(1);
/// How long the last words to a slow client may take, and how often they are tried.
const LAST_WORDS: Duration = Duration::from_secs(5);
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
            .max_payload(options.message_bytes_max as u64)
            .ws_max_message_size(options.message_bytes_max)
            .ws_max_frame_size(options.message_bytes_max)
            .connect_timeout(Duration::from_millis(options.connect_timeout_ms))
            .ping_interval(Duration::from_millis(options.ping_interval_ms))
            .ping_timeout(Duration::from_millis(options.ping_timeout_ms))
            .build_svc();
        let gateway = Arc::new(Gateway {
            root: Members::default(),
            webhooks: Members::default(),
            monitoring: Members::default(),
        });
        serve(&io, ROOT, &state, &gateway);
        serve(&io, WEBHOOKS, &state, &gateway);
        serve(&io, MONITORING, &state, &gateway);
        let (upgraded, cut) = (service.clone(), CancellationToken::new());
        let ends = cut.clone();
        Self {
            polling: Arc::new(service.compat().boxed()),
            take_over: Arc::new(move |stream, request| {
                if let Err(error) = upgraded
                    .call((Cut::new(stream, ends.clone()), request))
                    .into_inner()
                {
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
            polling: Arc::clone(&self.polling),
            take_over: Arc::clone(&self.take_over),
        }
    }

    /// Shows clients what comes, until the end of everything live.
    pub(crate) async fn run(self) {
        let stop = &self.state.live.stop;
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.show_all() => {}
            () = self.look_around() => {}
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

    async fn show_all(&self) {
        let live = &self.state.live;
        let head = loop {
            match live.log.head().await {
                Ok(head) => break head,
                Err(error) => {
                    tracing::warn!(%error, "live_head_unknown: trying again");
                    tokio::time::sleep(UPDATE_EVERY).await;
                }
            }
        };
        let mut reader = Reader::new(Arc::clone(live), head);
        loop {
            match reader.next().await {
                Ok(items) => {
                    for item in items {
                        if let Kind::Delivery(delivery) = &item.kind {
                            self.show(delivery);
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "live_log_unreadable: clients are shown nothing new");
                    self.gateway.farewell(Notice::LogUnreadable);
                    return live.stop.cancelled().await;
                }
            }
        }
    }

    fn show(&self, delivery: &Delivery) {
        let options = &self.state.live.options;
        let wanted = |members: &Members| -> Vec<Arc<Member>> {
            let all = members.all();
            let wanting = all.iter().filter(|member| member.wants(&delivery.facts));
            wanting.map(Arc::clone).collect()
        };
        let (root, webhooks) = (wanted(&self.gateway.root), wanted(&self.gateway.webhooks));
        if root.is_empty() && webhooks.is_empty() {
            return;
        }
        let Ok(row) = std::str::from_utf8(&delivery.row).map(|row| RawValue::from_string(row.to_owned()))
        else {
            return;
        };
        let Ok(row) = row else {
            return;
        };
        // What repeats another delivery is no event of its own.
        let kind = typed::kind(&delivery.received.scheme, &delivery.facts.event)
            .filter(|_| !delivery.duplicate && !root.is_empty());
        let typed = kind.and_then(|kind| {
            let json = typed::json(kind, delivery, &self.state.base_url, options.object_bytes_max)?;
            Some((kind.name, json))
        });
        for member in &root {
            if let Some((name, json)) = &typed {
                self.gateway.send(&self.gateway.root, member, name, json);
            }
            self.gateway
                .send(&self.gateway.root, member, "webhook-event", &row);
        }
        for member in &webhooks {
            self.gateway.send(&self.gateway.webhooks, member, "event", &row);
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
    fn send(&self, members: &Members, member: &Arc<Member>, name: &str, json: &impl Serialize) {
        if member.is_dismissed() {
            return;
        }
        match member.socket.emit(name, json) {
            Ok(()) => metrics::counter!("hooklog_live_events_total", "kind" => "socketio").increment(1),
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                self.dismiss(members, member, Notice::SlowClient);
            }
            Err(SendError::Socket(SocketError::Closed)) => members.leave(member.socket.id),
            Err(SendError::Serialize(error)) => {
                tracing::warn!(%error, "a live event can't be written as JSON");
            }
        }
    }

    /// Tells a client why, and ends its part of the connection. Nobody waits for it.
    fn dismiss(&self, members: &Members, member: &Arc<Member>, notice: Notice) {
        if !member.dismiss() {
            return;
        }
        members.leave(member.socket.id);
        metrics::counter!("hooklog_live_ended_total", "kind" => "socketio", "reason" => notice.code())
            .increment(1);
        let member = Arc::clone(member);
        tokio::spawn(async move {
            let words = async {
                while matches!(
                    member.socket.emit("notice", &notice.shape()),
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
            // One that takes nothing at all is ended by its missing answers to pings, and by the server's patience.
            let _taken = tokio::time::timeout(LAST_WORDS, words).await;
        });
    }

    fn farewell(&self, notice: Notice) {
        for members in self.all() {
            for member in members.all().iter() {
                // Whose queue is full learns of the end from the end.
                let _told = member.socket.emit("notice", &notice.shape());
            }
        }
    }
}

/// Sets one namespace up: who may join, and what they may ask for.
fn serve(io: &SocketIo, namespace: &'static str, state: &Arc<State>, gateway: &Arc<Gateway>) {
    let joining = Arc::clone(state);
    let admit = move |socket: SocketRef, auth: TryData<Auth>| {
        let state = Arc::clone(&joining);
        async move {
            let pass = visitor::join(&state, &socket, auth.0.unwrap_or_default())?;
            socket.extensions.insert(pass);
            Ok::<(), Refused>(())
        }
    };
    let (gateway, choices_max) = (Arc::clone(gateway), state.live.options.subscriptions_max);
    let joined = move |socket: SocketRef| {
        let gateway = Arc::clone(&gateway);
        async move {
            let Some(pass) = socket.extensions.remove::<Pass>() else {
                let _refused = socket.disconnect();
                return;
            };
            let member = Arc::new(Member::new(socket.clone(), pass, choices_max));
            listen(&socket, namespace, &member);
            let leaving = Arc::clone(&gateway);
            socket.on_disconnect(async move |socket: SocketRef| leaving.of(namespace).leave(socket.id));
            gateway.of(namespace).join(member);
        }
    };
    io.ns(namespace, joined.with(admit));
}

/// What a client of a namespace may ask for.
fn listen(socket: &SocketRef, namespace: &str, member: &Arc<Member>) {
    // The socket keeps its handlers, which must not keep the socket.
    let weak = || Arc::downgrade(member);
    if namespace == ROOT {
        let member = weak();
        socket.on(
            "subscribe:repository",
            move |TryData(data): TryData<Value>, ack: AckSender| {
                let member = member.upgrade();
                async move {
                    let done =
                        named(data.ok()).and_then(|choice| member.map_or(Ok(()), |m| m.subscribe(choice)));
                    answer(ack, done);
                }
            },
        );
        let member = weak();
        socket.on(
            "unsubscribe:repository",
            move |TryData(data): TryData<Value>, ack: AckSender| {
                let member = member.upgrade();
                async move {
                    let done = named(data.ok()).map(|choice| {
                        if let Some(member) = member {
                            member.unsubscribe(&choice);
                        }
                    });
                    answer(ack, done);
                }
            },
        );
    } else if namespace == WEBHOOKS {
        let member = weak();
        socket.on(
            "subscribe:webhook-events",
            move |TryData(data): TryData<Value>, ack: AckSender| {
                let member = member.upgrade();
                async move {
                    let done =
                        chosen(data.ok()).and_then(|choice| member.map_or(Ok(()), |m| m.subscribe(choice)));
                    answer(ack, done);
                }
            },
        );
    }
}

/// Tells a client what came of what it asked for, if it wants to know.
fn answer(ack: AckSender, done: Result<(), String>) {
    let answer = match done {
        Ok(()) => json!({"ok": true}),
        Err(error) => json!({"ok": false, "error": error}),
    };
    // Who has gone meanwhile needs no answer.
    let _sent = ack.send(&answer);
}

/// A repository: its name, or an object with it.
fn named(data: Option<Value>) -> Result<Choice, String> {
    let data = data.unwrap_or_default();
    let name = data
        .as_str()
        .or_else(|| data.get("repository").and_then(Value::as_str));
    Choice::repository(name.unwrap_or_default())
}

/// What a client of `/webhooks` wants; nothing given is all.
fn chosen(data: Option<Value>) -> Result<Choice, String> {
    let data = data.unwrap_or_default();
    if !data.is_object() && !data.is_null() {
        return Err("an object with repository, eventType or source is expected".to_owned());
    }
    let field = |name: &str| match data.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if (1..=300).contains(&text.len()) => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{name}`: a text of 1 to 300 bytes is expected")),
    };
    Ok(Choice {
        repository: field("repository")?.map(|name| name.to_lowercase()),
        event: field("eventType")?,
        source: field("source")?,
    })
}
