//! How fast a build is filled, lately, and how long the rest will take.

use std::collections::VecDeque;
use std::time::Duration;

use domain::Position;
use tokio::time::Instant;

/// How far back is looked.
const WINDOW: Duration = Duration::from_secs(30);
/// The least time between two marks.
const STEP: Duration = Duration::from_millis(250);

/// Marks on the way through the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    marks: VecDeque<Mark>,
    events: u64,
    /// Somebody could not say how many events were done.
    uncounted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    position: Position,
    events: u64,
}

impl Pace {
    /// Starts at a position.
    pub(crate) fn starting_at(position: Position, now: Instant) -> Self {
        let mark = Mark {
            at: now,
            position,
            events: 0,
        };
        Self {
            marks: VecDeque::from([mark]),
            events: 0,
            uncounted: false,
        }
    }

    /// So many events more are done, up to a position; how many is not always known.
    pub(crate) fn done(&mut self, position: Position, events: Option<u64>, now: Instant) {
        self.uncounted |= events.is_none();
        self.events += events.unwrap_or(0);
        let mark = Mark {
            at: now,
            position,
            events: self.events,
        };
        // The newest mark moves until it is a step away from the one before it.
        let before = self.marks.len().checked_sub(2).and_then(|n| self.marks.get(n));
        if before.is_some_and(|before| now.duration_since(before.at) < STEP) {
            self.marks.pop_back();
        }
        self.marks.push_back(mark);
        while self.marks.len() > 2
            && self
                .marks
                .get(1)
                .is_some_and(|next| now.duration_since(next.at) > WINDOW)
        {
            self.marks.pop_front();
        }
    }

    /// Events a second; `None` while too little is known.
    pub(crate) fn events_per_second(&self, now: Instant) -> Option<f64> {
        if self.uncounted {
            return None;
        }
        let (first, last, seconds) = self.measured(now)?;
        Some(float(last.events - first.events) / seconds)
    }

    /// Seconds until a head is reached that stands still; `None` while too little is known, or nothing moves.
    pub(crate) fn seconds_to(&self, head: Position, now: Instant) -> Option<f64> {
        let (first, last, seconds) = self.measured(now)?;
        let left = head.get().saturating_sub(last.position.get());
        let done = last.position.get().saturating_sub(first.position.get());
        (left == 0 || done > 0).then(|| float(left) * seconds / float(done.max(1)))
    }

    fn measured(&self, now: Instant) -> Option<(Mark, Mark, f64)> {
        let (first, last) = (*self.marks.front()?, *self.marks.back()?);
        // What stands still gets slower and slower.
        let seconds = now.duration_since(first.at).as_secs_f64();
        (last.at > first.at && seconds > 0.0).then_some((first, last, seconds))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a speed, for people to look at; positions stay far below 2^53"
)]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        let found = found.expect("known by now");
        assert!(
            (found - expected).abs() < 0.02 * expected.max(1.0),
            "{found}, not {expected}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_takes_as_long_as_the_last_half_minute_says() {
        let start = Instant::now();
        let mut pace = Pace::starting_at(Position::START, start);
        let head = Position::new(1_000_000);
        assert_eq!(
            (pace.events_per_second(start), pace.seconds_to(head, start)),
            (None, None)
        );
        let mut position = 0;
        let mut at = |seconds: u64, positions_a_second: u64, pace: &mut Pace, since: Instant| {
            for step in 1..=seconds * 10 {
                position += positions_a_second / 10;
                let now = since + Duration::from_millis(step * 100);
                // Every second position is an event.
                pace.done(Position::new(position), Some(positions_a_second / 20), now);
            }
            since + Duration::from_secs(seconds)
        };
        let now = at(10, 1000, &mut pace, start);
        close(pace.events_per_second(now), 500.0);
        close(pace.seconds_to(head, now), 990.0);
        // Ten times as fast for longer than the window: what was before is forgotten.
        let now = at(40, 10_000, &mut pace, now);
        close(pace.events_per_second(now), 5000.0);
        close(pace.seconds_to(head, now), 59.0);
        // And then it stands still.
        let later = now + Duration::from_secs(30);
        close(pace.events_per_second(later), 2500.0);
        close(pace.seconds_to(Position::new(410_000), later), 0.0);
        assert!(pace.marks.len() < 200, "{} marks", pace.marks.len());
        // Where nobody counts them there is no number, and it is known all the same how long the rest takes.
        let now = later + Duration::from_secs(1);
        pace.done(Position::new(420_000), None, now);
        assert_eq!(pace.events_per_second(now), None);
        assert!(pace.seconds_to(head, now).is_some());
    }
}
