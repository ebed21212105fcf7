//! The contract that every log keeps, over the protocol-level server always, and over a real one when there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::testing::contract::{self, ContractLog};
use infra::eventstore::{EventStoreLog, EventStoreOptions};

use super::harness::{Server, options, provide_cryptography, with_a_quick_connect};

#[tokio::test(flavor = "multi_thread")]
async fn the_log_on_a_cluster_keeps_the_contract() {
    let server = Server::start().await;
    let count = AtomicUsize::new(0);
    contract::run_all(async |clock| {
        // Logs of several prefixes share one server, as programs do.
        let n = count.fetch_add(1, Ordering::SeqCst);
        let options = EventStoreOptions {
            stream_prefix: format!("rule_{n}"),
            ..options(&server.node.url())
        };
        EventStoreLog::open(options, clock).await.unwrap() as Arc<dyn ContractLog>
    })
    .await;
    assert!(count.into_inner() > 20);
    let calls = server.node.faults.calls();
    // The client asks what the server can do without saying so.
    assert_eq!(calls.not_for_leader, 0, "{calls:?}");
}

/// `make test-eventstore URL=…` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server at HOOKLOG_EVENTSTORE_URL"]
async fn the_log_on_a_real_server_keeps_the_contract() {
    provide_cryptography();
    let url = std::env::var_os("HOOKLOG_EVENTSTORE_URL").expect("HOOKLOG_EVENTSTORE_URL names a server");
    let url = with_a_quick_connect(url.to_str().unwrap());
    let run = uuid::Uuid::new_v4().simple().to_string();
    let count = AtomicUsize::new(0);
    contract::run_all(async |clock| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        let options = EventStoreOptions {
            url: url.clone().into(),
            // A prefix that no earlier run had: what is in an event store stays there.
            stream_prefix: format!("test_{}_{n}", &run[..16]),
            ..EventStoreOptions::default()
        };
        EventStoreLog::open(options, clock).await.unwrap() as Arc<dyn ContractLog>
    })
    .await;
    println!(
        "the contract holds: {} rules, each over a log of its own",
        count.into_inner()
    );
}
