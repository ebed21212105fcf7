//! The child that runs one engine, and how it is stopped.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::output::Output;
use super::spawner::Spawner;
use super::{EngineError, EngineKind};

/// How long the system may take to end a killed process.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// How long the output of an ended process may take to arrive.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(300);

/// A child that was started. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    engine: EngineKind,
    child: Child,
    /// The child stops when this closes.
    stdin: Option<ChildStdin>,
    output: Output,
    /// Reads what it writes.
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `<program> engine <name> <launch file>`.
    pub(super) async fn start(
        engine: EngineKind,
        program: &Path,
        launch: &Path,
        spawner: &Spawner,
    ) -> Result<Self, EngineError> {
        let mut command = Command::new(program);
        command
            .args(["engine", engine.name()])
            .arg(launch)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for us: we stop the engines when everything that uses them has stopped.
            .process_group(0)
            .kill_on_drop(true);
        let spawned = spawner.spawn(command).await.ok_or(EngineError::StarterGone)?;
        let mut child = spawned.map_err(|source| EngineError::Spawn { engine, source })?;
        let output = Output::default();
        let reader = child
            .stderr
            .take()
            .map(|stderr| tokio::spawn(output.clone().follow(engine, stderr)));
        let stdin = child.stdin.take();
        Ok(Self {
            engine,
            child,
            stdin,
            output,
            reader,
        })
    }

    /// Its process id, until its end was noticed.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The last lines it wrote.
    pub(super) fn tail(&self) -> String {
        self.output.tail()
    }

    /// Waits for its end; may be dropped and called again.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // Its last words may still be on their way.
        if let Some(reader) = self.reader.as_mut() {
            drop(timeout(LAST_WORDS_WITHIN, reader).await);
            self.reader = None;
        }
        Ok(status)
    }

    /// Asks it to stop; kills it when it takes longer than `patience`.
    pub(super) async fn stop(mut self, patience: Duration) {
        drop(self.stdin.take());
        if timeout(patience, self.child.wait()).await.is_ok() {
            return;
        }
        warn!(
            engine = self.engine.name(),
            pid = self.child.id(),
            "engine did not stop in time and is killed"
        );
        self.kill().await;
    }

    /// Kills it.
    pub(super) async fn kill(&mut self) {
        if let Err(error) = self.child.start_kill() {
            warn!(engine = self.engine.name(), %error, "engine could not be killed");
        }
        if timeout(KILLED_WITHIN, self.child.wait()).await.is_err() {
            warn!(engine = self.engine.name(), "killed engine has not ended yet");
        }
    }
}
