//! Those who began a connection and have not shown that they may listen. There are so many of them and no more: one more, and
//! one of the address that has most of them gives way, the oldest. So nobody without a key keeps out who has one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::visitor::Visitor;
use crate::live::places::Owner;

/// Those who are at the door.
#[derive(Debug)]
pub(super) struct Arrivals {
    max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    came: u64,
    /// In the order in which they came.
    all: BTreeMap<u64, (Owner, Weak<Visitor>)>,
}

/// One of them, for as long as it is.
#[derive(Debug)]
pub(super) struct Arrival {
    arrivals: Arc<Arrivals>,
    turn: u64,
}

impl Arrivals {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            waiting: Mutex::default(),
        })
    }

    /// One more; and who gives way to it.
    pub(super) fn enter(
        self: &Arc<Self>,
        owner: Owner,
        visitor: Weak<Visitor>,
    ) -> (Arrival, Option<Weak<Visitor>>) {
        let mut waiting = self.waiting();
        let gives_way = if waiting.all.len() >= self.max {
            waiting.oldest_of_most()
        } else {
            None
        };
        let gone = gives_way.and_then(|turn| waiting.all.remove(&turn));
        waiting.came += 1;
        let turn = waiting.came;
        waiting.all.insert(turn, (owner, visitor));
        drop(waiting);
        let arrival = Arrival {
            arrivals: Arc::clone(self),
            turn,
        };
        (arrival, gone.map(|(_, visitor)| visitor))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn oldest_of_most(&self) -> Option<u64> {
        let mut counts: HashMap<&Owner, (usize, u64)> = HashMap::new();
        for (turn, (owner, _)) in &self.all {
            counts.entry(owner).or_insert((0, *turn)).0 += 1;
        }
        let most = counts
            .into_values()
            .max_by_key(|(count, turn)| (*count, u64::MAX - turn));
        most.map(|(_, turn)| turn)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.arrivals.waiting().all.remove(&self.turn);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn the_oldest_of_the_address_that_has_most_gives_way() {
        let arrivals = Arrivals::new(4);
        let enter = |n: u32| arrivals.enter(Owner::at(Some(IpAddr::V4(n.into()))), Weak::new());
        let honest = enter(1).0;
        let mut hostile: Vec<_> = (0..3).map(|_| enter(2).0).collect();
        for _ in 0..5 {
            let (another, gone) = enter(2);
            assert!(gone.is_some());
            hostile.push(another);
        }
        let turns: Vec<_> = arrivals.waiting().all.keys().copied().collect();
        assert_eq!(turns, [honest.turn, 7, 8, 9]);
        hostile.truncate(7);
        assert!(enter(3).1.is_none(), "there is room");
        drop((honest, hostile));
        assert!(arrivals.waiting().all.is_empty());
    }
}
