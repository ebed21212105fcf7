//! ClickHouse inside this process.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::launch::StopRequest;
use super::super::{TOKEN_HEADER, native};
use super::{ChildError, StopSignals, runtime};

/// Between two looks at what the engine is doing.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How long the engine may take to end by itself once its last statement has.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// Runs the engine in this thread. Returns when it could not be started; otherwise the process ends here.
pub(super) fn run(
    library: &Path,
    arguments: &[String],
    stop: StopRequest,
    stop_timeout: Duration,
) -> Result<(), ChildError> {
    let stdin = take_stdin()?;
    let stopping = Arc::new(AtomicBool::new(false));
    let (listening, listens) = oneshot::channel();
    let watched = Arc::clone(&stopping);
    std::thread::Builder::new()
        .name("engine-stop".to_owned())
        .spawn(move || {
            let watch = watch(stdin, &stop, stop_timeout, &watched, listening);
            let code = match runtime() {
                Ok(runtime) => runtime.block_on(watch).map_or(i32::from(super::UNUSABLE), |()| 0),
                Err(_) => i32::from(super::UNUSABLE),
            };
            native::exit_now(code);
        })?;
    // Without a way to stop it, it isn't started. (The other thread then ends the process.)
    drop(listens.blocking_recv());
    native::run_clickhouse(library, arguments)?;
    if stopping.load(Ordering::Acquire) {
        native::exit_now(0);
    }
    super::report(super::EngineKind::ClickHouse, &ChildError::Ended);
    native::exit_now(i32::from(super::ENDED));
}

/// The real standard input; the engine gets an empty one in its place.
fn take_stdin() -> Result<File, ChildError> {
    let stdin = rustix::io::dup(rustix::stdio::stdin()).map_err(std::io::Error::from)?;
    let empty = File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&empty).map_err(std::io::Error::from)?;
    Ok(File::from(stdin))
}

/// Waits until the engine is to stop, lets inserts finish, and ends its last statement. The process ends when
/// this does.
async fn watch(
    stdin: File,
    stop: &StopRequest,
    stop_timeout: Duration,
    stopping: &AtomicBool,
    listening: oneshot::Sender<()>,
) -> Result<(), ChildError> {
    let mut signals = StopSignals::listen(stdin)?;
    let http = crate::engine::http::client(None).map_err(std::io::Error::other)?;
    let _: Result<(), ()> = listening.send(());
    signals.wait().await;
    stopping.store(true, Ordering::Release);
    let deadline = Instant::now() + stop_timeout;
    while ask(&http, stop, &stop.busy, deadline)
        .await
        .is_some_and(|count| count.trim() != "0")
    {
        sleep(BUSY_PAUSE).await;
    }
    drop(ask(&http, stop, &stop.stop, deadline).await);
    // The engine would now wait five seconds for idle connections. It loses nothing when it is cut short: what
    // was acknowledged is on the disk, and it starts as after a crash, which it does well.
    sleep(LAST_MOMENT).await;
    Ok(())
}

/// The answer to a statement; `None` when there is none in time, or the engine isn't listening any more or yet.
async fn ask(
    http: &reqwest::Client,
    stop: &StopRequest,
    statement: &str,
    deadline: Instant,
) -> Option<String> {
    let request = http
        .post(&stop.url)
        .header(TOKEN_HEADER, &stop.token)
        .basic_auth(&stop.user, Some(&stop.password))
        .body(statement.to_owned());
    let answer = async { request.send().await?.error_for_status()?.text().await };
    timeout_at(deadline, answer).await.ok()?.ok()
}
