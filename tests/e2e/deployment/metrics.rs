//! The names in alerts, recording rules, dashboards and autoscalers, against what a running server exports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Named, named};
use crate::harness::{Behaviour, Launch, Receiver, Server, Signed, Tools, child_running, eventually, kill9};

const SOON: Duration = Duration::from_secs(60);

/// Labels that Prometheus itself puts on what it scrapes, and `le` of histograms.
const ITS_OWN: [&str; 6] = ["job", "instance", "role", "namespace", "pod", "le"];

/// A rebuild that differs from the log can't be had on demand. The list of metrics in docs/operations.md has it all the same, and
/// a test beside that list holds it against the code.
const RARE: [(&str, &[&str]); 1] = [("hooklog_projection_rebuilds_total", &["projection", "outcome"])];

/// What an expression names.
#[derive(Debug, Deserialize)]
struct Parsed {
    metrics: Vec<String>,
    labels: Vec<String>,
}

fn parsed(tools: &Tools, named: &Named) -> Vec<Parsed> {
    let texts: Vec<&str> = named.expressions.iter().map(|e| e.text.as_str()).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::to_vec(&texts).unwrap()).unwrap();
    let printed = tools.node("promql.mjs", &[&file.path().display().to_string()]);
    let parsed: Vec<Parsed> = serde_json::from_str(&printed).unwrap();
    assert_eq!(parsed.len(), texts.len());
    assert!(parsed.len() > 50, "only {} expressions were found", parsed.len());
    parsed
}

/// Every metric of an exposition with its labels, those of a histogram under the names of its parts.
fn exported(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap_or_default();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.split("=\"").map(|part| part.rsplit(['"', ',']).next());
        let labels = labels
            .flatten()
            .filter(|label| !label.is_empty() && *label != "}");
        found
            .entry(name.to_owned())
            .or_default()
            .extend(labels.map(str::to_owned));
    }
    found.remove("");
    found
}

/// A server that has done a bit of everything, and whose engines died once.
async fn busy(folder: &tempfile::TempDir) -> (Server, Receiver, crate::harness::Following) {
    let receiver = Receiver::with([Behaviour::status(500)]).await;
    let settings = format!(
        "[reactors]\nretry_delay_ms = 50\naddresses_allowed = [\"127.0.0.0/8\"]\n\
         [[destination]]\nname = \"ci\"\nurl = \"{}\"\n[metrics]\nrefresh_ms = 100\n",
        receiver.url()
    );
    let server = Launch::in_folder(folder.path()).settings(&settings).start().await;
    let url = server.base();
    let live = server.launch().begin(&["tail", "--url", &url]);
    let job = |action: &str, delivery: &str| {
        let job = json!({"id": 7, "run_id": 8, "run_attempt": 1, "name": "build", "status": action, "labels": [],
            "conclusion": "success", "created_at": "2026-11-21T10:00:00Z", "started_at": "2026-11-21T10:01:00Z",
            "completed_at": "2026-11-21T10:02:00Z"});
        let body =
            json!({"action": action, "workflow_job": job, "repository": {"full_name": "octo-org/hello"}});
        Signed::new("workflow_job", delivery, body.to_string())
    };
    for delivery in [job("queued", "metrics-1"), job("completed", "metrics-2")] {
        assert_eq!(server.send(&delivery).await.status, 200);
    }
    let forged = Signed {
        delivery: "metrics-3".into(),
        signature: format!("sha256={}", "a".repeat(64)),
        ..job("queued", "metrics-3")
    };
    assert_eq!(server.send(&forged).await.status, 401);
    receiver.has_taken(3, SOON).await;
    server.caught_up().await;
    let done = server
        .launch()
        .run(&["projections", "verify", "all", "--url", &url]);
    assert!(done.status.success(), "{done:?}");
    for engine in ["nats", "clickhouse"] {
        kill9(child_running(server.pid(), engine).expect("it runs"));
    }
    // Statistics are asked of tables that are away for a moment.
    assert_eq!(server.send(&job("in_progress", "metrics-4")).await.status, 200);
    (server, receiver, live)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_deployment_files_is_exported_by_a_running_server() {
    let tools = Tools::ready();
    let named = named(&tools);
    let parsed = parsed(&tools, &named);
    let folder = tempfile::tempdir().unwrap();
    let (server, _receiver, _live) = busy(&folder).await;
    let wanted: BTreeSet<&str> = parsed
        .iter()
        .flat_map(|p| &p.metrics)
        .chain(&named.autoscaled)
        .map(String::as_str)
        .filter(|name| *name != "up" && !named.recorded.iter().any(|r| r == name))
        .collect();
    let found = eventually("every metric is exported", SOON, || async {
        // Asking keeps ClickHouse from being forgotten while it is away.
        server.fetch("/api/webhooks/statistics").await;
        let (_, text) = server.fetch("/metrics").await;
        let mut found = exported(&String::from_utf8(text).map_err(|e| e.to_string())?);
        for (name, labels) in RARE {
            let labels = labels.iter().map(|label| (*label).to_owned());
            found.insert(name.to_owned(), labels.collect());
        }
        let missing: Vec<&&str> = wanted.iter().filter(|name| !found.contains_key(**name)).collect();
        if missing.is_empty() {
            Ok(found)
        } else {
            Err(format!("{missing:?} are not there"))
        }
    })
    .await;
    for (expression, parsed) in named.expressions.iter().zip(&parsed) {
        let of = |name: &String| match name.split_once(':') {
            Some((level, _)) => level.split('_').map(str::to_owned).collect(),
            None => found.get(name).cloned().unwrap_or_default(),
        };
        let known: BTreeSet<String> = parsed.metrics.iter().flat_map(of).collect();
        for label in &parsed.labels {
            assert!(
                known.contains(label) || ITS_OWN.contains(&label.as_str()),
                "{}: no metric of {} has the label {label}",
                expression.r#where,
                expression.text
            );
        }
    }
}

#[test]
fn what_autoscalers_ask_for_the_adapter_shows() {
    let named = named(&Tools::ready());
    assert!(!named.autoscaled.is_empty());
    for name in &named.autoscaled {
        assert!(
            named.adapted.contains(name),
            "infra/prometheus/adapter.yml does not show {name}"
        );
    }
}

#[test]
fn labels_are_read_from_an_exposition() {
    let text = "# HELP a_total b\na_total{x=\"1,2\",y=\"}\"} 3\nb_bucket{le=\"+Inf\"} 1\nc 0\n";
    let found = exported(text);
    let names = |name: &str| found[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(names("a_total"), ["x", "y"]);
    assert_eq!(names("b_bucket"), ["le"]);
    assert!(names("c").is_empty());
}
