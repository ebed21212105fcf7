//! A receipt names what is due because of it.

use serde_json::Value;

use super::rig::{Delivery, Rig};
use crate::SyntheticDelivery;

#[tokio::test]
async fn a_receipt_names_the_reactors_that_are_due_for_its_facts() {
    let rig = Rig::new();
    rig.due.set(&["orders", "chat"]);
    rig.send(Delivery::push().id("guid-1")).await.data();
    let (_, received) = rig.only().await;
    assert_eq!(received.reactors_due, ["destination:orders", "destination:chat"]);
    // Asked with all facts there, and the receipt is what was asked about.
    let asked = rig.due.asked.lock().unwrap().remove(0);
    assert_eq!(asked.repository.as_deref(), Some("octo-org/octo-repo"));
    assert_eq!((asked.event.as_str(), asked.source.as_str()), ("push", "github"));
    assert_eq!(
        asked,
        domain::DeliveryReceived {
            reactors_due: Vec::new(),
            ..received
        }
    );
}

#[tokio::test]
async fn a_synthetic_delivery_has_its_reactors_due_too() {
    let rig = Rig::new();
    rig.due.set(&["orders"]);
    let delivery = SyntheticDelivery::example("ping", "test/repo", None);
    assert_eq!(rig.ingest.receive_synthetic(delivery).await.status, 200);
    let (_, received) = rig.only().await;
    assert!(received.synthetic);
    assert_eq!(received.reactors_due, ["destination:orders"]);
}

#[tokio::test]
async fn nothing_is_asked_about_what_a_source_does_not_want() {
    let rig = Rig::with(|_, source| source.events = vec!["push".into()]);
    rig.due.set(&["orders"]);
    let reply = rig.send(Delivery::new("ping", "{}")).await;
    assert_eq!(reply.json["ignored"], Value::Bool(true));
    assert!(rig.due.asked.lock().unwrap().is_empty() && rig.events().await.is_empty());
}

#[tokio::test]
async fn reactors_count_against_the_room_beside_the_event() {
    let rig = Rig::new();
    let names: Vec<String> = (0..2000)
        .map(|n| format!("a-destination-with-a-name-{n}"))
        .collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    rig.due.set(&all[..500]);
    rig.send(Delivery::push()).await.data();
    rig.due.set(&all);
    rig.send(Delivery::new("push", "{}"))
        .await
        .assert(431, "HEADERS_TOO_LARGE");
    rig.only().await;
}
