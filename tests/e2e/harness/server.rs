//! The real binary as a child process, on a free port and a data directory of its own.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::port::free_port;
use super::process::send;
use super::{Answer, BINARY, Following, Signed, alive, body_of, descendants, eventually, kill9};

/// The webhook secret of every server here; GitHub's own example.
pub(crate) const SECRET: &str = "It's a Secret to Everybody";

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);
/// Engines die with their parent, however it died.
const ORPHANS: Duration = Duration::from_secs(3);
/// Anything of the environment that the server would take for a setting.
const SETTINGS: [&str; 12] = [
    "HOOKLOG_",
    "WEBHOOK_",
    "GITHUB_",
    "GITLAB_",
    "LINEAR_",
    "STANDARD_",
    "CODEGEN_",
    "CLAUDE_CODE_",
    "EVENT_",
    "RETRY_",
    "RATE_",
    "LOG_",
];

/// How to start a server; kept by it, so that it can be started again.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    folder: PathBuf,
    port: u16,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

/// A running server. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    launch: Launch,
    client: reqwest::Client,
    output: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Launch {
    /// A server that works in a folder, its data in `data` below it, with the usual secret and a long dedup window.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
            port: free_port(),
            environment: Vec::new(),
            arguments: Vec::new(),
        }
        .env("GITHUB_WEBHOOK_SECRET", SECRET)
        // Longer than any test, so that a fold needs no clock to tell duplicates of content.
        .env("WEBHOOK_DEDUP_TTL", "3600000")
    }

    /// Without anything in its environment but the port.
    pub(crate) fn bare(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
            port: free_port(),
            environment: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// With a variable in its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(n, _)| n != name);
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With one more argument of `serve`.
    #[allow(dead_code, reason = "the tests of a cluster start a process for each role")]
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With a settings file in its folder.
    pub(crate) fn settings(self, text: &str) -> Self {
        std::fs::write(self.folder.join("hooklog.toml"), text).expect("settings are written");
        self
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&self) -> Server {
        let server = self.spawn();
        server.ready().await;
        server
    }

    /// Starts it without waiting.
    pub(crate) fn spawn(&self) -> Server {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let output = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            follow(child.stdout.take().expect("piped"), &output),
            follow(child.stderr.take().expect("piped"), &output),
        ];
        Server {
            child,
            launch: self.clone(),
            client: super::client(),
            output,
            readers,
        }
    }

    /// Starts it and waits until it has ended by itself, as it does when it refuses to start.
    pub(crate) async fn refusal(&self) -> (Option<i32>, String) {
        let mut server = self.spawn();
        let status = server.ended("the server refuses to start", START).await;
        (status, server.printed())
    }

    /// Runs another command of the binary in the same environment.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = clean(Command::new(BINARY), &self.environment);
        command
            .current_dir(&self.folder)
            .args(arguments)
            .stdin(Stdio::null());
        command.output().expect("the binary runs")
    }

    /// Starts another command of the binary that goes on, in the same environment.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Following {
        let mut command = clean(Command::new(BINARY), &self.environment);
        command
            .current_dir(&self.folder)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Following::of(command.spawn().expect("the binary runs"))
    }

    /// As [`Launch::run`], with a text on its standard input.
    pub(crate) fn feed(&self, arguments: &[&str], text: &str) -> Output {
        let mut command = clean(Command::new(BINARY), &self.environment);
        command.current_dir(&self.folder).args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(text.as_bytes()).expect("it reads");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    fn command(&self) -> Command {
        let mut command = clean(Command::new(BINARY), &self.environment);
        command
            .current_dir(&self.folder)
            .arg("serve")
            .args(["--port", &self.port.to_string()])
            .args(&self.arguments);
        command.stdin(Stdio::null());
        command
    }
}

impl Server {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.launch.port
    }

    /// The address of its API.
    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.launch.port)
    }

    /// How it was started.
    pub(crate) fn launch(&self) -> &Launch {
        &self.launch
    }

    /// What it printed so far.
    pub(crate) fn printed(&self) -> String {
        self.output.lock().unwrap().join("\n")
    }

    /// Waits until `/ready` answers 200.
    pub(crate) async fn ready(&self) {
        eventually("the server is ready", START, || async {
            if !alive(self.pid()) {
                return Err(format!("it has ended:\n{}", self.printed()));
            }
            let answer = self
                .client
                .get(format!("{}/ready", self.base()))
                .send()
                .await
                .map_err(|e| e.to_string())?;
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap_or_default();
            if status == 200 {
                Ok(())
            } else {
                Err(format!("{status} {text}"))
            }
        })
        .await;
    }

    /// Posts a delivery; no answer fails the test.
    pub(crate) async fn send(&self, delivery: &Signed) -> Answer {
        let answer = delivery.post(&self.client, &self.base()).await;
        answer.unwrap_or_else(|e| panic!("no answer to {}: {e}", delivery.delivery))
    }

    /// Asks the API.
    pub(crate) async fn ask(&self, path: &str) -> Answer {
        let (status, bytes) = self.fetch(path).await;
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, json }
    }

    /// The `data` of a 200.
    pub(crate) async fn data_of(&self, path: &str) -> Value {
        let answer = self.ask(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        assert_eq!(answer.json["success"], true, "{path}: {}", answer.json);
        answer.json["data"].clone()
    }

    /// Commands something of the API.
    pub(crate) async fn command(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base()));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request
            .send()
            .await
            .unwrap_or_else(|e| panic!("no answer at {path}: {e}"));
        let status = response.status().as_u16();
        let json = serde_json::from_slice(&response.bytes().await.expect("the whole answer"));
        Answer {
            status,
            json: json.unwrap_or(Value::Null),
        }
    }

    /// Posts a command, and returns the `data` of its 200.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.command(reqwest::Method::POST, path, Some(body)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        answer.json["data"].clone()
    }

    /// Waits until a delivery has a status, and returns it in full.
    pub(crate) async fn delivery_becomes(&self, id: &str, status: &str, deadline: Duration) -> Value {
        let path = format!("/api/webhooks/events/{id}");
        eventually(&format!("{id} is {status}"), deadline, || async {
            let data = self.data_of(&path).await;
            if data["status"] == status {
                Ok(data)
            } else {
                Err(data["status"].to_string())
            }
        })
        .await
    }

    /// Status and bytes of a path.
    pub(crate) async fn fetch(&self, path: &str) -> (u16, Vec<u8>) {
        let response = self.client.get(format!("{}{path}", self.base())).send().await;
        let response = response.unwrap_or_else(|e| panic!("no answer to GET {path}: {e}"));
        let status = response.status().as_u16();
        (status, body_of(response).await)
    }

    /// Waits until every projection stands at the head of the log and has nothing left to do.
    pub(crate) async fn caught_up(&self) {
        self.caught_up_within(Duration::from_secs(120)).await;
    }

    /// As [`Server::caught_up`], for a log that takes its time.
    pub(crate) async fn caught_up_within(&self, deadline: Duration) {
        eventually("every projection caught up with the log", deadline, || async {
            let answer = self.ask("/api/projections").await;
            let data = &answer.json["data"];
            let rows = data["projections"].as_array().cloned().unwrap_or_default();
            let settled = |row: &Value| row["state"] == "live" && row["position"] == data["head"];
            let relayed = data["relay"]["position"] == data["head"];
            let done = relayed && !rows.is_empty() && rows.iter().all(settled);
            if done {
                Ok(())
            } else {
                Err(answer.json.to_string())
            }
        })
        .await;
    }

    /// Stops it as an operator does, and waits for its end.
    pub(crate) async fn stop(mut self) -> Launch {
        send(self.pid(), Signal::TERM);
        let status = self.ended("the server stops on SIGTERM", STOP).await;
        assert_eq!(status, Some(0), "it stopped with an error:\n{}", self.printed());
        self.launch.clone()
    }

    /// Sends SIGTERM and returns at once.
    pub(crate) fn terminate(&self) {
        send(self.pid(), Signal::TERM);
    }

    /// Kills it with SIGKILL and checks that no child outlives it.
    pub(crate) async fn kill(mut self) -> Launch {
        let children = descendants(self.pid());
        kill9(self.pid());
        self.ended("the killed server is gone", STOP).await;
        eventually("no engine outlives a killed server", ORPHANS, || async {
            let left: Vec<_> = children.iter().filter(|pid| alive(**pid)).collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?} still run"))
            }
        })
        .await;
        self.launch.clone()
    }

    /// Waits for its end, with everything that it printed, and returns its exit code.
    pub(crate) async fn ended(&mut self, what: &str, deadline: Duration) -> Option<i32> {
        let begin = Instant::now();
        loop {
            let status = self.child.try_wait().expect("the child can be waited for");
            // Its last words may still be on their way after it has gone.
            let heard = self.readers.iter().all(JoinHandle::is_finished);
            if let Some(status) = status.filter(|_| heard) {
                return status.code();
            }
            assert!(
                begin.elapsed() < deadline,
                "it never happened that {what}:\n{}",
                self.printed()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self
                .output
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let last = output.len().saturating_sub(80);
            eprintln!(
                "--- the last lines of the server ---\n{}\n---",
                output[last..].join("\n")
            );
        }
        let children = descendants(self.child.id());
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        // A later test must not find the engines of this one, even if the server failed to take them along.
        let begin = Instant::now();
        while children.iter().any(|pid| alive(*pid)) && begin.elapsed() < ORPHANS {
            std::thread::sleep(Duration::from_millis(10));
        }
        children.into_iter().filter(|pid| alive(*pid)).for_each(kill9);
    }
}

fn clean(mut command: Command, environment: &[(String, String)]) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let engines = text == "HOOKLOG_ENGINES" || text == "HOOKLOG_CACHE";
        if !engines && SETTINGS.iter().any(|s| text.starts_with(s)) {
            command.env_remove(&name);
        }
    }
    command.envs(environment.iter().map(|(n, v)| (n, v)));
    command
}

pub(super) fn follow(pipe: impl Read + Send + 'static, output: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            output.lock().unwrap().push(line);
        }
    })
}
