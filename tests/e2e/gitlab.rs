//! What GitLab and Linear send of a project in nested groups becomes jobs, runs and activity, however it arrives.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::harness::{Answer, Launch, Server, Tools, client, openssl_signature};

const TOKEN: &str = "a token that GitLab sends as it is";
const LINEAR_SECRET: &str = "lin_wh_a_secret_of_linear";
/// As many as `gitlab_session.py` prints.
const SESSION: usize = 192;

/// A delivery as `gitlab_session.py` prints it.
#[derive(Deserialize)]
struct Told {
    source: String,
    event: String,
    id: String,
    body: String,
}

impl Told {
    fn headers(&self) -> Vec<(&'static str, String)> {
        let (id, event) = (self.id.clone(), self.event.clone());
        if self.source == "linear" {
            let signature = openssl_signature(LINEAR_SECRET, self.body.as_bytes());
            let hex = signature.trim_start_matches("sha256=").to_owned();
            return vec![
                ("Linear-Delivery", id),
                ("Linear-Event", event),
                ("Linear-Signature", hex),
            ];
        }
        vec![
            ("Idempotency-Key", id),
            ("X-Gitlab-Event", event),
            ("X-Gitlab-Token", TOKEN.into()),
            ("User-Agent", "GitLab/18.6.0".into()),
        ]
    }

    async fn post(&self, client: &reqwest::Client, server: &Server) -> Answer {
        let url = format!("{}/api/webhooks/{}", server.base(), self.source);
        let request = client.post(url).header("Content-Type", "application/json");
        let request = self
            .headers()
            .into_iter()
            .fold(request, |r, (name, value)| r.header(name, value));
        let response = request.body(self.body.clone()).send().await.expect("an answer");
        let status = response.status().as_u16();
        let json = serde_json::from_slice(&response.bytes().await.expect("the whole answer"));
        Answer {
            status,
            json: json.unwrap_or_default(),
        }
    }
}

fn session(tools: &Tools) -> (String, Vec<Told>) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = tools.python("gitlab_session.py", &[&fixtures.display().to_string(), "7"]);
    let told = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a delivery a line"));
    let told = told.collect();
    (text, told)
}

fn launch(folder: &Path) -> Launch {
    Launch::in_folder(folder)
        .env("GITLAB_WEBHOOK_SECRET", TOKEN)
        .env("LINEAR_WEBHOOK_SECRET", LINEAR_SECRET)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_of_nested_groups_is_told_from_what_gitlab_and_linear_send() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = launch(folder.path()).start().await;
    let (text, told) = session(&tools);
    assert_eq!(told.len(), SESSION);
    let types = server.data_of("/api/webhooks/events/types").await;
    let mut seen: HashMap<&str, u64> = HashMap::new();
    let client = client();
    for one in &told {
        let answer = one.post(&client, &server).await;
        assert_eq!(answer.status, 200, "{}: {}", one.id, answer.json);
        let times = seen.entry(&one.id).or_default();
        assert_eq!(answer.is_duplicate(), *times > 0, "{}", one.id);
        *times += 1;
        is_in_the_catalogue(&types, &answer.json["data"]);
    }
    server.caught_up().await;

    let sent = folder.path().join("sent.ndjson");
    std::fs::write(&sent, text).unwrap();
    let fold = tools.python_json(
        "gitlab_fold.py",
        &["--sent", &sent.display().to_string(), "--url", &server.base()],
    );
    assert_eq!(fold["jobs"], 28, "{fold}");
    assert_eq!(fold["repositories"][1], "acme/platform/billing-api", "{fold}");
    nested_names_work_everywhere(&server).await;
}

/// What the answer of a delivery names is an event and an action that the API shows as known.
fn is_in_the_catalogue(types: &serde_json::Value, data: &serde_json::Value) {
    let sources = types["sources"].as_array().expect("sources");
    let source = sources
        .iter()
        .find(|s| s["source"] == data["source"])
        .expect("the source");
    let known = source["types"].as_array().expect("types");
    let known = known.iter().find(|t| t["event"] == data["event"]);
    let known = known.unwrap_or_else(|| panic!("{data} is of no known event"));
    let actions = known["actions"].as_array().expect("actions");
    let action = &data["action"];
    assert!(
        actions.contains(action) || (action.is_null() && actions.is_empty()),
        "{data}: {known}"
    );
}

async fn nested_names_work_everywhere(server: &Server) {
    let total = |path: &'static str| async move { server.data_of(path).await["total"].as_u64() };
    let all = total("/api/webhooks/events?repository=ACME/platform/billing-api&limit=1").await;
    let of_gitlab = total("/api/webhooks/events?source=gitlab&limit=1").await;
    assert_eq!(all, of_gitlab, "all of GitLab is of one project");
    assert_eq!(
        total("/api/webhooks/events?repository=acme/platform&limit=1").await,
        Some(0)
    );
    let jobs = total("/api/jobs?repository=acme/platform/billing-api").await;
    assert_eq!(jobs, total("/api/jobs?host=gitlab.example.com").await);
    assert!(jobs > Some(0) && total("/api/jobs?host=github.com").await == Some(0));
    let statistics = server
        .data_of("/api/webhooks/statistics?repository=acme/platform/billing-api")
        .await;
    assert_eq!(statistics["summary"]["totalEvents"].as_u64(), of_gitlab);
    let wanted = serde_json::json!({"filter": {"repository": "acme/**"}, "dryRun": true});
    let below = server.post("/api/webhooks/replay", wanted).await;
    assert_eq!(below["count"].as_u64().map(|n| n > 0), Some(true), "{below}");
    let flat = serde_json::json!({"filter": {"repository": "acme/*"}, "dryRun": true});
    assert_eq!(
        server.post("/api/webhooks/replay", flat).await["count"],
        0,
        "a star stays within its part"
    );
}
