//! The namespaces: who may join one, and what clients may ask for in it.

use std::sync::Arc;

use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, SocketRef, TryData};
use socketioxide::handler::ConnectHandler as _;

use super::connection::visitor;
use super::member::{Choice, Member};
use super::visitor::{Refused, join};
use super::{Gateway, ROOT, WEBHOOKS};
use crate::live::pass::Pass;
use crate::state::State;

/// Sets one namespace up: who may join, and what they may ask for.
pub(super) fn serve(io: &SocketIo, namespace: &'static str, state: &Arc<State>, gateway: &Arc<Gateway>) {
    let joining = Arc::clone(state);
    let admit = move |socket: SocketRef, auth: TryData<Value>| {
        let joining = Arc::clone(&joining);
        async move {
            let pass = join(&joining, &socket, auth.0.ok().as_ref()).await?;
            socket.extensions.insert(pass);
            Ok::<_, Refused>(())
        }
    };
    let (gateway, choices_max) = (Arc::clone(gateway), state.live.options.subscriptions_max);
    // At once, and no part of it later: what a client says next may come right behind, and of what is put off nobody knows the
    // order. That a client left is seen from its socket: a handler for it would be put off too, and keep the client from
    // joining again meanwhile.
    let joined = move |socket: SocketRef| {
        if let (Some(pass), Some(visitor)) = (socket.extensions.remove::<Pass>(), visitor(&socket)) {
            visitor.joined.join();
            let queue = Arc::clone(&visitor.queue);
            let member = Arc::new(Member::new(socket.clone(), pass, queue, choices_max));
            listen(&socket, namespace, &member);
            gateway.of(namespace).join(member);
        } else {
            let _refused = socket.disconnect();
        }
        std::future::ready(())
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
        // Here, and not in the future: of two messages that come together the second might be done first.
        if let Some(member) = member.upgrade() {
            answer(ack, ask(&member, data.ok()));
        }
        std::future::ready(())
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
