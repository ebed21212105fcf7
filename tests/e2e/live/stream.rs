//! Server-sent events of a real server.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Events, PATIENCE, Seen};
use crate::harness::{Launch, Load, Signed, Tools, eventually, knob};

const DELIVERIES: usize = 600;
const RESUMES: usize = 100;

fn push(id: &str, repository: &str) -> Signed {
    let body = json!({"ref": "refs/heads/main", "repository": {"full_name": repository}, "serial": id});
    Signed::new("push", id, body.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_on_the_stream_a_moment_after_its_200() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let mut all = Events::open(&server.base(), "", None, None).await.unwrap();
    let filter = "?repository=octo-org/HELLO";
    let mut filtered = Events::open(&server.base(), filter, None, None).await.unwrap();
    let opening = all.next().await.unwrap();
    assert!(opening.id.is_some() && opening.data.is_none(), "{opening:?}");
    filtered.next().await.unwrap();
    server.send(&push("other", "octo-org/other")).await;
    let answer = server.send(&push("mine", "Octo-Org/Hello")).await;
    let begin = Instant::now();
    let seen = filtered.data().await.unwrap();
    eprintln!("on the stream {:?} after its 200", begin.elapsed());
    assert_eq!(seen.position(), answer.position());
    let row = seen.data.unwrap();
    assert_eq!(
        (&row["deliveryId"], &row["eventType"]),
        (&json!("mine"), &json!("push"))
    );
    assert_eq!(all.data().await.unwrap().data.unwrap()["deliveryId"], "other");

    // A stop waits for no stream, and says so on each.
    let begin = Instant::now();
    let stopped = tokio::spawn(server.stop());
    let last = filtered.data().await.unwrap();
    assert_eq!(last.event.as_deref(), Some("notice"));
    assert_eq!(last.data.unwrap()["code"], "SHUTTING_DOWN");
    assert!(filtered.data().await.is_none(), "and then it ends");
    stopped.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

/// Reads some events of a stream that goes on after an id, and leaves without a word.
async fn some(base: &str, id: Option<&str>, count: usize) -> Vec<Seen> {
    let query = if id.is_none() { "?after=0" } else { "" };
    let Some(mut events) = Events::open(base, query, id, None).await else {
        return Vec::new();
    };
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = tokio::time::timeout(Duration::from_millis(300), events.data()).await;
        match next {
            Ok(Some(event)) if event.event.is_none() => seen.push(event),
            Ok(_) | Err(_) => break,
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_a_hundred_times_and_across_kills_a_stream_is_the_range_of_the_log() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::in_folder(folder.path()).start().await;
    let deliveries = knob("HOOKLOG_LIVE_DELIVERIES", DELIVERIES);
    let load = Load::of(Signed::many(&tools, deliveries, "live"));
    let mut writers = load.start(&server.base(), 4);
    let mut union: Vec<u64> = Vec::new();
    let mut id: Option<String> = None;
    let resumes = knob("HOOKLOG_LIVE_RESUMES", RESUMES);
    for turn in 0..resumes {
        if turn == resumes / 3 || turn == 2 * resumes / 3 {
            server = server.kill().await.start().await;
            while writers.join_next().await.is_some() {}
            writers = load.start(&server.base(), 4);
        }
        // Anything from nothing to many, in no order that repeats.
        let count = (turn * 37 + 11) % 29;
        for event in some(&server.base(), id.as_deref(), count).await {
            union.push(event.position());
            id = event.id;
        }
    }
    while writers.join_next().await.is_some() {}
    let base = server.base();
    let whole = some(&base, None, usize::MAX).await;
    let whole: Vec<u64> = whole.iter().map(Seen::position).collect();
    let rest = some(&base, id.as_deref(), usize::MAX).await;
    let resumed = union.len();
    union.extend(rest.iter().map(Seen::position));
    assert!(
        resumed > 0 && union.is_sorted_by(|a, b| a < b),
        "a repeat or a step back"
    );
    assert_eq!(
        union, whole,
        "the union of {resumes} resumed streams is not what one shows"
    );
    let acknowledged = load.report().positions;
    assert!(
        acknowledged.len() >= deliveries * 9 / 10,
        "{}",
        acknowledged.len()
    );
    for (id, position) in acknowledged {
        assert!(
            whole.binary_search(&position).is_ok(),
            "{id} at {position} is not on the stream"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_sees_its_tenant_and_loses_the_stream_when_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let key = |arguments: &[&str]| {
        let done = server.launch().run(&[&["key", "create"], arguments].concat());
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    let (own, other) = (
        key(&["own", "--scope", "read"]),
        key(&["other", "--scope", "read", "--tenant", "team-b"]),
    );
    let base = server.base();
    let mut own_events = Events::open(&base, "?after=0", None, Some(&own)).await.unwrap();
    let mut others = Events::open(&base, "?after=0", None, Some(&other)).await.unwrap();
    server.send(&push("one", "octo-org/one")).await;
    assert_eq!(
        own_events.data().await.unwrap().data.unwrap()["deliveryId"],
        "one"
    );
    let id = other.split('_').nth(1).unwrap().to_owned();
    let revoked = server.launch().run(&["key", "revoke", &id]);
    assert!(revoked.status.success(), "{revoked:?}");
    let last = others.data().await.unwrap();
    assert_eq!(
        last.data.unwrap()["code"],
        "KEY_REVOKED",
        "and nothing of the other tenant before"
    );
    eventually("the revoked key is refused", PATIENCE, || async {
        let response = crate::harness::client()
            .get(format!("{base}/api/webhooks/stream"))
            .header("X-Api-Key", &other)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        if response.status() == 401 {
            Ok(())
        } else {
            Err(response.status().to_string())
        }
    })
    .await;
}
