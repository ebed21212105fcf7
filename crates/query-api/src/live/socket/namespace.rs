//! The namespaces: who may join one, and what clients may ask for in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, SocketRef, TryData};
use socketioxide::handler::ConnectHandler as _;

use super::connection::visitor;
use super::member::{Choice, Member};
use super::visitor::{Auth, Refused, join};
use super::{Gateway, ROOT, WEBHOOKS};
use crate::live::pass::Pass;
use crate::state::State;

/// Sets one namespace up: who may join, and what they may ask for.
pub(super) fn serve(io: &SocketIo, namespace: &'static str, state: &Arc<State>, gateway: &Arc<Gateway>) {
    let joining = Arc::clone(state);
    let admit = move |socket: SocketRef, auth: TryData<Auth>| {
        let state = Arc::clone(&joining);
        async move {
            let pass = join(&state, &socket, auth.0.unwrap_or_default())?;
            socket.extensions.insert(pass);
            Ok::<(), Refused>(())
        }
    };
    let (gateway, choices_max) = (Arc::clone(gateway), state.live.options.subscriptions_max);
    let joined = move |socket: SocketRef| {
        let gateway = Arc::clone(&gateway);
        async move {
            let (Some(pass), Some(visitor)) = (socket.extensions.remove::<Pass>(), visitor(&socket)) else {
                let _refused = socket.disconnect();
                return;
            };
            visitor.joined.join();
            let member = Arc::new(Member::new(socket.clone(), pass, choices_max));
            listen(&socket, namespace, &member);
            gateway.of(namespace).join(member);
            let has_left = AtomicBool::new(false);
            let leave = Arc::new(move |socket: &SocketRef| {
                if !has_left.swap(true, Ordering::Relaxed) {
                    gateway.of(namespace).leave(socket.id);
                    gateway.connections.left(socket);
                }
            });
            let leaves = Arc::clone(&leave);
            socket.on_disconnect(async move |socket: SocketRef| leaves(&socket));
            // Nobody is told of one that went before that.
            if !socket.connected() {
                leave(&socket);
            }
        }
    };
    io.ns(namespace, joined.with(admit));
}

/// What a client of a namespace may ask for.
fn listen(socket: &SocketRef, namespace: &str, member: &Arc<Member>) {
    match namespace {
        ROOT => {
            on(socket, member, "subscribe:repository", |member, data| {
                member.subscribe(named(data)?)
            });
            on(socket, member, "unsubscribe:repository", |member, data| {
                member.unsubscribe(&named(data)?);
                Ok(())
            });
        }
        WEBHOOKS => on(socket, member, "subscribe:webhook-events", |member, data| {
            member.subscribe(chosen(data)?)
        }),
        _ => {}
    }
}

/// Does what a client asks for, and tells it what came of that.
fn on(
    socket: &SocketRef,
    member: &Arc<Member>,
    message: &'static str,
    ask: fn(&Member, Option<Value>) -> Result<(), String>,
) {
    // The socket keeps its handlers, which must not keep the socket.
    let member = Arc::downgrade(member);
    socket.on(message, move |TryData(data): TryData<Value>, ack: AckSender| {
        let member = member.upgrade();
        async move {
            if let Some(member) = member {
                answer(ack, ask(&member, data.ok()));
            }
        }
    });
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
