//! Sources that come, change and go while requests are received.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use domain::testing::MemoryRejected;
use domain::{Hold, SourceName, TenantId};
use poem::http::Method;

use super::rig::{Delivery, Rig, SECRET};
use crate::{BuildError, RejectedOptions, Secret, SourceOptions, SyntheticDelivery};

fn shop() -> SourceName {
    "shop".parse().unwrap()
}

fn source(name: &str, secrets: &[&str]) -> SourceOptions {
    let secrets = secrets.iter().map(|secret| Secret::new(secret, secret));
    SourceOptions::new(name.parse().unwrap(), secrets.collect())
}

fn signed(secret: &str, path: &str) -> Delivery {
    let mut delivery = Delivery::push().at(path);
    delivery.sign(secret);
    delivery
}

const SHOP: &str = "/api/webhooks/shop";

#[tokio::test]
async fn a_source_is_received_from_the_moment_that_it_is_put_until_it_is_removed() {
    let rig = Rig::new();
    rig.send(signed("a", SHOP)).await.assert(404, "SOURCE_UNKNOWN");
    rig.ingest.put_source(source("shop", &["a"])).unwrap();
    rig.send(signed("a", SHOP)).await.data();
    rig.send(signed("b", SHOP)).await.assert(401, "SIGNATURE_INVALID");
    rig.ingest.put_source(source("shop", &["b"])).unwrap();
    rig.send(signed("b", SHOP)).await.data();
    rig.send(signed("a", SHOP)).await.assert(401, "SIGNATURE_INVALID");
    rig.ingest.remove_source(&shop());
    rig.send(signed("b", SHOP)).await.assert(404, "SOURCE_UNKNOWN");
    assert_eq!(rig.events().await.len(), 2);
}

#[tokio::test]
async fn a_paused_source_refuses_deliveries_keeps_nothing_and_loses_none_of_its_paths() {
    let (rig, kept) = (Rig::new(), Arc::<MemoryRejected>::default());
    rig.ingest
        .keep_rejected(RejectedOptions::default(), Arc::<MemoryRejected>::clone(&kept));
    let with_path = SourceOptions {
        path: Some("/hooks/shop".into()),
        ..source("shop", &["a"])
    };
    rig.ingest.put_source(with_path.clone()).unwrap();
    for (why, code) in [
        (Hold::Paused, "SOURCE_PAUSED"),
        (Hold::Unavailable, "SOURCE_UNAVAILABLE"),
    ] {
        rig.ingest.hold_source(&shop(), Some("/hooks/shop/"), why);
        for path in [SHOP, "/hooks/shop"] {
            let reply = rig.send(signed("a", path)).await;
            reply.assert(503, code);
            assert_eq!(reply.header("retry-after"), Some("5"));
        }
        let test = SyntheticDelivery {
            source: Some(shop()),
            ..SyntheticDelivery::example("push", "octo-org/hello", None)
        };
        assert_eq!(rig.ingest.receive_synthetic(test).await.status.as_u16(), 503);
    }
    assert_eq!((rig.events().await.len(), kept.all().len()), (0, 0));
    assert_eq!(rig.ingest.lately().rejected, 0, "it is not the senders' fault");
    rig.ingest.put_source(with_path).unwrap();
    rig.send(signed("a", "/hooks/shop")).await.data();
}

#[tokio::test]
async fn until_all_sources_are_known_an_unknown_one_is_asked_to_come_back() {
    let rig = Rig::new();
    rig.ingest.await_sources(Vec::new());
    rig.send(signed("a", SHOP))
        .await
        .assert(503, "SOURCE_UNAVAILABLE");
    // Those of the settings are known from the start.
    rig.send(Delivery::push()).await.data();
    rig.ingest.sources_complete();
    rig.send(signed("a", SHOP)).await.assert(404, "SOURCE_UNKNOWN");
}

#[tokio::test]
async fn a_source_that_may_have_been_replaced_judges_nothing_until_that_is_known() {
    let rig = Rig::with(|_, github| github.path = Some("/hooks".into()));
    let github: SourceName = "github".parse().unwrap();
    rig.ingest.await_sources(vec![github]);
    // By the secret of the settings one of them would be right and one wrong; nobody knows which.
    for secret in [SECRET, "of the log"] {
        for path in ["/webhooks/github", "/hooks"] {
            let reply = rig.send(signed(secret, path)).await;
            reply.assert(503, "SOURCE_UNAVAILABLE");
        }
    }
    let test = || SyntheticDelivery::example("push", "octo-org/hello", None);
    assert_eq!(rig.ingest.receive_synthetic(test()).await.status.as_u16(), 503);
    rig.ingest.put_source(source("github", &["of the log"])).unwrap();
    rig.send(signed("of the log", "/webhooks/github")).await.data();
    rig.ingest.sources_complete();
    rig.send(signed(SECRET, "/webhooks/github"))
        .await
        .assert(401, "SIGNATURE_INVALID");
    rig.ingest.remove_source(&"github".parse().unwrap());
    rig.send(signed(SECRET, "/hooks")).await.data();
}

#[tokio::test]
async fn a_test_that_only_a_paused_source_could_send_is_asked_to_come_back() {
    let rig = Rig::new();
    let test = || SyntheticDelivery::example("push", "octo-org/hello", None);
    rig.ingest
        .hold_source(&"github".parse().unwrap(), None, Hold::Paused);
    assert_eq!(rig.ingest.receive_synthetic(test()).await.status.as_u16(), 503);
    rig.ingest.put_source(source("shop", &["a"])).unwrap();
    assert_eq!(rig.ingest.receive_synthetic(test()).await.status.as_u16(), 200);
    let of_nobody = SyntheticDelivery {
        tenant: "team-a".parse().unwrap(),
        ..test()
    };
    rig.ingest.remove_source(&"github".parse().unwrap());
    assert_eq!(rig.ingest.receive_synthetic(of_nobody).await.status.as_u16(), 404);
}

#[tokio::test]
async fn what_is_put_stands_before_the_settings_and_what_is_removed_gives_way_to_them() {
    let rig = Rig::new();
    rig.ingest.put_source(source("github", &["a"])).unwrap();
    rig.send(signed(SECRET, "/webhooks/github"))
        .await
        .assert(401, "SIGNATURE_INVALID");
    rig.send(signed("a", "/webhooks/github")).await.data();
    rig.ingest.remove_source(&"github".parse().unwrap());
    rig.send(signed(SECRET, "/webhooks/github")).await.data();
}

#[tokio::test]
async fn a_path_belongs_to_one_source_and_a_refused_one_changes_nothing() {
    let rig = Rig::with(|_, github| github.path = Some("/hooks".into()));
    let with_path = |name: &str, path: &str| SourceOptions {
        path: Some(path.into()),
        ..source(name, &["a"])
    };
    for (taken, why) in [("/hooks", "another source's"), ("/api/x", "API")] {
        for refused in [
            rig.ingest.check_source(with_path("shop", taken)),
            rig.ingest.put_source(with_path("shop", taken)),
        ] {
            let said = refused.unwrap_err();
            assert!(
                matches!(said, BuildError::Path { .. }) && said.to_string().contains(why),
                "{said}"
            );
        }
    }
    assert!(rig.ingest.put_source(source("replay", &["a"])).is_err());
    rig.send(signed("a", SHOP)).await.assert(404, "SOURCE_UNKNOWN");
    rig.send(signed(SECRET, "/hooks")).await.data();
    rig.ingest.put_source(with_path("shop", "/shop")).unwrap();
    rig.ingest.put_source(with_path("shop", "/shop")).unwrap();
    assert!(rig.ingest.check_source(with_path("other", "/shop/")).is_err());
    // Held, it takes neither what is another's nor what is the API's.
    for path in ["/shop", "/api/jobs", "/health"] {
        rig.ingest
            .hold_source(&"late".parse().unwrap(), Some(path), Hold::Unavailable);
        assert_eq!(rig.ingest.claims(&Method::POST, path), path == "/shop", "{path}");
    }
    rig.send(signed("a", "/shop")).await.data();
}

#[tokio::test]
async fn a_path_of_the_settings_stays_theirs_while_another_source_stands_in_their_place() {
    let rig = Rig::with(|_, github| github.path = Some("/hooks".into()));
    let with_path = |name: &str| SourceOptions {
        path: Some("/hooks".into()),
        ..source(name, &["a"])
    };
    rig.ingest.put_source(source("github", &["a"])).unwrap();
    assert!(rig.ingest.put_source(with_path("shop")).is_err());
    rig.ingest.put_source(with_path("github")).unwrap();
    rig.send(signed("a", "/hooks")).await.data();
    rig.ingest.remove_source(&"github".parse().unwrap());
    rig.send(signed(SECRET, "/hooks")).await.data();
}

#[tokio::test]
async fn an_old_secret_verifies_until_its_time_and_not_at_it() {
    let rig = Rig::new();
    let mut options = source("shop", &["old", "new"]);
    let now = domain::Clock::now(rig.clock.as_ref());
    options.secrets[0].valid_until = Some(now.plus_millis(1000));
    let hooked = Secret {
        hook: Some("team".into()),
        valid_until: Some(now.plus_millis(1000)),
        ..Secret::new("hooked", "hooked")
    };
    options.secrets.push(hooked);
    rig.ingest.put_source(options).unwrap();
    rig.clock.advance_millis(999);
    rig.send(signed("old", SHOP)).await.data();
    rig.send(signed("new", SHOP)).await.data();
    rig.send(signed("hooked", "/webhooks/shop/team")).await.data();
    rig.clock.advance_millis(1);
    rig.send(signed("old", SHOP))
        .await
        .assert(401, "SIGNATURE_INVALID");
    rig.send(signed("new", SHOP)).await.data();
    // No secret is left that the connection is bound to.
    rig.send(signed("hooked", "/webhooks/shop/team"))
        .await
        .assert(404, "SOURCE_UNKNOWN");
}

#[tokio::test]
async fn a_source_whose_secrets_are_all_over_believes_nobody() {
    use crate::SchemeKind::{Github, Gitlab, Hmac, Linear, Standard, Token};
    for scheme in [Github, Gitlab, Linear, Standard, Hmac, Token] {
        let rig = Rig::new();
        let now = domain::Clock::now(rig.clock.as_ref());
        let over = Secret {
            valid_until: Some(now),
            ..Secret::new("over", "whsec_plJ3nmyCDGBKInavdOK15jsl")
        };
        let mut options = SourceOptions {
            scheme,
            ..SourceOptions::new(shop(), vec![over])
        };
        options.proof.header = matches!(scheme, Hmac).then(|| "X-Signature".into());
        let signed = crate::Sender::build(&options).unwrap();
        let body = signed.example("push", None, "octo-org/hello", now);
        let sent = crate::Sent {
            event: "push",
            delivery_id: "msg_1",
            body: &body,
            now,
        };
        let headers = signed.sign(&sent).unwrap();
        let delivery = |body: &[u8]| {
            let mut delivery = Delivery::new("push", body)
                .without("x-hub-signature-256")
                .at(SHOP);
            for (name, value) in &headers {
                let name: poem::http::HeaderName = name.parse().unwrap();
                delivery.headers.insert(name, value.parse().unwrap());
            }
            delivery
        };
        rig.ingest.put_source(options.clone()).unwrap();
        rig.send(delivery(&body)).await.assert(401, "SIGNATURE_INVALID");
        assert!(rig.events().await.is_empty());
        // The very same is believed a moment earlier.
        options.secrets[0].valid_until = Some(now.plus_millis(1));
        rig.ingest.put_source(options).unwrap();
        rig.send(delivery(&body)).await.data();
    }
}

#[tokio::test]
async fn whoever_had_a_secret_sees_nothing_that_is_turned_away_when_it_is_over() {
    let (rig, kept) = (Rig::new(), Arc::<MemoryRejected>::default());
    rig.ingest
        .keep_rejected(RejectedOptions::default(), Arc::<MemoryRejected>::clone(&kept));
    let now = domain::Clock::now(rig.clock.as_ref());
    let mut options = source("shop", &["old"]);
    options.secrets[0].tenant = "team-a".parse().unwrap();
    options.secrets[0].valid_until = Some(now.plus_millis(1));
    rig.ingest.put_source(options).unwrap();
    for tenant in ["team-a", "default"] {
        rig.send(signed("nobody's", SHOP)).await;
        assert_eq!(kept.all().pop().unwrap().tenant.as_str(), tenant);
        rig.clock.advance_millis(1);
    }
}

#[tokio::test]
async fn one_url_serves_the_hooks_of_several_tenants() {
    let rig = Rig::new();
    let mut options = source("shop", &["general"]);
    for n in 0..2000 {
        options.secrets.push(Secret {
            hook: Some(n.to_string()),
            tenant: format!("team-{n}").parse().unwrap(),
            ..Secret::new(&format!("hook-{n}"), &format!("secret-{n}"))
        });
    }
    rig.ingest.put_source(options).unwrap();
    for n in [0, 999, 1999] {
        let delivery = |secret: &str| {
            let mut delivery = Delivery::push().at(SHOP).with("x-github-hook-id", &n.to_string());
            delivery.sign(secret);
            delivery
        };
        rig.send(delivery("general"))
            .await
            .assert(401, "SIGNATURE_INVALID");
        rig.send(delivery(&format!("secret-{n}"))).await.data();
        let last = rig.events().await.pop().unwrap();
        assert_eq!(last.stream.tenant(), format!("team-{n}"));
    }
}

#[tokio::test]
async fn a_rate_that_did_not_change_goes_on_counting() {
    let rig = Rig::new();
    let rated = |per_minute| SourceOptions {
        source_rate_per_minute: per_minute,
        ..source("shop", &["a"])
    };
    rig.ingest.put_source(rated(1)).unwrap();
    rig.send(signed("a", SHOP)).await.data();
    rig.ingest.put_source(rated(1)).unwrap();
    rig.send(signed("a", SHOP)).await.assert(429, "RATE_LIMITED");
    for why in [Hold::Paused, Hold::Unavailable] {
        rig.ingest.hold_source(&shop(), None, why);
    }
    rig.ingest.put_source(rated(1)).unwrap();
    rig.send(signed("a", SHOP)).await.assert(429, "RATE_LIMITED");
    rig.ingest.put_source(rated(2)).unwrap();
    rig.send(signed("a", SHOP)).await.data();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_while_sources_change_hears_the_truth_of_one_moment() {
    let rig = Arc::new(Rig::new());
    rig.ingest.put_source(source("shop", &["a"])).unwrap();
    let (done, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let sending = {
        let (rig, done, taken) = (Arc::clone(&rig), Arc::clone(&done), Arc::clone(&taken));
        tokio::spawn(async move {
            while !done.load(Ordering::SeqCst) {
                // It is among the secrets at every moment.
                rig.send(signed("a", SHOP)).await.data();
                rig.send(signed("never", SHOP))
                    .await
                    .assert(401, "SIGNATURE_INVALID");
                taken.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    for n in 0..1000 {
        let other = format!("other-{n}");
        let secrets = if n % 2 == 0 {
            ["a", &other]
        } else {
            [other.as_str(), "a"]
        };
        rig.ingest.put_source(source("shop", &secrets)).unwrap();
        rig.ingest
            .put_source(source(&format!("s-{}", n % 10), &["x"]))
            .unwrap();
        if n % 20 == 0 {
            // Otherwise all changes might be made before the first delivery is sent.
            let before = taken.load(Ordering::SeqCst);
            let another = async {
                while taken.load(Ordering::SeqCst) == before && !sending.is_finished() {
                    tokio::task::yield_now().await;
                }
            };
            let waited = tokio::time::timeout(Duration::from_secs(30), another).await;
            assert!(waited.is_ok(), "no delivery was answered beside change {n}");
        }
    }
    done.store(true, Ordering::SeqCst);
    sending.await.unwrap();
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken >= 50, "only {taken} deliveries were sent meanwhile");
    assert_eq!(rig.events().await.len(), taken);
}

#[tokio::test]
async fn a_test_is_signed_with_the_secret_that_stays() {
    let rig = Rig::new();
    let mut options = source("shop", &["old", "new"]);
    let now = domain::Clock::now(rig.clock.as_ref());
    options.secrets[0].valid_until = Some(now.plus_millis(1000));
    rig.ingest.put_source(options).unwrap();
    let test = |tenant: &str| SyntheticDelivery {
        source: Some(shop()),
        tenant: tenant.parse::<TenantId>().unwrap(),
        ..SyntheticDelivery::example("push", "octo-org/hello", None)
    };
    assert_eq!(
        rig.ingest
            .receive_synthetic(test("default"))
            .await
            .status
            .as_u16(),
        200
    );
    let (_, received) = rig.only().await;
    let secret_id = "new".to_owned();
    assert_eq!(received.proof, domain::Proof::Verified { secret_id });
    assert_eq!(
        rig.ingest.receive_synthetic(test("team-a")).await.status.as_u16(),
        404
    );
}
