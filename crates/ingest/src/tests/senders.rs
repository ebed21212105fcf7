//! Each kind of sender through the whole of receiving: what it is answered, what is kept of it, and when its time is over.

use domain::{Clock as _, Proof, Timestamp};
use poem::http::HeaderMap;

use super::rig::{Delivery, Reply, Rig};
use crate::signature::{ToSign, scheme};
use crate::{IngestOptions, SchemeKind, Secret, SourceOptions};

const SIGNING: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";

/// A source named `sender` of a scheme, and its sender.
struct Sender {
    rig: Rig,
    source: SourceOptions,
}

impl Sender {
    fn new(kind: SchemeKind, secret: &str) -> Self {
        Self::with(kind, secret, |_, _| {})
    }

    fn with(kind: SchemeKind, secret: &str, change: impl Fn(&mut IngestOptions, &mut SourceOptions)) -> Self {
        let mut source = SourceOptions {
            scheme: kind,
            ..SourceOptions::new("sender".parse().unwrap(), vec![Secret::new("the-one", secret)])
        };
        change(&mut IngestOptions::default(), &mut source);
        let rig = Rig::with(|options, configured| {
            change(options, configured);
            *configured = source.clone();
        });
        Self { rig, source }
    }

    fn now(&self) -> Timestamp {
        self.rig.clock.now()
    }

    /// Signed with the source's own secret, as its sender would.
    fn signed(&self, id: &str, body: &str) -> Delivery {
        self.signed_at(self.now(), id, body)
    }

    fn signed_at(&self, now: Timestamp, id: &str, body: &str) -> Delivery {
        let to_sign = ToSign {
            event: "Ping Hook",
            delivery_id: id,
            body: body.as_bytes(),
            now,
        };
        let scheme = scheme(&self.source, &IngestOptions::default()).unwrap();
        Delivery {
            path: "/api/webhooks/sender".into(),
            headers: scheme.sign(&to_sign, self.source.secrets.first()).unwrap(),
            body: body.into(),
            chunked: None,
        }
    }

    async fn send(&self, delivery: Delivery) -> Reply {
        self.rig.send(delivery).await
    }
}

fn issue(at: Timestamp) -> String {
    let time = at.as_millis();
    format!(
        r#"{{"action":"update","type":"Issue","data":{{"id":"i-7"}},"actor":{{"name":"Ada"}},"webhookTimestamp":{time}}}"#
    )
}

#[tokio::test]
async fn a_delivery_of_linear_is_kept_with_its_facts_and_answered_200() {
    let linear = Sender::new(SchemeKind::Linear, "lin_wh_x");
    let reply = linear.send(linear.signed("d-1", &issue(linear.now()))).await;
    let data = reply.data();
    assert_eq!(
        (&data["id"], &data["event"], &data["action"]),
        (&"sender._.d-1".into(), &"Issue".into(), &"update".into())
    );
    let (_, kept) = linear.rig.only().await;
    assert_eq!(
        (kept.scheme.as_str(), kept.sender.as_deref()),
        ("linear", Some("Ada"))
    );
    let entity = kept.entity.unwrap();
    assert_eq!((entity.kind.as_str(), entity.id.as_str()), ("Issue", "i-7"));
    let again = linear.send(linear.signed("d-1", &issue(linear.now()))).await;
    assert_eq!(
        (again.status.as_u16(), &again.data()["duplicate"]),
        (200, &true.into())
    );
}

#[tokio::test]
async fn a_retry_of_linear_six_hours_late_is_taken_with_a_new_time_and_refused_with_the_old_one() {
    let linear = Sender::new(SchemeKind::Linear, "lin_wh_x");
    let body = issue(linear.now());
    linear.rig.clock.advance_millis(6 * 3_600_000);
    let old = linear.send(linear.signed("d-1", &body)).await;
    old.assert(401, "SIGNATURE_INVALID");
    let forged = linear
        .send(linear.signed("d-1", &body).with("linear-signature", "00"))
        .await;
    assert_eq!(
        old.json["error"]["message"], forged.json["error"]["message"],
        "nobody outside learns that it was right once"
    );
    assert!(linear.rig.events().await.is_empty());
    let new = linear.send(linear.signed("d-1", &issue(linear.now()))).await;
    assert_eq!(new.data()["duplicate"], false);
    // The tolerance is a setting: of the source, else of all.
    for change in [
        |_: &mut IngestOptions, source: &mut SourceOptions| source.tolerance_ms = Some(7 * 3_600_000),
        |_: &mut IngestOptions, source: &mut SourceOptions| source.tolerance_ms = Some(0),
    ] {
        let patient = Sender::with(SchemeKind::Linear, "lin_wh_x", change);
        patient.rig.clock.advance_millis(6 * 3_600_000);
        assert_eq!(
            patient.send(patient.signed("d-1", &body)).await.status.as_u16(),
            200
        );
    }
    let all = Sender::with(SchemeKind::Linear, "lin_wh_x", |options, _| {
        options.tolerance_ms = Some(7 * 3_600_000);
    });
    all.rig.clock.advance_millis(6 * 3_600_000);
    assert_eq!(all.send(all.signed("d-1", &body)).await.status.as_u16(), 200);
}

#[tokio::test]
async fn what_linear_sends_without_a_time_or_as_no_object_is_refused() {
    let linear = Sender::new(SchemeKind::Linear, "lin_wh_x");
    for (body, status, code) in [
        (r#"{"type":"Issue"}"#, 401, "SIGNATURE_INVALID"),
        (
            r#"{"webhookTimestamp":"1763766000000"}"#,
            401,
            "SIGNATURE_INVALID",
        ),
        ("[]", 400, "BODY_NOT_JSON_OBJECT"),
        ("", 400, "BODY_NOT_JSON_OBJECT"),
    ] {
        linear.send(linear.signed("d", body)).await.assert(status, code);
    }
    // The proof comes first: whoever can't sign learns nothing about the body.
    let forged = linear.signed("d", "[]").with("linear-signature", "00");
    linear.send(forged).await.assert(401, "SIGNATURE_INVALID");
    let text = linear.signed("d", "{}").with("content-type", "text/plain");
    linear.send(text).await.assert(415, "CONTENT_TYPE_UNSUPPORTED");
}

#[tokio::test]
async fn only_true_copies_of_a_standard_webhook_are_taken_and_only_for_a_while() {
    for secret in [SIGNING, "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="] {
        let sender = Sender::new(SchemeKind::Standard, secret);
        let body = r#"{"type":"invoice.paid","data":{}}"#;
        let sent = sender.signed("msg_1", body);
        let reply = sender.send(sent.clone()).await;
        assert_eq!(reply.data()["event"], "invoice.paid");
        assert_eq!(reply.data()["id"], "sender._.msg_1");
        let again = sender.send(sent.clone().in_pieces(3)).await;
        assert_eq!(again.data()["duplicate"], true);
        let other = sent.clone().with("webhook-id", "msg_2");
        sender.send(other).await.assert(401, "SIGNATURE_INVALID");
        sender.rig.clock.advance_millis(300_999);
        assert_eq!(sender.send(sent.clone()).await.status.as_u16(), 200);
        sender.rig.clock.advance_millis(1);
        sender.send(sent).await.assert(401, "SIGNATURE_INVALID");
        let ahead = sender.signed_at(sender.now().plus_millis(301_000), "msg_3", body);
        sender.send(ahead).await.assert(401, "SIGNATURE_INVALID");
        assert_eq!(sender.rig.events().await.len(), 1);
    }
}

#[tokio::test]
async fn the_names_of_svix_are_taken_too() {
    let sender = Sender::new(SchemeKind::Standard, SIGNING);
    let sent = sender.signed("msg_1", "{}");
    let mut headers = HeaderMap::new();
    for (name, value) in &sent.headers {
        let name = name.as_str().replace("webhook-", "svix-");
        headers.insert(
            poem::http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.clone(),
        );
    }
    let reply = sender.send(Delivery { headers, ..sent }).await;
    assert_eq!(reply.data()["deliveryId"], "msg_1");
}

#[tokio::test]
async fn any_body_is_kept_where_the_scheme_asks_for_no_json() {
    for (kind, secret) in [
        (SchemeKind::Standard, SIGNING),
        (SchemeKind::Gitlab, "token"),
        (SchemeKind::Gitlab, SIGNING),
    ] {
        let sender = Sender::new(kind, secret);
        let event = if kind == SchemeKind::Gitlab {
            "Ping Hook"
        } else {
            "unknown"
        };
        for (n, body) in [
            "",
            "[1]",
            "no JSON",
            "<a/>",
            "{\"type\":7}",
            "{\"object_kind\":[]}",
        ]
        .into_iter()
        .enumerate()
        {
            let sent = sender.signed(&n.to_string(), body);
            let sent = if n == 3 {
                sent.with("content-type", "text/xml")
            } else {
                sent
            };
            let reply = sender.send(sent).await;
            assert_eq!(reply.data()["event"], event, "{body}");
        }
        assert_eq!(sender.rig.events().await.len(), 6);
    }
}

#[tokio::test]
async fn a_delivery_of_gitlab_is_kept_with_its_facts_and_without_its_token() {
    let gitlab = Sender::new(SchemeKind::Gitlab, "the plain token");
    let body = r#"{"object_kind":"merge_request","event_type":"x","user":{"username":"ada"},"project":{"path_with_namespace":"Group/Sub/Project"},"object_attributes":{"id":93,"iid":16,"action":"open"}}"#;
    let reply = gitlab.send(gitlab.signed("key-1", body)).await;
    let data = reply.data();
    assert_eq!(data["id"], "sender._.key-1");
    assert_eq!(
        (&data["event"], &data["action"], &data["repository"]),
        (
            &"merge_request".into(),
            &"open".into(),
            &"Group/Sub/Project".into()
        )
    );
    let (event, kept) = gitlab.rig.only().await;
    assert_eq!(kept.entity.unwrap().id, "93");
    assert_eq!(kept.sender.as_deref(), Some("ada"));
    let secret_id = "the-one".to_owned();
    assert_eq!(kept.proof, Proof::Verified { secret_id });
    assert!(!String::from_utf8_lossy(&event.metadata).contains("plain token"));
    let wrong = gitlab
        .signed("key-2", body)
        .with("x-gitlab-token", "the plain tokem");
    gitlab.send(wrong).await.assert(401, "SIGNATURE_INVALID");
    let none = gitlab.signed("key-2", body).without("x-gitlab-token");
    gitlab.send(none).await.assert(401, "SIGNATURE_INVALID");
}

#[tokio::test]
async fn what_happened_to_a_job_a_pipeline_or_a_deployment_of_gitlab_is_its_status() {
    let gitlab = Sender::new(SchemeKind::Gitlab, "token");
    let said = [
        (
            r#"{"object_kind":"build","build_id":7,"build_status":"failed"}"#,
            "build",
            "failed",
        ),
        (
            r#"{"object_kind":"pipeline","object_attributes":{"id":7,"status":"success"}}"#,
            "pipeline",
            "success",
        ),
        (
            r#"{"object_kind":"deployment","deployment_id":7,"status":"running"}"#,
            "deployment",
            "running",
        ),
        (
            r#"{"object_kind":"issue","object_attributes":{"id":7,"status":"x","action":"close"}}"#,
            "issue",
            "close",
        ),
    ];
    for (n, (body, event, action)) in said.into_iter().enumerate() {
        let reply = gitlab.send(gitlab.signed(&n.to_string(), body)).await;
        let data = reply.data();
        assert_eq!(
            (&data["event"], &data["action"]),
            (&event.into(), &action.into()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn what_gitlab_sends_without_an_id_is_kept_each_time() {
    let gitlab = Sender::new(SchemeKind::Gitlab, "token");
    let sent = gitlab
        .signed("x", r#"{"object_kind":"push"}"#)
        .without("idempotency-key");
    let sent = sent
        .with("x-gitlab-event-uuid", "the same")
        .with("x-gitlab-webhook-uuid", "the same");
    let positions = [gitlab.send(sent.clone()).await, gitlab.send(sent).await];
    let positions = positions.map(|reply| reply.data()["position"].as_u64().unwrap());
    assert_eq!(positions, [1, 2]);
}

#[tokio::test]
async fn gitlab_hears_200_about_an_event_that_is_not_wanted() {
    let gitlab = Sender::with(SchemeKind::Gitlab, "token", |_, source| {
        source.events = vec!["push".into()];
    });
    for body in [
        r#"{"object_kind":"note"}"#,
        r#"{"event_name":"user_create"}"#,
        "",
        "garbage",
    ] {
        let reply = gitlab.send(gitlab.signed("k", body)).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json["ignored"]),
            (200, &true.into()),
            "{body}"
        );
    }
    assert!(gitlab.rig.events().await.is_empty());
}

#[tokio::test]
async fn a_signing_token_of_gitlab_has_its_time_and_a_plain_one_has_none() {
    let signing = Sender::new(SchemeKind::Gitlab, SIGNING);
    let sent = signing.signed("k", "{}");
    signing.rig.clock.advance_millis(301_000);
    signing.send(sent).await.assert(401, "SIGNATURE_INVALID");
    let plain = Sender::new(SchemeKind::Gitlab, "token");
    let sent = plain.signed("k", "{}").with("webhook-timestamp", "1");
    assert_eq!(plain.send(sent).await.status.as_u16(), 200);
}

#[tokio::test]
async fn without_proof_the_headers_and_the_identity_stay_and_no_time_is_asked_for() {
    for kind in [SchemeKind::Standard, SchemeKind::Linear, SchemeKind::Gitlab] {
        let secret = if kind == SchemeKind::Standard {
            SIGNING
        } else {
            "s"
        };
        let sender = Sender::with(kind, secret, |_, source| source.verify = false);
        let long_ago = Timestamp::from_millis(1000);
        let sent = sender.signed_at(long_ago, "id-1", &issue(long_ago));
        // Without an address it is no true loopback client, and without proof only those are let in.
        let foreign = sender.send(sent.with("host", "localhost:3000")).await;
        foreign.assert(401, "SIGNATURE_INVALID");
        let delivery = crate::SyntheticDelivery {
            body: Some(issue(long_ago).into()),
            ..crate::SyntheticDelivery::example("ping", "a/b", None)
        };
        let answer = sender.rig.ingest.receive_synthetic(delivery).await;
        assert_eq!(answer.status.as_u16(), 200, "{kind:?}");
        let (_, kept) = sender.rig.only().await;
        assert_eq!(kept.proof, Proof::Unverified);
        assert!(kept.delivery_id.is_some());
    }
}

#[tokio::test]
async fn a_synthetic_delivery_passes_the_checks_of_every_scheme() {
    let named = |source: &mut SourceOptions| {
        source.proof.header = Some("X-Signature".into());
        source.facts.event_pointer = Some("/meta/event".into());
        source.facts.repository_pointer = Some("/meta/repo~1name".into());
        source.facts.id_header = Some("X-Id".into());
    };
    for kind in [
        SchemeKind::Github,
        SchemeKind::Gitlab,
        SchemeKind::Linear,
        SchemeKind::Standard,
        SchemeKind::Hmac,
        SchemeKind::Token,
        SchemeKind::Codegen,
        SchemeKind::ClaudeCode,
    ] {
        let sender = Sender::with(kind, SIGNING, |_, source| {
            if matches!(kind, SchemeKind::Hmac | SchemeKind::Token) {
                named(source);
            }
        });
        for _ in 0..2 {
            let delivery = crate::SyntheticDelivery::example("ping", "a/b", Some("create"));
            let answer = sender.rig.ingest.receive_synthetic(delivery).await;
            let json: serde_json::Value = serde_json::from_slice(&answer.json).unwrap();
            assert_eq!(answer.status.as_u16(), 200, "{kind:?}: {json}");
            let data = &json["data"];
            assert_eq!(data["event"], "ping", "{kind:?}");
            assert_eq!(data["duplicate"], false, "{kind:?}");
            let repository = !matches!(kind, SchemeKind::Linear | SchemeKind::Standard);
            assert_eq!(data["repository"].is_string(), repository, "{kind:?}: {json}");
        }
        for event in sender.rig.events().await {
            let kept = domain::DeliveryReceived::of(&event).unwrap().unwrap();
            assert!(
                kept.synthetic && matches!(kept.proof, Proof::Verified { .. }),
                "{kind:?}"
            );
            let text = String::from_utf8_lossy(&event.metadata).into_owned();
            assert!(!text.contains(SIGNING), "{kind:?}: {text}");
        }
    }
}

#[tokio::test]
async fn a_source_with_a_public_key_says_that_it_can_not_sign() {
    let public = "whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
    let sender = Sender::new(SchemeKind::Standard, public);
    let delivery = crate::SyntheticDelivery::example("ping", "a/b", None);
    let answer = sender.rig.ingest.receive_synthetic(delivery).await;
    assert_eq!(answer.status.as_u16(), 409);
    assert!(String::from_utf8_lossy(&answer.json).contains("NOT_SIGNABLE"));
}

#[tokio::test]
async fn an_id_in_the_signed_body_identifies_and_goes_before_a_header() {
    let sender = Sender::with(SchemeKind::Hmac, "s", |_, source| {
        source.proof.header = Some("X-Signature".into());
        source.facts.id_pointer = Some("/events/0/id".into());
        source.facts.id_header = Some("X-Id".into());
        source.facts.event_pointer = Some("/events/0/type".into());
    });
    let body = r#"{"events":[{"id":77,"type":"paid"},{"id":78}]}"#;
    let first = sender.send(sender.signed("other", body)).await;
    assert_eq!(
        (&first.data()["id"], &first.data()["event"]),
        (&"sender._.77".into(), &"paid".into())
    );
    let again = sender.send(sender.signed("yet-another", body)).await;
    assert_eq!(again.data()["duplicate"], true);
    let bare = sender
        .send(sender.signed("from-the-header", r#"{"events":[]}"#))
        .await;
    assert_eq!(bare.data()["id"], "sender._.from-the-header");
    assert_eq!(bare.data()["event"], "unknown");
}
