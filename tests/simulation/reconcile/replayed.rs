//! The log and its replays: what a replay says that it did is what stands in the streams of deliveries, each once, and what
//! was counted before is what was found.

use std::collections::BTreeMap;

use domain::{DeliveryOutcome, Outcome, RecordedEvent, ReplayId, ReplayState, ReplayStatus, StreamName};

use crate::world::World;

pub fn check(world: &World, events: &[RecordedEvent]) {
    let mut requests: BTreeMap<ReplayId, Vec<&StreamName>> = BTreeMap::new();
    let mut streams: BTreeMap<&StreamName, Vec<RecordedEvent>> = BTreeMap::new();
    for event in events {
        if event.stream.category() == "replay" {
            streams.entry(&event.stream).or_default().push(event.clone());
        }
        let outcome = DeliveryOutcome::of(event)
            .map(Result::unwrap)
            .map(|outcome| outcome.outcome);
        if let Some(Outcome::ReplayRequested(request)) = outcome
            && let Some(replay) = request.replay
        {
            requests.entry(replay).or_default().push(&event.stream);
        }
    }
    let orders = world.plan.lock().unwrap().orders.clone();
    for (stream, events) in streams {
        let Some(state) = ReplayState::of(&events).unwrap() else {
            world.violation(format!("{stream} begins without a request"));
            continue;
        };
        let replay = state.requested.replay;
        let asked = requests.remove(&replay).unwrap_or_default();
        let order = orders.iter().find(|order| order.replay == replay);
        check_one(world, &state, &asked, order.and_then(|order| order.counted));
    }
    for replay in requests.keys() {
        world.violation(format!(
            "deliveries were asked for by replay {replay}, which nobody ordered"
        ));
    }
    for order in &orders {
        let known = events
            .iter()
            .any(|event| event.stream.id() == order.replay.to_string());
        if !known {
            world.violation(format!(
                "replay {} was ordered and is not in the log",
                order.replay
            ));
        }
    }
}

fn check_one(world: &World, state: &ReplayState, asked: &[&StreamName], counted: Option<u64>) {
    let replay = state.requested.replay;
    let mut once = asked.to_vec();
    once.sort();
    once.dedup();
    if once.len() != asked.len() {
        world.violation(format!("replay {replay} asked for a delivery twice"));
    }
    let (asked, counts) = (asked.len() as u64, state.counts);
    match state.status {
        ReplayStatus::Completed => {
            world.count("replays completed");
            if counts.requested != asked {
                world.violation(format!(
                    "replay {replay} says {counts:?}, {asked} requests are in the log"
                ));
            }
            if counts.matched != counts.requested + counts.skipped {
                world.violation(format!("replay {replay} says {counts:?}"));
            }
            // Of the dead, some may have been tried again by somebody else meanwhile.
            if let Some(counted) = counted.filter(|_| !state.requested.dead_only)
                && counted != counts.matched
            {
                world.violation(format!(
                    "replay {replay} was counted as {counted}, found {}",
                    counts.matched
                ));
            }
        }
        ReplayStatus::Cancelled | ReplayStatus::Failed => {
            world.count("replays that ended early");
            if asked < counts.requested {
                world.violation(format!(
                    "replay {replay} says {counts:?}, {asked} requests are in the log"
                ));
            }
        }
        ReplayStatus::Running => world.violation(format!("replay {replay} has no end")),
    }
}
