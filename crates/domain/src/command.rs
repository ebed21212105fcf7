//! The ports by which operators command: replays, and the state of destinations. Implemented by the reactors, asked by the
//! API.

use async_trait::async_trait;

use crate::{
    Cause, DeliveryKey, DeliveryStatus, DestinationName, Position, ReplayFilter, ReplayId, ReplayState,
    ReplayTo, TenantId, Timestamp,
};

/// An order to replay what fits a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayOrder {
    /// Whose deliveries.
    pub tenant: TenantId,
    /// Which of them.
    pub filter: ReplayFilter,
    /// Where they go.
    pub to: ReplayTo,
    /// The destinations it is narrowed to; empty for all that want the delivery.
    pub destinations: Vec<DestinationName>,
    /// Whether only destinations that were given up are tried again.
    pub dead_only: bool,
    /// The most deliveries a second; none for the default.
    pub rate_per_second: Option<u32>,
    /// The last position it is about; none for the present head.
    pub to_position: Option<Position>,
    /// Who asks.
    pub requested_by: String,
    /// Why.
    pub reason: Option<String>,
}

/// An order to replay one delivery, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayOne {
    /// Whose delivery.
    pub tenant: TenantId,
    /// Which one.
    pub delivery: DeliveryKey,
    /// Where it goes.
    pub to: ReplayTo,
    /// The destinations it is narrowed to; empty for all that want it.
    pub destinations: Vec<DestinationName>,
    /// Who asks.
    pub requested_by: String,
    /// Why.
    pub reason: Option<String>,
}

/// An order to try dead letters again, at the destinations that were given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryDead {
    /// Whose deliveries.
    pub tenant: TenantId,
    /// Only those given up at this destination; at any of them when none.
    pub destination: Option<DestinationName>,
    /// Only those given up for this.
    pub cause: Cause,
    /// Who asks.
    pub requested_by: String,
    /// Why.
    pub reason: Option<String>,
}

impl RetryDead {
    /// The same as an order of a replay.
    #[must_use]
    pub fn into_order(self) -> ReplayOrder {
        ReplayOrder {
            tenant: self.tenant,
            filter: ReplayFilter {
                status: Some(DeliveryStatus::Dead),
                error_code: self.cause.code,
                error: self.cause.wording,
                ..ReplayFilter::default()
            },
            to: ReplayTo::Processing,
            destinations: self.destination.into_iter().collect(),
            dead_only: true,
            rate_per_second: None,
            to_position: None,
            requested_by: self.requested_by,
            reason: self.reason,
        }
    }
}

/// What came of replaying one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedOne {
    /// The replay.
    pub replay: ReplayId,
    /// Position of the request in the log.
    pub position: Position,
    /// The destinations that it goes to.
    pub destinations: Vec<DestinationName>,
    /// The delivery's status from now on.
    pub status: DeliveryStatus,
}

/// How many deliveries an order is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayCount {
    /// How many.
    pub count: u64,
    /// The position up to which they were counted; a run with the same counts the same.
    pub to_position: Position,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// What it is about does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The order makes no sense; the text says what to do.
    #[error("{0}")]
    Invalid(String),
    /// It can't be done in the present state, for example because a replay has ended.
    #[error("{0}")]
    Refused(String),
    /// It can't be done now; try again later.
    #[error("it can't be done now: {0}")]
    Unavailable(String),
}

/// Orders replays.
#[async_trait]
pub trait Replays: Send + Sync {
    /// Replays one delivery.
    async fn replay_one(&self, order: ReplayOne) -> Result<ReplayedOne, CommandError>;

    /// Counts what an order is about, and does nothing.
    async fn count(&self, order: &ReplayOrder) -> Result<ReplayCount, CommandError>;

    /// Begins a replay.
    async fn start(&self, order: ReplayOrder) -> Result<ReplayState, CommandError>;

    /// Begins a replay of the dead letters of a tenant, to the destinations that were given up; returns it with its count.
    /// When there is none, nothing begins.
    async fn retry_dead(&self, order: RetryDead) -> Result<Option<ReplayState>, CommandError>;

    /// How a replay is doing, from the log.
    async fn state(&self, tenant: &TenantId, replay: ReplayId) -> Result<ReplayState, CommandError>;

    /// Stops a replay.
    async fn cancel(
        &self,
        tenant: &TenantId,
        replay: ReplayId,
        cancelled_by: String,
    ) -> Result<ReplayState, CommandError>;
}

/// The circuit breaker of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Deliveries go out.
    Closed,
    /// Too many failed: nothing goes out for a while.
    Open,
    /// A few go out to see whether it is well again.
    HalfOpen,
}

impl BreakerState {
    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// How a destination is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationStatus {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: DestinationName,
    /// Where it goes, without credentials.
    pub targets: Vec<String>,
    /// Whether it stands in the settings. One that does not keeps what is open.
    pub configured: bool,
    /// Since when, by whom and why it is paused.
    pub paused: Option<PausedSince>,
    /// Its circuit breaker.
    pub breaker: BreakerState,
    /// When the open breaker lets a probe through.
    pub breaker_until: Option<Timestamp>,
    /// Deliveries open, as far as they were read.
    pub open: u64,
    /// Of these, the ones on their way now.
    pub in_flight: u64,
    /// Of these, the ones that failed and wait for their next attempt.
    pub retrying: u64,
    /// Age of the oldest open delivery that is due, in milliseconds; 0 when none is.
    pub lag_ms: u64,
    /// The last failure, while no attempt succeeded after it.
    pub last_error: Option<String>,
}

/// Since when, by whom and why a destination is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedSince {
    /// When; none when the settings say so.
    pub at: Option<Timestamp>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// Shows destinations, pauses and resumes them.
#[async_trait]
pub trait Destinations: Send + Sync {
    /// All that are configured, and those that are not but have open deliveries; by name.
    async fn list(&self) -> Vec<DestinationStatus>;

    /// Holds back deliveries to a tenant's destination.
    async fn pause(
        &self,
        tenant: &TenantId,
        name: &DestinationName,
        paused_by: String,
        reason: Option<String>,
    ) -> Result<DestinationStatus, CommandError>;

    /// Lets them go.
    async fn resume(
        &self,
        tenant: &TenantId,
        name: &DestinationName,
        resumed_by: String,
    ) -> Result<DestinationStatus, CommandError>;
}
