//! All sources that were added while a program ran, folded from the log in its order. Every replica folds the same.
//!
//! An event that can't be understood leaves its source in trouble: it takes no deliveries until somebody looks at it, since
//! it might have said that a secret is not to be trusted any more.

use std::collections::BTreeMap;

use super::{SourceEvent, SourceState};
use crate::{Category, CategoryFold, RecordedEvent, SourceName};

/// All sources of the log, the removed ones too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceDirectory {
    sources: BTreeMap<SourceName, SourceState>,
}

impl CategoryFold for SourceDirectory {
    const CATEGORY: Category = Category::Source;

    /// Events of other categories, and ones seen before, change nothing.
    fn evolve(&mut self, event: &RecordedEvent) {
        let Ok(name) = event.stream.id().parse::<SourceName>() else {
            return;
        };
        if event.stream.category() != Self::CATEGORY.as_str() {
            return;
        }
        let known = self.sources.get_mut(&name);
        if known
            .as_ref()
            .is_some_and(|known| known.revision >= event.revision)
        {
            return;
        }
        match (SourceEvent::of(event), known) {
            (Some(Ok(SourceEvent::Added(fact))), _) => {
                // Its stream says what it is called.
                if fact.source == name {
                    let before = self.sources.remove(&name);
                    let added = SourceState::added(before, fact, event);
                    self.sources.insert(name, added);
                }
            }
            (Some(Ok(fact)), Some(known)) => known.evolve(fact, event),
            (Some(Err(error)), Some(known)) => {
                known.revision = event.revision;
                known.changed_at = event.recorded_at;
                known.trouble = Some(format!(
                    "the event {} at position {} can't be understood: {error}",
                    event.event_type, event.position
                ));
            }
            (None, Some(known)) => known.revision = event.revision,
            // What nobody knows to have been added can't be in trouble.
            (_, None) => {}
        }
    }
}

impl SourceDirectory {
    /// What is known under a name, removed or not.
    #[must_use]
    pub fn get(&self, name: &SourceName) -> Option<&SourceState> {
        self.sources.get(name)
    }

    /// All sources by name, the removed ones too.
    pub fn iter(&self) -> impl Iterator<Item = &SourceState> {
        self.sources.values()
    }
}
