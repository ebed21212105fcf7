//! Real payloads: the examples of `@octokit/webhooks-examples`, signed beforehand by `@octokit/webhooks-methods`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::server::SECRET;

/// A signed example.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Example {
    pub(crate) event: String,
    pub(crate) signature: String,
    pub(crate) body: String,
}

/// All of them.
pub(crate) struct Payloads {
    /// One line of JSON each.
    pub(crate) file: PathBuf,
    pub(crate) examples: Vec<Example>,
}

impl Payloads {
    /// Has them signed, and installs what does that first where nobody has.
    pub(crate) fn ready(root: &Path, folder: &Path) -> Self {
        let tools = root.join("tests/tools");
        let installed = printed(Command::new("bash").arg(tools.join("setup.sh")));
        let signing = &mut Command::new("node");
        let signed = printed(
            signing
                .arg(tools.join("examples.mjs"))
                .arg(SECRET)
                .env("HOOKLOG_TEST_TOOLS", installed.trim()),
        );
        let file = folder.join("payloads");
        std::fs::write(&file, signed).expect("payloads are written");
        let examples = read(&file);
        Self { file, examples }
    }

    pub(crate) fn mean_bytes(&self) -> f64 {
        let sum: usize = self.examples.iter().map(|example| example.body.len()).sum();
        sum as f64 / self.examples.len() as f64
    }

    pub(crate) fn in_words(&self) -> String {
        let sizes = || self.examples.iter().map(|example| example.body.len());
        format!(
            "{} examples of GitHub (`@octokit/webhooks-examples`), each in turn: {} to {} bytes, mean {:.0}",
            self.examples.len(),
            sizes().min().unwrap_or(0),
            sizes().max().unwrap_or(0),
            self.mean_bytes()
        )
    }
}

/// Reads what [`Payloads::ready`] wrote.
pub(crate) fn read(file: &Path) -> Vec<Example> {
    let text = std::fs::read_to_string(file).expect("payloads can be read");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a signed example"))
        .collect()
}

fn printed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.expect("the tools of the tests can be run: make test-tools says what is missing");
    assert!(output.status.success(), "{command:?} failed");
    String::from_utf8(output.stdout).expect("text")
}
