//! Things that count once, remembered within a bound.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// The things that were there, the latest of them.
#[derive(Debug)]
pub(super) struct Once<T> {
    max: usize,
    there: HashSet<T>,
    order: VecDeque<T>,
}

impl<T: Clone + Eq + Hash> Once<T> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            there: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether it was not there before, as far as it is remembered; from now on it was.
    pub(super) fn is_first(&mut self, thing: T) -> bool {
        if !self.there.insert(thing.clone()) {
            return false;
        }
        self.order.push_back(thing);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.there.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_counts_once_while_it_is_remembered_and_the_memory_is_bounded() {
        let mut once = Once::new(2);
        let firsts: Vec<_> = [1, 1, 2, 1, 3, 1].map(|thing| once.is_first(thing)).into();
        assert_eq!(firsts, [true, false, true, false, true, true]);
        assert_eq!((once.there.len(), once.order.len()), (2, 2));
    }
}
