//! The independent side: Python and node programs in `tests/tools`, and openssl.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The installed test tools.
pub(crate) struct Tools {
    installed: PathBuf,
    programs: PathBuf,
}

impl Tools {
    /// Finds them, and installs them first where nobody has.
    pub(crate) fn ready() -> Self {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools");
        let installed = output(Command::new("bash").arg(programs.join("setup.sh")));
        Self {
            installed: installed.trim().into(),
            programs,
        }
    }

    /// Runs a node program and returns what it printed.
    pub(crate) fn node(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("node");
        output(
            command
                .arg(self.programs.join(program))
                .args(arguments)
                .env("HOOKLOG_TEST_TOOLS", &self.installed),
        )
    }

    /// Runs a Python program and returns what it printed; its failure, with its words, fails the test.
    pub(crate) fn python(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.installed.join("venv/bin/python"));
        output(command.arg(self.programs.join(program)).args(arguments))
    }

    /// Starts a Python program that goes on.
    pub(crate) fn python_program(&self, program: &str, arguments: &[&str], out: Stdio) -> Child {
        Command::new(self.installed.join("venv/bin/python"))
            .arg(self.programs.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .spawn()
            .expect("Python runs")
    }

    /// Runs a program of a Python package and returns what it printed.
    pub(crate) fn program(&self, name: &str, arguments: &[&str]) -> String {
        output(Command::new(self.installed.join("venv/bin").join(name)).args(arguments))
    }

    /// Runs a program of a package of Node.js and returns what it printed.
    pub(crate) fn node_program(&self, name: &str, arguments: &[&str]) -> String {
        output(Command::new(self.installed.join("node_modules/.bin").join(name)).args(arguments))
    }

    /// Has schemathesis ask a server whatever its OpenAPI document allows, and what it does not allow; returns its report. An
    /// answer that the document does not name fails the test.
    pub(crate) fn schemathesis(&self, base: &str, examples: &str, key: &str) -> String {
        let mut command = Command::new(self.installed.join("venv/bin/python"));
        command.args(["-m", "schemathesis.cli", "--config-file"]);
        command.arg(self.programs.join("schemathesis.toml"));
        command.args(["run", &format!("{base}/openapi.json"), "--max-examples", examples]);
        command.args(["-H", &format!("X-Api-Key: {key}")]);
        // What it remembers of a run would change the next one.
        let place = tempfile::tempdir().expect("a folder to work in");
        output(
            command
                .args(["--seed", "20261127", "--no-color"])
                .current_dir(place.path()),
        )
    }

    /// A client of Socket.IO, in node or in Python, or a crowd of them, that runs until it is dropped.
    pub(crate) fn listener(&self, language: &str, base: &str, wanted: &serde_json::Value) -> Child {
        let program = |name: &str| self.programs.join(name);
        let mut command = match language {
            "python" => {
                let mut command = Command::new(self.installed.join("venv/bin/python"));
                command.arg(program("listen.py"));
                command
            }
            _ => {
                let mut command = Command::new("node");
                let many = language == "crowd";
                command.arg(program(if many { "crowd.mjs" } else { "listen.mjs" }));
                command
            }
        };
        command.args([base, &wanted.to_string()]);
        command.env("HOOKLOG_TEST_TOOLS", &self.installed);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        spawned.unwrap_or_else(|e| panic!("{command:?} can't be run: {e}"))
    }

    /// As [`Tools::python`], with JSON on its standard output.
    pub(crate) fn python_json(&self, program: &str, arguments: &[&str]) -> serde_json::Value {
        let text = self.python(program, arguments);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{program} printed no JSON ({e}): {text:.500}"))
    }
}

/// `sha256=<hex>` over a body, by openssl.
pub(crate) fn openssl_signature(secret: &str, body: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-r", "-hmac", secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(body)
        .expect("openssl reads the body");
    let printed = child.wait_with_output().expect("openssl ends").stdout;
    let hex = String::from_utf8(printed).expect("openssl prints text");
    format!(
        "sha256={}",
        hex.split_whitespace()
            .next()
            .expect("openssl prints the digest first")
    )
}

fn output(command: &mut Command) -> String {
    let done = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{command:?} can't be run: {e}"));
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(
        done.status.success(),
        "{command:?} failed ({}):\n{err}{out:.2000}",
        done.status
    );
    out.into_owned()
}

/// The body of an answer: whole, or, of a stream that does not end by itself, what came before it fell silent.
pub(crate) async fn body_of(mut answer: reqwest::Response) -> Vec<u8> {
    const SILENCE: std::time::Duration = std::time::Duration::from_millis(500);
    let kind = answer.headers().get("content-type").cloned();
    if kind.is_none_or(|kind| kind != "text/event-stream") {
        return answer.bytes().await.expect("the whole answer").to_vec();
    }
    let mut body = Vec::new();
    while let Ok(Ok(Some(piece))) = tokio::time::timeout(SILENCE, answer.chunk()).await {
        body.extend_from_slice(&piece);
    }
    body
}

/// A client of HTTP that is not ours.
pub(crate) fn client() -> reqwest::Client {
    // A client can't be built without one, whether it speaks TLS or not.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
