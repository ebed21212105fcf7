//! What others may ask the runtime, and tell it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    BreakerState, CommandError, DestinationCommand, DestinationName, DestinationPaused, DestinationResumed,
    DestinationStatus, Destinations, PausedSince, Position, ReadError, StreamName, TenantId, Timestamp,
};

use super::fact::Place;
use super::lane::{Lane, Now};
use super::strangers::Stranger;
use super::{Cell, Shared};
use crate::replay::{DeadLetters, Pace, RememberedDead};

/// Asks the runtime, and tells it. Cheap to clone.
#[derive(Clone)]
pub struct ReactorHandle {
    pub(super) shared: Arc<Shared>,
}

/// The deliveries that were given up and not tried again since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedDeadLetters {
    /// Their streams, the oldest first.
    pub streams: Vec<StreamName>,
    /// Whether these are all. If not, or while the log is still being read, the log has to be searched.
    pub complete: bool,
    /// Up to where the log was read.
    pub position: Position,
}

/// How the runtime is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReactorStatus {
    /// Up to where the log was read.
    pub position: Position,
    /// Whether it was read up to the head of the start: nothing is dispatched before.
    pub ready: bool,
    /// Open deliveries held, over all destinations.
    pub open: u64,
    /// How long the longest waiting delivery waits that could go out, in milliseconds. Destinations that are paused or left
    /// alone by their breaker don't count: their deliveries wait for another reason.
    pub lag_ms: u64,
}

impl ReactorHandle {
    /// How the runtime is doing. Quick: for pacing.
    #[must_use]
    pub fn status(&self) -> ReactorStatus {
        let now = self.shared.now();
        let board = self.shared.board();
        let able = |(cell, lane): &(&Cell, &Lane)| {
            cell.is_ready() && !lane.is_paused() && lane.breaker.state(now.instant) == BreakerState::Closed
        };
        let lanes = self.shared.cells.iter().zip(&board.lanes);
        let lags = lanes.filter(able).map(|(_, lane)| lane.lag_ms(now.time));
        ReactorStatus {
            position: board.position,
            ready: board.head_at_start.is_some_and(|head| board.position >= head),
            open: board.lanes.iter().map(|lane| lane.queue.len() as u64).sum(),
            lag_ms: lags.max().unwrap_or(0),
        }
    }

    /// Reads which destinations are paused, for a process that does not run the runtime and so does not hear of it.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn read_states(&self) -> Result<(), ReadError> {
        for index in 0..self.shared.cells.len() {
            let known = self.shared.with_lane(index, |lane, _| lane.destination.clone());
            if let Some(known) = known {
                let state = super::pause::load(self.shared.ports.log.as_ref(), known).await?;
                self.shared.with_lane(index, |lane, _| lane.know(state));
            }
        }
        Ok(())
    }

    /// The dead letters of all tenants.
    #[must_use]
    pub fn dead_letters(&self) -> RememberedDeadLetters {
        let board = self.shared.board();
        let ready = board.head_at_start.is_some_and(|head| board.position >= head);
        let letters = board.dead.all();
        RememberedDeadLetters {
            streams: letters
                .iter()
                .map(|letter| letter.stream.as_ref().clone())
                .collect(),
            complete: ready && board.dead.complete(),
            position: board.position,
        }
    }

    /// A tenant's destination. Another tenant's does not exist.
    fn index(&self, tenant: &TenantId, name: &DestinationName) -> Result<usize, CommandError> {
        let mine = |cell: &Cell| cell.plan.name == *name && cell.plan.tenant == *tenant;
        let found = self.shared.cells.iter().position(mine);
        found.ok_or_else(|| CommandError::NotFound(format!("there is no destination {name} in the settings")))
    }

    fn status_of(&self, index: usize) -> Option<DestinationStatus> {
        let now = self.shared.now();
        let cell = self.shared.cells.get(index)?;
        let targets = cell.plan.target.describe();
        self.shared
            .with_lane(index, |lane, _| of_lane(lane, targets, now))
    }

    async fn tell(
        &self,
        index: usize,
        command: DestinationCommand,
    ) -> Result<DestinationStatus, CommandError> {
        super::pause::command(&self.shared, index, command).await?;
        self.status_of(index)
            .ok_or_else(|| CommandError::NotFound("there is no such destination".into()))
    }
}

#[async_trait]
impl Destinations for ReactorHandle {
    async fn list(&self) -> Vec<DestinationStatus> {
        let mut all: Vec<DestinationStatus> = (0..self.shared.cells.len())
            .filter_map(|index| self.status_of(index))
            .collect();
        let board = self.shared.board();
        let strangers = board.strangers.known().iter().filter(|(_, s)| s.open > 0);
        all.extend(strangers.map(|(place, stranger)| of_stranger(place, stranger)));
        drop(board);
        all.sort_by(|a, b| (&a.name, &a.tenant).cmp(&(&b.name, &b.tenant)));
        all
    }

    async fn pause(
        &self,
        tenant: &TenantId,
        name: &DestinationName,
        paused_by: String,
        reason: Option<String>,
    ) -> Result<DestinationStatus, CommandError> {
        let pause = DestinationPaused { paused_by, reason };
        let index = self.index(tenant, name)?;
        self.tell(index, DestinationCommand::Pause(pause)).await
    }

    async fn resume(
        &self,
        tenant: &TenantId,
        name: &DestinationName,
        resumed_by: String,
    ) -> Result<DestinationStatus, CommandError> {
        let index = self.index(tenant, name)?;
        if self.shared.cells.get(index).is_some_and(|cell| cell.plan.paused) {
            return Err(CommandError::Refused(format!(
                "the destination {name} is paused by the settings: change them"
            )));
        }
        let resumed = DestinationCommand::Resume(DestinationResumed { resumed_by });
        self.tell(index, resumed).await
    }
}

impl Pace for ReactorHandle {
    fn lag_ms(&self) -> u64 {
        self.status().lag_ms
    }
}

impl DeadLetters for ReactorHandle {
    fn remembered(&self, tenant: &TenantId) -> Option<RememberedDead> {
        let mut remembered = self.dead_letters();
        let of_tenant = |stream: &StreamName| stream.tenant() == tenant.as_str();
        remembered.streams.retain(of_tenant);
        remembered.complete.then_some(RememberedDead {
            streams: remembered.streams,
            upto: remembered.position,
        })
    }
}

fn of_lane(lane: &Lane, targets: Vec<String>, now: Now) -> DestinationStatus {
    let left = lane.breaker.left(now.instant);
    let until = left.map(|left| now.time.plus_millis(millis(left)));
    DestinationStatus {
        tenant: lane.place.tenant.clone(),
        name: lane.place.name.clone(),
        targets,
        configured: true,
        paused: paused(lane),
        breaker: lane.breaker.state(now.instant),
        breaker_until: until,
        open: lane.queue.len() as u64,
        in_flight: lane.queue.running() as u64,
        retrying: lane.queue.retrying() as u64,
        lag_ms: lane.lag_ms(now.time),
        last_error: waits_for_a_person(lane).or_else(|| lane.last_error.clone()),
    }
}

fn waits_for_a_person(lane: &Lane) -> Option<String> {
    let parked = lane.queue.parked();
    (parked > 0)
        .then(|| format!("{parked} deliveries wait for a person: see the program's log, then restart it"))
}

fn paused(lane: &Lane) -> Option<PausedSince> {
    let since = |at: Option<Timestamp>, by: &str, reason: Option<String>| PausedSince {
        at,
        by: by.to_owned(),
        reason,
    };
    if let Some((paused, at)) = &lane.destination.paused {
        return Some(since(Some(*at), &paused.paused_by, paused.reason.clone()));
    }
    if lane.held {
        return Some(since(None, "hooklog", Some("it answered 410 Gone".into())));
    }
    lane.paused_by_settings.then(|| since(None, "settings", None))
}

fn of_stranger(place: &Place, stranger: &Stranger) -> DestinationStatus {
    DestinationStatus {
        tenant: place.tenant.clone(),
        name: place.name.clone(),
        targets: Vec::new(),
        configured: false,
        paused: None,
        breaker: BreakerState::Closed,
        breaker_until: None,
        open: stranger.open,
        in_flight: 0,
        retrying: 0,
        lag_ms: 0,
        last_error: None,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
