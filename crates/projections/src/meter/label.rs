//! Labels that senders make up, bounded.

use std::collections::HashSet;
use std::sync::Arc;

/// What all labels beyond the bound are called.
pub(super) const OTHER: &str = "other";

/// The labels that have a name of their own, for the life of the process: a counter must not change its name.
#[derive(Debug)]
pub(super) struct Labels {
    max: usize,
    known: HashSet<Arc<str>>,
}

impl Labels {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            known: HashSet::new(),
        }
    }

    /// The label that something called `name` gets.
    pub(super) fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.max {
            return OTHER.into();
        }
        let label: Arc<str> = name.into();
        self.known.insert(Arc::clone(&label));
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_keep_their_names_and_the_rest_share_one() {
        let mut labels = Labels::new(2);
        let named: Vec<_> = ["a", "b", "c", "a", "d"]
            .map(|name| labels.of(name).to_string())
            .into();
        assert_eq!(named, ["a", "b", "other", "a", "other"]);
    }
}
