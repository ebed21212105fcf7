//! The server under measurement: the release binary with its engines, in a folder of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// The webhook secret.
pub(crate) const SECRET: &str = "a secret of the benchmark";

const START: Duration = Duration::from_secs(120);
const SETTLE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A running server. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Server {
    /// Starts it and waits until it is ready. What it prints goes to a file in the folder.
    pub(crate) async fn start(folder: &Path, destination: String) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let settings = format!(
            "[[destination]]\nname = \"sink\"\nurl = \"{destination}\"\naddresses_allowed = [\"127.0.0.0/8\"]\n\
             concurrency = 16\n"
        );
        std::fs::write(folder.join("hooklog.toml"), settings).expect("settings are written");
        let output = File::create(folder.join("output")).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_hooklog"))
            .current_dir(folder)
            .args(["serve", "--port", &port.to_string()])
            .env("GITHUB_WEBHOOK_SECRET", SECRET)
            .env("WEBHOOK_DEDUP_TTL", "0")
            .env("LOG_LEVEL", "warn")
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("the binary runs");
        let server = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
        };
        let deadline = Instant::now() + START;
        while !server.is_ready().await {
            assert!(Instant::now() < deadline, "the server never became ready");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        server
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}/ready", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Waits until nothing lags: every destination is done and every projection has caught up.
    pub(crate) async fn settled(&self) {
        let deadline = Instant::now() + SETTLE;
        loop {
            let destinations = self.get("/api/destinations").await;
            let open: u64 = sum(&destinations["destinations"], |row| &row["open"]);
            let projections = self.get("/api/projections").await;
            let behind: u64 = sum(&projections["projections"], |row| &row["lag"]["events"]);
            if open == 0 && behind == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "it never settled: {open} open, {behind} behind"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Begins a replay of everything, at the default rate.
    pub(crate) async fn start_replay(&self) -> String {
        let order = json!({ "filter": {}, "to": "processing", "reason": "benchmark" });
        let answer = self
            .client
            .post(format!("{}/api/webhooks/replay", self.url))
            .json(&order)
            .send()
            .await
            .expect("the server answers");
        let body: Value = answer.json().await.expect("json");
        body["data"]["id"].as_str().expect("a replay").to_owned()
    }

    /// Stops a replay; returns how many deliveries it asked for.
    pub(crate) async fn cancel(&self, replay: &str) -> u64 {
        let url = format!("{}/api/webhooks/replays/{replay}", self.url);
        let answer = self.client.delete(url).send().await.expect("the server answers");
        let body: Value = answer.json().await.expect("json");
        body["data"]["requested"].as_u64().unwrap_or(0)
    }

    /// Stops the server.
    pub(crate) async fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + START;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await;
        let mut body: Value = answer.expect("the server answers").json().await.expect("json");
        body["data"].take()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sum(list: &Value, field: impl Fn(&Value) -> &Value) -> u64 {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| field(item).as_u64()).sum()
}
