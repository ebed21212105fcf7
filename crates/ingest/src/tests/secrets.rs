//! Who is believed, and whose delivery it is.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use domain::{Proof, TenantId};

use super::rig::{Delivery, Reply, Rig, SECRET};
use crate::Secret;
use crate::body::Incoming;
use crate::head::Head;
use crate::ingest::Origin;
use futures_util::stream;

#[tokio::test]
async fn the_documented_github_signature_is_believed() {
    // Its body is no JSON object: the signature has to pass before that is found out.
    let rig = Rig::new();
    let signed = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let delivery = Delivery::new("push", "Hello, World!").with("x-hub-signature-256", signed);
    rig.send(delivery.clone())
        .await
        .assert(400, "BODY_NOT_JSON_OBJECT");
    for at in 0..delivery.body.len() {
        let mut mutated = delivery.clone();
        mutated.body[at] ^= 1;
        rig.send(mutated).await.assert(401, "SIGNATURE_INVALID");
    }
}

#[tokio::test]
async fn a_signature_of_another_implementation_is_believed() {
    use std::io::Write;
    let rig = Rig::new();
    let body = "{\"ünï\":\"☃\",\"n\": 1}\r\n";
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let output = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    let hex = output.trim().rsplit(' ').next().unwrap();
    let delivery = Delivery::new("push", body).with("x-hub-signature-256", &format!("sha256={hex}"));
    rig.send(delivery).await.data();
}

#[tokio::test]
async fn any_active_secret_is_enough() {
    let rig = Rig::with(|_, source| source.secrets.push(Secret::new("second", "newer")));
    let mut delivery = Delivery::push();
    delivery.sign("newer");
    rig.send(delivery).await.data();
    let (_, received) = rig.only().await;
    let secret_id = "second".to_owned();
    assert_eq!(received.proof, Proof::Verified { secret_id });
    let mut wrong = Delivery::push();
    wrong.sign("older");
    rig.send(wrong).await.assert(401, "SIGNATURE_INVALID");
}

#[tokio::test]
async fn the_tenant_is_that_of_the_secret_that_fitted() {
    let team: TenantId = "team-a".parse().unwrap();
    let rig = Rig::with(|_, source| {
        source.secrets.push(Secret {
            tenant: team.clone(),
            hook: Some("77".into()),
            ..Secret::new("bound", "theirs")
        });
    });
    let mut theirs = Delivery::push().with("x-github-hook-id", "77");
    // The general secret does not open a hook that has its own, and the hook's secret opens no other.
    rig.send(theirs.clone()).await.assert(401, "SIGNATURE_INVALID");
    theirs.sign("theirs");
    rig.send(theirs.clone()).await.data();
    rig.send(theirs.clone().with("x-github-hook-id", "78"))
        .await
        .assert(401, "SIGNATURE_INVALID");
    let (event, received) = rig.only().await;
    assert_eq!((received.tenant, event.stream.tenant()), (team, "team-a"));
    // The same binding by the path.
    let by_path = theirs
        .without("x-github-hook-id")
        .at("/webhooks/github/77")
        .id("2");
    rig.send(by_path).await.data();
}

async fn from(rig: &Rig, peer: &str, delivery: Delivery) -> Reply {
    let peer: IpAddr = peer.parse().unwrap();
    let (path, body) = (delivery.path, delivery.body);
    let head = Head::new(Some(peer), delivery.headers);
    let mut incoming = Incoming::new(Box::pin(stream::iter([Ok(body.into())])), None);
    let registry = rig.ingest.registry();
    let answer = rig
        .ingest
        .answer(
            &registry,
            &head,
            registry.route(&path),
            &mut incoming,
            Origin::Sender,
        )
        .await;
    Reply::of(answer.into_response(false)).await
}

#[tokio::test]
async fn without_verification_only_a_true_loopback_client_is_let_in() {
    let rig = Rig::with(|_, source| (source.verify, source.secrets) = (false, Vec::new()));
    let unsigned = || {
        Delivery::push()
            .without("x-hub-signature-256")
            .with("host", "localhost:3000")
    };
    for (peer, delivery) in [
        ("10.0.0.1", unsigned()),
        ("127.0.0.1", unsigned().with("host", "hooks.example.com")),
        ("127.0.0.1", unsigned().without("host")),
        ("127.0.0.1", unsigned().with("x-forwarded-for", "1.2.3.4")),
        ("127.0.0.1", unsigned().with("origin", "http://evil.example")),
        ("127.0.0.1", Delivery::push()),
    ] {
        from(&rig, peer, delivery).await.assert(401, "SIGNATURE_INVALID");
    }
    rig.send(unsigned()).await.assert(401, "SIGNATURE_INVALID");
    assert!(rig.events().await.is_empty());
    from(&rig, "127.0.0.1", unsigned()).await.data();
    let (_, received) = rig.only().await;
    assert_eq!(
        (received.proof, received.remote),
        (Proof::Unverified, Some("127.0.0.1".parse().unwrap()))
    );
}

#[tokio::test]
async fn a_loopback_client_still_has_to_sign_where_that_is_asked_for() {
    let rig = Rig::new();
    let local = Delivery::push().with("host", "localhost");
    from(&rig, "127.0.0.1", local.clone().without("x-hub-signature-256"))
        .await
        .assert(401, "SIGNATURE_INVALID");
    from(&rig, "::1", local).await.data();
}

#[tokio::test]
async fn only_allowed_addresses_get_in_and_each_has_its_rate() {
    let rig = Rig::with(|options, source| {
        source.address_allow = vec!["10.0.0.0/8".parse().unwrap()];
        options.address_rate_per_minute = 2;
    });
    from(&rig, "11.0.0.1", Delivery::push())
        .await
        .assert(403, "ADDRESS_NOT_ALLOWED");
    for _ in 0..2 {
        from(&rig, "10.0.0.1", Delivery::push()).await.data();
    }
    let limited = from(&rig, "::ffff:10.0.0.1", Delivery::push()).await;
    limited.assert(429, "RATE_LIMITED");
    assert!(limited.header("retry-after").is_some());
    from(&rig, "10.0.0.2", Delivery::push()).await.data();
}

#[tokio::test]
async fn a_repository_has_its_own_rate() {
    let rig = Rig::with(|_, source| source.repository_rate_per_minute = 1);
    let of = |name: &str, n: u32| {
        Delivery::new(
            "push",
            format!(r#"{{"n":{n},"repository":{{"full_name":"{name}"}}}}"#),
        )
    };
    rig.send(of("a/b", 1)).await.data();
    rig.send(of("A/B", 2)).await.assert(429, "RATE_LIMITED");
    rig.send(of("a/c", 3)).await.data();
    rig.send(Delivery::new("ping", "{}")).await.data();
}
