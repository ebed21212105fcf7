//! Rejected requests against the real server.

use std::time::Duration;

use domain::testing::rejected;
use domain::{FindRejected, KeepRejected, RejectedFilter, RejectedPage, RejectedRequest, TenantId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::JetStream;
use super::super::rejected::{RejectedOptions, RejectedQueue, RejectedRequests};
use super::server::{Server, until};

fn options() -> RejectedOptions {
    RejectedOptions {
        stream: "HOOKLOG_REJECTED".into(),
        replicas: 1,
        bytes_max: 64 * 1024 * 1024,
        age_max_ms: 3_600_000,
        kind_max: 100_000,
        queue_max: 20_000,
    }
}

/// What keeps them, at work, and what finds them.
struct Rejected {
    queue: RejectedQueue,
    found: RejectedRequests,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Rejected {
    fn start(jetstream: &JetStream, options: RejectedOptions) -> Self {
        let (queue, keeper) = RejectedQueue::new(options.clone());
        let stop = CancellationToken::new();
        Self {
            queue,
            found: RejectedRequests::new(jetstream.clone(), options),
            task: tokio::spawn(keeper.run(jetstream.clone(), stop.clone())),
            stop,
        }
    }

    async fn find(&self, filter: &RejectedFilter) -> RejectedPage {
        self.found.find(filter).await.unwrap()
    }

    /// Waits until one is there.
    async fn has(&self, request: &RejectedRequest) {
        until("the request is kept", async || {
            self.found.get(&request.tenant, request.request_id).await.unwrap()
        })
        .await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn all(limit: usize) -> RejectedFilter {
    RejectedFilter {
        tenant: TenantId::default(),
        source: None,
        reason: None,
        since: None,
        limit,
    }
}

fn of_kind(n: u64, reason: &str) -> RejectedRequest {
    RejectedRequest {
        reason: reason.into(),
        code: reason.to_uppercase(),
        ..rejected(n)
    }
}

fn listed(request: RejectedRequest) -> RejectedRequest {
    RejectedRequest {
        body: None,
        ..request
    }
}

/// Messages and bytes that the server says it holds.
async fn held(jetstream: &JetStream) -> (u64, u64) {
    let stream = jetstream.context.get_stream("HOOKLOG_REJECTED").await.unwrap();
    let state = &stream.cached_info().state;
    (state.messages, state.bytes)
}

#[tokio::test]
async fn what_is_kept_is_found_whole_newest_first_and_by_id() {
    let server = Server::start();
    let jetstream = server.connect().await;
    let kept = Rejected::start(&jetstream, options());
    // More than one window and one fetch.
    for n in 0..3000 {
        let reason = if n % 3 == 0 {
            "body_too_large"
        } else {
            "signature_invalid"
        };
        kept.queue.keep(of_kind(n, reason));
    }
    kept.has(&rejected(2999)).await;
    let page = kept.find(&all(10)).await;
    let expected: Vec<_> = (2990..3000)
        .rev()
        .map(|n| {
            listed(of_kind(
                n,
                if n % 3 == 0 {
                    "body_too_large"
                } else {
                    "signature_invalid"
                },
            ))
        })
        .collect();
    assert_eq!(page.requests, expected);
    let kinds: Vec<_> = page.kinds.iter().map(|k| (k.reason.as_str(), k.kept)).collect();
    assert_eq!(kinds, [("body_too_large", 1000), ("signature_invalid", 2000)]);
    // Back to the very first, over several windows.
    assert_eq!(kept.find(&all(5000)).await.requests.len(), 3000);
    let filter = RejectedFilter {
        reason: Some("BODY_TOO_LARGE".into()),
        ..all(5000)
    };
    assert_eq!(kept.find(&filter).await.requests.len(), 1000);
    let filter = RejectedFilter {
        since: Some(rejected(2995).received_at),
        ..all(5000)
    };
    assert_eq!(kept.find(&filter).await.requests.len(), 5);
    let filter = RejectedFilter {
        source: Some("gitlab".parse().unwrap()),
        ..all(5000)
    };
    assert_eq!(kept.find(&filter).await.requests, []);
    let whole = kept
        .found
        .get(&TenantId::default(), rejected(1).request_id)
        .await
        .unwrap();
    assert_eq!(whole, Some(of_kind(1, "signature_invalid")), "with its body");
    let other = "team-b".parse().unwrap();
    assert_eq!(
        kept.found.get(&other, rejected(1).request_id).await.unwrap(),
        None
    );
    let foreign = RejectedFilter {
        tenant: other,
        ..all(10)
    };
    assert_eq!(kept.find(&foreign).await, RejectedPage::default());
    kept.stop().await;
}

#[tokio::test]
async fn a_flood_of_one_kind_pushes_out_its_own_oldest_only() {
    let server = Server::start();
    let jetstream = server.connect().await;
    let kept = Rejected::start(
        &jetstream,
        RejectedOptions {
            kind_max: 50,
            ..options()
        },
    );
    for n in 0..10 {
        kept.queue.keep(of_kind(n, "header_missing"));
    }
    for n in 10..5000 {
        kept.queue.keep(rejected(n));
    }
    kept.has(&rejected(4999)).await;
    let page = kept.find(&all(1000)).await;
    let kinds: Vec<_> = page.kinds.iter().map(|k| (k.reason.as_str(), k.kept)).collect();
    assert_eq!(kinds, [("header_missing", 10), ("signature_invalid", 50)]);
    assert_eq!(page.requests[49], listed(rejected(4950)));
    assert_eq!(page.requests[59], listed(of_kind(0, "header_missing")));
    kept.stop().await;
}

#[tokio::test]
async fn the_stream_never_exceeds_its_bytes_and_the_oldest_go() {
    let server = Server::start();
    let jetstream = server.connect().await;
    let bytes_max = 512 * 1024;
    let kept = Rejected::start(
        &jetstream,
        RejectedOptions {
            bytes_max,
            ..options()
        },
    );
    for n in 0..2000 {
        let body = Some(vec![b'x'; 1000].into());
        kept.queue.keep(RejectedRequest { body, ..rejected(n) });
        if n % 100 == 99 {
            kept.has(&rejected(n)).await;
            assert!(held(&jetstream).await.1 <= bytes_max);
        }
    }
    let (messages, bytes) = held(&jetstream).await;
    assert!(
        messages > 100 && bytes <= bytes_max,
        "{messages} messages, {bytes} bytes"
    );
    let page = kept.find(&all(5000)).await;
    assert_eq!(page.requests.len() as u64, messages);
    assert_eq!(page.requests[0].request_id, rejected(1999).request_id);
    kept.stop().await;
}

#[tokio::test]
async fn what_is_too_old_goes_by_itself() {
    let server = Server::start();
    let jetstream = server.connect().await;
    let options = RejectedOptions {
        age_max_ms: 1000,
        ..options()
    };
    let kept = Rejected::start(&jetstream, options);
    kept.queue.keep(rejected(1));
    kept.has(&rejected(1)).await;
    until("it is gone", async || {
        let gone = kept.find(&all(1)).await.requests.is_empty();
        gone.then_some(())
    })
    .await;
    kept.stop().await;
}

#[tokio::test]
async fn one_that_the_stream_never_takes_costs_none_of_the_others() {
    let (queue, keeper) = RejectedQueue::new(options());
    // All of them in one batch; one is longer than the stream takes, one longer than the server does.
    for (n, bytes) in [(1, 10), (2, 700 * 1024), (3, 10), (4, 3 * 1024 * 1024), (5, 10)] {
        queue.keep(RejectedRequest {
            body: Some(vec![b'x'; bytes].into()),
            ..rejected(n)
        });
    }
    let server = Server::start();
    let jetstream = server.connect().await;
    let stop = CancellationToken::new();
    let task = tokio::spawn(keeper.run(jetstream.clone(), stop.clone()));
    let found = RejectedRequests::new(jetstream.clone(), options());
    until("the others are kept", async || {
        let page = found.find(&all(10)).await.unwrap();
        (page.requests.len() == 3).then_some(())
    })
    .await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_full_queue_takes_no_more_and_nobody_waits() {
    let (queue, keeper) = RejectedQueue::new(RejectedOptions {
        queue_max: 3,
        ..options()
    });
    // Nothing writes: NATS is not there.
    for n in 0..1000 {
        queue.keep(rejected(n));
    }
    let server = Server::start();
    let jetstream = server.connect().await;
    let stop = CancellationToken::new();
    let task = tokio::spawn(keeper.run(jetstream.clone(), stop.clone()));
    let found = RejectedRequests::new(jetstream.clone(), options());
    until("those that found a place are kept", async || {
        let page = found.find(&all(10)).await.unwrap();
        (page.requests.len() == 3).then_some(())
    })
    .await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_server_that_comes_back_without_its_data_is_written_to_again() {
    let mut server = Server::start();
    let jetstream = server.connect().await;
    let kept = Rejected::start(&jetstream, options());
    kept.queue.keep(rejected(1));
    kept.has(&rejected(1)).await;
    server.kill();
    until("the connection is lost", async || {
        (!jetstream.is_connected()).then_some(())
    })
    .await;
    kept.queue.keep(rejected(2));
    assert!(kept.found.find(&all(1)).await.is_err());
    server.wipe();
    server.restart();
    until("what came meanwhile is kept", async || {
        let found = kept.found.get(&TenantId::default(), rejected(2).request_id).await;
        found.ok().flatten()
    })
    .await;
    kept.stop().await;
}

#[tokio::test]
async fn without_a_stream_nothing_is_found_and_settings_change_one_that_is_there() {
    let server = Server::start();
    let jetstream = server.connect().await;
    let found = RejectedRequests::new(jetstream.clone(), options());
    assert_eq!(found.find(&all(10)).await.unwrap(), RejectedPage::default());
    assert_eq!(
        found
            .get(&TenantId::default(), rejected(1).request_id)
            .await
            .unwrap(),
        None
    );
    for kind_max in [7, 9] {
        let kept = Rejected::start(
            &jetstream,
            RejectedOptions {
                kind_max,
                ..options()
            },
        );
        until("the stream has its shape", async || {
            let stream = jetstream.context.get_stream("HOOKLOG_REJECTED").await.ok()?;
            let config = &stream.cached_info().config;
            (config.max_messages_per_subject == i64::from(kind_max)
                && config.max_age == Duration::from_secs(3600)
                && config.max_bytes == 64 * 1024 * 1024)
                .then_some(())
        })
        .await;
        kept.stop().await;
    }
}
