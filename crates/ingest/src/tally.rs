//! How many requests were taken and refused lately, for the health score. Approximate by design: it decides nothing.

use std::array;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use domain::Timestamp;

const MINUTES: i64 = 5;
const SLOTS: usize = 6;

/// Requests of about the last five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lately {
    /// Deliveries taken, repeats and ignored ones included.
    pub taken: u64,
    /// Requests refused for what they are; those refused for want of room or during a stop are not counted.
    pub rejected: u64,
}

/// Counts by the minute, without a lock: at the turn of a minute a request may be counted in neither.
pub(crate) struct Tally([Slot; SLOTS]);

#[derive(Default)]
struct Slot {
    minute: AtomicI64,
    taken: AtomicU64,
    rejected: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self(array::from_fn(|_| Slot::default()))
    }
}

const fn minute_of(time: Timestamp) -> i64 {
    time.as_secs().div_euclid(60)
}

impl Tally {
    /// A request was taken.
    pub(crate) fn taken(&self, now: Timestamp) {
        self.slot(now).map(|slot| slot.taken.fetch_add(1, Relaxed));
    }

    /// A request was refused for what it is.
    pub(crate) fn rejected(&self, now: Timestamp) {
        self.slot(now).map(|slot| slot.rejected.fetch_add(1, Relaxed));
    }

    /// The sum of the current minute and those before it.
    pub(crate) fn lately(&self, now: Timestamp) -> Lately {
        let current = minute_of(now);
        let recent = |slot: &&Slot| (current - MINUTES..=current).contains(&slot.minute.load(Relaxed));
        self.0
            .iter()
            .filter(recent)
            .fold(Lately::default(), |sum, slot| Lately {
                taken: sum.taken + slot.taken.load(Relaxed),
                rejected: sum.rejected + slot.rejected.load(Relaxed),
            })
    }

    fn slot(&self, now: Timestamp) -> Option<&Slot> {
        let minute = minute_of(now);
        let at = usize::try_from(minute.rem_euclid(i64::try_from(SLOTS).ok()?)).ok()?;
        let slot = self.0.get(at)?;
        if slot.minute.swap(minute, Relaxed) != minute {
            slot.taken.store(0, Relaxed);
            slot.rejected.store(0, Relaxed);
        }
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_minutes_count() {
        let tally = Tally::default();
        let at = |minute: i64| Timestamp::from_millis(1_763_766_000_000 + minute * 60_000);
        tally.taken(at(0));
        tally.rejected(at(0));
        tally.taken(at(4));
        assert_eq!(
            tally.lately(at(4)),
            Lately {
                taken: 2,
                rejected: 1
            }
        );
        assert_eq!(
            tally.lately(at(6)),
            Lately {
                taken: 1,
                rejected: 0
            }
        );
        tally.rejected(at(6));
        assert_eq!(
            tally.lately(at(6)),
            Lately {
                taken: 1,
                rejected: 1
            },
            "an old slot is used anew"
        );
        assert_eq!(tally.lately(at(60)), Lately::default());
    }
}
