//! Clients that listen: of server-sent events over plain HTTP, and of Socket.IO in their own languages.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use serde_json::Value;

use crate::harness::{Tools, client, eventually};

/// How long anything is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// An event of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) event: Option<String>,
    pub(super) id: Option<String>,
    pub(super) data: Option<Value>,
}

impl Seen {
    /// The position in its id.
    pub(super) fn position(&self) -> u64 {
        let id = self.id.as_deref().unwrap_or_else(|| panic!("no id: {self:?}"));
        id.rsplit(':').next().unwrap().parse().unwrap()
    }
}

/// A stream of server-sent events.
pub(super) struct Events {
    body: std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Events {
    /// Opens one; none when the server does not answer.
    pub(super) async fn open(base: &str, query: &str, id: Option<&str>, key: Option<&str>) -> Option<Self> {
        let mut request = client().get(format!("{base}/api/webhooks/stream{query}"));
        if let Some(id) = id {
            request = request.header("Last-Event-ID", id);
        }
        if let Some(key) = key {
            request = request.header("X-Api-Key", key);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        if status == 503 {
            return None;
        }
        assert_eq!(status, 200, "{:?}", response.text().await);
        Some(Self {
            body: Box::pin(response.bytes_stream()),
            text: String::new(),
        })
    }

    /// The next block, comments left out; none at the end, however it came.
    pub(super) async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let seen = parse(block);
                self.text = rest.to_owned();
                if seen.id.is_some() || seen.data.is_some() {
                    return Some(seen);
                }
                continue;
            }
            let piece = tokio::time::timeout(PATIENCE, self.body.next()).await;
            let piece = piece.expect("a stream says something now and then")?.ok()?;
            self.text.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    /// The next delivery, or the notice at the end.
    pub(super) async fn data(&mut self) -> Option<Seen> {
        loop {
            let seen = self.next().await?;
            if seen.data.is_some() {
                return Some(seen);
            }
        }
    }
}

fn parse(block: &str) -> Seen {
    let mut seen = Seen::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => seen.event = Some(name.to_owned()),
            Some(("id", id)) => seen.id = Some(id.to_owned()),
            Some(("data", data)) => seen.data = serde_json::from_str(data).ok(),
            _ => {}
        }
    }
    seen
}

/// A client of Socket.IO in a process of its own. Dropped, it is killed.
pub(super) struct Listener {
    child: Child,
    told: Mutex<ChildStdin>,
    lines: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Listener {
    /// Starts one.
    pub(super) fn start(tools: &Tools, language: &str, base: &str, wanted: &Value) -> Self {
        let mut child = tools.listener(language, base, wanted);
        let told = Mutex::new(child.stdin.take().expect("piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (pipe, heard) = (child.stdout.take().expect("piped"), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).expect("a line of JSON");
                let what = line[0].as_str().expect("what happened").to_owned();
                heard.lock().unwrap().push((what, line[1].clone()));
            }
        });
        Self { child, told, lines }
    }

    /// Starts one and waits until it has joined and subscribed.
    pub(super) async fn joined(tools: &Tools, language: &str, base: &str, wanted: &Value) -> Self {
        let listener = Self::start(tools, language, base, wanted);
        listener.heard("connected", 1).await;
        listener
    }

    /// Tells it to do something, and waits until it has.
    pub(super) async fn tell(&self, what: &str) {
        let before = self.all(what).len();
        writeln!(self.told.lock().unwrap(), "{what}").expect("it listens");
        self.heard(what, before + 1).await;
    }

    /// Everything of a kind that it heard so far.
    pub(super) fn all(&self, what: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        let of_kind = lines.iter().filter(|(name, _)| name == what);
        of_kind.map(|(_, data)| data.clone()).collect()
    }

    /// Waits until it heard so many of a kind.
    pub(super) async fn heard(&self, what: &str, count: usize) -> Vec<Value> {
        eventually(&format!("a client hears {count} × {what}"), PATIENCE, || async {
            let all = self.all(what);
            if all.len() >= count {
                Ok(all)
            } else {
                Err(self.told())
            }
        })
        .await
    }
}

impl Listener {
    /// What it said, in short: payloads are large.
    fn told(&self) -> String {
        let lines = self.lines.lock().unwrap();
        let names: Vec<_> = lines.iter().map(|(name, _)| name.as_str()).collect();
        let last = lines.iter().rev().find(|(name, _)| !name.contains("event"));
        let text = format!("{} lines; {last:?}; {names:?}", lines.len());
        format!("{text:.800}")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
