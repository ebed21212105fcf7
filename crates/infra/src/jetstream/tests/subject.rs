//! Publishing to subjects that are not ours.

use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use domain::{PublishError, PublishToSubject};
use futures_util::StreamExt;

use super::super::{JetStream, Subjects};
use super::bound;
use super::server::{Server, until};

const SUBJECT: &str = "orders.received";

async fn listening(jetstream: &JetStream, subject: &'static str) -> async_nats::Subscriber {
    // Over the same connection as the publishing, so that the server hears of it first.
    jetstream.client.subscribe(subject).await.unwrap()
}

async fn publish(subjects: &Subjects, subject: &str, payload: &'static str) -> Result<(), PublishError> {
    subjects.publish(subject, Vec::new(), payload.into()).await
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[track_caller]
fn assert_refused(answer: &Result<(), PublishError>) {
    assert!(matches!(answer, Err(PublishError::Refused(_))), "{answer:?}");
}

#[track_caller]
fn assert_unavailable(answer: &Result<(), PublishError>, why: &str) {
    assert!(
        matches!(answer, Err(PublishError::Unavailable(text)) if text.contains(why)),
        "{answer:?}"
    );
}

async fn stream(jetstream: &JetStream, subjects: &[&str]) {
    let config = Config {
        name: "ORDERS".to_owned(),
        subjects: subjects.iter().map(|s| (*s).to_owned()).collect(),
        allow_rollup: true,
        ..Config::default()
    };
    jetstream.context.create_stream(config).await.unwrap();
}

async fn kept(jetstream: &JetStream) -> u64 {
    let mut stream = jetstream.context.get_stream("ORDERS").await.unwrap();
    stream.info().await.unwrap().state.messages
}

#[tokio::test]
async fn a_listener_gets_what_was_published_and_without_one_it_is_not() {
    let server = Server::start();
    let jetstream = server.connect().await;
    let subjects = Subjects::new(jetstream.clone());
    assert_unavailable(&publish(&subjects, SUBJECT, "lost").await, "nobody listens");
    let mut orders = listening(&jetstream, SUBJECT).await;
    let headers = vec![
        header("Idempotency-Key", "a.orders"),
        header("Content-Type", "application/json"),
        header("nats-rollup", "all"),
        header("Nats-Expected-Last-Sequence", "7"),
    ];
    let published = subjects.publish(SUBJECT, headers, Bytes::from_static(b"{\"a\":1}"));
    published.await.unwrap();
    let message = orders.next().await.unwrap();
    assert_eq!(message.payload, "{\"a\":1}");
    let headers = message.headers.unwrap();
    assert_eq!(headers.len(), 2, "what steers the server stays out: {headers:?}");
    assert_eq!(headers.get("Idempotency-Key").unwrap().as_str(), "a.orders");
    // Whoever listens may answer; that says no less.
    let answering = listening(&jetstream, "asked").await;
    let client = jetstream.client.clone();
    let answers = tokio::spawn(answering.take(1).for_each(move |message| {
        let client = client.clone();
        async move { client.publish(message.reply.unwrap(), "no".into()).await.unwrap() }
    }));
    publish(&subjects, "asked", "?").await.unwrap();
    answers.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_takes_the_subject_has_it_when_it_counts_as_published() {
    let server = Server::start();
    let jetstream = server.connect().await;
    stream(&jetstream, &["orders.>"]).await;
    let subjects = Subjects::new(jetstream.clone());
    for n in 1..=20 {
        publish(&subjects, SUBJECT, "{}").await.unwrap();
        assert_eq!(kept(&jetstream).await, n);
    }
    // A repeat that the stream recognises is there too.
    for _ in 0..2 {
        let headers = vec![header("Nats-Msg-Id", "once"), header("Nats-Rollup", "all")];
        subjects.publish(SUBJECT, headers, Bytes::new()).await.unwrap();
        assert_eq!(kept(&jetstream).await, 21, "kept once, and nothing was rolled up");
    }
    jetstream.context.delete_stream("ORDERS").await.unwrap();
    publish(&subjects, SUBJECT, "{}").await.unwrap_err();
    assert_unavailable(&publish(&subjects, SUBJECT, "{}").await, "nobody listens");
}

#[tokio::test]
async fn nothing_goes_to_subjects_of_our_own_stream_while_it_is_not_there() {
    let server = Server::start();
    let jetstream = server.connect().await;
    let subjects = Subjects::new(jetstream.clone());
    let _live = listening(&jetstream, "hooklog.>").await;
    for ours in [
        "hooklog.v1.default.github.push._.o.r",
        "hooklog.log.v1.x",
        "hooklog",
    ] {
        assert_refused(&publish(&subjects, ours, "{}").await);
    }
    let _others = listening(&jetstream, "hooklogs.v1").await;
    publish(&subjects, "hooklogs.v1", "{}").await.unwrap();
}

#[tokio::test]
async fn what_can_never_be_published_is_refused() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    let subjects = Subjects::new(jetstream.clone());
    let _everything = listening(&jetstream, ">").await;
    let ours = "hooklog.v1.default.github.push._.o.r";
    for subject in [
        "",
        "a..b",
        "a.*",
        "a.>",
        "a b",
        "a\r\nb",
        "$JS.API.STREAM.DELETE.HOOKLOG",
        ours,
    ] {
        assert_refused(&publish(&subjects, subject, "{}").await);
    }
    let split = vec![header("X-A", "b\r\nPUB c 1")];
    assert_refused(&subjects.publish(SUBJECT, split, Bytes::new()).await);
    let nameless = vec![header("", "b")];
    assert_refused(&subjects.publish(SUBJECT, nameless, Bytes::new()).await);
    let large = Bytes::from(vec![b'x'; 2 * 1024 * 1024]);
    assert_refused(&subjects.publish(SUBJECT, Vec::new(), large.clone()).await);
    stream(&jetstream, &["large"]).await;
    assert_refused(&subjects.publish("large", Vec::new(), large).await);
    assert_eq!(kept(&jetstream).await, 0);
}

#[tokio::test]
async fn an_absent_server_is_unavailable_at_once_and_used_when_it_is_back() {
    let mut server = Server::start();
    let jetstream = server.connect().await;
    let subjects = Subjects::new(jetstream.clone());
    let mut orders = listening(&jetstream, SUBJECT).await;
    publish(&subjects, SUBJECT, "1").await.unwrap();
    server.kill();
    until("gone", async || (!jetstream.is_connected()).then_some(())).await;
    assert_unavailable(&publish(&subjects, SUBJECT, "2").await, "not connected");
    server.restart();
    until("published again", async || {
        publish(&subjects, SUBJECT, "3").await.ok()
    })
    .await;
    let mut got = Vec::new();
    while got.last().is_none_or(|last| *last != "3") {
        got.push(orders.next().await.unwrap().payload);
    }
    assert!(!got.iter().any(|payload| *payload == "2"), "{got:?}");
}
