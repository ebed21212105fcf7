//! Every example payload of GitHub goes the whole way, and everything that is said about it afterwards is true.

use crate::harness::{Launch, Server, Signed, Tools};
use crate::reconcile::{Sent, reconcile, same_answers_as_the_fold, sha256_of};

/// As many as `@octokit/webhooks-examples` has for api.github.com.
const EXAMPLES: usize = 329;

async fn send_all(server: &Server, deliveries: &[Signed]) -> Vec<Sent> {
    let mut sent = Vec::new();
    for delivery in deliveries {
        let answer = server.send(delivery).await;
        assert_eq!(
            answer.status, 200,
            "{} {}: {}",
            delivery.event, delivery.delivery, answer.json
        );
        assert!(
            !answer.is_duplicate(),
            "{} was never sent before",
            delivery.delivery
        );
        let data = &answer.json["data"];
        assert_eq!(data["deliveryId"], delivery.delivery.as_str());
        assert_eq!(data["event"], delivery.event.as_str());
        assert_eq!(data["source"], "github");
        sent.push(Sent::new(delivery.clone(), answer.position()));
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_payload_goes_the_whole_way() {
    let tools = Tools::ready();
    let examples = Signed::examples(&tools);
    assert_eq!(examples.len(), EXAMPLES);
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;

    let sent = send_all(&server, &examples).await;
    let growing = sent.windows(2).all(|pair| pair[0].position < pair[1].position);
    assert!(growing, "one after the other, so positions grow");
    server.caught_up().await;

    // The log, the stream and the tables, read by clients that are not ours.
    let report = reconcile(&server, &tools, &sent);
    assert_eq!(report["log"], EXAMPLES);
    assert_eq!(report["stream"], EXAMPLES);
    assert_eq!(report["rows"], EXAMPLES);
    // The answers of the API, against a fold of the payloads.
    same_answers_as_the_fold(&server, &tools, &sent);
    bodies_are_byte_identical(&server, &sent).await;
    list_has_each_once(&server, &sent).await;
}

async fn bodies_are_byte_identical(server: &Server, sent: &[Sent]) {
    for one in sent {
        let (status, body) = server
            .fetch(&format!("/api/webhooks/events/{}/body", one.delivery.delivery))
            .await;
        assert_eq!(status, 200, "{}", one.delivery.delivery);
        assert_eq!(
            sha256_of(&body),
            sha256_of(one.delivery.body.as_bytes()),
            "{}",
            one.delivery.delivery
        );
    }
}

async fn list_has_each_once(server: &Server, sent: &[Sent]) {
    let mut listed = Vec::new();
    let mut next = "/api/webhooks/events?limit=50".to_owned();
    loop {
        let page = server.data_of(&next).await;
        let rows = page["events"].as_array().expect("a list of events");
        listed.extend(
            rows.iter()
                .map(|r| r["deliveryId"].as_str().expect("a delivery id").to_owned()),
        );
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        next = format!("/api/webhooks/events?limit=50&cursor={cursor}");
        assert!(listed.len() <= sent.len(), "paging never ends");
    }
    let newest_first: Vec<String> = sent.iter().rev().map(|s| s.delivery.delivery.clone()).collect();
    assert_eq!(listed, newest_first, "each delivery once, newest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_can_be_read_right_after_its_200() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    for n in 0..20 {
        let delivery = Signed::new(
            "push",
            &format!("at-once-{n}"),
            format!(r#"{{"n":{n},"repository":{{"full_name":"a/b"}}}}"#),
        );
        assert_eq!(server.send(&delivery).await.status, 200);
        let seen = server.data_of(&format!("/api/webhooks/events/at-once-{n}")).await;
        assert_eq!(seen["payload"]["n"], n, "{seen}");
        assert_eq!(seen["repository"], "a/b", "{seen}");
    }
}
