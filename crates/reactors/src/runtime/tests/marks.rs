//! What a restart knows, from the note and from the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{Checkpoints, DeliveryStatus, EventLog, Timestamp};
use serde_json::Value;

use super::doubles::*;
use crate::runtime::note::NAME;

async fn note(bench: &Bench) -> Value {
    let note = bench.checkpoints.load(NAME).await.unwrap().unwrap();
    serde_json::from_slice(&note).unwrap()
}

fn mark(note: &Value, name: &str) -> u64 {
    let destinations = note["destinations"].as_array().unwrap();
    let mine = destinations.iter().find(|mark| mark["name"] == name).unwrap();
    mine["mark"].as_u64().unwrap()
}

/// When a delivery was tried, by a runtime that is stopped after each failure, or never.
async fn times(restarts: bool, keeps_note: bool) -> Vec<i64> {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.says([fails(), fails(), fails()]);
    let plan = bench.plan("ci", &target);
    // The same id each time, so that the pauses are the same.
    let mut delivery = domain::testing::TestDelivery::new("push", "x");
    delivery.event_id =
        domain::EventId::new(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
    let mut received = delivery.received();
    received.reactors_due = vec!["destination:ci".into()];
    let mut append = delivery.append();
    append.events[0].metadata = received.to_metadata();
    bench.log.append(append).await.unwrap();
    let mut running = bench.run(vec![plan.clone()]);
    for attempts in 1..=4 {
        until("it was tried", async || {
            bench.state(&received.stream()).await.attempts == attempts
        })
        .await;
        if restarts {
            running.stop().await;
            if !keeps_note {
                bench.checkpoints.0.lock().unwrap().clear();
            }
            running = bench.run(vec![plan.clone()]);
        }
    }
    running.stop().await;
    let got = target.got();
    let first: Timestamp = got[0].at;
    got.iter().map(|got| got.at.millis_since(first)).collect()
}

#[tokio::test(start_paused = true)]
async fn due_times_survive_restarts_with_and_without_a_note() {
    let expected = times(false, true).await;
    assert_eq!(expected.len(), 4);
    for keeps_note in [true, false] {
        let restarted = times(true, keeps_note).await;
        let close = |(a, b): (&i64, &i64)| a.abs_diff(*b) <= 6;
        assert!(
            restarted.len() == 4 && expected.iter().zip(&restarted).all(close),
            "{expected:?} and {restarted:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_mark_stays_before_what_is_open_and_the_note_is_written_when_it_changes() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.answers(|dispatch| if body_of(dispatch) == "bad" { fails() } else { ok() });
    let mut plan = bench.plan("ci", &target);
    plan.retry.delay_ms = 60_000;
    let running = bench.run(vec![plan]);
    bench.deliver("good", &["ci"]).await;
    let bad = bench.deliver("bad", &["ci"]).await;
    for _ in 0..5 {
        bench.deliver("good", &["ci"]).await;
    }
    until("the others are done", async || target.got().len() >= 7).await;
    pass(Duration::from_secs(6)).await;
    let opened = bench.state(&bad).await.receipt.position.get();
    let there = note(&bench).await;
    assert_eq!(mark(&there, "ci"), opened - 1);
    assert_eq!(there["upto"], bench.log.inner.head().await.unwrap().get());
    until("it is dead", async || {
        bench.state(&bad).await.status() == DeliveryStatus::Dead
    })
    .await;
    pass(Duration::from_secs(6)).await;
    let there = note(&bench).await;
    assert_eq!(mark(&there, "ci"), bench.log.inner.head().await.unwrap().get());
    assert_eq!(there["dead"]["letters"][0]["stream"], bad.as_str());
    let written = bench.checkpoints.1.lock().unwrap().len();
    pass(Duration::from_secs(3600)).await;
    assert_eq!(
        bench.checkpoints.1.lock().unwrap().len(),
        written,
        "nothing changed"
    );
    for n in 0..100 {
        bench.deliver(&n.to_string(), &["ci"]).await;
        pass(Duration::from_millis(100)).await;
    }
    let more = bench.checkpoints.1.lock().unwrap().len() - written;
    assert!((1..=3).contains(&more), "{more} notes in 10 s, at one in 5 s");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_remembered_over_a_restart() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.answers(|_| status(400, domain::ErrorCode::ValidationError));
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let stream = bench.deliver("x", &["ci"]).await;
    until("it is dead", async || {
        running.handle.dead_letters().streams.len() == 1
    })
    .await;
    running.stop().await;
    let running = bench.run(vec![]);
    until("it is ready", async || running.handle.status().ready).await;
    let letters = running.handle.dead_letters();
    assert_eq!(
        (letters.streams.as_slice(), letters.complete),
        (&[stream][..], true)
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_note_that_is_foreign_ahead_or_damaged_says_nothing() {
    let spoil: [fn(&mut Value); 6] = [
        |note| note["logId"] = "00000000-0000-0000-0000-000000000001".into(),
        |note| note["event"] = "00000000-0000-0000-0000-000000000001".into(),
        |note| note["upto"] = 1_000_000.into(),
        |note| note["version"] = 99.into(),
        |note| note["destinations"][0]["mark"] = 1_000_000.into(),
        |note| *note = Value::from("nonsense"),
    ];
    for spoil in spoil {
        let bench = Bench::new();
        let target = Arc::new(ScriptedTarget::default());
        let mut plan = bench.plan("ci", &target);
        let running = bench.run(vec![plan.clone()]);
        bench.deliver("done", &["ci"]).await;
        until("it went", async || target.got().len() == 1).await;
        pass(Duration::from_secs(10)).await;
        running.stop().await;
        bench.deliver("open", &["ci"]).await;
        let mut there = note(&bench).await;
        // Taken at its word, this note would pass over what is open.
        there["upto"] = bench.log.inner.head().await.unwrap().get().into();
        there["destinations"][0]["mark"] = there["upto"].clone();
        spoil(&mut there);
        let bytes = Bytes::from(serde_json::to_vec(&there).unwrap());
        bench.checkpoints.store(NAME, bytes).await.unwrap();
        plan.concurrency = 1;
        let running = bench.run(vec![plan]);
        until("the other went", async || target.got().len() == 2).await;
        pass(Duration::from_secs(60)).await;
        assert_eq!(target.bodies(), ["done", "open"], "{there}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_destination_begins_where_the_note_ends() {
    let bench = Bench::new();
    let (ci, cd) = (
        Arc::new(ScriptedTarget::default()),
        Arc::new(ScriptedTarget::default()),
    );
    ci.answers(|_| fails());
    let mut plan = bench.plan("ci", &ci);
    plan.retry.delay_ms = 3_600_000;
    let running = bench.run(vec![plan.clone()]);
    for n in 0..10 {
        bench.deliver(&n.to_string(), &["ci"]).await;
    }
    until("all were tried", async || ci.got().len() >= 10).await;
    running.stop().await;
    let upto = note(&bench).await["upto"].as_u64().unwrap();
    let running = bench.run(vec![plan, bench.plan("cd", &cd)]);
    until("it is ready", async || running.handle.status().ready).await;
    running.stop().await;
    let there = note(&bench).await;
    assert!(mark(&there, "cd") >= upto, "{there}");
    assert!(mark(&there, "ci") < upto, "{there}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_looked_at_before_the_log_was_read_to_where_it_ended() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let mut streams = Vec::new();
    for n in 0..50 {
        streams.push(bench.deliver(&n.to_string(), &["ci"]).await);
    }
    until("all went", async || target.got().len() == 50).await;
    pass(Duration::from_secs(1)).await;
    running.stop().await;
    bench.checkpoints.0.lock().unwrap().clear();
    // A delivery that the index took for open would be looked at; none may be.
    for stream in &streams {
        assert_eq!(bench.state(stream).await.status(), DeliveryStatus::Processed);
    }
    let looks = bench.log.looks();
    bench.log.pages_take(Duration::from_millis(10));
    let running = bench.run(vec![bench.plan("ci", &target)]);
    until("some are held", async || running.handle.status().open > 0).await;
    until("it is ready", async || running.handle.status().ready).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(running.handle.status().open, 0);
    assert_eq!(bench.log.looks(), looks);
    running.stop().await;
}
