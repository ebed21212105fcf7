//! Settings that can't work are refused at the start, with the destination, the key and what to do.

use std::sync::Arc;

use domain::NameReactors as _;
use domain::testing::TestDelivery;

use super::super::{TargetPorts, plans};
use super::rig::{Rig, bare};
use crate::{DestinationOptions, Ordering, Priority, ReactorOptions};

fn refused(change: impl FnOnce(&mut DestinationOptions)) -> String {
    let mut options = bare();
    options.url = Some("https://example.com/hooks".into());
    change(&mut options);
    let error = Rig::of(options).plan().err().expect("it is refused");
    assert_eq!(error.place, "destination \"ci\"");
    format!("{}: {}", error.key, error.problem)
}

type Change = fn(&mut DestinationOptions);

fn check(changes: &[(&str, Change)]) {
    for (expected, change) in changes {
        let message = refused(change);
        assert!(message.starts_with(expected), "{expected}: {message}");
        assert!(!message.contains("hush"), "{message}");
    }
}

#[test]
fn what_can_not_work_is_refused_by_its_key() {
    let changes: [(&str, Change); 15] = [
        ("url: is missing", |o| o.url = None),
        ("urls: is given beside", |o| {
            o.urls = vec!["https://b.example/".into()]
        }),
        ("subject: is given beside", |o| o.subject = Some("a.b".into())),
        ("url: is no URL", |o| o.url = Some("example.com/hooks".into())),
        ("url: is no URL", |o| o.url = Some(String::new())),
        ("url: is no URL", |o| o.url = Some("https://".into())),
        ("url: can't be asked for", |o| {
            o.url = Some(format!("https://example.com/{}", "hush".repeat(20_000)));
        }),
        ("url: has the scheme ftp", |o| {
            o.url = Some("ftp://example.com/".into())
        }),
        ("url: has the scheme file", |o| {
            o.url = Some("file:///etc/passwd".into())
        }),
        ("url: has a user name", |o| {
            o.url = Some("https://u:hush@example.com/".into())
        }),
        ("urls: has the scheme", |o| {
            o.url = None;
            o.urls = vec!["https://a.example/".into(), "ws://b.example/".into()];
        }),
        ("subject: is under hooklog.", |o| {
            o.url = None;
            o.subject = Some("hooklog.v1.x".into());
        }),
        ("subject: has a wildcard", |o| {
            o.url = None;
            o.subject = Some("a.>".into());
        }),
        ("secret: works only with url", |o| {
            o.url = None;
            o.subject = Some("a.b".into());
            o.secret = Some("whsec_plJ3nmyCDGBKInavdOK15jsl".into());
        }),
        ("headers: works only with url", |o| {
            o.url = None;
            o.subject = Some("a.b".into());
            o.headers.insert("X-A".into(), "1".into());
        }),
    ];
    check(&changes);
}

#[test]
fn what_can_not_be_read_or_would_never_send_is_refused_by_its_key() {
    let changes: [(&str, Change); 14] = [
        ("secret: has to be whsec_", |o| o.secret = Some("hush".into())),
        ("secret: has a key of less", |o| {
            o.secret = Some("whsec_aHVzaA==".into())
        }),
        ("headers: \"X A\" is no name", |o| {
            o.headers.insert("X A".into(), "1".into());
        }),
        ("headers: the value of x-a", |o| {
            o.headers.insert("X-A".into(), "hush\nhush".into());
        }),
        ("headers: host is set by", |o| {
            o.headers.insert("Host".into(), "x".into());
        }),
        ("repositories: \"[\" is no glob", |o| {
            o.repositories = vec!["[".into()]
        }),
        ("condition: is no CEL expression", |o| {
            o.condition = Some("event ==".into())
        }),
        ("condition: is no CEL expression: there is no name evnt", |o| {
            o.condition = Some("evnt == 'push'".into());
        }),
        ("transform: is no jq program", |o| {
            o.transform = Some(".a |".into())
        }),
        (
            "transform: is no jq program: there is no filter frobnicate",
            |o| {
                o.transform = Some("frobnicate".into());
            },
        ),
        ("priority: is no number", |o| {
            o.priority = Some(Priority::Expression("1 +".into()))
        }),
        ("concurrency: is 0", |o| o.concurrency = Some(0)),
        ("timeout_ms: is 0", |o| o.timeout_ms = Some(0)),
        ("rate_per_second: is 0", |o| o.rate_per_second = Some(0)),
    ];
    check(&changes);
}

#[test]
fn what_is_common_to_all_is_the_default_and_each_may_have_its_own() {
    let mut rig = Rig::at("https://example.com/");
    rig.reactors.concurrency = 9;
    rig.reactors.retries_max = 8;
    rig.reactors.circuit_breaker = false;
    let plan = rig.plan().unwrap();
    assert_eq!(
        (plan.concurrency, plan.retry.retries_max, plan.timeout_ms),
        (9, 8, 15_000)
    );
    assert!(plan.breaker.is_none() && !plan.paused && plan.rate_per_second.is_none());
    rig.options.concurrency = Some(2);
    rig.options.retries_max = Some(0);
    rig.options.timeout_ms = Some(70);
    rig.options.rate_per_second = Some(4);
    rig.options.ordering = Ordering::Repository;
    rig.options.paused = true;
    let plan = rig.plan().unwrap();
    assert_eq!(
        (plan.concurrency, plan.retry.retries_max, plan.timeout_ms),
        (2, 0, 70)
    );
    assert_eq!(
        (plan.rate_per_second, plan.ordering, plan.paused),
        (Some(4), Ordering::Repository, true)
    );
}

#[test]
fn names_are_unique_and_those_that_want_a_delivery_are_named() {
    let ports = TargetPorts::new(
        Arc::<super::rig::Bodies>::default(),
        Arc::<super::rig::Subjects>::default(),
        "",
    );
    let mut one = bare();
    one.subject = Some("a.b".into());
    let twice = [one.clone(), one.clone()];
    let error = plans(&ReactorOptions::default(), &twice, &ports).err().unwrap();
    assert_eq!((error.place.as_str(), error.key), ("destination \"ci\"", "name"));
    let mut other = one.clone();
    other.name = "deploy".parse().unwrap();
    other.events = vec!["Release".into()];
    let (plans, router) = plans(&ReactorOptions::default(), &[one, other], &ports).unwrap();
    assert_eq!(plans.len(), 2);
    assert_eq!(
        router.due(&TestDelivery::new("push", "").received()),
        ["destination:ci"]
    );
    let release = TestDelivery::new("release", "").received();
    assert_eq!(router.due(&release), ["destination:ci", "destination:deploy"]);
}

#[test]
fn a_refused_address_in_the_settings_does_not_keep_the_program_from_starting() {
    let mut rig = Rig::at("http://127.0.0.1:9/");
    rig.reactors.addresses_allowed.clear();
    assert_eq!(rig.target().describe(), ["http://127.0.0.1:9/"]);
}

#[test]
fn the_system_has_authorities_to_trust_or_mozilla_s_stand_in() {
    assert!(super::super::tls::system().is_ok());
}
