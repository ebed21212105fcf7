//! An engine that is a program of its own, run below this process.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::super::launch::StopSignal;
use super::super::native;
use super::{ChildError, StopSignals, runtime};

/// Runs the program until it ends, or until it is to stop.
pub(super) fn run(
    path: PathBuf,
    arguments: Vec<String>,
    stop: StopSignal,
    stop_timeout: Duration,
) -> Result<(), ChildError> {
    // A thread of its own, so that it doesn't matter whether the caller is inside a runtime. It lives as
    // long as the program, which dies with the thread that started it.
    let thread = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || runtime()?.block_on(supervise(path, arguments, stop, stop_timeout)))?;
    thread.join().unwrap_or(Err(ChildError::Ended))
}

async fn supervise(
    path: PathBuf,
    arguments: Vec<String>,
    stop: StopSignal,
    stop_timeout: Duration,
) -> Result<(), ChildError> {
    let mut signals = StopSignals::listen(std::io::stdin())?;
    let mut command = Command::new(path);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    native::die_with_parent(&mut command);
    let mut child = command.spawn()?;
    tokio::select! {
        status = child.wait() => return Err(ChildError::EndedWith(status?)),
        () = signals.wait() => {}
    }
    send(&child, stop)?;
    if let Ok(status) = timeout(stop_timeout, child.wait()).await {
        let _: ExitStatus = status?;
        return Ok(());
    }
    child.kill().await?;
    Ok(())
}

fn send(child: &Child, stop: StopSignal) -> Result<(), ChildError> {
    let signal = match stop {
        StopSignal::Interrupt => Signal::INT,
        StopSignal::Terminate => Signal::TERM,
    };
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    // Without an id it has ended already.
    pid.map_or(Ok(()), |pid| kill_process(pid, signal))
        .map_err(std::io::Error::from)?;
    Ok(())
}
