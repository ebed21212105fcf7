//! What `infra/` says about Hooklog is true of Hooklog: its metrics, its settings; and its files are what those who read them take.

mod cluster;
mod files;
mod metrics;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::harness::{Launch, Tools};

/// What the files of `infra/` name.
#[derive(Debug, Deserialize)]
struct Named {
    expressions: Vec<Expression>,
    recorded: Vec<String>,
    autoscaled: Vec<String>,
    adapted: Vec<String>,
    variables: Vec<String>,
}

/// A question in PromQL.
#[derive(Debug, Deserialize)]
struct Expression {
    r#where: String,
    text: String,
}

fn infra() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("infra")
}

fn named(tools: &Tools) -> Named {
    let printed = tools.python("deployment.py", &[&infra().display().to_string()]);
    serde_json::from_str(&printed).expect("what it names")
}

/// Runs a program that a machine may have or not. `None` when it has not.
fn run_if_there(command: &mut Command) -> Option<String> {
    let done = match command.stdin(Stdio::null()).output() {
        Ok(done) => done,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("not on this machine, so this was not checked: {command:?}");
            return None;
        }
        Err(error) => panic!("{command:?} can't be run: {error}"),
    };
    let said = [&done.stdout[..], &done.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(done.status.success(), "{command:?}: {}\n{said}", done.status);
    Some(said)
}

/// A file of the engines that tests run with.
fn engine(name: &str) -> PathBuf {
    let folder = tempfile::tempdir().unwrap();
    let done = Launch::bare(folder.path()).run(&["engine", "fetch"]);
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    said.split_whitespace()
        .map(PathBuf::from)
        .find(|word| word.ends_with(name))
        .unwrap_or_else(|| panic!("no {name} in {said}"))
}
