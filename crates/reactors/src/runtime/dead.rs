//! The dead letters, remembered as far as there is room, so that all of them can be tried again without a search of the log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use domain::{DestinationName, Position, StreamName};
use serde::{Deserialize, Serialize};

/// A delivery that was given up by a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetter {
    pub(super) stream: Arc<StreamName>,
    /// Where it was given up first.
    pub(super) position: Position,
    pub(super) destinations: BTreeSet<DestinationName>,
}

/// The dead letters up to a position of the log.
#[derive(Debug)]
pub(super) struct DeadLetters {
    letters: HashMap<Arc<StreamName>, DeadLetter>,
    letters_max: usize,
    complete: bool,
    /// Grows with every change.
    version: u64,
}

impl DeadLetters {
    pub(super) fn new(letters: Vec<DeadLetter>, complete: bool, letters_max: usize) -> Self {
        let known = letters.len();
        Self {
            letters: letters
                .into_iter()
                .take(letters_max)
                .map(|letter| (Arc::clone(&letter.stream), letter))
                .collect(),
            letters_max,
            complete: complete && known <= letters_max,
            version: 0,
        }
    }

    /// A destination gave a delivery up.
    pub(super) fn insert(&mut self, stream: &Arc<StreamName>, position: Position, name: DestinationName) {
        self.version += 1;
        if let Some(letter) = self.letters.get_mut(stream) {
            letter.destinations.insert(name);
        } else if self.letters.len() < self.letters_max {
            let letter = DeadLetter {
                stream: Arc::clone(stream),
                position,
                destinations: BTreeSet::from([name]),
            };
            self.letters.insert(Arc::clone(stream), letter);
        } else {
            self.complete = false;
        }
    }

    /// A delivery is tried again at a destination.
    pub(super) fn remove(&mut self, stream: &StreamName, name: &DestinationName) {
        let Some(letter) = self.letters.get_mut(stream) else {
            return;
        };
        if letter.destinations.remove(name) {
            self.version += 1;
        }
        if letter.destinations.is_empty() {
            self.letters.remove(stream);
        }
    }

    /// Something happened that could not be understood.
    pub(super) const fn doubt(&mut self) {
        self.version += 1;
        self.complete = false;
    }

    /// All that are remembered, the oldest first.
    pub(super) fn all(&self) -> Vec<DeadLetter> {
        let mut letters: Vec<DeadLetter> = self.letters.values().cloned().collect();
        letters.sort_by_key(|letter| letter.position);
        letters
    }

    /// Whether these are all there are.
    pub(super) const fn complete(&self) -> bool {
        self.complete
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(n: u64) -> Arc<StreamName> {
        Arc::new(format!("delivery-default.github.41.{n}").parse().unwrap())
    }

    fn streams(letters: &DeadLetters) -> Vec<String> {
        letters.all().iter().map(|l| l.stream.to_string()).collect()
    }

    #[test]
    fn a_letter_is_dead_until_every_destination_that_gave_it_up_tries_again() {
        let (ci, cd): (DestinationName, DestinationName) = ("ci".parse().unwrap(), "cd".parse().unwrap());
        let mut letters = DeadLetters::new(Vec::new(), true, 10);
        letters.insert(&stream(2), Position::new(7), ci.clone());
        letters.insert(&stream(1), Position::new(8), ci.clone());
        letters.insert(&stream(1), Position::new(9), cd.clone());
        assert_eq!(
            streams(&letters),
            [stream(2).to_string(), stream(1).to_string()],
            "the oldest first"
        );
        letters.remove(&stream(1), &ci);
        assert_eq!(letters.all().len(), 2);
        letters.remove(&stream(1), &cd);
        letters.remove(&stream(2), &ci);
        assert!(letters.all().is_empty() && letters.complete());
    }

    #[test]
    fn beyond_their_number_it_is_said_that_some_are_missing() {
        let mut letters = DeadLetters::new(Vec::new(), true, 2);
        for n in 1..=3 {
            assert!(letters.complete());
            letters.insert(&stream(n), Position::new(n), "ci".parse().unwrap());
        }
        assert!(!letters.complete());
        assert_eq!(letters.all().len(), 2);
    }
}
