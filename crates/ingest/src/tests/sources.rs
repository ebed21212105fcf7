//! Sources that come, change and go while requests are received.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::{Hold, SourceName, TenantId};

use super::rig::{Delivery, Rig, SECRET};
use crate::{BuildError, Secret, SourceOptions, SyntheticDelivery};

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
async fn a_paused_source_refuses_deliveries_and_loses_none_of_its_paths() {
    let rig = Rig::new();
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
    assert_eq!(rig.events().await.len(), 0);
    rig.ingest.put_source(with_path).unwrap();
    rig.send(signed("a", "/hooks/shop")).await.data();
}

#[tokio::test]
async fn until_all_sources_are_known_an_unknown_one_is_asked_to_come_back() {
    let rig = Rig::new();
    rig.ingest.await_sources();
    rig.send(signed("a", SHOP))
        .await
        .assert(503, "SOURCE_UNAVAILABLE");
    // Those of the settings are known from the start.
    rig.send(Delivery::push()).await.data();
    rig.ingest.sources_complete();
    rig.send(signed("a", SHOP)).await.assert(404, "SOURCE_UNKNOWN");
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
    // Held, it does not take what is another's.
    rig.ingest
        .hold_source(&"late".parse().unwrap(), Some("/shop"), Hold::Unavailable);
    rig.send(signed("a", "/shop")).await.data();
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
    rig.ingest.put_source(rated(2)).unwrap();
    rig.send(signed("a", SHOP)).await.data();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_while_sources_change_hears_the_truth_of_one_moment() {
    let rig = Arc::new(Rig::new());
    rig.ingest.put_source(source("shop", &["a"])).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let sending = {
        let (rig, done) = (Arc::clone(&rig), Arc::clone(&done));
        tokio::spawn(async move {
            let mut taken = 0;
            while !done.load(Ordering::SeqCst) {
                // It is among the secrets at every moment.
                rig.send(signed("a", SHOP)).await.data();
                rig.send(signed("never", SHOP))
                    .await
                    .assert(401, "SIGNATURE_INVALID");
                taken += 1;
            }
            taken
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
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    let taken = sending.await.unwrap();
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
