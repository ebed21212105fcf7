//! The log on a cluster, and a log that is moved there and back.
//!
//! The server is the one of the adapter's tests, which speaks the protocol; it is no part of what is tested here.

use std::sync::Arc;
use std::time::Duration;

use eventstore_sim::{Node, NodeOptions, Store};

use crate::harness::{Launch, Signed, Tools, eventually, knob};
use crate::reconcile::{Sent, dump, reconcile, same_answers_as_the_fold};

const SOON: Duration = Duration::from_secs(60);

/// A server that speaks the protocol, and what it holds.
struct Cluster {
    node: Node,
    store: Arc<Store>,
    bodies: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let store = Arc::new(Store::default());
        let node = Node::start(Arc::clone(&store), NodeOptions::default()).await;
        Self {
            node: node.expect("a server"),
            store,
            bodies: tempfile::tempdir().unwrap(),
        }
    }

    /// The settings of a log on it, long bodies in a folder that could be shared.
    fn settings(&self, launch: Launch) -> Launch {
        let bodies = format!("file://{}", self.bodies.path().display());
        launch
            .env("HOOKLOG_LOG__BACKEND", "eventstore")
            .env("HOOKLOG_EVENTSTORE_URL", &self.node.url())
            .env("HOOKLOG_BODIES__URL", &bodies)
    }
}

/// Longer than an event may be.
fn long() -> Signed {
    let filler = "x".repeat(700 * 1024);
    let body = format!(
        r#"{{"ref":"refs/heads/main","filler":"{filler}","repository":{{"full_name":"octo-org/long"}}}}"#
    );
    Signed::new("push", "long-1", body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_on_a_cluster_serves_as_one_in_the_data_directory() {
    let (tools, cluster) = (Tools::ready(), Cluster::start().await);
    let folder = tempfile::tempdir().unwrap();
    let launch = cluster.settings(Launch::in_folder(folder.path()));
    let server = launch.start().await;
    let mut sent = Vec::new();
    for delivery in Signed::many(&tools, 60, "cluster").into_iter().chain([long()]) {
        let answer = server.send(&delivery).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        sent.push(Sent::new(delivery, answer.position()));
    }
    assert!(server.send(&sent[3].delivery).await.is_duplicate());
    server.caught_up().await;
    reconcile(&server, &tools, &sent);
    same_answers_as_the_fold(&server, &tools, &sent);
    let (status, body) = server.fetch("/api/webhooks/events/long-1/body").await;
    assert_eq!(status, 200);
    let long = &sent.last().unwrap().delivery;
    assert!(body == long.body.as_bytes(), "the long body, byte for byte");
    let segments = std::fs::read_dir(folder.path().join("data/log"));
    assert!(
        segments.is_ok_and(|files| files.count() == 0),
        "nothing of the log is here"
    );

    // All that was here may go: log and bodies are elsewhere, the rest is made anew.
    server.kill().await;
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    let server = launch.start().await;
    assert!(server.send(long).await.is_duplicate());
    server.caught_up().await;
    reconcile(&server, &tools, &sent);
    same_answers_as_the_fold(&server, &tools, &sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_cluster_is_away_deliveries_are_refused_and_taken_again_when_it_is_back() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let launch = cluster.settings(Launch::in_folder(folder.path()));
    let launch = launch.env("HOOKLOG_LOG__EVENTSTORE__APPEND_TIMEOUT_MS", "1500");
    let server = launch.start().await;
    assert_eq!(
        server.send(&Signed::new("push", "before", "{}")).await.status,
        200
    );
    cluster.node.stop();
    let meanwhile = Signed::new("push", "meanwhile", r#"{"n":2}"#);
    assert_eq!(server.send(&meanwhile).await.status, 503);
    cluster.node.restart().await.expect("the server is back");
    eventually("a delivery is taken again", SOON, || async {
        match server.send(&meanwhile).await.status {
            200 => Ok(()),
            status => Err(format!("answered {status}")),
        }
    })
    .await;
    server.caught_up().await;
    let events = dump(server.launch());
    assert_eq!(events.iter().filter(|event| event.is_receipt()).count(), 2);
}

/// What a move told.
struct Moved {
    events: u64,
    found: u64,
    sha256: String,
}

/// Moves a log.
fn moved(launch: &Launch, from: &str, to: &str) -> Moved {
    let data = launch.data().display().to_string();
    let done = launch.run(&["log", "migrate", "--data-dir", &data, "--from", from, "--to", to]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout).unwrap();
    let word = |name: &str, n: usize| {
        let line = said.lines().find(|line| line.starts_with(name));
        let words = line.unwrap_or_else(|| panic!("{said}")).split([' ', ',']);
        words.filter(|word| !word.is_empty()).nth(n).unwrap().to_owned()
    };
    Moved {
        events: word("events", 1).parse().unwrap(),
        found: word("events", 4).parse().unwrap(),
        sha256: word("sha256", 1),
    }
}

/// Begins to move a log, and kills the command once the cluster has some of it.
async fn moved_half_way(launch: &Launch, cluster: &Cluster, deliveries: usize) {
    let data = launch.data().display().to_string();
    let moving = launch.begin(&[
        "log",
        "migrate",
        "--data-dir",
        &data,
        "--from",
        "embedded",
        "--to",
        "eventstore",
    ]);
    eventually("some of the log is there", SOON, || async {
        match cluster.store.count("hooklog.delivery-") {
            there if there >= deliveries => Ok(()),
            there => Err(format!("{there} are there")),
        }
    })
    .await;
    drop(moving);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_moved_to_a_cluster_and_back_also_when_the_move_was_killed() {
    let (tools, cluster) = (Tools::ready(), Cluster::start().await);
    let (folder, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let count = knob("HOOKLOG_MOVED_DELIVERIES", 300);
    let here = Launch::in_folder(folder.path());
    let server = here.start().await;
    let mut sent = Vec::new();
    for delivery in Signed::many(&tools, count, "moved").into_iter().chain([long()]) {
        let answer = server.send(&delivery).await;
        sent.push(Sent::new(delivery, answer.position()));
    }
    server.caught_up().await;
    server.stop().await;

    let there = cluster.settings(here.clone());
    moved_half_way(&there, &cluster, count / 3).await;
    let first = moved(&there, "embedded", "eventstore");
    assert!(
        first.found > 0 && first.found < first.events,
        "{} of {}",
        first.found,
        first.events
    );
    let other = Launch::in_folder(back.path());
    let second = moved(&cluster.settings(other.clone()), "eventstore", "embedded");
    assert_eq!((second.events, second.sha256), (first.events, first.sha256));

    // Served from the cluster in the data directory of before: what was made there for the other log is made anew. And from
    // the log that came back.
    for launch in [&there, &other] {
        let server = launch.start().await;
        server.caught_up().await;
        same_answers_as_the_fold(&server, &tools, &sent);
        assert!(server.send(&sent[0].delivery).await.is_duplicate());
        let (status, body) = server.fetch("/api/webhooks/events/long-1/body").await;
        assert!(
            status == 200 && body == sent[count].delivery.body.as_bytes(),
            "the long body moved with its log"
        );
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_on_a_cluster_lacks_is_said_and_never_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let launch = |variables: &[(&str, &str)]| {
        let launch = Launch::in_folder(folder.path()).env("HOOKLOG_LOG__BACKEND", "eventstore");
        variables
            .iter()
            .fold(launch, |launch, (name, value)| launch.env(name, value))
    };
    let (url, bodies) = (
        "HOOKLOG_EVENTSTORE_URL",
        ("HOOKLOG_BODIES__URL", "file:///nowhere"),
    );
    let soon = ("HOOKLOG_LOG__EVENTSTORE__CONNECT_TIMEOUT_MS", "300");
    for (launch, word) in [
        (launch(&[]), url),
        (launch(&[(url, "esdb://127.0.0.1:9")]), "bodies.url"),
        (
            launch(&[(url, "nonsense with a pass-word"), bodies]),
            "connection string",
        ),
        (
            launch(&[(url, "esdb://user:pass-word@127.0.0.1:9?tls=false"), bodies, soon]),
            "could not be reached",
        ),
    ] {
        let (status, said) = launch.refusal().await;
        assert_eq!(status, Some(1), "{said}");
        assert!(
            said.contains(word) && !said.contains("pass-word"),
            "{word}: {said}"
        );
    }
}
