//! One engine: how it is made ready, kept running and stopped.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::launch::Launch;
use super::probe::Probe;
use super::process::Process;
use super::spawner::Spawner;
use super::{EngineError, EngineKind, EngineOptions, EngineState, EngineStatus, child, port, private_file};

/// Between two looks at an engine that isn't ready yet.
const READY_PAUSE: Duration = Duration::from_millis(25);
/// Between two looks at an engine that is.
const WATCH_PAUSE: Duration = Duration::from_secs(2);

/// Everything needed to start an engine, again and again, in the same way.
pub(super) struct Plan {
    pub(super) engine: EngineKind,
    /// Our own program.
    pub(super) program: PathBuf,
    /// The engine's folder.
    pub(super) dir: PathBuf,
    /// Folders to make and files to write (mode 0600) before each start.
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: Vec<(PathBuf, String)>,
    pub(super) launch: Launch,
    pub(super) port: u16,
    pub(super) probe: Probe,
    pub(super) start_timeout: Duration,
    pub(super) stop_timeout: Duration,
    pub(super) silence_timeout: Duration,
    pub(super) backoff_min: Duration,
    pub(super) backoff_max: Duration,
}

impl Plan {
    /// The times of the options.
    pub(super) fn times(options: &EngineOptions) -> [Duration; 5] {
        [
            options.start_timeout_ms,
            options.stop_timeout_ms,
            options.silence_timeout_ms,
            options.backoff_ms_min,
            options.backoff_ms_max,
        ]
        .map(Duration::from_millis)
    }

    fn write(&self) -> Result<PathBuf, EngineError> {
        for folder in &self.folders {
            private_file::make_dir(folder)?;
        }
        for (path, content) in &self.files {
            private_file::replace(path, content.as_bytes())?;
        }
        let path = self.dir.join("launch.json");
        self.launch.write(&path)?;
        Ok(path)
    }
}

/// An engine and what is known about it.
pub(super) struct Running {
    plan: Plan,
    spawner: Arc<Spawner>,
    status: Arc<Mutex<EngineStatus>>,
}

impl Running {
    pub(super) fn new(plan: Plan, spawner: Arc<Spawner>) -> Self {
        let status = EngineStatus {
            name: plan.engine.name(),
            state: EngineState::Starting,
            restarts: 0,
            pid: None,
            version: String::new(),
            port: plan.port,
            reason: None,
        };
        Self {
            plan,
            spawner,
            status: Arc::new(Mutex::new(status)),
        }
    }

    pub(super) const fn engine(&self) -> EngineKind {
        self.plan.engine
    }

    pub(super) fn status(&self) -> Arc<Mutex<EngineStatus>> {
        Arc::clone(&self.status)
    }

    fn note(&self, change: impl FnOnce(&mut EngineStatus)) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut status);
        let up = if status.state == EngineState::Ready {
            1.0
        } else {
            0.0
        };
        metrics::gauge!("hooklog_engine_up", "engine" => self.plan.engine.name()).set(up);
    }

    /// Starts the engine's process.
    async fn spawn(&self) -> Result<Process, EngineError> {
        let engine = self.plan.engine;
        if !port::is_free(self.plan.port) {
            return Err(EngineError::PortTaken {
                engine,
                port: self.plan.port,
            });
        }
        let launch = self.plan.write()?;
        let process = Process::start(engine, &self.plan.program, &launch, &self.spawner).await?;
        self.note(|status| {
            status.state = EngineState::Starting;
            status.pid = process.pid();
        });
        Ok(process)
    }

    /// Waits until it answers; kills it when it doesn't.
    async fn ready(&self, process: &mut Process) -> Result<(), EngineError> {
        let started = Instant::now();
        let deadline = started + self.plan.start_timeout;
        let mut reason = String::new();
        while Instant::now() < deadline {
            tokio::select! {
                biased;
                ended = process.ended() => return Err(self.early_end(process, ended)),
                answer = self.plan.probe.version(self.plan.port) => match answer {
                    Ok(version) => {
                        self.became_ready(process, version, started);
                        return Ok(());
                    }
                    Err(error) => reason = error,
                },
            }
            sleep(READY_PAUSE).await;
        }
        process.kill().await;
        let waited_ms = u64::try_from(self.plan.start_timeout.as_millis()).unwrap_or(u64::MAX);
        let detail = format!("{reason}; {}", process.tail());
        Err(EngineError::NotReady {
            engine: self.plan.engine,
            waited_ms,
            detail,
        })
    }

    fn became_ready(&self, process: &Process, version: String, started: Instant) {
        let engine = self.plan.engine.name();
        let took = started.elapsed();
        metrics::histogram!("hooklog_engine_start_duration_seconds", "engine" => engine)
            .record(took.as_secs_f64());
        info!(
            engine,
            version,
            port = self.plan.port,
            pid = process.pid(),
            start_ms = took.as_secs_f64() * 1000.0,
            "engine is ready"
        );
        self.note(|status| {
            status.state = EngineState::Ready;
            status.version = version;
            status.reason = None;
        });
    }

    fn early_end(&self, process: &Process, ended: std::io::Result<std::process::ExitStatus>) -> EngineError {
        let engine = self.plan.engine;
        match ended {
            Ok(status) if status.code() == Some(i32::from(child::IN_USE)) => EngineError::InUse {
                dir: self.plan.dir.clone(),
            },
            Ok(_) if !port::is_free(self.plan.port) => EngineError::PortTaken {
                engine,
                port: self.plan.port,
            },
            Ok(status) => EngineError::Ended {
                engine,
                status,
                detail: process.tail(),
            },
            Err(source) => EngineError::Spawn { engine, source },
        }
    }

    /// The first start.
    pub(super) async fn start(&self) -> Result<Process, EngineError> {
        let mut process = self.spawn().await?;
        self.ready(&mut process).await?;
        Ok(process)
    }

    /// Keeps it running until told to stop, then stops it.
    pub(super) async fn supervise(self, process: Process, shutdown: CancellationToken) {
        let mut current = Some(process);
        let mut pause = self.plan.backoff_min;
        while let Some(mut process) = current.take() {
            let since = Instant::now();
            let reason = tokio::select! {
                () = shutdown.cancelled() => {
                    current = Some(process);
                    break;
                }
                ended = process.ended() => match ended {
                    Ok(status) => format!("it ended ({status}): {}", process.tail()),
                    Err(error) => format!("it can't be watched: {error}"),
                },
                why = self.silence() => {
                    process.kill().await;
                    format!("it runs but did not answer, and was killed: {why}")
                }
            };
            drop(process);
            if since.elapsed() > self.plan.backoff_max {
                pause = self.plan.backoff_min;
            }
            current = self.restart(reason, &mut pause, &shutdown).await;
        }
        if let Some(process) = current {
            process
                .stop(self.plan.stop_timeout + Duration::from_secs(1))
                .await;
        }
        self.note(|status| {
            status.state = EngineState::Stopped;
            status.pid = None;
        });
        info!(engine = self.plan.engine.name(), "engine has stopped");
    }

    /// Ends, with the reason, when it has not answered for so long that only a new start helps: it hangs, or something made
    /// it stop listening.
    async fn silence(&self) -> String {
        let mut heard = Instant::now();
        loop {
            sleep(WATCH_PAUSE.min(self.plan.silence_timeout)).await;
            match self.plan.probe.version(self.plan.port).await {
                Ok(_) => heard = Instant::now(),
                Err(why) if heard.elapsed() >= self.plan.silence_timeout => return why,
                Err(why) => {
                    warn!(engine = self.plan.engine.name(), why, "engine does not answer");
                    self.note(|status| {
                        status.state = EngineState::Starting;
                        status.reason = Some(why);
                    });
                    continue;
                }
            }
            self.note(|status| {
                status.state = EngineState::Ready;
                status.reason = None;
            });
        }
    }

    /// Starts it again and again until it is ready. `None` when it is to stop instead.
    async fn restart(
        &self,
        mut reason: String,
        pause: &mut Duration,
        shutdown: &CancellationToken,
    ) -> Option<Process> {
        let engine = self.plan.engine.name();
        loop {
            warn!(
                engine,
                reason,
                restart_in_ms = pause.as_secs_f64() * 1000.0,
                "engine is down"
            );
            self.note(|status| {
                status.state = EngineState::Waiting;
                status.pid = None;
                status.restarts += 1;
                status.reason = Some(std::mem::take(&mut reason));
            });
            metrics::counter!("hooklog_engine_restarts_total", "engine" => engine).increment(1);
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = sleep(*pause) => {}
            }
            *pause = (*pause * 2).min(self.plan.backoff_max);
            match self.attempt(shutdown).await {
                Ok(outcome) => return outcome,
                Err(error) => reason = chain(&error),
            }
        }
    }

    /// One attempt. `Ok(None)` when it was told to stop meanwhile.
    async fn attempt(&self, shutdown: &CancellationToken) -> Result<Option<Process>, EngineError> {
        let mut process = self.spawn().await?;
        let ready = tokio::select! {
            () = shutdown.cancelled() => None,
            ready = self.ready(&mut process) => Some(ready),
        };
        match ready {
            Some(Ok(())) => Ok(Some(process)),
            Some(Err(error)) => Err(error),
            None => {
                process.stop(self.plan.stop_timeout).await;
                Ok(None)
            }
        }
    }
}

/// An error with its causes, on one line.
fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
