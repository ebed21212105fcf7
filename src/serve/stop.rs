//! Being told to stop, and stopping without turning a request away: first it is said that this process is not ready, and
//! only once load balancers have heard of it nothing new is taken.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn signalled() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals can't be listened to")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals can't be listened to")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Goes on as before for a while; a second signal ends that.
pub(crate) async fn drain(delay: Duration) {
    if delay.is_zero() {
        return;
    }
    tracing::info!(
        delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        "draining: not ready any more, requests are still answered"
    );
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        _ = signalled() => {}
    }
}
