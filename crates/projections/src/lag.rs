//! How far behind the log a reader of it is.

use domain::{Position, RecordedEvent, Spacing, Timestamp};

/// What a reader knows about its own delay.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lag {
    /// The last event it is done with.
    pub(crate) position: Position,
    recorded_at: Option<Timestamp>,
    at_head: Option<Timestamp>,
}

impl Lag {
    /// Starts at a position, without knowing when it was reached.
    pub(crate) fn starting_at(position: Position) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    /// Is done with an event.
    pub(crate) fn reached(&mut self, last: &RecordedEvent) {
        self.position = last.position;
        self.recorded_at = Some(last.recorded_at);
    }

    /// What the store says of one that another process is done with, and when that was.
    pub(crate) fn stored(&mut self, position: Position, at: Option<Timestamp>) {
        self.position = position;
        self.recorded_at = at;
    }

    /// Nothing was left to do at that time.
    pub(crate) const fn at_head(&mut self, now: Timestamp) {
        self.at_head = Some(now);
    }

    /// How many events it is not done with, where the positions of the log say so; counting them would mean reading them.
    pub(crate) const fn events(&self, head: Position, spacing: Spacing) -> Option<u64> {
        spacing.events_between(self.position, head)
    }

    /// How long the oldest event not done may have been waiting, in seconds; 0 at the head.
    pub(crate) fn seconds(&self, head: Position, now: Timestamp) -> f64 {
        if head <= self.position {
            return 0.0;
        }
        let since = self.at_head.max(self.recorded_at);
        since.map_or(0.0, |since| {
            std::time::Duration::from_millis(u64::try_from(now.millis_since(since)).unwrap_or(0))
                .as_secs_f64()
        })
    }
}

/// A number of events as a gauge shows it: one that is not known is no number.
pub(crate) fn gauge_of(events: Option<u64>) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; positions stay far below 2^53"
    )]
    events.map_or(f64::NAN, |events| events as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::testing::{TestDelivery, recorded};

    #[test]
    fn an_idle_hour_is_no_lag() {
        let mut lag = Lag::default();
        let event = recorded(5, &TestDelivery::new("push", "{}"));
        lag.reached(&event);
        let later = event.recorded_at.plus_millis(3_600_000);
        assert_eq!(lag.seconds(Position::new(5), later), 0.0);
        assert_eq!(lag.seconds(Position::new(6), later), 3600.0);
        lag.at_head(later);
        assert_eq!(lag.seconds(Position::new(6), later.plus_millis(250)), 0.25);
        assert_eq!(lag.events(Position::new(9), Spacing::One), Some(4));
        assert_eq!(lag.events(Position::new(9), Spacing::About(2)), None);
    }
}
