//! Takes orders: the adapter of [`domain::Replays`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Append, AppendError, Appended, CommandError, LoadError, Position, ReplayCommand, ReplayCount,
    ReplayCounts, ReplayFilter, ReplayId, ReplayOne, ReplayOrder, ReplayRequested, ReplayState, ReplayStatus,
    ReplayedOne, Replays, RetryDead, StreamName, TenantId, load_delivery,
};
use futures_util::TryStreamExt;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::one::{Asked, Delivery, ask};
use super::order::{check, check_reason, unreadable};
use super::scan::{Found, Look, Scan};
use super::{Shared, label};

/// Counts under way at once; each may read much of the log.
const COUNTS_MAX: usize = 2;
/// Tries of an append whose outcome is not known, or that was not made.
const APPENDS_MAX: u32 = 3;
const APPEND_PAUSE: Duration = Duration::from_millis(100);

/// Orders replays. Cheap to clone.
#[derive(Clone)]
pub struct ReplayHandle {
    shared: Arc<Shared>,
    pub(super) counts: Arc<Semaphore>,
}

impl ReplayHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let counts = Arc::new(Semaphore::new(COUNTS_MAX));
        Self { shared, counts }
    }

    /// Counts what fits; `None` when that takes too long.
    async fn counted(&self, requested: &ReplayRequested) -> Result<Option<u64>, CommandError> {
        let within = Duration::from_millis(self.shared.options.replay_count_timeout_ms);
        timeout(within, self.count_all(requested)).await.ok().transpose()
    }

    async fn count_all(&self, requested: &ReplayRequested) -> Result<u64, CommandError> {
        let closed = |_| CommandError::Unavailable("shutting down".to_owned());
        let _one_of_few = self.counts.acquire().await.map_err(closed)?;
        let scan = Scan::new(&self.shared, requested, Look::Fit);
        let scan = scan.map_err(|error| CommandError::Invalid(error.to_string()))?;
        let mut found = scan.found(Position::START);
        let mut count = 0;
        loop {
            match found.try_next().await.map_err(|error| unreadable(&error))? {
                None => return Ok(count),
                Some(Found::Nothing(_)) => {}
                Some(Found::Fits(_) | Found::Unreadable { .. }) => count += 1,
            }
        }
    }

    /// Puts the order into the log.
    async fn begin(&self, requested: ReplayRequested) -> Result<ReplayState, CommandError> {
        let append = requested.clone().append(self.shared.new_event_id());
        let appended = self.append(&append).await.map_err(|error| not_appended(&error))?;
        tracing::info!(replay = %requested.replay, tenant = %requested.tenant, by = requested.requested_by,
            to = label(requested.to), expected = requested.expected, "a replay was ordered");
        Ok(ReplayState {
            requested,
            requested_at: appended.recorded_at,
            status: ReplayStatus::Running,
            upto: Position::START,
            counts: ReplayCounts::default(),
            error: None,
            cancelled_by: None,
            updated_at: appended.recorded_at,
            revision: appended.revision,
        })
    }

    fn check_room(&self) -> Result<(), CommandError> {
        let (open, open_max) = (self.shared.registry.len(), self.shared.options.replays_open_max);
        if open < open_max {
            return Ok(());
        }
        Err(CommandError::Unavailable(format!(
            "{open} replays are under way or wait for their turn; cancel some, or wait"
        )))
    }

    async fn append(&self, append: &Append) -> Result<Appended, AppendError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.shared.log().append(append.clone()).await {
                Ok(appended) => return Ok(appended),
                Err(error) if error.retry() && tries < APPENDS_MAX => sleep(APPEND_PAUSE * tries).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn load(&self, tenant: &TenantId, replay: ReplayId) -> Result<ReplayState, CommandError> {
        let stream = StreamName::of_replay(tenant, replay);
        let loaded = self.shared.states.load(self.shared.log(), &stream).await;
        loaded
            .map_err(|error| CommandError::Unavailable(reason_of(&error)))?
            .ok_or_else(|| CommandError::NotFound(format!("there is no replay {replay}")))
    }

    /// Asks for the one delivery of a replay that was just ordered, and ends it. What fails here is carried out by the
    /// runner.
    async fn carry_out(
        &self,
        state: ReplayState,
        mut delivery: Delivery,
    ) -> Result<ReplayedOne, CommandError> {
        let order = &state.requested;
        let never = CancellationToken::new();
        let within = Duration::from_millis(self.shared.options.drain_timeout_ms);
        let asking = ask(&self.shared, order, &mut delivery, &never);
        let later = || {
            let text = format!("replay {} is ordered and goes on by itself", order.replay);
            CommandError::Unavailable(text)
        };
        let asked = timeout(within, asking).await.map_err(|_| later())?;
        let counts = |requested, skipped| ReplayCounts {
            matched: 1,
            requested,
            skipped,
        };
        match asked {
            Asked::Requested(request) => {
                metrics::counter!("hooklog_replay_deliveries_total", "to" => label(order.to)).increment(1);
                let counts = counts(1, 0);
                self.end(&state, ReplayCommand::Complete { counts }).await;
                Ok(ReplayedOne {
                    replay: order.replay,
                    position: request.position,
                    destinations: request.destinations,
                    status: request.status,
                })
            }
            Asked::Impossible(error) => {
                let refused = CommandError::Refused(format!("the delivery can't be replayed: {error}"));
                let counts = counts(0, 1);
                self.end(&state, ReplayCommand::Fail { error, counts }).await;
                Err(refused)
            }
            Asked::Corrupt(error) => Err(CommandError::Unavailable(error)),
            Asked::NothingLeft | Asked::Interrupted => Err(later()),
        }
    }

    /// Takes down the end of a replay of one delivery. The runner does it where this fails.
    async fn end(&self, state: &ReplayState, command: ReplayCommand) {
        if let Ok(Some(fact)) = state.decide(command) {
            let append = state.append(&fact, self.shared.new_event_id());
            if let Err(error) = self.append(&append).await {
                tracing::debug!(%error, replay = %state.requested.replay, "the runner ends the replay");
            }
        }
    }
}

fn reason_of(error: &LoadError) -> String {
    match error {
        LoadError::Log(error) => error.to_string(),
        LoadError::Event { .. } => error.to_string(),
    }
}

fn not_appended(error: &AppendError) -> CommandError {
    match error {
        AppendError::Invalid(_) => CommandError::Invalid(error.to_string()),
        AppendError::Conflict { .. } | AppendError::Unavailable(_) | AppendError::Unknown(_) => {
            CommandError::Unavailable(error.to_string())
        }
    }
}

#[async_trait]
impl Replays for ReplayHandle {
    async fn replay_one(&self, order: ReplayOne) -> Result<ReplayedOne, CommandError> {
        let stream = StreamName::of_delivery(&order.tenant, &order.delivery);
        let loaded = load_delivery(self.shared.log(), &stream, None).await;
        let found = loaded.map_err(|error| match &error {
            LoadError::Log(error) => unreadable(error),
            LoadError::Event { .. } => CommandError::Refused(error.to_string()),
        })?;
        let Some(found) = found else {
            return Err(CommandError::NotFound(format!(
                "there is no delivery {}",
                order.delivery
            )));
        };
        let many = ReplayOrder {
            tenant: order.tenant,
            filter: ReplayFilter {
                delivery: Some(order.delivery),
                ..ReplayFilter::default()
            },
            to: order.to,
            destinations: order.destinations,
            dead_only: false,
            rate_per_second: None,
            to_position: None,
            requested_by: order.requested_by,
            reason: order.reason,
        };
        let mut requested = check(&self.shared, &many).await?;
        requested.expected = Some(1);
        let stream = StreamName::of_replay(&requested.tenant, requested.replay);
        let _ours = self.shared.registry.hold(&stream);
        let state = self.begin(requested).await?;
        let delivery = Delivery {
            state: found,
            asked: None,
        };
        self.carry_out(state, delivery).await
    }

    async fn count(&self, order: &ReplayOrder) -> Result<ReplayCount, CommandError> {
        let requested = check(&self.shared, order).await?;
        let Some(count) = self.counted(&requested).await? else {
            let within_ms = self.shared.options.replay_count_timeout_ms;
            return Err(CommandError::Invalid(format!(
                "counting takes longer than {within_ms} ms: narrow the time range, or start it without counting"
            )));
        };
        Ok(ReplayCount {
            count,
            to_position: requested.to_position,
        })
    }

    async fn start(&self, order: ReplayOrder) -> Result<ReplayState, CommandError> {
        let requested = check(&self.shared, &order).await?;
        check_reason(&requested)?;
        self.check_room()?;
        self.begin(requested).await
    }

    async fn retry_dead(&self, order: RetryDead) -> Result<Option<ReplayState>, CommandError> {
        let order = order.into_order();
        let mut requested = check(&self.shared, &order).await?;
        self.check_room()?;
        // What takes too long to count is done uncounted.
        requested.expected = self.counted(&requested).await?;
        if requested.expected == Some(0) {
            return Ok(None);
        }
        self.begin(requested).await.map(Some)
    }

    async fn state(&self, tenant: &TenantId, replay: ReplayId) -> Result<ReplayState, CommandError> {
        self.load(tenant, replay).await
    }

    async fn cancel(
        &self,
        tenant: &TenantId,
        replay: ReplayId,
        cancelled_by: String,
    ) -> Result<ReplayState, CommandError> {
        self.load(tenant, replay).await?;
        // Its run is stopped first, so that the counts of what it did stand in the log before its end.
        let hold = self.shared.registry.hold(&StreamName::of_replay(tenant, replay));
        let within = Duration::from_millis(self.shared.options.drain_timeout_ms.saturating_mul(2));
        if timeout(within, hold.settled()).await.is_err() {
            tracing::warn!(%replay, "a replay is cancelled although its run did not stop in time");
        }
        loop {
            let state = self.load(tenant, replay).await?;
            let command = ReplayCommand::Cancel {
                cancelled_by: cancelled_by.clone(),
            };
            let fact = match state.decide(command) {
                Ok(Some(fact)) => fact,
                Ok(None) => return Ok(state),
                Err(rejection) => return Err(CommandError::Refused(rejection.to_string())),
            };
            let append = state.append(&fact, self.shared.new_event_id());
            match self.append(&append).await {
                Ok(_) => tracing::info!(%replay, by = cancelled_by, "a replay was cancelled"),
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => return Err(not_appended(&error)),
            }
        }
    }
}
