//! Who is the original of a content, when several processes write at once, one of them pauses, and one dies in between.

use std::sync::Arc;
use std::time::Duration;

use domain::testing::TestDelivery;
use domain::{
    AppendError, EventId, EventLog as _, Expected, FindDeliveries as _, PageLimit, Revision, StreamName,
    TenantId,
};
use eventstore_sim::{Fault, Gate};
use infra::eventstore::{EventStoreLog, EventStoreOptions};

use super::harness::{DEADLINE, Server, all, delivery, options, receive};

fn stream_of(delivery: &TestDelivery) -> StreamName {
    delivery.received().stream()
}

/// The same event through another hook.
fn of_hook(hook: usize, delivery: &TestDelivery) -> TestDelivery {
    TestDelivery {
        event_id: EventId::new(uuid::Uuid::new_v4()),
        hook: Some(hook.to_string()),
        ..delivery.clone()
    }
}

fn spawn_receive(
    log: &Arc<EventStoreLog>,
    delivery: &TestDelivery,
) -> tokio::task::JoinHandle<Option<StreamName>> {
    let (log, delivery) = (Arc::clone(log), delivery.clone());
    tokio::spawn(async move { receive(&log, &delivery).await.duplicate_of })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_of_one_content_in_several_processes_one_is_unmarked_and_the_others_name_it() {
    let server = Server::start().await;
    let logs = [server.log().await, server.log().await, server.log().await];
    // By the sender's id through many hooks, and by the body under many ids.
    for kind in ["id", "body"] {
        let first = delivery(kind);
        let receiving: Vec<_> = (0..40)
            .map(|n| {
                let repeat = match kind {
                    "id" => TestDelivery {
                        body: format!("{n}").into(),
                        ..of_hook(n, &first)
                    },
                    _ => delivery(kind),
                };
                let marked = spawn_receive(&logs[n % 3], &repeat);
                (stream_of(&repeat), marked)
            })
            .collect();
        let mut unmarked = Vec::new();
        let mut named = Vec::new();
        for (stream, marked) in receiving {
            match tokio::time::timeout(DEADLINE, marked).await.unwrap().unwrap() {
                Some(original) => named.push(original),
                None => unmarked.push(stream),
            }
        }
        assert_eq!((unmarked.len(), named.len()), (1, 39), "by {kind}");
        assert!(named.iter().all(|original| *original == unmarked[0]), "by {kind}");
    }
    let events = all(&logs[0]).await;
    assert_eq!(events.iter().filter(|e| e.duplicate_of.is_none()).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_dies_after_its_announcement_makes_nobody_a_duplicate_of_nothing() {
    for by_id in [true, false] {
        let server = Server::start().await;
        let dying = EventStoreOptions {
            append_timeout_ms: 1500,
            ..options(&server.node.url())
        };
        let dying = server.log_with(dying).await;
        let (log, lost) = (server.log().await, delivery("{}"));
        for _ in 0..20 {
            server
                .node
                .faults
                .next_append("delivery-", Fault::HangBeforeWrite);
        }
        let answer = dying.append(lost.append()).await;
        assert!(matches!(answer, Err(AppendError::Unknown(_))), "{answer:?}");
        drop(dying);
        server.node.faults.clear();
        let same = if by_id { of_hook(42, &lost) } else { delivery("{}") };
        let appended = receive(&log, &same).await;
        assert_eq!(appended.duplicate_of, None, "by id: {by_id}");
        let tenant = TenantId::default();
        let found = log.by_sender_id(&tenant, &lost.delivery_id, 10).await.unwrap();
        assert_eq!(found, if by_id { vec![stream_of(&same)] } else { Vec::new() });
        // Its sender tries again. It is kept, behind the fence, which nobody sees, and is the duplicate now.
        let again = receive(&log, &lost).await;
        assert_eq!(again.duplicate_of, Some(stream_of(&same)));
        let types = server.store.types(&format!("hooklog.{}", stream_of(&lost)));
        // Fenced off at each content that it was announced under.
        let (last, fences) = types.split_last().unwrap();
        assert_eq!(last, "DeliveryReceived");
        assert!(
            !fences.is_empty() && fences.iter().all(|kind| kind == "hooklog.fence"),
            "{types:?}"
        );
        let events = all(&log).await;
        assert_eq!(events.len(), 2);
        assert_eq!(
            (events[1].revision, events[1].id),
            (Revision::new(0), lost.event_id)
        );
        assert_eq!(log.head().await, Ok(again.last));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_pauses_after_it_decided_and_wakes_leaves_no_second_unmarked_one() {
    // Beside another process, and beside another delivery of its own process.
    for (by_id, alone) in [(true, false), (false, false), (true, true), (false, true)] {
        let server = Server::start().await;
        let patient = EventStoreOptions {
            write_timeout_ms: 60_000,
            append_timeout_ms: 60_000,
            ..options(&server.node.url())
        };
        let paused = server.log_with(patient).await;
        let log = if alone {
            Arc::clone(&paused)
        } else {
            server.log().await
        };
        let early = delivery("{}");
        let gate = Gate::closed();
        server
            .node
            .faults
            .next_append("delivery-", Fault::Hold(gate.clone()));
        let waking = tokio::spawn({
            let (paused, early) = (Arc::clone(&paused), early.clone());
            async move { paused.append(early.append()).await }
        });
        // It decided that it is unmarked; its write stands before the server.
        gate.reached().await;
        let late = if by_id {
            of_hook(42, &early)
        } else {
            delivery("{}")
        };
        assert_eq!(receive(&log, &late).await.duplicate_of, None);
        gate.open();
        let answer = tokio::time::timeout(DEADLINE, waking).await.unwrap().unwrap();
        assert_eq!(
            answer.unwrap().duplicate_of,
            Some(stream_of(&late)),
            "by id: {by_id}, alone: {alone}"
        );
        let marks: Vec<_> = all(&log).await.into_iter().map(|e| e.duplicate_of).collect();
        assert_eq!(marks, [None, Some(stream_of(&late))]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_behind_a_fence_has_the_revisions_of_the_log() {
    let server = Server::start().await;
    let log = server.log().await;
    let early = TestDelivery {
        due: vec!["orders"],
        ..delivery("{}")
    };
    let gate = Gate::closed();
    server
        .node
        .faults
        .next_append("delivery-", Fault::Hold(gate.clone()));
    let waking = spawn_receive(&log, &early);
    gate.reached().await;
    receive(&*server.log().await, &delivery("{}")).await;
    gate.open();
    waking.await.unwrap();
    let stream = stream_of(&early);
    // Decided on by revision, read from a revision, refused by revision.
    for n in 0..3 {
        let mut append = early.append();
        append.expected = Expected::Revision(Revision::new(n));
        append.content = None;
        append.events[0].id = EventId::new(uuid::Uuid::from_u128(u128::from(n)));
        let appended = log.append(append.clone()).await.unwrap();
        assert_eq!(appended.revision, Revision::new(n + 1));
        assert_eq!(log.append(append.clone()).await, Ok(appended));
        append.events[0].id = EventId::new(uuid::Uuid::new_v4());
        let conflict = log.append(append).await;
        assert!(
            matches!(conflict, Err(AppendError::Conflict { current, .. }) if current == Revision::new(n + 1)),
            "{conflict:?}"
        );
    }
    for from in 0..5 {
        let read = log
            .read_stream(&stream, Revision::new(from), PageLimit::default())
            .await
            .unwrap();
        let revisions: Vec<u64> = read.iter().map(|event| event.revision.get()).collect();
        assert_eq!(revisions, (from..4).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_a_delivery_writes_nothing_at_all() {
    let server = Server::start().await;
    let log = server.log().await;
    let delivery = delivery("{}");
    let first = receive(&log, &delivery).await;
    let before = server.store.count("hooklog");
    for _ in 0..5 {
        let mut again = delivery.append();
        again.events[0].id = EventId::new(uuid::Uuid::new_v4());
        let conflict = AppendError::Conflict {
            current: Revision::new(0),
            first: first.first,
        };
        assert_eq!(log.append(again).await, Err(conflict));
    }
    assert_eq!(server.store.count("hooklog"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_knows_nothing_yet_names_the_same_original() {
    let server = Server::start().await;
    let log = server.log().await;
    let first = delivery("{}");
    assert_eq!(receive(&log, &first).await.duplicate_of, None);
    let original = Some(stream_of(&first));
    let of_other_hook = of_hook(42, &first);
    for repeat in [delivery("{}"), delivery("{}"), of_other_hook.clone()] {
        assert_eq!(receive(&log, &repeat).await.duplicate_of, original);
    }
    // What was known to be a duplicate was announced under its sender's id only; others still find the original.
    for repeat in [delivery("{}"), of_hook(43, &of_other_hook)] {
        let fresh = server.log().await;
        assert_eq!(receive(&fresh, &repeat).await.duplicate_of, original);
    }
    let found = log
        .by_sender_id(&TenantId::default(), &first.delivery_id, 10)
        .await;
    assert_eq!(found.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_again_and_again_has_one_original_in_each_window() {
    let server = Server::start().await;
    let log = server.log().await;
    let mut unmarked = Vec::new();
    for second in 0..200_i64 {
        let heartbeat = TestDelivery {
            received_at: super::harness::start().plus_millis(second * 1000),
            ..delivery("beat")
        };
        if receive(&log, &heartbeat).await.duplicate_of.is_none() {
            unmarked.push(second);
        }
    }
    assert_eq!(unmarked, [0, 61, 122, 183]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_of_one_body_get_through_in_time_though_the_first_of_them_hangs() {
    let server = Server::start().await;
    let patient = EventStoreOptions {
        write_timeout_ms: 60_000,
        append_timeout_ms: 60_000,
        ..options(&server.node.url())
    };
    let hangs = server.log_with(patient).await;
    let mut logs = Vec::new();
    for _ in 0..12 {
        logs.push(server.log().await);
    }
    let (gate, early) = (Gate::closed(), delivery("one"));
    let fault = Fault::Hold(gate.clone());
    server.node.faults.next_append("hooklog.delivery-", fault);
    let waking = spawn_receive(&hangs, &early);
    gate.reached().await;
    let writers = (0..144).map(|n| spawn_receive(&logs[n % logs.len()], &delivery("one")));
    let mut unmarked = 0;
    for writer in writers.collect::<Vec<_>>() {
        let mark = tokio::time::timeout(Duration::from_secs(8), writer).await;
        unmarked += usize::from(mark.expect("in time").unwrap().is_none());
    }
    assert_eq!(unmarked, 1);
    let claims = server.store.count("hooklog:");
    assert!(claims <= 3 * 145, "{claims} announcements");
    gate.open();
    assert!(waking.await.unwrap().is_some());
}

/// Announcements of deliveries that nobody writes.
fn announce(server: &Server, claims: &str, count: usize, source: &str) {
    let at = super::harness::start().as_micros();
    for n in 0..count {
        let stream = format!("delivery-default.{source}.41.never-{n}");
        let claim = format!(r#"{{"stream":"{stream}","source":"{source}","receivedAt":{at}}}"#);
        server.store.put(claims, "hooklog.claim", claim).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_is_found_behind_any_number_of_announcements() {
    let server = Server::start().await;
    let first = delivery("{}");
    let claims = first.append().content.unwrap();
    let sha256 = claims.body_sha256;
    // By the sender's id: announcements of another source stand before it.
    let id = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(
        first.delivery_id.as_bytes(),
    ));
    announce(&server, &format!("hooklog:sender.default.{id}"), 1100, "gitlab");
    receive(&*server.log().await, &first).await;
    let same_id = TestDelivery {
        body: "other".into(),
        ..of_hook(42, &first)
    };
    let repeat = receive(&*server.log().await, &same_id).await;
    assert_eq!(repeat.duplicate_of, Some(stream_of(&first)));
    // By the body: as many in the window stand behind it.
    announce(
        &server,
        &format!("hooklog:body.default.github.{sha256}"),
        1100,
        "github",
    );
    let patient = EventStoreOptions {
        append_timeout_ms: 60_000,
        ..options(&server.node.url())
    };
    let fresh = server.log_with(patient).await;
    let repeat = receive(&fresh, &delivery("{}")).await;
    assert_eq!(repeat.duplicate_of, Some(stream_of(&first)));
    assert_eq!(server.store.count("hooklog.delivery-default.github.41.never"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_of_which_it_is_not_said_where_it_stands_is_not_the_first() {
    let server = Server::start().await;
    let first = delivery("{}");
    receive(&*server.log().await, &first).await;
    for claims in [":sender.", ":body."] {
        let fresh = server.log().await;
        let repeat = if claims == ":sender." {
            of_hook(42, &first)
        } else {
            delivery("{}")
        };
        server.node.faults.next_append(claims, Fault::NoRevision);
        assert_eq!(
            receive(&fresh, &repeat).await.duplicate_of,
            Some(stream_of(&first)),
            "{claims}"
        );
    }
}
