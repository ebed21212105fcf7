//! A crowd of clients: each that keeps up hears each of its deliveries once, in order, and one that takes nothing changes nothing
//! for the others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Listener;
use crate::harness::{Launch, Signed, Tools, client, eventually, knob};

/// In the rooms of repositories; `make drill` has 1,000.
const CLIENTS: usize = 150;
const REPOSITORIES: usize = 30;
/// Those that take everything.
const TAKERS: usize = 10;
const DELIVERIES: usize = 600;
const PER_SECOND: usize = 100;
const SENDERS: usize = 8;
/// How long the crowd may take to come, and to hear everything.
const PATIENCE: Duration = Duration::from_secs(120);

/// The repository of a delivery, as its row has it.
fn repository(delivery: &Signed) -> String {
    let body: Value = serde_json::from_str(&delivery.body).expect("JSON");
    body["repository"]["full_name"]
        .as_str()
        .expect("a name")
        .to_owned()
}

/// Sends at a pace, whatever the answers take.
async fn send(base: String, deliveries: Vec<Signed>, per_second: usize) {
    let begun = Instant::now();
    let mut lanes: Vec<Vec<(usize, Signed)>> = (0..SENDERS).map(|_| Vec::new()).collect();
    for (n, delivery) in deliveries.into_iter().enumerate() {
        lanes[n % SENDERS].push((n, delivery));
    }
    let lanes = lanes.into_iter().map(|lane| {
        let base = base.clone();
        tokio::spawn(async move {
            let client = client();
            for (n, delivery) in lane {
                let due = Duration::from_secs_f64(n as f64 / per_second as f64);
                tokio::time::sleep_until((begun + due).into()).await;
                let answer = delivery.post(&client, &base).await.expect("an answer");
                assert_eq!(answer.status, 200, "{}: {}", delivery.delivery, answer.json);
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.expect("every delivery is taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_crowd_hears_its_own_once_in_order_and_one_that_stalls_harms_nobody() {
    let (clients, per_second) = (
        knob("HOOKLOG_LIVE_CLIENTS", CLIENTS),
        knob("HOOKLOG_LIVE_PER_SECOND", PER_SECOND),
    );
    let (deliveries, repositories) = (
        knob("HOOKLOG_LIVE_CROWD_DELIVERIES", DELIVERIES),
        knob("HOOKLOG_LIVE_REPOSITORIES", REPOSITORIES),
    );
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let most = (clients + 100).to_string();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_LIVE__SOCKETS_MAX", &most)
        .env("HOOKLOG_LIVE__SOCKETS_PER_ADDRESS_MAX", &most)
        .start()
        .await;
    let sent = Signed::spread(&tools, deliveries, "crowd", repositories);
    let mut rooms: BTreeMap<String, usize> = BTreeMap::new();
    for delivery in &sent {
        *rooms.entry(repository(delivery)).or_default() += 1;
    }
    let wanted = json!({
        "clients": clients, "takers": TAKERS, "stalled": 1, "rooms": rooms,
        "patience": PATIENCE.as_secs() * 1000,
    });
    let crowd = Listener::start(&tools, "crowd", &server.base(), &wanted);
    eventually("the crowd is there", PATIENCE, || async {
        crowd
            .all("ready")
            .first()
            .cloned()
            .ok_or_else(|| "not yet".to_owned())
    })
    .await;
    send(server.base(), sent, per_second).await;
    let summary = eventually("the crowd has heard everything", PATIENCE * 2, || async {
        crowd
            .all("summary")
            .first()
            .cloned()
            .ok_or_else(|| "not yet".to_owned())
    })
    .await;
    eprintln!(
        "{clients} clients of {repositories} repositories and {TAKERS} of all, {per_second} a second: {summary}"
    );
    assert_eq!(
        summary["complete"], summary["of"],
        "each hears each of its own: {summary}"
    );
    assert_eq!(summary["wrong"], 0, "once, in order, and only its own: {summary}");
}
