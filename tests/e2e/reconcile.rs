//! Comparing what was sent with what is in the log, on the stream, in the tables and in the answers. The comparing is
//! done in Python, with clients that are not ours.

use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::{Launch, Server, Signed, Taken, Tools};

/// A delivery, and the position that its 200 named.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sent {
    #[serde(flatten)]
    pub(crate) delivery: Signed,
    pub(crate) position: u64,
}

impl Sent {
    /// A delivery and its position.
    pub(crate) fn new(delivery: Signed, position: u64) -> Self {
        Self { delivery, position }
    }
}

/// An event as `hooklog log dump --json` prints it.
#[derive(Debug, Clone)]
pub(crate) struct Dumped(Value);

impl Dumped {
    /// Its position.
    pub(crate) fn position(&self) -> u64 {
        self.0["position"].as_u64().expect("a position")
    }

    /// Whether it is the receipt of a delivery.
    pub(crate) fn is_receipt(&self) -> bool {
        self.0["type"] == "DeliveryReceived"
    }

    /// The sender's id.
    pub(crate) fn delivery_id(&self) -> String {
        self.0["metadata"]["deliveryId"]
            .as_str()
            .expect("a delivery id")
            .to_owned()
    }
}

/// The whole log, as the command line prints it.
pub(crate) fn dump(launch: &Launch) -> Vec<Dumped> {
    let text = dump_text(launch);
    text.lines()
        .map(|l| Dumped(serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l:.200}"))))
        .collect()
}

fn dump_text(launch: &Launch) -> String {
    let data = launch.data().display().to_string();
    let done = launch.run(&["log", "dump", "--json", "--data-dir", &data]);
    assert!(
        done.status.success(),
        "log dump failed: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).expect("the dump is UTF-8")
}

/// Compares the log, the stream and the tables with each other and with what was sent, event by event. Returns how many
/// each holds.
pub(crate) fn reconcile(server: &Server, tools: &Tools, sent: &[Sent]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let dump = write(
        folder.path(),
        "dump.ndjson",
        dump_text(server.launch()).as_bytes(),
    );
    let sent = write_sent(folder.path(), sent);
    let data = server.launch().data().display().to_string();
    tools.python_json(
        "reconcile.py",
        &[
            "--data",
            &data,
            "--dump",
            &dump,
            "--sent",
            &sent,
            "--url",
            &server.base(),
        ],
    )
}

/// Compares what a receiver got with the outcomes in the log, by idempotency key: each delivery arrived at least once under one
/// key a round, and has one outcome. Returns how many requests came, and how many of them were repeats.
pub(crate) fn forwarded(launch: &Launch, tools: &Tools, taken: &[Taken]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let dump = write(folder.path(), "dump.ndjson", dump_text(launch).as_bytes());
    let line = |taken: &Taken| {
        let line = serde_json::json!({
            "key": taken.idempotency_key(),
            "delivery": taken.header("x-github-delivery"),
            "sha256": sha256_of(&taken.body),
            "answered": taken.answered,
        });
        line.to_string() + "\n"
    };
    let lines: String = taken.iter().map(line).collect();
    let taken = write(folder.path(), "taken.ndjson", lines.as_bytes());
    tools.python_json(
        "forwarded.py",
        &["--dump", &dump, "--taken", &taken, "--destination", "ci"],
    )
}

/// Compares statistics, repositories, jobs and workflow runs as the API tells them with a fold of what was sent.
pub(crate) fn same_answers_as_the_fold(server: &Server, tools: &Tools, sent: &[Sent]) {
    let folder = tempfile::tempdir().unwrap();
    let sent = write_sent(folder.path(), sent);
    tools.python("answers.py", &["--sent", &sent, "--url", &server.base()]);
}

/// Everything that the API and the tables say, in one comparable form.
pub(crate) fn answers(server: &Server, tools: &Tools) -> Value {
    let data = server.launch().data().display().to_string();
    tools.python_json("snapshot.py", &["--data", &data, "--url", &server.base()])
}

/// SHA-256 in hex.
pub(crate) fn sha256_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn write_sent(folder: &Path, sent: &[Sent]) -> String {
    let lines: Vec<String> = sent.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
    write(folder, "sent.ndjson", (lines.join("\n") + "\n").as_bytes())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    path.display().to_string()
}
