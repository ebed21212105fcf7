//! Questions over many deliveries: rows of a realistic distribution, put into the tables directly.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::Connection;
use crate::fill::{self, REPOSITORY};
use crate::load::{self, Order};
use crate::report::{Figure, Goal, Report};
use crate::server::Server;
use crate::spread::Spread;
use crate::tables::Store;
use crate::{Bench, disk_room};

/// What is asked, and how.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) path: String,
}

/// What is asked. The one delivery is a real one: it is read from the log.
pub(crate) fn questions(delivery: &str) -> Vec<Question> {
    let question = |name, path: String| Question { name, path };
    vec![
        question("list page", "/api/webhooks/events?limit=100".to_owned()),
        question(
            "list page of one repository",
            format!("/api/webhooks/events?limit=100&repository={REPOSITORY}"),
        ),
        question("one delivery", format!("/api/webhooks/events/{delivery}")),
        question("statistics 24 h", "/api/webhooks/statistics?hours=24".to_owned()),
        question("statistics 30 d", "/api/webhooks/statistics?hours=720".to_owned()),
        question(
            "repository activity",
            format!("/api/repositories/{REPOSITORY}/activity?days=7"),
        ),
        question("job metrics", "/api/jobs/metrics?hours=24".to_owned()),
    ]
}

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let folder = bench.folder("query");
    let delivery = prepare(bench, &folder, bench.mode.rows).await;
    let mut text = format!(
        "One client, {} requests for each question, over {} deliveries of the last 30 days in 1,000 repositories (few have most of them), written into the tables as the projections \
         would have. Uncached: the server remembers no answer (`api.cache_ms = 0`); cached: as by default, asked again within a second while nothing is projected, \
         which would end the life of a remembered page. One delivery is never remembered: it is read from the log.\n\n\
         | question | uncached p50 | p95 | p99 | cached p50 | p95 |\n|---|---|---|---|---|---|\n",
        bench.mode.questions, bench.mode.rows
    );
    let uncached = with_cache(bench, &folder, &delivery, Some("0")).await;
    let cached = with_cache(bench, &folder, &delivery, None).await;
    for ((name, uncached), (_, cached)) in uncached.iter().zip(&cached) {
        let (ms, of) = (" ms", |spread: &Spread, share| {
            Spread::of([spread.percentile(share)])
        });
        report.figure(Figure::alone(
            &format!("{name}, {} deliveries, uncached p95", bench.mode.rows),
            ms,
            &[uncached.percentile(0.95)],
            Goal::AtMost(50.0),
        ));
        report.figure(Figure::alone(
            &format!("{name}, asked again, p95"),
            ms,
            &[cached.percentile(0.95)],
            Goal::AtMost(10.0),
        ));
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} |",
            of(uncached, 0.5).cell(ms),
            of(uncached, 0.95).cell(ms),
            of(uncached, 0.99).cell(ms),
            of(cached, 0.5).cell(ms),
            of(cached, 0.95).cell(ms),
        );
    }
    report.section("Questions", &text);
    disk_room(&[&folder]);
}

/// A data directory whose tables hold that many deliveries; returns the key of a real one.
pub(crate) async fn prepare(bench: &Bench, folder: &Path, rows: u64) -> String {
    let server = Server::start(folder, "").await;
    server.settled().await;
    let order = Order {
        address: server.address(),
        payloads: bench.payloads.file.clone(),
        connections: 4,
        seconds: 0.5,
        rate: Some(200.0),
        run: "real".to_owned(),
    };
    load::send(&order).await;
    server.settled().await;
    let store = Store::of(&folder.join("data"));
    let began = Instant::now();
    fill::deliveries(&store, rows).await;
    eprintln!(
        "   {rows} deliveries written in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    server.stop().await;
    "github.4711.real-000000000007".to_owned()
}

async fn with_cache(
    bench: &Bench,
    folder: &Path,
    delivery: &str,
    cache_ms: Option<&str>,
) -> Vec<(&'static str, Spread)> {
    let settings: Vec<(&str, &str)> = cache_ms.iter().map(|ms| ("HOOKLOG_API__CACHE_MS", *ms)).collect();
    let server = Server::spawn(folder, "", &settings);
    server.ready().await;
    server.settled().await;
    let mut answers = Vec::new();
    for question in questions(delivery) {
        answers.push((question.name, ask(&server, &question, bench.mode.questions).await));
    }
    server.stop().await;
    answers
}

/// How long a question takes, in milliseconds, asked one time after the other.
pub(crate) async fn ask(server: &Server, question: &Question, times: usize) -> Spread {
    let mut connection = Connection::open(server.address())
        .await
        .expect("the server accepts");
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n",
        question.path
    );
    let mut taken = Vec::new();
    // The first ones open files and fill the caches of the operating system.
    for time in 0..times + 3 {
        let began = Instant::now();
        let answer = connection
            .exchange(head.as_bytes(), &[])
            .await
            .expect("an answer");
        let body = String::from_utf8_lossy(answer.body);
        assert_eq!(answer.status, 200, "{}: {body}", question.path);
        if time >= 3 {
            taken.push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    Spread::of(taken)
}
