//! What the runtime knows of a destination: how its deliveries go out, not what they are turned into.

use std::sync::Arc;

use domain::{DestinationName, TenantId};
use tokio_util::sync::CancellationToken;

use crate::{Ordering, ReactorOptions, Target};

/// A destination as the runtime sees it.
#[derive(Clone)]
pub struct DestinationPlan {
    /// Its name, unique.
    pub name: DestinationName,
    /// Whose deliveries it gets.
    pub tenant: TenantId,
    /// What sends to it.
    pub target: Arc<dyn Target>,
    /// In which order deliveries go out.
    pub ordering: Ordering,
    /// Attempts under way at once, at least 1.
    pub concurrency: usize,
    /// Attempts a second; none for no limit.
    pub rate_per_second: Option<u32>,
    /// How often and how long it is tried.
    pub retry: RetryPolicy,
    /// When it is left alone for a while; none for never.
    pub breaker: Option<BreakerPolicy>,
    /// How long an attempt may take, in milliseconds. The target keeps to it by itself; this is the guard for one that does
    /// not.
    pub timeout_ms: u64,
    /// The settings hold its deliveries back.
    pub paused: bool,
    /// What it goes out through is there once this is cancelled; none when it always is. Its deliveries wait until then, and
    /// use up no attempt: that a part of ours is not there yet is no failure of the destination.
    pub ready: Option<CancellationToken>,
}

/// How often and how long a delivery is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries_max: u32,
    /// The bound of the first pause, in milliseconds; each bound is twice the one before.
    pub delay_ms: u64,
    /// The greatest bound, in milliseconds, of `Retry-After` too.
    pub delay_ms_max: u64,
}

/// When a destination is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before a probe, in milliseconds.
    pub pause_ms: u64,
    /// Probes in a row that have to succeed before it closes.
    pub probes: u32,
}

impl DestinationPlan {
    /// A destination that goes out as the settings of the reactors say, in no order and without a limit of its rate.
    #[must_use]
    pub fn new(
        name: DestinationName,
        tenant: TenantId,
        target: Arc<dyn Target>,
        options: &ReactorOptions,
    ) -> Self {
        Self {
            name,
            tenant,
            target,
            ordering: Ordering::None,
            concurrency: options.concurrency,
            rate_per_second: None,
            retry: RetryPolicy {
                retries_max: options.retries_max,
                delay_ms: options.retry_delay_ms,
                delay_ms_max: options.retry_delay_ms_max,
            },
            breaker: options.circuit_breaker.then_some(BreakerPolicy {
                failures: options.breaker_failures,
                pause_ms: options.breaker_pause_ms,
                probes: options.breaker_probes,
            }),
            timeout_ms: options.timeout_ms,
            paused: false,
            ready: None,
        }
    }
}
