//! Shows clients what comes. One task does it for all, so it waits for nobody for long: just so long that a burst alone does not
//! drop those who take what there is at once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::timeout;

use super::member::{Member, Members};
use super::{Gateway, Sockets, UPDATE_EVERY, typed};
use crate::live::item::{Delivery, Kind};
use crate::live::notice::Notice;
use crate::live::reader::Reader;

/// How many are shown before others have a turn.
const TURN: usize = 16;
/// How often a full queue is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How long others wait for one client, until its queue was empty again.
const GRACE: Duration = Duration::from_millis(100);

impl Sockets {
    /// Shows what comes, whenever there are clients.
    pub(super) async fn show_all(&self) {
        let live = &self.state.live;
        loop {
            let from = live.sockets_shown().await;
            self.show_from(Reader::new(Arc::clone(live), from)).await;
        }
    }

    /// Shows what comes until the last client has gone.
    async fn show_from(&self, mut reader: Reader) {
        let live = &self.state.live;
        while !live.sockets_left() {
            match timeout(UPDATE_EVERY, reader.next()).await {
                Err(_nothing_came) => {}
                Ok(Ok(items)) => {
                    for (n, item) in items.iter().enumerate() {
                        if let Kind::Delivery(delivery) = &item.kind {
                            self.show(delivery).await;
                        }
                        // What is in the ring comes without waiting for anything: those who write must have their turn.
                        if n % TURN == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                }
                Ok(Err(error)) => {
                    live.report(&error);
                    self.gateway.dismiss_all(Notice::LogUnreadable);
                    tokio::time::sleep(UPDATE_EVERY).await;
                    live.sound().await;
                }
            }
        }
    }

    async fn show(&self, delivery: &Delivery) {
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
        let typed = typed.as_ref().map(|(name, json)| (*name, &**json));
        let of_root: Vec<_> = typed.into_iter().chain([("webhook-event", &*row)]).collect();
        let of_webhooks = [("event", &*row)];
        let root = root.into_iter().map(|member| Due {
            members: &self.gateway.root,
            member,
            events: &of_root,
        });
        let webhooks = webhooks.into_iter().map(|member| Due {
            members: &self.gateway.webhooks,
            member,
            events: &of_webhooks,
        });
        let mut due: Vec<_> = root.chain(webhooks).collect();
        due.retain_mut(|due| !due.hand(&self.gateway));
        while !due.is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
            due.retain_mut(|due| !due.hand(&self.gateway) && !due.is_given_up(&self.gateway));
        }
    }
}

/// What a client is due of a delivery.
struct Due<'a> {
    members: &'a Members,
    member: Arc<Member>,
    events: &'a [(&'static str, &'a RawValue)],
}

impl Due<'_> {
    /// Hands it over; whether that is done.
    fn hand(&mut self, gateway: &Gateway) -> bool {
        while let Some(((name, json), rest)) = self.events.split_first() {
            if !gateway.hand(self.members, &self.member, name, json) {
                return false;
            }
            self.events = rest;
        }
        true
    }

    /// Whether others have waited for it for long enough: then it is dropped.
    fn is_given_up(&self, gateway: &Gateway) -> bool {
        let given_up = self.member.waited_for(LOOK_AGAIN) >= GRACE;
        if given_up {
            gateway.dismiss(self.members, &self.member, Notice::SlowClient);
        }
        given_up
    }
}
