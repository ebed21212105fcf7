//! The log and the stream: the stream holds the end of the log, each event once, in order, without a hole.

use domain::{LogId, Position, RecordedEvent};

use crate::world::World;

pub fn check(world: &World, log: LogId, events: &[RecordedEvent]) {
    let messages = world.stream.messages();
    let Some(first) = messages.first() else {
        if !events.is_empty() {
            world.violation("the stream is empty");
        }
        return;
    };
    let first = first.event().event.position;
    let from = events.partition_point(|event| event.position < first);
    let suffix = &events[from..];
    let mut previous = from
        .checked_sub(1)
        .map_or(Position::START, |before| events[before].position);
    if suffix.len() != messages.len() {
        world.violation(format!(
            "the stream holds {} messages from position {first} on, the log {} events",
            messages.len(),
            suffix.len()
        ));
    }
    for (event, message) in suffix.iter().zip(&messages) {
        let live = message.event();
        if live.event.position != event.position {
            world.violation(format!(
                "position {} stands in the stream where {} belongs",
                live.event.position, event.position
            ));
            return;
        }
        if live.log_id != log || live.previous != previous {
            world.violation(format!(
                "the message of position {} names {} before it, not {previous}",
                event.position, live.previous
            ));
        }
        if live.event != *event {
            world.violation(format!(
                "the message of position {} is not its event",
                event.position
            ));
        }
        previous = event.position;
        world.count("messages compared");
    }
}
