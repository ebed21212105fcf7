//! Destinations that have open work but do not stand in the settings. Their work is not held, only where it begins, so that
//! nothing is lost when one of them comes back.

use std::collections::BTreeMap;

use domain::Position;

use super::entry::before;
use super::fact::Place;

/// The most of them that are told apart.
const STRANGERS_MAX: usize = 1000;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stranger {
    /// Everything up to here is done. It never moves on: only a destination at work can know more.
    pub(super) mark: Position,
    /// Rounds open, for people: it may be too high where rounds were replaced.
    pub(super) open: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    known: BTreeMap<Place, Stranger>,
    /// Before the first round of those that are too many to be told apart, or of which it is not known whose it is. One that
    /// is told apart later may have been among them.
    others: Option<Position>,
}

impl Strangers {
    pub(super) const fn new(known: BTreeMap<Place, Stranger>, others: Option<Position>) -> Self {
        Self { known, others }
    }

    /// A round opened at one.
    pub(super) fn opened(&mut self, place: &Place, position: Position) {
        if let Some(stranger) = self.known.get_mut(place) {
            stranger.open += 1;
        } else if self.known.len() < STRANGERS_MAX {
            let mark = self
                .others
                .map_or(before(position), |others| others.min(before(position)));
            self.known.insert(place.clone(), Stranger { mark, open: 1 });
        } else {
            self.others.get_or_insert(before(position));
        }
    }

    /// An event could not be understood: it may have opened a round at any of them.
    pub(super) fn doubt(&mut self, position: Position) {
        self.others.get_or_insert(before(position));
    }

    /// A round ended at one: it stood in the settings then.
    pub(super) fn closed(&mut self, place: &Place) {
        if let Some(stranger) = self.known.get_mut(place) {
            stranger.open = stranger.open.saturating_sub(1);
        }
    }

    pub(super) const fn known(&self) -> &BTreeMap<Place, Stranger> {
        &self.known
    }

    pub(super) const fn others(&self) -> Option<Position> {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: usize) -> Place {
        Place {
            tenant: "default".parse().unwrap(),
            name: format!("d{n}").parse().unwrap(),
        }
    }

    #[test]
    fn one_that_was_not_told_apart_keeps_its_first_round_when_there_is_room_again() {
        let mut strangers = Strangers::default();
        for n in 0..=STRANGERS_MAX {
            strangers.opened(&place(n), Position::new(10 + n as u64));
        }
        let late = place(STRANGERS_MAX);
        let first = Position::new(10 + STRANGERS_MAX as u64);
        assert_eq!(strangers.others(), Some(before(first)));
        let mut known = strangers.known().clone();
        known.remove(&place(0)).unwrap();
        let mut strangers = Strangers::new(known, strangers.others());
        strangers.opened(&late, Position::new(9000));
        assert!(strangers.known()[&late].mark < first, "its first round is lost");
    }
}
