//! Appends whose answer is lost, late or a refusal.

use std::time::Duration;

use domain::{
    Append, AppendError, Clock as _, EventData, EventId, EventLog as _, Expected, NewEvent, PageLimit,
    Position, Revision,
};
use eventstore_sim::{Fault, Gate, Node, NodeOptions};
use infra::eventstore::EventStoreOptions;

use super::harness::{DEADLINE, Server, all, delivery, options, receive, until};

fn thing(stream: &str, expected: Expected, id: u128, data: Vec<u8>) -> Append {
    Append {
        stream: stream.parse().unwrap(),
        expected,
        events: vec![NewEvent {
            id: EventId::new(uuid::Uuid::from_u128(id)),
            event_type: "ThingHappened".parse().unwrap(),
            schema: 1,
            metadata: "{}".into(),
            data: EventData::Inline(data.into()),
        }],
        content: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_there_once_and_answered() {
    for fault in [
        Fault::LoseAnswer,
        Fault::HangAfterWrite,
        Fault::Unavailable,
        Fault::HangBeforeWrite,
    ] {
        let server = Server::start().await;
        let log = server.log().await;
        let delivery = delivery("{}");
        // Of the delivery, of its announcements, and of an event without content.
        for stream in ["delivery-", ":sender.", ":body.", "replay-"] {
            server.node.faults.next_append(stream, fault.clone());
        }
        let received = receive(&log, &delivery).await;
        let thing = thing("replay-default.a", Expected::NoStream, 7, b"x".to_vec());
        let appended = log.append(thing.clone()).await.unwrap();
        assert_eq!(server.node.faults.left(), 0, "{fault:?}");
        let events = all(&log).await;
        let positions: Vec<Position> = events.iter().map(|event| event.position).collect();
        assert_eq!(positions, [received.first, appended.first], "{fault:?}");
        assert_eq!(received.recorded_at, events[0].recorded_at);
        assert_eq!((received.duplicate_of, log.health().unwritable), (None, None));
        // Whoever asks again is answered the same.
        assert_eq!(log.append(thing).await, Ok(appended));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_may_pass_is_tried_again_and_no_sender_is_told_that_it_is_for_good() {
    // Cancelled, unknown, deadline exceeded, resource exhausted, aborted, internal, unavailable, data lost.
    for code in [1, 2, 4, 8, 10, 13, 14, 15] {
        for written in [true, false] {
            let server = Server::start().await;
            let log = server.log().await;
            for stream in [":sender.", ":body.", "delivery-"] {
                let fault = Fault::Code { code, written };
                server.node.faults.next_append(stream, fault);
            }
            let delivery = delivery("{}");
            let received = receive(&log, &delivery).await;
            assert_eq!(
                (server.node.faults.left(), received.duplicate_of),
                (0, None),
                "{code}"
            );
            let events = all(&log).await;
            assert_eq!(events.len(), 1, "{code} {written}");
            assert_eq!(events[0].position, received.first, "{code} {written}");
        }
    }
    let server = Server::start().await;
    let short = EventStoreOptions {
        append_timeout_ms: 300,
        ..options(&server.node.url())
    };
    let log = server.log_with(short).await;
    for _ in 0..50 {
        let fault = Fault::Code {
            code: 13,
            written: false,
        };
        server.node.faults.next_append("delivery-", fault);
    }
    let refused = log.append(delivery("{}").append()).await;
    assert!(matches!(&refused, Err(error) if error.retry()), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_write_that_may_be_done_it_is_never_said_that_nothing_was_written() {
    let server = Server::start().await;
    let log = server.log().await;
    let append = delivery("{}").append();
    let name = format!("hooklog.{}", append.stream);
    server.node.faults.next_append(&name, Fault::HangAfterWrite);
    let appending = tokio::spawn({
        let (log, append) = (std::sync::Arc::clone(&log), append.clone());
        async move { log.append(append).await }
    });
    until("the write", async || server.store.count(&name) == 1).await;
    // Another program writes behind it, so that how the stream stands is not readable when it is looked at.
    server.store.put(&name, "NothingOfOurs", "{}").unwrap();
    let answer = tokio::time::timeout(DEADLINE, appending).await.unwrap().unwrap();
    assert!(matches!(answer, Err(AppendError::Unknown(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_not_answered_in_time_is_unknown_and_its_repeat_tells() {
    let server = Server::start().await;
    let short = EventStoreOptions {
        write_timeout_ms: 300,
        append_timeout_ms: 1000,
        ..options(&server.node.url())
    };
    let log = server.log_with(short).await;
    let appends = [
        delivery("{}").append(),
        thing("replay-default.a", Expected::NoStream, 7, b"x".to_vec()),
    ];
    for append in appends {
        // The first write comes through late, when nobody waits for it any more; those that repeat it never do.
        let gate = Gate::closed();
        let stream = append.stream.as_str();
        server.node.faults.next_append(stream, Fault::Hold(gate.clone()));
        for _ in 0..20 {
            server.node.faults.next_append(stream, Fault::HangBeforeWrite);
        }
        let written_at = server.clock.now();
        let answer = log.append(append.clone()).await;
        assert!(matches!(answer, Err(AppendError::Unknown(_))), "{answer:?}");
        server.node.faults.clear();
        server.clock.advance_millis(1000);
        gate.open();
        let name = format!("hooklog.{stream}");
        until("the late write", async || server.store.count(&name) == 1).await;
        let repeat = log.append(append.clone()).await.unwrap();
        let there = log
            .read_stream(&append.stream, Revision::new(0), PageLimit::default())
            .await
            .unwrap();
        assert_eq!((there.len(), there[0].recorded_at), (1, written_at));
        assert_eq!(
            (repeat.first, repeat.recorded_at, &repeat.duplicate_of),
            (there[0].position, written_at, &None)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_the_leader_sends_appends_and_reads_to_it() {
    let leader = Server::start().await;
    let options_of = NodeOptions {
        members: vec![leader.node.port()],
        ..NodeOptions::default()
    };
    let follower = Node::start(std::sync::Arc::clone(&leader.store), options_of)
        .await
        .unwrap();
    for stream in ["replay-", "delivery-", ":sender.", ":body."] {
        let log = leader.log_with(options(&follower.url())).await;
        let refusal = Fault::NotLeader(leader.node.port());
        follower.faults.next_append(stream, refusal);
        let before = leader.node.faults.calls();
        if stream == "replay-" {
            let thing = thing("replay-default.a", Expected::NoStream, 7, b"x".to_vec());
            log.append(thing).await.unwrap();
        } else {
            receive(&log, &delivery(stream)).await;
        }
        assert_eq!(follower.faults.left(), 0, "{stream}");
        let after = leader.node.faults.calls();
        assert!(
            after.appends + after.batched > before.appends + before.batched,
            "{stream}: {before:?} {after:?}"
        );
    }
    assert_eq!(all(&*leader.log().await).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_over_the_servers_limit_is_refused_for_good_and_disturbs_no_other() {
    let server = Server::start().await;
    let log = server.log().await;
    let too_large = vec![b'x'; eventstore_sim::APPEND_BYTES_MAX];
    let append = thing("replay-default.a", Expected::NoStream, 7, too_large.clone());
    let answer = log.append(append.clone()).await;
    assert!(
        matches!(&answer, Err(error @ AppendError::Invalid(_)) if !error.retry()),
        "{answer:?}"
    );
    // The server's own limit may be less than what the settings say.
    let careless = EventStoreOptions {
        append_bytes_max: usize::MAX,
        ..options(&server.node.url())
    };
    let log = server.log_with(careless).await;
    assert!(matches!(log.append(append).await, Err(AppendError::Invalid(_))));
    let large = domain::testing::TestDelivery::new("push", too_large);
    let (large, small) = (large.append(), delivery("{}"));
    let (large, small) = tokio::join!(log.append(large), receive(&log, &small));
    assert!(matches!(large, Err(AppendError::Invalid(_))), "{large:?}");
    assert_eq!(all(&log).await.len(), 1);
    assert_eq!((small.duplicate_of, log.health().unwritable), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_appends_are_in_flight_and_one_that_hangs_holds_no_other() {
    let server = Server::start().await;
    let patient = EventStoreOptions {
        write_timeout_ms: 60_000,
        append_timeout_ms: 60_000,
        ..options(&server.node.url())
    };
    let log = server.log_with(patient).await;
    let gate = Gate::closed();
    server
        .node
        .faults
        .next_append("delivery-", Fault::Hold(gate.clone()));
    let held = tokio::spawn({
        let log = std::sync::Arc::clone(&log);
        async move { receive(&log, &delivery("held")).await }
    });
    gate.reached().await;
    let others = (0..500).map(|n| {
        let log = std::sync::Arc::clone(&log);
        tokio::spawn(async move { receive(&log, &delivery(&n.to_string())).await })
    });
    for other in others.collect::<Vec<_>>() {
        other.await.unwrap();
    }
    assert_eq!((log.health().queue_len, held.is_finished()), (1, false));
    gate.open();
    tokio::time::timeout(DEADLINE, held).await.unwrap().unwrap();
    let events = all(&log).await;
    assert_eq!(events.len(), 501);
    assert!(events.is_sorted_by(|a, b| a.position < b.position));
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_beyond_the_room_are_refused_and_a_close_waits_for_those_under_way() {
    let server = Server::start().await;
    let narrow = EventStoreOptions {
        queue_max: 2,
        ..options(&server.node.url())
    };
    let log = server.log_with(narrow).await;
    let gate = Gate::closed();
    let mut held = Vec::new();
    for body in ["a", "b"] {
        let fault = Fault::Hold(gate.clone());
        server.node.faults.next_append(":sender.", fault);
        let log = std::sync::Arc::clone(&log);
        held.push(tokio::spawn(
            async move { log.append(delivery(body).append()).await },
        ));
    }
    until("two appends under way", async || log.health().queue_len == 2).await;
    let refused = log.append(delivery("c").append()).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    let closing = tokio::spawn({
        let log = std::sync::Arc::clone(&log);
        async move { log.close().await }
    });
    gate.open();
    tokio::time::timeout(DEADLINE, closing).await.unwrap().unwrap();
    for held in held {
        held.await.unwrap().unwrap();
    }
    assert!(log.append(delivery("d").append()).await.is_err());
    assert!(
        tokio::time::timeout(Duration::from_secs(5), log.wait_past(Position::new(u64::MAX)))
            .await
            .unwrap()
            .is_err()
    );
}
