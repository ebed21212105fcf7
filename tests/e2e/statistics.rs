//! Statistics of days that have gone by: whole hours come from rollups of their own, those of one repository from others, and the
//! minutes around them from others again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::testing::{ManualClock, TestDelivery};
use domain::{EventLog, Timestamp};
use infra::log::{LogOptions, SegmentedLog};
use serde_json::Value;

use crate::harness::{Launch, Server};

const WINDOWS: [u64; 4] = [2, 24, 72, 300];
const EVENTS: [&str; 3] = ["push", "issues", "star"];
/// Senders compare them without case.
const REPOSITORIES: [Option<&str>; 5] = [
    Some("octo-org/api"),
    Some("octo-org/web"),
    Some("Octo-Org/API"),
    Some("octo-org/ap"),
    None,
];
const ASKED: [&str; 3] = ["octo-org/api", "Octo-org/Web", "octo-org/ap"];

/// A delivery that came in so many minutes ago.
struct Past {
    minutes: u64,
    delivery: TestDelivery,
}

/// Deliveries of two weeks, none so near to the edge of a window that it may leave it while the test runs.
fn past(now: Timestamp) -> Vec<Past> {
    let minutes = (0..500_u64).map(|n| n * 41 + 7);
    let clear = minutes.filter(|minutes| WINDOWS.iter().all(|hours| minutes.abs_diff(hours * 60) > 20));
    clear
        .enumerate()
        .map(|(n, minutes)| Past {
            minutes,
            delivery: TestDelivery {
                received_at: Timestamp::from_micros(now.as_micros() - minutes.cast_signed() * 60_000_000),
                repository: REPOSITORIES[n % REPOSITORIES.len()].map(str::to_owned),
                synthetic: n % 11 == 10,
                ..TestDelivery::new(EVENTS[n % EVENTS.len()], format!("{{\"n\":{n}}}"))
            },
        })
        .collect()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

async fn fill(log: &Path, past: &[Past]) {
    let clock = Arc::new(ManualClock::at(now()));
    let log = SegmentedLog::open(log, LogOptions::default(), clock).await;
    let log = log.unwrap();
    for one in past {
        log.append(one.delivery.append()).await.unwrap();
    }
    log.close().await;
}

fn counted(data: &Value) -> BTreeMap<String, u64> {
    let events = data["byEvent"].as_array().unwrap();
    let count = |event: &Value| {
        (
            event["event"].as_str().unwrap().to_owned(),
            event["total"].as_u64().unwrap(),
        )
    };
    events.iter().map(count).collect()
}

/// What is asked for.
struct Scope {
    hours: u64,
    repository: Option<&'static str>,
    more: &'static str,
}

const SYNTHETIC_TOO: &str = "&synthetic=true";

impl Scope {
    fn has(&self, one: &Past) -> bool {
        let of_repository = self.repository.is_none_or(|name| is_of(one, name));
        one.minutes < self.hours * 60
            && of_repository
            && (self.more == SYNTHETIC_TOO || !one.delivery.synthetic)
    }

    async fn check(&self, server: &Server, past: &[Past]) {
        let mut expected = BTreeMap::new();
        for one in past.iter().filter(|one| self.has(one)) {
            *expected.entry(one.delivery.event.clone()).or_insert(0) += 1;
        }
        assert!(
            self.hours < 72 || !expected.is_empty(),
            "there is something to count"
        );
        let mut path = format!("/api/webhooks/statistics?hours={}{}", self.hours, self.more);
        if let Some(repository) = self.repository {
            path += &format!("&repository={repository}");
        }
        assert_eq!(asked(server, &path).await, expected, "{path}");
    }
}

fn is_of(one: &Past, repository: &str) -> bool {
    let named = one.delivery.repository.as_deref();
    named.is_some_and(|name| name.eq_ignore_ascii_case(repository))
}

async fn asked(server: &Server, path: &str) -> BTreeMap<String, u64> {
    let data = server.data_of(path).await;
    let counted = counted(&data);
    let total: u64 = counted.values().sum();
    assert_eq!(data["summary"]["totalEvents"], total, "{path}");
    let steps = data["series"].as_array().unwrap().iter();
    let in_steps: u64 = steps.map(|step| step["total"].as_u64().unwrap()).sum();
    assert_eq!(in_steps, total, "the steps of {path}");
    counted
}

/// One page does not show them all, so that they have to be counted.
async fn totals_are_those_of(repository: &str, server: &Server, past: &[Past]) {
    for (more, event) in [("", None), ("&event=issues", Some("issues"))] {
        let of_event = |one: &Past| event.is_none_or(|event| one.delivery.event == event);
        let fitting = past.iter().filter(|one| is_of(one, repository) && of_event(one));
        let path = format!("/api/webhooks/events?repository={repository}&limit=5{more}");
        let listed = server.data_of(&path).await;
        assert_eq!(listed["total"], fitting.count() as u64, "{path}");
        assert_eq!(listed["totalIsExact"], true, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_many_hours_counts_every_delivery_in_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::in_folder(folder.path()).start().await.stop().await;
    let past = past(now());
    fill(&launch.data().join("log"), &past).await;
    let server = launch.start().await;
    server.caught_up_within(Duration::from_secs(60)).await;
    for hours in WINDOWS {
        for repository in std::iter::once(None).chain(ASKED.map(Some)) {
            for more in ["", "&source=github", SYNTHETIC_TOO] {
                let scope = Scope {
                    hours,
                    repository,
                    more,
                };
                scope.check(&server, &past).await;
            }
        }
    }
    let listed = server.data_of("/api/webhooks/events").await;
    let whole = past.len() as u64;
    assert_eq!(listed["total"], whole, "the list counts them all");
    for repository in ASKED {
        totals_are_those_of(repository, &server, &past).await;
    }
    server.stop().await;
}
