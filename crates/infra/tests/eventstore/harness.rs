//! A server and logs over it.

use std::sync::Arc;
use std::time::Duration;

use domain::testing::{ManualClock, TestDelivery};
use domain::{Appended, EventLog as _, PageLimit, Position, RecordedEvent, Timestamp};
use eventstore_sim::{Node, NodeOptions, Store};
use infra::eventstore::{EventStoreLog, EventStoreOptions};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server, and the clock of those who use it.
pub(crate) struct Server {
    pub(crate) store: Arc<Store>,
    pub(crate) node: Node,
    pub(crate) clock: Arc<ManualClock>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::over(Arc::default(), NodeOptions::default()).await
    }

    pub(crate) async fn over(store: Arc<Store>, options: NodeOptions) -> Self {
        provide_cryptography();
        let node = Node::start(Arc::clone(&store), options).await.unwrap();
        Self {
            store,
            node,
            clock: Arc::new(ManualClock::at(start())),
        }
    }

    /// A log over it; each is as that of a process of its own.
    pub(crate) async fn log(&self) -> Arc<EventStoreLog> {
        self.log_with(options(&self.node.url())).await
    }

    pub(crate) async fn log_with(&self, options: EventStoreOptions) -> Arc<EventStoreLog> {
        EventStoreLog::open(options, Arc::clone(&self.clock) as _)
            .await
            .unwrap()
    }
}

pub(crate) fn start() -> Timestamp {
    Timestamp::from_millis(1_763_766_000_000)
}

/// As the program does at its start.
pub(crate) fn provide_cryptography() {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
}

/// Settings that lose no time.
pub(crate) fn options(url: &str) -> EventStoreOptions {
    EventStoreOptions {
        url: with_a_quick_connect(url).into(),
        write_timeout_ms: 500,
        retry_ms_max: 200,
        claim_wait_ms: 200,
        ..EventStoreOptions::default()
    }
}

/// The client waits half a second before its first connect unless it is told otherwise.
pub(crate) fn with_a_quick_connect(url: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}discoveryInterval=10")
}

pub(crate) async fn receive(log: &EventStoreLog, delivery: &TestDelivery) -> Appended {
    log.append(delivery.append()).await.unwrap()
}

pub(crate) async fn all(log: &EventStoreLog) -> Vec<RecordedEvent> {
    let page = log.read_all(Position::START, PageLimit::default()).await.unwrap();
    page.events
}

/// A delivery that differs from all others, but is of the same content when it is asked to.
pub(crate) fn delivery(body: &str) -> TestDelivery {
    TestDelivery::new("push", body.to_owned())
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let reached = tokio::time::timeout(DEADLINE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(reached.await.is_ok(), "{what} did not come about in time");
}
