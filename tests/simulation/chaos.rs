//! What people and machines do to a running Hooklog: engines restarted and wiped, the log away, clocks moved, power cut,
//! read models rebuilt, deliveries replayed, destinations paused.

use std::sync::Arc;
use std::time::Duration;

use domain::{
    Cause, DeliveryStatus, Destinations as _, ReplayFilter, ReplayId, ReplayOne, ReplayOrder, ReplayTo,
    Replays as _, RetryDead, TenantId,
};
use projections::ProjectorHandle;

use crate::destinations::{NAMES, Reacting};
use crate::dice::Dice;
use crate::odds::Odds;
use crate::world::{Death, World};

/// What is going to happen, in its order, and what was ordered.
#[derive(Debug)]
pub struct Plan {
    upcoming: Vec<(Duration, Deed)>,
    pub orders: Vec<Order>,
}

/// A replay that was counted first and begun then.
#[derive(Debug, Clone)]
pub struct Order {
    pub replay: ReplayId,
    pub counted: Option<u64>,
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Deed {
    Die(Death),
    StreamWiped,
    StreamPurged(usize),
    StreamDown(Duration),
    TablesWiped,
    TablesDown(Duration),
    LogDown(Duration),
    ClockMoved(i64),
    Rebuild(usize),
    TargetDown(usize, Duration),
    Destination(usize, ToDestination),
    Replay(ToReplays),
}

/// What an operator tells a destination.
#[derive(Debug, Clone, Copy)]
enum ToDestination {
    Pause,
    Resume,
}

/// What an operator orders.
#[derive(Debug, Clone)]
enum ToReplays {
    Many(Box<ReplayOrder>),
    One(usize, ReplayTo),
    RetryDead,
    CancelLast,
}

impl Plan {
    pub fn drawn(dice: &mut Dice, odds: &Odds) -> Self {
        let mut upcoming: Vec<(Duration, Deed)> = Vec::new();
        for _ in 0..dice.between(6, 36) {
            let at = Duration::from_millis(dice.below(odds.storm_ms));
            upcoming.push((at, Deed::drawn(dice)));
        }
        upcoming.sort_by_key(|(at, _)| *at);
        Self {
            upcoming,
            orders: Vec::new(),
        }
    }
}

impl Deed {
    fn drawn(dice: &mut Dice) -> Self {
        let time = Duration::from_millis(dice.between(10, 4000));
        let which = usize::try_from(dice.below(16)).unwrap();
        match dice.below(28) {
            0 | 1 => Self::Die(Death::Kill),
            2 | 3 => Self::Die(Death::PowerCut),
            4 => Self::StreamWiped,
            5 => Self::StreamPurged(which),
            6 => Self::StreamDown(time),
            7 => Self::TablesWiped,
            8 => Self::TablesDown(time),
            9 => Self::LogDown(time),
            10 => Self::ClockMoved(i64::try_from(dice.below(8000)).unwrap() - 4000),
            11 | 12 => Self::Rebuild(which),
            13 => Self::TargetDown(which % NAMES.len(), time * 3),
            14 => Self::Destination(which % NAMES.len(), ToDestination::Pause),
            15 => Self::Destination(which % NAMES.len(), ToDestination::Resume),
            16..20 => Self::Replay(ToReplays::Many(Box::new(order(dice)))),
            20..25 => Self::Replay(ToReplays::One(which, to(dice))),
            25 | 26 => Self::Replay(ToReplays::RetryDead),
            _ => Self::Replay(ToReplays::CancelLast),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Die(_) => "deaths planned",
            Self::StreamWiped => "streams wiped",
            Self::StreamPurged(_) => "streams purged",
            Self::StreamDown(_) => "stream away",
            Self::TablesWiped => "tables wiped",
            Self::TablesDown(_) => "tables away",
            Self::LogDown(_) => "log away",
            Self::ClockMoved(_) => "clocks moved",
            Self::Rebuild(_) => "rebuilds asked for",
            Self::TargetDown(..) => "receivers away",
            Self::Destination(_, ToDestination::Pause) => "destinations paused",
            Self::Destination(_, ToDestination::Resume) => "destinations resumed",
            Self::Replay(ToReplays::Many(_)) => "replays asked for",
            Self::Replay(ToReplays::One(..)) => "replays of one asked for",
            Self::Replay(ToReplays::RetryDead) => "retries of the dead asked for",
            Self::Replay(ToReplays::CancelLast) => "replays cancelled",
        }
    }
}

const fn to(dice: &mut Dice) -> ReplayTo {
    if dice.percent(60) {
        ReplayTo::Processing
    } else {
        ReplayTo::Subjects
    }
}

fn order(dice: &mut Dice) -> ReplayOrder {
    let mut filter = ReplayFilter::default();
    match dice.below(4) {
        0 => filter.repository = Some("octo-org/*".into()),
        1 => filter.event = Some("workflow_job".into()),
        2 => filter.status = Some(*dice.pick(&DeliveryStatus::ALL)),
        _ => {}
    }
    let named = dice.percent(30).then(|| NAMES[0].parse().unwrap());
    let to = to(dice);
    ReplayOrder {
        tenant: TenantId::default(),
        filter,
        to,
        destinations: if to == ReplayTo::Processing {
            named.into_iter().collect()
        } else {
            Vec::new()
        },
        dead_only: false,
        // A slow one is still under way when the next thing happens.
        rate_per_second: dice.percent(40).then_some(3),
        to_position: None,
        requested_by: "operator".into(),
        reason: Some("to see what happens".into()),
    }
}

/// What deeds are done to.
pub struct Subject {
    pub world: Arc<World>,
    pub projector: ProjectorHandle,
    pub reacting: Arc<Reacting>,
}

/// Does what is planned, in this life and the next ones, each once; then everything is calm.
pub async fn chaos(subject: Arc<Subject>) {
    let world = &subject.world;
    loop {
        let next = world.plan.lock().unwrap().upcoming.first().cloned();
        let Some((at, deed)) = next else {
            break;
        };
        tokio::time::sleep(at.saturating_sub(world.elapsed())).await;
        if world.is_dead() {
            return;
        }
        world.plan.lock().unwrap().upcoming.remove(0);
        world.say(format!("*** {deed:?}"));
        world.count(deed.name());
        // What takes long must not hold up the rest.
        let subject = Arc::clone(&subject);
        tokio::spawn(async move { subject.suffer(deed).await });
    }
    let end = Duration::from_millis(world.odds.storm_ms);
    tokio::time::sleep(end.saturating_sub(world.elapsed())).await;
    if !world.is_dead() && !world.is_calm() {
        world.calm_down();
    }
}

impl Subject {
    async fn suffer(&self, deed: Deed) {
        let world = &self.world;
        match deed {
            Deed::Die(death) => world.die(death),
            Deed::StreamWiped => world.stream.wipe(),
            Deed::StreamPurged(keep) => world.stream.purge(keep),
            Deed::StreamDown(time) => world.stream.down_for(world, time),
            Deed::TablesWiped => world.tables.wipe(),
            Deed::TablesDown(time) => world.tables.down_for(world, time),
            Deed::LogDown(time) => world.log_down_for(time),
            Deed::ClockMoved(ms) => world.skew(ms),
            Deed::TargetDown(n, time) => world.receivers.down_for(world, NAMES[n], time),
            Deed::Rebuild(n) => {
                let statuses = self.projector.status();
                let name = &statuses[n % statuses.len()].name;
                let begun = self.projector.rebuild(name).await;
                world.say(format!("rebuild of {name}: {begun:?}"));
            }
            Deed::Destination(n, told) => self.destination(NAMES[n], told).await,
            Deed::Replay(order) => self.replay(order).await,
        }
    }

    async fn destination(&self, name: &str, told: ToDestination) {
        let (name, by) = (name.parse().unwrap(), "operator".to_owned());
        let tenant = TenantId::default();
        let told = match told {
            ToDestination::Pause => self.reacting.reactors.pause(&tenant, &name, by, None).await,
            ToDestination::Resume => self.reacting.reactors.resume(&tenant, &name, by).await,
        };
        self.world.say(format!("told {name}: {}", told.is_ok()));
    }

    async fn replay(&self, order: ToReplays) {
        let (world, replays, tenant) = (&self.world, &self.reacting.replays, TenantId::default());
        let begun = match order {
            ToReplays::Many(mut order) => {
                let Ok(counted) = replays.count(&order).await else {
                    return;
                };
                order.to_position = Some(counted.to_position);
                let begun = replays.start(*order).await;
                begun.map(|state| Some((state.requested.replay, Some(counted.count))))
            }
            ToReplays::One(n, to) => {
                let delivery = {
                    let ledger = world.ledger.lock().unwrap();
                    ledger.deliveries[n % ledger.deliveries.len()].key()
                };
                let order = ReplayOne {
                    tenant,
                    delivery: delivery.parse().unwrap(),
                    to,
                    destinations: Vec::new(),
                    requested_by: "operator".into(),
                    reason: None,
                };
                let replayed = replays.replay_one(order).await;
                replayed.map(|one| Some((one.replay, Some(1))))
            }
            ToReplays::RetryDead => {
                let order = RetryDead {
                    tenant,
                    destination: None,
                    cause: Cause::default(),
                    requested_by: "operator".into(),
                    reason: None,
                };
                let begun = replays.retry_dead(order).await;
                begun.map(|state| state.map(|s| (s.requested.replay, s.requested.expected)))
            }
            ToReplays::CancelLast => {
                let last = world.plan.lock().unwrap().orders.last().map(|order| order.replay);
                if let Some(replay) = last {
                    let told = replays.cancel(&tenant, replay, "operator".into()).await;
                    world.say(format!("cancelled {replay}: {}", told.is_ok()));
                }
                return;
            }
        };
        match begun {
            Ok(Some((replay, counted))) => {
                world.say(format!("replay {replay} is ordered, {counted:?}"));
                world.count("replays ordered");
                let mut plan = world.plan.lock().unwrap();
                plan.orders.push(Order { replay, counted });
            }
            Ok(None) => {}
            Err(error) => world.say(format!("no replay: {error}")),
        }
    }
}

/// An operator looks after the destinations once everything is calm.
pub async fn resume_all(reacting: &Reacting) {
    for status in reacting.reactors.list().await {
        if status.configured && status.paused.is_some() {
            // Told again in the next round where it fails.
            let (tenant, name) = (&status.tenant, &status.name);
            let _ = reacting.reactors.resume(tenant, name, "operator".into()).await;
        }
    }
}
