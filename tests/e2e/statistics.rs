//! Statistics of days that have gone by: whole hours come from rollups of their own, the minutes around them from others.

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
const REPOSITORIES: u64 = 4;

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
                repository: Some(format!("octo-org/repo-{}", n as u64 % REPOSITORIES)),
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

async fn asked(server: &Server, hours: u64, more: &str) -> BTreeMap<String, u64> {
    let data = server
        .data_of(&format!("/api/webhooks/statistics?hours={hours}{more}"))
        .await;
    let counted = counted(&data);
    let total: u64 = counted.values().sum();
    assert_eq!(data["summary"]["totalEvents"], total, "{hours} hours{more}");
    let steps = data["series"].as_array().unwrap().iter();
    let in_steps: u64 = steps.map(|step| step["total"].as_u64().unwrap()).sum();
    assert_eq!(in_steps, total, "the steps of {hours} hours{more}");
    counted
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
        for (more, repository, synthetic) in [
            ("".to_owned(), None, false),
            ("&synthetic=true".to_owned(), None, true),
            ("&source=github".to_owned(), None, false),
            (
                "&repository=octo-org/repo-1".to_owned(),
                Some("octo-org/repo-1"),
                false,
            ),
        ] {
            let mut expected = BTreeMap::new();
            let within = past.iter().filter(|one| one.minutes < hours * 60);
            for delivery in within.map(|one| &one.delivery) {
                let of_repository = repository.is_none() || delivery.repository.as_deref() == repository;
                if of_repository && (synthetic || !delivery.synthetic) {
                    *expected.entry(delivery.event.clone()).or_insert(0) += 1;
                }
            }
            assert!(!expected.is_empty(), "{hours} hours{more} have something");
            assert_eq!(
                asked(&server, hours, &more).await,
                expected,
                "{hours} hours{more}"
            );
        }
    }
    let listed = server.data_of("/api/webhooks/events").await;
    let whole = past.len() as u64;
    assert_eq!(listed["total"], whole, "the list counts them all");
    server.stop().await;
}
