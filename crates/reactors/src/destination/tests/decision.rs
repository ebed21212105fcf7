//! What is sent at all, and in which order: conditions, transformations, priorities.

use bytes::Bytes;
use domain::{ErrorCode, EventData};

use super::rig::{Rig, bare, delivered, dispatch, failed};
use super::server::{Answer, Server};
use crate::{DestinationOptions, Dispatch, Priority, Sent};

fn subject(options: impl FnOnce(&mut DestinationOptions)) -> Rig {
    let mut bare = bare();
    bare.subject = Some("ci.builds".into());
    options(&mut bare);
    Rig::of(bare)
}

fn conditional(condition: &str) -> Rig {
    subject(|options| options.condition = Some(condition.into()))
}

fn transforming(program: &str) -> Rig {
    subject(|options| options.transform = Some(program.into()))
}

#[tokio::test]
async fn only_what_a_condition_holds_for_is_sent() {
    let rig = conditional("body.ref == 'refs/heads/main' && headers['x-github-event'] == 'push'");
    delivered(rig.send(&dispatch(r#"{"ref":"refs/heads/main"}"#)).await);
    for body in [r#"{"ref":"refs/heads/dev"}"#, "{}", "null", "no json", ""] {
        let sent = rig.send(&dispatch(body)).await;
        assert_eq!(
            sent,
            Sent::Skipped("the condition does not hold".into()),
            "{body}"
        );
    }
    assert_eq!(rig.subjects.published.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_form_is_looked_into_too() {
    let rig = conditional("body.a == 1");
    let mut attempt = dispatch("payload=%7B%22a%22%3A1%7D");
    let mut received = (*attempt.received).clone();
    received.headers[0].1 = "application/x-www-form-urlencoded".into();
    attempt.received = std::sync::Arc::new(received);
    delivered(rig.send(&attempt).await);
}

#[tokio::test]
async fn a_condition_that_gives_no_answer_fails_instead_of_dropping_the_delivery() {
    for (condition, why) in [
        ("body.a", "not true or false"),
        ("body.a + 1 > 2", "add does not work"),
        ("'1'", "not true or false"),
    ] {
        let failure = failed(conditional(condition).send(&dispatch(r#"{"a":"text"}"#)).await);
        assert_eq!(failure.code, ErrorCode::ValidationError);
        assert!(failure.message.contains(why), "{condition}: {failure:?}");
    }
}

#[tokio::test]
async fn a_body_too_large_to_look_into_fails_and_one_nobody_looks_into_does_not() {
    let large = Bytes::from(vec![b' '; 3000]);
    for mut rig in [conditional("has(body.a)"), transforming(".a")] {
        rig.reactors.json_bytes_max = 2999;
        let failure = failed(rig.send(&dispatch(large.clone())).await);
        assert_eq!(failure.code, ErrorCode::ValidationError);
        assert!(failure.message.contains("json_bytes_max = 2999"), "{failure:?}");
    }
    let mut rig = conditional("event == 'push'");
    rig.reactors.json_bytes_max = 2999;
    delivered(rig.send(&dispatch(large)).await);
}

#[tokio::test]
async fn a_large_body_is_looked_into_and_hostile_ones_do_no_harm() {
    let rig = conditional("body.all(n, n < 10)");
    let many = format!("[{}1]", "1,".repeat(100_000));
    delivered(rig.send(&dispatch(many)).await);
    let deep = "[".repeat(1_000_000);
    let sent = rig.send(&dispatch(deep)).await;
    assert!(!matches!(sent, Sent::Delivered { .. }), "{sent:?}");
}

#[tokio::test]
async fn an_evaluation_that_takes_too_long_fails() {
    let mut rig = conditional("body.all(a, body.all(b, body.all(c, a + b + c > 0)))");
    rig.reactors.expression_timeout_ms = 50;
    let many = format!("[{}1]", "1,".repeat(20_000));
    let failure = failed(rig.send(&dispatch(many)).await);
    assert!(failure.message.contains("longer than 50 ms"), "{failure:?}");
    assert!(!failure.retryable);
}

#[tokio::test]
async fn a_transformation_makes_the_body_or_leaves_nothing_to_send() {
    let server = Server::answering(&[Answer::status("200 OK")]).await;
    let mut rig = Rig::at(server.url("/"));
    rig.options.transform = Some("select(.ok) | {text: .name}".into());
    delivered(rig.send(&dispatch(r#"{"ok":true,"name":"x"}"#)).await);
    let seen = &server.seen()[0];
    assert_eq!(seen.body, br#"{"text":"x"}"#);
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("content-length"), Some("12"));
    let nothing = rig.send(&dispatch(r#"{"ok":false}"#)).await;
    assert_eq!(nothing, Sent::Skipped("the transformation gave nothing".into()));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_transformation_that_fails_fails_the_attempt() {
    for (program, body, why) in [
        (".a.b", r#"{"a":1}"#, "cannot index"),
        (".", "no json", "is no JSON"),
        ("def f: f; f", "{}", "longer than 500 ms"),
        ("[range(1000)]", "{}", "more than 1000 bytes"),
    ] {
        let mut rig = transforming(program);
        rig.reactors.expression_timeout_ms = 500;
        rig.reactors.transform_bytes_max = 1000;
        let failure = failed(rig.send(&dispatch(body)).await);
        assert_eq!(failure.code, ErrorCode::ValidationError);
        assert!(failure.message.contains(why), "{program}: {failure:?}");
    }
}

fn priority(expression: &str, attempt: &Dispatch) -> i64 {
    let rig = subject(|options| options.priority = Some(Priority::Expression(expression.into())));
    rig.target().priority(&attempt.received, &attempt.data)
}

#[tokio::test]
async fn priorities_are_numbers_or_follow_from_the_delivery() {
    let attempt = dispatch(r#"{"labels":["production"],"weight":2.9,"none":null}"#);
    let fixed = subject(|options| options.priority = Some(Priority::Number(7)));
    assert_eq!(fixed.target().priority(&attempt.received, &attempt.data), 7);
    assert_eq!(
        subject(|_| {})
            .target()
            .priority(&attempt.received, &attempt.data),
        0
    );
    for (expression, expected) in [
        ("body.labels.exists(l, l == 'production') ? 100 : 0", 100),
        ("event == 'push' ? -5 : 5", -5),
        ("body.weight", 2),
        ("event == 'push'", 1),
        ("body.missing", 0),
        ("'text'", 0),
        ("body.none + 1", 0),
        ("1.0 / 0.0", i64::MAX),
        ("9223372036854775807 + 1", 0),
    ] {
        assert_eq!(priority(expression, &attempt), expected, "{expression}");
    }
}

#[tokio::test]
async fn a_priority_does_not_wait_for_a_body_in_the_store_nor_for_ever() {
    let mut attempt = dispatch("");
    let rig = subject(|_| {});
    attempt.data = EventData::Stored(rig.bodies.put(Bytes::from_static(b"{\"a\":1}")));
    assert_eq!(priority("body == null ? 3 : 4", &attempt), 3);
    attempt.data = EventData::Inline(format!("[{}1]", "1,".repeat(20_000)).into());
    let begun = std::time::Instant::now();
    let endless = priority(
        "body.all(a, body.all(b, body.all(c, a + b + c > 0))) ? 1 : 2",
        &attempt,
    );
    assert_eq!(endless, 0);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}

#[tokio::test]
async fn an_evaluation_that_takes_long_holds_up_nobody_else() {
    let mut rig = conditional("body.all(a, body.all(b, body.all(c, a + b + c > 0)))");
    rig.reactors.expression_timeout_ms = 1000;
    let target = rig.target();
    let attempt = dispatch(format!("[{}1]", "1,".repeat(5000)));
    tokio::select! {
        biased;
        sent = target.send(&attempt) => panic!("the thread was held for a whole evaluation: {sent:?}"),
        () = tokio::time::sleep(std::time::Duration::from_millis(10)) => {}
    }
}
