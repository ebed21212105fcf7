//! A server that is away, goes away, and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::{AppendError, EventLog as _, PageLimit, Position, ReadError};
use eventstore_sim::{Node, NodeOptions, Store};
use infra::eventstore::{EventStoreLog, EventStoreOptions, OpenError};

use super::harness::{DEADLINE, Server, all, delivery, options, provide_cryptography, receive, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_waits_for_a_server_that_is_down_at_first() {
    provide_cryptography();
    let node = Node::stopped(Arc::default(), NodeOptions::default())
        .await
        .unwrap();
    let clock = Arc::new(domain::testing::ManualClock::at(super::harness::start()));
    let address = (std::net::Ipv4Addr::LOCALHOST, node.port());
    // The node that was stopped may hold its port for a moment longer.
    let mut refusing = None;
    until("a port that is free", async || {
        refusing = tokio::net::TcpListener::bind(address).await.ok();
        refusing.is_some()
    })
    .await;
    let refusing = refusing.unwrap();
    let opening = tokio::spawn(EventStoreLog::open(options(&node.url()), clock));
    // A client whose first connect failed is of no use; a second connect is that of another one.
    for _ in 0..2 {
        let connected = tokio::time::timeout(DEADLINE, refusing.accept()).await;
        drop(connected.unwrap().unwrap());
    }
    drop(refusing);
    node.restart().await.unwrap();
    let log = tokio::time::timeout(DEADLINE, opening)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    receive(&log, &delivery("{}")).await;
    assert_eq!(all(&log).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_down_is_said_to_be() {
    provide_cryptography();
    let node = Node::stopped(Arc::default(), NodeOptions::default())
        .await
        .unwrap();
    let impatient = EventStoreOptions {
        connect_timeout_ms: 300,
        ..options(&node.url())
    };
    let clock = Arc::new(domain::testing::ManualClock::at(super::harness::start()));
    let opened = EventStoreLog::open(impatient, Arc::clone(&clock) as _).await;
    assert!(matches!(
        opened.err(),
        Some(OpenError::Unreachable { after_ms: 300, .. })
    ));
    // What is wrong with an address is said without its password.
    let wrong = EventStoreOptions {
        url: "http://user:swordfish@127.0.0.1".into(),
        ..EventStoreOptions::default()
    };
    let error = EventStoreLog::open(wrong.clone(), clock).await.err().unwrap();
    let said = format!("{error} {error:?} {wrong:?}");
    assert!(!said.contains("swordfish"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn starters_at_once_agree_on_the_log_they_are_of() {
    let server = Server::start().await;
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let clock = Arc::clone(&server.clock);
            tokio::spawn(EventStoreLog::open(options(&server.node.url()), clock))
        })
        .collect();
    let mut ids = Vec::new();
    for log in opening {
        ids.push(log.await.unwrap().unwrap().id());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let other = EventStoreOptions {
        stream_prefix: "other".into(),
        ..options(&server.node.url())
    };
    assert_ne!(server.log_with(other).await.id(), ids[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_appends_wakes_who_waits_even_after_the_subscription_was_closed() {
    let server = Server::start().await;
    let (log, other) = (server.log().await, server.log().await);
    let mut head = Position::START;
    for n in 0..4 {
        let waiting = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.wait_past(head).await }
        });
        // Behind what the log's filter leaves out, too.
        let appended = receive(&other, &delivery(&n.to_string())).await;
        let woken = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
        assert_eq!(woken, Ok(appended.last), "after {n} closings");
        head = appended.last;
        let before = server.node.faults.calls().subscriptions;
        server.node.faults.close_subscriptions();
        until("a new subscription", async || {
            server.node.faults.calls().subscriptions >= before + 2
        })
        .await;
    }
    until("health", async || log.health().unwritable.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_the_server_ends_without_an_error_is_begun_again_but_ever_more_seldom() {
    let server = Server::start().await;
    let (log, other) = (server.log().await, server.log().await);
    receive(&log, &delivery("before")).await;
    let begun = || server.node.faults.calls().subscriptions;
    until("both subscriptions", async || begun() >= 2).await;
    let (before, begin) = (begun(), Instant::now());
    server.node.faults.end_subscriptions(true);
    // Two logs, at most five tries each without a pause of 320 ms among them.
    until("some tries", async || begun() >= before + 12).await;
    assert!(
        begin.elapsed() > Duration::from_millis(300),
        "{:?}",
        begin.elapsed()
    );
    assert!(log.health().unwritable.is_some());
    // It works all the same, and whoever waits is woken when the server comes to its senses.
    let head = receive(&log, &delivery("meanwhile")).await.last;
    let waiting = tokio::spawn(async move { log.wait_past(head).await.map(|to| (to, log)) });
    let appended = receive(&other, &delivery("more")).await;
    server.node.faults.end_subscriptions(false);
    let (woken, log) = tokio::time::timeout(DEADLINE, waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(woken, appended.last);
    until("health", async || log.health().unwritable.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_does_not_wait_for_the_packets_of_another() {
    let server = Server::start().await;
    let log = server.log().await;
    receive(&log, &delivery("{}")).await;
    let mut fastest = Duration::MAX;
    for _ in 0..50 {
        let begin = Instant::now();
        log.head().await.unwrap();
        fastest = fastest.min(begin.elapsed());
    }
    // A small packet that waits for the acknowledgement of the one before it waits for 40 ms.
    assert!(fastest < Duration::from_millis(20), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_goes_on_over_a_server_that_breaks_it_off_or_restarts() {
    let server = Server::start().await;
    let log = server.log().await;
    for n in 0..50 {
        receive(&log, &delivery(&n.to_string())).await;
    }
    let expected = all(&log).await;
    for after in [0, 1, 17, 49] {
        server.node.faults.break_read(after);
        assert_eq!(all(&log).await, expected, "broken off after {after}");
    }
    let (stop, pages) = (
        tokio_util::sync::CancellationToken::new(),
        Arc::new(AtomicUsize::new(0)),
    );
    let reading = tokio::spawn({
        let (log, stop, pages) = (Arc::clone(&log), stop.clone(), Arc::clone(&pages));
        async move {
            while !stop.is_cancelled() {
                let (mut after, mut events) = (Position::START, Vec::new());
                loop {
                    let limit = PageLimit {
                        events: 7,
                        ..PageLimit::default()
                    };
                    let page = log.read_all(after, limit).await.unwrap();
                    pages.fetch_add(1, Ordering::SeqCst);
                    let Some(last) = page.events.last() else { break };
                    after = last.position;
                    events.extend(page.events);
                }
                assert_eq!(events, expected);
            }
        }
    });
    for _ in 0..3 {
        let before = pages.load(Ordering::SeqCst);
        until("some pages", async || pages.load(Ordering::SeqCst) > before + 10).await;
        server.node.restart().await.unwrap();
    }
    stop.cancel();
    tokio::time::timeout(DEADLINE, reading).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_and_ends_by_itself() {
    let server = Server::start().await;
    let short = EventStoreOptions {
        append_timeout_ms: 400,
        read_retry_ms: 400,
        ..options(&server.node.url())
    };
    let log = server.log_with(short).await;
    receive(&log, &delivery("before")).await;
    server.node.stop();
    let refused = log.append(delivery("meanwhile").append()).await;
    assert!(matches!(&refused, Err(error) if error.retry()), "{refused:?}");
    assert!(matches!(log.head().await, Err(ReadError::Unavailable(_))));
    assert!(log.health().unwritable.is_some());
    server.node.restart().await.unwrap();
    until("health", async || log.health().unwritable.is_none()).await;
    receive(&log, &delivery("after")).await;
    // What was refused is there or not, but nothing is there twice.
    let bodies: Vec<_> = all(&log).await.into_iter().map(|event| event.data).collect();
    assert!((2..=3).contains(&bodies.len()), "{bodies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_during_restarts_are_there_once_each() {
    let server = Server::start().await;
    let log = server.log().await;
    let appending: Vec<_> = (0..8)
        .map(|writer| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut received = Vec::new();
                for n in 0..25 {
                    let delivery = delivery(&format!("{writer} {n}"));
                    let appended = loop {
                        match log.append(delivery.append()).await {
                            Ok(appended) => break appended,
                            Err(AppendError::Unavailable(_) | AppendError::Unknown(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    };
                    received.push((appended.first, delivery.event_id));
                }
                received
            })
        })
        .collect();
    for _ in 0..3 {
        let before = server.store.count("hooklog.delivery-");
        until("some appends", async || {
            server.store.count("hooklog.delivery-") > before + 20
        })
        .await;
        server.node.restart().await.unwrap();
    }
    let mut expected = Vec::new();
    for writer in appending {
        expected.extend(tokio::time::timeout(DEADLINE, writer).await.unwrap().unwrap());
    }
    expected.sort();
    let events = all(&log).await;
    let there: Vec<_> = events.iter().map(|event| (event.position, event.id)).collect();
    assert_eq!(there, expected);
    assert!(events.iter().all(|event| event.duplicate_of.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_of_several_hosts_is_left_for_another() {
    let store: Arc<Store> = Arc::default();
    let first = Server::over(Arc::clone(&store), NodeOptions::default()).await;
    let second = Node::start(Arc::clone(&store), NodeOptions::default())
        .await
        .unwrap();
    let hosts = format!(
        "esdb://127.0.0.1:{},127.0.0.1:{}?tls=false&nodePreference=leader",
        first.node.port(),
        second.port()
    );
    let log = first.log_with(options(&hosts)).await;
    receive(&log, &delivery("before")).await;
    // Each node takes itself for the leader, so the log may be at either.
    let at_first = first.node.faults.calls().batched > 0;
    let dead = if at_first { &first.node } else { &second };
    dead.stop();
    receive(&log, &delivery("after")).await;
    assert_eq!(all(&log).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_kept_by_a_server_that_is_killed_and_started_over_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    let (id, events) = {
        let store = Arc::new(Store::open(&file).unwrap());
        let server = Server::over(store, NodeOptions::default()).await;
        let log = server.log().await;
        for n in 0..20 {
            receive(&log, &delivery(&n.to_string())).await;
        }
        (log.id(), all(&log).await)
    };
    // A kill in the midst of a write.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend_from_slice(&[200, 0, 0, 0, 1, 2, 3]);
    std::fs::write(&file, bytes).unwrap();
    let store = Arc::new(Store::open(&file).unwrap());
    let server = Server::over(store, NodeOptions::default()).await;
    let log = server.log().await;
    assert_eq!((log.id(), all(&log).await), (id, events));
    receive(&log, &delivery("after")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_at_which_nothing_stands_is_read_from_all_the_same() {
    let server = Server::start().await;
    let log = server.log().await;
    for n in 0..300 {
        receive(&log, &delivery(&n.to_string())).await;
    }
    let events = all(&log).await;
    for event in events.iter().step_by(37) {
        for after in [event.position.get() - 1, event.position.get() + 1] {
            let page = log
                .read_all(
                    Position::new(after),
                    PageLimit {
                        events: 3,
                        ..PageLimit::default()
                    },
                )
                .await
                .unwrap();
            // A page may be short, but never empty before the end, and nothing is left out of it.
            let expected: Vec<_> = events
                .iter()
                .filter(|e| e.position.get() > after)
                .take(3)
                .collect();
            let read: Vec<_> = page.events.iter().collect();
            assert!(expected.starts_with(&read), "after {after}");
            assert_eq!(read.is_empty(), expected.is_empty(), "after {after}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_just_started_reads_from_any_position_in_a_few_calls() {
    let server = Server::start().await;
    let log = server.log().await;
    for n in 0..600 {
        receive(&log, &delivery(&n.to_string())).await;
    }
    let events = all(&log).await;
    let one = PageLimit {
        events: 1,
        ..PageLimit::default()
    };
    for (n, beside) in [
        (5, -1),
        (300, -1),
        (595, -1),
        (5, 1),
        (300, 1),
        (595, 1),
        (599, 1),
    ] {
        let cold = server.log().await;
        let after = events[n].position.get().saturating_add_signed(beside);
        let next = if beside < 0 { n } else { n + 1 };
        let before = server.node.faults.calls().reads;
        let page = cold.read_all(Position::new(after), one).await.unwrap();
        let read: Vec<_> = page.events.iter().map(|event| event.position).collect();
        let expected: Vec<_> = events.get(next).map(|event| event.position).into_iter().collect();
        assert_eq!(read, expected, "{n} {beside}");
        let reads = server.node.faults.calls().reads - before;
        assert!(reads <= 5, "{reads} reads at {n} {beside}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_day_ahead_does_not_set_the_time_of_others() {
    let server = Server::start().await;
    let fast = Arc::new(domain::testing::ManualClock::at(
        super::harness::start().plus_millis(86_400_000),
    ));
    let wrong = EventStoreLog::open(options(&server.node.url()), fast)
        .await
        .unwrap();
    let log = server.log().await;
    let ahead = receive(&wrong, &delivery("ahead")).await;
    until("the other one's event", async || log.health().head >= ahead.last).await;
    // A little ahead is followed, so that times rise.
    let appended = receive(&log, &delivery("now")).await;
    let ahead_ms = appended.recorded_at.millis_since(super::harness::start());
    assert_eq!(ahead_ms, 10_000);
    // It learned of it from the log alone, too.
    let later = receive(&*server.log().await, &delivery("later")).await;
    assert!(later.recorded_at.millis_since(super::harness::start()) <= 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_could_not_write_once_does_not_say_so_for_ever_if_nothing_is_sent_to_it() {
    let server = Server::start().await;
    let short = EventStoreOptions {
        write_timeout_ms: 200,
        append_timeout_ms: 1000,
        ..options(&server.node.url())
    };
    let log = server.log_with(short).await;
    for _ in 0..20 {
        let fault = eventstore_sim::Fault::HangBeforeWrite;
        server.node.faults.next_append("delivery-", fault);
    }
    assert!(log.append(delivery("{}").append()).await.is_err());
    assert!(log.health().unwritable.is_some());
    // The subscription went on all the time, and nobody tries another append.
    until("health", async || log.health().unwritable.is_none()).await;
}
