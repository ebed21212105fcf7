//! Servers under measurement, each a process of its own: the binary of the product, and the handlers it is held against.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client;
use super::port::free_port;
use super::process::Watched;

/// The webhook secret.
pub(crate) const SECRET: &str = "a secret of the benchmark";

const START: Duration = Duration::from_secs(120);
const SETTLE: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running server. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    /// The product with some roles (none named means all), waited for until it is ready.
    pub(crate) async fn start(folder: &Path, roles: &str) -> Self {
        let server = Self::spawn(folder, roles, &[]);
        server.ready().await;
        server
    }

    /// The same without waiting, and with more in its environment. What it prints goes to a file in the folder.
    pub(crate) fn spawn(folder: &Path, roles: &str, environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hooklog"));
        command
            .args(["serve", "--port", &port.to_string(), "--data-dir"])
            .arg(folder.join("data"));
        if !roles.is_empty() {
            command.args(["--roles", roles]);
        }
        command
            .env("GITHUB_WEBHOOK_SECRET", SECRET)
            // Examples come again and again: their content must not count.
            .env("WEBHOOK_DEDUP_TTL", "0")
            .env("LOG_LEVEL", "warn")
            .envs(environment.iter().copied());
        Self::run(command, folder, port)
    }

    /// The ceiling of receiving (`bare-handler`), or what no durable receiver can leave out (`durable-handler`).
    pub(crate) async fn handler(folder: &Path, kind: &str) -> Self {
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([kind, &port.to_string()]);
        let server = Self::run(command, folder, port);
        let deadline = Instant::now() + START;
        while tokio::net::TcpStream::connect(server.address).await.is_err() {
            assert!(Instant::now() < deadline, "the {kind} never listened");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        server
    }

    fn run(mut command: Command, folder: &Path, port: u16) -> Self {
        let output = File::create(folder.join("output")).expect("a file");
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("the program runs");
        Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            folder: folder.to_owned(),
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn process(&self) -> Watched {
        Watched(self.child.id())
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&self) {
        let deadline = Instant::now() + START;
        while !matches!(client::get(self.address, "/ready").await, Ok((200, _))) {
            assert!(Instant::now() < deadline, "never ready: {}", self.printed());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What it printed.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }

    /// An answer of its API.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = client::get(self.address, path).await.expect("the server answers");
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("json")
    }

    /// A metric, summed over its labels; `None` while it does not exist.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let (_, body) = client::get(self.address, "/metrics").await.ok()?;
        metric_in(&String::from_utf8_lossy(&body), name)
    }

    /// The projections, as the API shows them.
    pub(crate) async fn projections(&self) -> Vec<Value> {
        let answer = self.get("/api/projections").await;
        answer["data"]["projections"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// How many events the projections are behind, the most of all.
    pub(crate) async fn behind(&self) -> u64 {
        let rows = self.projections().await;
        rows.iter()
            .filter_map(|row| row["lag"]["events"].as_u64())
            .max()
            .unwrap_or(0)
    }

    /// Waits until everything runs and nothing is behind the log.
    pub(crate) async fn settled(&self) {
        let deadline = Instant::now() + SETTLE;
        loop {
            let relay = self.metric("hooklog_relay_lag_events").await;
            let rows = self.projections().await;
            let live = |row: &Value| row["state"] == "live" && row["lag"]["events"] == 0;
            if !rows.is_empty() && rows.iter().all(live) && relay == Some(0.0) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "it never settled: relay {relay:?}, {rows:?}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks it to stop, and waits.
    pub(crate) async fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + START;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            assert!(Instant::now() < deadline, "it did not stop");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The sum of the lines of a metric in a page of metrics.
pub(crate) fn metric_in(page: &str, name: &str) -> Option<f64> {
    let lines = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with(' ') || rest.starts_with('{'))
            .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    lines.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
