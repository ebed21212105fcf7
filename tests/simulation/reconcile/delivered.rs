//! Senders and the log: whatever was answered 2xx is there, once, byte for byte, where the answer said; nothing else is.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::{DeliveryReceived, EventData, RecordedEvent};

use crate::sender::Delivery;
use crate::world::World;

pub fn check(world: &World, events: &[RecordedEvent]) {
    let mut receipts: BTreeMap<String, (&RecordedEvent, DeliveryReceived)> = BTreeMap::new();
    for event in events {
        let Some(received) = DeliveryReceived::of(event) else {
            continue;
        };
        let received = received.unwrap();
        let key = received.key.to_string();
        if let Some((first, _)) = receipts.get(&key) {
            world.violation(format!(
                "{key} is in the log twice: at {} and {}",
                first.position, event.position
            ));
            continue;
        }
        receipts.insert(key, (event, received));
    }
    let deliveries = world.ledger.lock().unwrap().deliveries.clone();
    for delivery in &deliveries {
        let receipt = receipts.remove(&delivery.key());
        check_answers(world, delivery, receipt.as_ref().map(|(event, _)| *event));
        if let Some((event, received)) = receipt {
            check_content(world, delivery, event, &received);
        }
    }
    for key in receipts.keys() {
        world.violation(format!("{key} is in the log and was never sent"));
    }
}

fn check_answers(world: &World, delivery: &Delivery, event: Option<&RecordedEvent>) {
    let key = delivery.key();
    for answer in &delivery.answers {
        let Some(event) = event else {
            world.violation(format!("{key} was answered 200 and is not in the log"));
            return;
        };
        if answer.key != key || answer.position != event.position.get() {
            world.violation(format!(
                "{key} was answered as {} at {}, but is at {}",
                answer.key, answer.position, event.position
            ));
        }
    }
    let first_times = delivery.answers.iter().filter(|a| !a.duplicate).count();
    if first_times > 1 {
        world.violation(format!("{key} was answered as new {first_times} times"));
    }
    if delivery.forged && event.is_some() {
        world.violation(format!("{key} was forged and is in the log"));
    }
    if event.is_some() {
        world.count("deliveries in the log");
    }
}

fn check_content(world: &World, delivery: &Delivery, event: &RecordedEvent, received: &DeliveryReceived) {
    let key = delivery.key();
    if body(world, event).as_ref() != Some(&delivery.body) {
        world.violation(format!("the body of {key} is not the one that was sent"));
    }
    if received.sha256 != domain::ContentHash::of(&delivery.body) || received.event != delivery.event {
        world.violation(format!("the facts of {key} are not those of what was sent"));
    }
    if received.header("x-github-delivery") != Some(delivery.guid.as_str()) {
        world.violation(format!("the headers of {key} are not those that were sent"));
    }
}

/// The body of an event, wherever it is.
pub fn body(world: &World, event: &RecordedEvent) -> Option<Bytes> {
    match &event.data {
        EventData::Inline(bytes) => Some(bytes.clone()),
        EventData::Stored(body) => world.bodies.get(body),
    }
}
