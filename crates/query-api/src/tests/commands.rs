//! The ports of commands, carried out over the in-memory log by the domain's own rules.

use std::str::FromStr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::testing::MemoryLog;
use domain::{
    BreakerState, CommandError, DeliveryCommand, DeliveryReceived, DeliveryState, DestinationName,
    DestinationStatus, Destinations, EventId, EventLog, PageLimit, PausedSince, Position, ReplayCommand,
    ReplayCount, ReplayId, ReplayMatch, ReplayOne, ReplayOrder, ReplayRequested, ReplayState, ReplayTo,
    ReplayedOne, Replays, RetryDead, Revision, StreamName, TenantId, load_delivery,
};
use uuid::Uuid;

/// Replays and destinations of a small program without a runtime: what is asked for is written down, nothing is sent.
pub(crate) struct Commands {
    log: Arc<MemoryLog>,
    pub(super) destinations: Mutex<Vec<DestinationStatus>>,
    pub(super) rate_max: u32,
    /// Whether nobody is there to carry anything out.
    pub(super) gone: Mutex<bool>,
}

/// A destination that does well.
pub(super) fn destination(name: &str) -> DestinationStatus {
    DestinationStatus {
        tenant: TenantId::default(),
        name: name.parse().unwrap(),
        targets: vec![format!("https://{name}.example.com/hooks")],
        configured: true,
        paused: None,
        breaker: BreakerState::Closed,
        breaker_until: None,
        open: 0,
        in_flight: 0,
        retrying: 0,
        lag_ms: 0,
        last_error: None,
    }
}

fn event_id() -> EventId {
    EventId::new(Uuid::now_v7())
}

fn unavailable(error: impl ToString) -> CommandError {
    CommandError::Unavailable(error.to_string())
}

impl Commands {
    pub(super) fn new(log: &Arc<MemoryLog>) -> Self {
        Self {
            log: Arc::clone(log),
            destinations: Mutex::new(vec![destination("chat"), destination("ci")]),
            rate_max: 1000,
            gone: Mutex::new(false),
        }
    }

    fn present(&self) -> Result<(), CommandError> {
        if *self.gone.lock().unwrap() {
            return Err(CommandError::Unavailable("no reactors run here".into()));
        }
        Ok(())
    }

    async fn delivery(&self, stream: &StreamName) -> Result<DeliveryState, CommandError> {
        let state = load_delivery(self.log.as_ref(), stream, None).await;
        state
            .map_err(unavailable)?
            .ok_or_else(|| CommandError::NotFound("there is no such delivery".into()))
    }

    /// The streams of the deliveries that an order is about.
    async fn matching(&self, order: &ReplayOrder) -> Result<(Vec<StreamName>, Position), CommandError> {
        let matching = ReplayMatch::new(order.filter.clone())
            .map_err(|error| CommandError::Invalid(error.to_string()))?;
        let limit = PageLimit {
            events: usize::MAX,
            bytes: usize::MAX,
        };
        let page = self.log.read_all(Position::START, limit).await.unwrap();
        let upto = order.to_position.unwrap_or(page.head);
        let mut streams = Vec::new();
        for event in page.events.iter().filter(|event| event.position <= upto) {
            let Some(Ok(received)) = DeliveryReceived::of(event) else {
                continue;
            };
            let state = load_delivery(self.log.as_ref(), &event.stream, Some(upto)).await;
            let state = state.unwrap().unwrap();
            let status = state.status();
            let dead = state.dead(&order.destinations, &order.filter.cause());
            let meant = !order.dead_only || !dead.is_empty();
            if meant && matching.fits(&received) && order.filter.status.is_none_or(|wanted| wanted == status)
            {
                streams.push(event.stream.clone());
            }
        }
        Ok((streams, upto))
    }

    async fn replay(&self, tenant: &TenantId, replay: ReplayId) -> Result<ReplayState, CommandError> {
        let stream = StreamName::of_replay(tenant, replay);
        let events = self
            .log
            .read_stream(&stream, Revision::new(0), PageLimit::default());
        let state = ReplayState::of(&events.await.map_err(unavailable)?).map_err(unavailable)?;
        state.ok_or_else(|| CommandError::NotFound(format!("there is no replay {replay}")))
    }

    /// Takes down what came of a replay.
    pub(super) async fn then(&self, replay: &str, command: ReplayCommand) {
        let replay = ReplayId::from_str(replay).unwrap();
        let state = self.replay(&TenantId::default(), replay).await.unwrap();
        let fact = state.decide(command).unwrap().unwrap();
        self.log.append(state.append(&fact, event_id())).await.unwrap();
    }
}

#[async_trait]
impl Replays for Commands {
    async fn replay_one(&self, order: ReplayOne) -> Result<ReplayedOne, CommandError> {
        self.present()?;
        let state = self
            .delivery(&StreamName::of_delivery(&order.tenant, &order.delivery))
            .await?;
        let known: Vec<DestinationName> = self
            .destinations
            .lock()
            .unwrap()
            .iter()
            .map(|d| d.name.clone())
            .collect();
        let destinations = match order.to {
            ReplayTo::Subjects => Vec::new(),
            ReplayTo::Processing if order.destinations.is_empty() => known,
            ReplayTo::Processing => order.destinations,
        };
        let replay = ReplayId::new(Uuid::now_v7());
        let command = DeliveryCommand::Replay {
            to: order.to,
            destinations: destinations.clone(),
            replay,
            requested_by: order.requested_by,
            reason: order.reason,
        };
        let outcome = state.decide(command).unwrap().unwrap();
        let appended = self.log.append(state.append(&outcome, event_id())).await;
        Ok(ReplayedOne {
            replay,
            position: appended.map_err(unavailable)?.last,
            destinations,
            status: outcome.after,
        })
    }

    async fn count(&self, order: &ReplayOrder) -> Result<ReplayCount, CommandError> {
        self.present()?;
        let (streams, to_position) = self.matching(order).await?;
        Ok(ReplayCount {
            count: streams.len() as u64,
            to_position,
        })
    }

    async fn start(&self, order: ReplayOrder) -> Result<ReplayState, CommandError> {
        self.present()?;
        let rate = order.rate_per_second.unwrap_or(200);
        if rate > self.rate_max {
            let text = format!("rate: at most {} deliveries a second", self.rate_max);
            return Err(CommandError::Invalid(text));
        }
        let (streams, to_position) = self.matching(&order).await?;
        let replay = ReplayId::new(Uuid::now_v7());
        let requested = ReplayRequested {
            tenant: order.tenant.clone(),
            replay,
            filter: order.filter,
            to: order.to,
            destinations: order.destinations,
            dead_only: order.dead_only,
            rate_per_second: rate,
            to_position,
            expected: Some(streams.len() as u64),
            requested_by: order.requested_by,
            reason: order.reason,
        };
        let appended = self.log.append(requested.append(event_id())).await;
        appended.map_err(unavailable)?;
        self.replay(&order.tenant, replay).await
    }

    async fn retry_dead(&self, order: RetryDead) -> Result<Option<ReplayState>, CommandError> {
        let order = order.into_order();
        if self.count(&order).await?.count == 0 {
            return Ok(None);
        }
        self.start(order).await.map(Some)
    }

    async fn state(&self, tenant: &TenantId, replay: ReplayId) -> Result<ReplayState, CommandError> {
        self.replay(tenant, replay).await
    }

    async fn cancel(
        &self,
        tenant: &TenantId,
        replay: ReplayId,
        cancelled_by: String,
    ) -> Result<ReplayState, CommandError> {
        let state = self.replay(tenant, replay).await?;
        let decided = state
            .decide(ReplayCommand::Cancel { cancelled_by })
            .map_err(|no| CommandError::Refused(no.to_string()))?;
        if let Some(fact) = decided {
            self.log.append(state.append(&fact, event_id())).await.unwrap();
        }
        self.replay(tenant, replay).await
    }
}

#[async_trait]
impl Destinations for Commands {
    async fn list(&self) -> Vec<DestinationStatus> {
        if *self.gone.lock().unwrap() {
            return Vec::new();
        }
        self.destinations.lock().unwrap().clone()
    }

    async fn pause(
        &self,
        tenant: &TenantId,
        name: &DestinationName,
        paused_by: String,
        reason: Option<String>,
    ) -> Result<DestinationStatus, CommandError> {
        self.change((tenant, name), |status| {
            status.paused = Some(PausedSince {
                at: super::NOW.parse().ok(),
                by: paused_by,
                reason,
            });
        })
    }

    async fn resume(
        &self,
        tenant: &TenantId,
        name: &DestinationName,
        _resumed_by: String,
    ) -> Result<DestinationStatus, CommandError> {
        self.change((tenant, name), |status| status.paused = None)
    }
}

impl Commands {
    fn change(
        &self,
        (tenant, name): (&TenantId, &DestinationName),
        change: impl FnOnce(&mut DestinationStatus),
    ) -> Result<DestinationStatus, CommandError> {
        self.present()?;
        let mut all = self.destinations.lock().unwrap();
        let found = all
            .iter_mut()
            .find(|status| status.tenant == *tenant && status.name == *name);
        let status =
            found.ok_or_else(|| CommandError::NotFound(format!("there is no destination {name}")))?;
        change(status);
        Ok(status.clone())
    }
}
