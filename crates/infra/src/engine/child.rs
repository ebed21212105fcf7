//! The child side: `hooklog engine clickhouse FILE` and `hooklog engine nats FILE`, for the supervisor's
//! use only. A child ends when its parent does, when its standard input ends, or on SIGTERM or SIGINT.

mod library;
mod program;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::getppid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::launch::{How, Launch};
use super::{EngineError, EngineKind, private_file};

/// The data is in use by another process.
pub(super) const IN_USE: u8 = 3;
/// The engine ended though nobody had asked.
pub(super) const ENDED: u8 = 4;
/// The child could not be set up.
pub(super) const UNUSABLE: u8 = 5;

/// How long a child waits for a killed predecessor to let go of the data.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why a child ended.
#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("another process uses this data")]
    InUse,
    #[error("the parent is gone")]
    Orphan,
    #[error("the engine ended by itself")]
    Ended,
    #[error("the engine ended: {0}")]
    EndedWith(std::process::ExitStatus),
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error("{0}")]
    Library(#[from] super::native::LibraryError),
}

/// Runs ClickHouse as told by the launch file. Call it before anything else in the process: it doesn't
/// return before the engine has ended, and usually ends the process itself.
#[must_use]
pub fn clickhouse(launch: &Path) -> ExitCode {
    run(EngineKind::ClickHouse, launch)
}

/// Runs a NATS server as told by the launch file.
#[must_use]
pub fn nats(launch: &Path) -> ExitCode {
    run(EngineKind::Nats, launch)
}

fn run(engine: EngineKind, launch: &Path) -> ExitCode {
    match set_up(launch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(engine, &error);
            ExitCode::from(error.code())
        }
    }
}

fn report(engine: EngineKind, error: &ChildError) {
    let mut message = format!("{engine} child: {error}");
    let mut source = std::error::Error::source(error).and_then(std::error::Error::source);
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    // If nobody reads it, nobody reads it.
    drop(writeln!(std::io::stderr(), "{message}"));
}

impl ChildError {
    const fn code(&self) -> u8 {
        match self {
            Self::InUse => IN_USE,
            Self::Ended | Self::EndedWith(_) => ENDED,
            Self::Orphan | Self::Engine(_) | Self::System(_) | Self::Library(_) => UNUSABLE,
        }
    }
}

fn set_up(launch: &Path) -> Result<(), ChildError> {
    let launch = Launch::read(launch)?;
    bind_to_parent(launch.parent)?;
    let lock = lock(&launch.lock)?;
    let stop_timeout = Duration::from_millis(launch.stop_timeout_ms);
    match launch.how {
        How::Library {
            path,
            arguments,
            stop,
        } => {
            let outcome = library::run(&path, &arguments, stop, stop_timeout);
            drop(lock);
            outcome
        }
        How::Program {
            path,
            arguments,
            stop,
        } => {
            // The program holds the lock as well: should this process die alone, the data stays locked
            // until the program is really gone.
            rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty()).map_err(std::io::Error::from)?;
            let outcome = program::run(path, arguments, stop, stop_timeout);
            drop(lock);
            outcome
        }
    }
}

/// Dies with the parent. SIGKILL, because nothing an engine holds is needed, and a successor on the same
/// data should not have to wait.
fn bind_to_parent(parent: i32) -> Result<(), ChildError> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(std::io::Error::from)?;
    // It may have ended before the call.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) == Some(parent) {
        Ok(())
    } else {
        Err(ChildError::Orphan)
    }
}

fn lock(path: &Path) -> Result<File, ChildError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(lock) = private_file::lock(path)? {
            return Ok(lock);
        }
        if Instant::now() > deadline {
            return Err(ChildError::InUse);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Completes when this child is to stop.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    stdin_end: oneshot::Receiver<()>,
}

impl StopSignals {
    /// Listens for SIGTERM, SIGINT and the end of `stdin`. Needs a tokio runtime.
    fn listen(mut stdin: impl std::io::Read + Send + 'static) -> std::io::Result<Self> {
        let (ended, stdin_end) = oneshot::channel();
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                drop(std::io::copy(&mut stdin, &mut std::io::sink()));
                let _: Result<(), ()> = ended.send(());
            })?;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            stdin_end,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = &mut self.stdin_end => {}
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
