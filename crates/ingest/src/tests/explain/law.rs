//! What is told is what receiving does: both are asked about the very same request.

use poem::http::HeaderValue;
use proptest::prelude::*;

use super::{NOW, now, signed};
use crate::tests::rig::{Delivery, Reply, Rig};
use crate::{CheckOutcome, Explanation, Question, SchemeKind, Secret, SourceOptions, WouldBe};

/// A scheme, the secret that is asked for, and another one of its form.
type Case = (SchemeKind, &'static str, &'static str);

const CASES: [Case; 9] = [
    (SchemeKind::Github, "one", "two"),
    (SchemeKind::Gitlab, "one", "two"),
    (
        SchemeKind::Gitlab,
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ),
    (SchemeKind::Linear, "one", "two"),
    (
        SchemeKind::Standard,
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ),
    (
        SchemeKind::Standard,
        "whsk_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
    ),
    (SchemeKind::Token, "one", "two"),
    (SchemeKind::Codegen, "one", "two"),
    (SchemeKind::Hmac, "one", "two"),
];

/// What is done to a request that is right.
#[derive(Debug, Clone)]
enum Change {
    Nothing,
    OtherSecret,
    Body(Vec<u8>),
    Drop(prop::sample::Index),
    Set(prop::sample::Index, String),
    Twice(prop::sample::Index),
    Late(i64),
    Connection(&'static str),
    Coded,
    Untyped,
    Unwanted,
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => Just(Change::Nothing),
        1 => Just(Change::OtherSecret),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Change::Body),
        2 => any::<prop::sample::Index>().prop_map(Change::Drop),
        3 => (any::<prop::sample::Index>(), "(sha256=|v1,|t=1,v1=)?[0-9a-f ]{0,70}").prop_map(|(at, to)| Change::Set(at, to)),
        1 => any::<prop::sample::Index>().prop_map(Change::Twice),
        2 => (-400_000i64..400_000).prop_map(Change::Late),
        1 => prop_oneof![Just("41"), Just("42")].prop_map(Change::Connection),
        1 => Just(Change::Coded),
        1 => Just(Change::Untyped),
        1 => Just(Change::Unwanted),
    ]
}

fn any_body() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{0,6}".prop_map(|text| format!(
            r#"{{"action":"{text}","type":"ping","object_kind":"ping","webhookTimestamp":{}}}"#, NOW.as_millis()
        )),
        1 => "[ -~]{0,20}",
        1 => Just("[]".to_owned()),
    ]
}

fn change(source: &mut SourceOptions, case: Case) {
    source.scheme = case.0;
    source.secrets = vec![Secret::new("right", case.1)];
    source.secrets.push(Secret {
        hook: Some("41".into()),
        ..Secret::new("bound", case.1)
    });
    if case.0 == SchemeKind::Hmac {
        source.proof.header = Some("x-signature".into());
        source.proof.signature_key = Some("v1".into());
        source.proof.timestamp_key = Some("t".into());
        source.facts.event_pointer = Some("/type".into());
    }
}

/// Both answers.
fn asked(case: Case, body: &str, done: Change) -> (Reply, Explanation) {
    let rig = Rig::with(|_, source| {
        change(source, case);
        if matches!(done, Change::Unwanted) {
            source.events = vec!["never".into()];
        }
    });
    let mut signer = SourceOptions::new("github".parse().unwrap(), Vec::new());
    change(&mut signer, case);
    if matches!(done, Change::OtherSecret) {
        signer.secrets = vec![Secret::new("x", case.2)];
    }
    let mut question = signed(&signer, "ping", body);
    let nth = |question: &Question, at: prop::sample::Index| {
        let names: Vec<_> = question.headers.keys().cloned().collect();
        names[at.index(names.len())].clone()
    };
    match done {
        Change::Nothing | Change::OtherSecret | Change::Unwanted => {}
        Change::Body(bytes) => question.body = bytes.into(),
        Change::Drop(at) => drop(question.headers.remove(nth(&question, at))),
        Change::Set(at, value) => {
            let name = nth(&question, at);
            question
                .headers
                .insert(name, HeaderValue::from_str(&value).unwrap());
        }
        Change::Twice(at) => {
            let name = nth(&question, at);
            let value = question.headers[&name].clone();
            question.headers.append(name, value);
        }
        Change::Late(millis) => rig.clock.advance_millis(millis),
        Change::Connection(name) => question.connection = Some(name.into()),
        Change::Coded => {
            question
                .headers
                .insert("content-encoding", HeaderValue::from_static("gzip"));
        }
        Change::Untyped => {
            question
                .headers
                .insert("content-type", HeaderValue::from_static("text/plain"));
        }
    }
    let path = match &question.connection {
        None => "/api/webhooks/github".to_owned(),
        Some(connection) => format!("/api/webhooks/github/{connection}"),
    };
    let delivery = Delivery {
        path,
        headers: question.headers.clone(),
        body: question.body.to_vec(),
        chunked: None,
    };
    now(async {
        let explanation = rig.ingest.explain(&question).await;
        assert!(rig.events().await.is_empty(), "asking leaves nothing in the log");
        (rig.send(delivery).await, explanation)
    })
}

proptest! {
    #[test]
    fn it_says_what_receiving_does(case in prop::sample::select(&CASES[..]), body in any_body(), done in any_change()) {
        let (reply, explanation) = asked(case, &body, done);
        let taken = reply.status == 200;
        prop_assert_eq!(explanation.verified, taken, "{:?} {:#?}", reply, explanation);
        let ignored = taken && reply.json["ignored"] == true;
        let expected = match (taken, ignored) {
            (false, _) => WouldBe::Rejected,
            (true, true) => WouldBe::Ignored,
            (true, false) => WouldBe::Accepted,
        };
        prop_assert_eq!(explanation.would_be, expected, "{:?} {:#?}", reply, explanation);
        let failed: Vec<_> = explanation.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed).collect();
        prop_assert_eq!(failed.len(), usize::from(!taken || ignored));
        if taken && !ignored {
            let data = reply.data();
            prop_assert_eq!(&data["event"], explanation.event.as_deref().unwrap());
            prop_assert_eq!(data["deliveryId"].as_str(), explanation.delivery_id.as_deref());
        }
    }
}
