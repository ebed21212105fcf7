//! Reading the streams of one category: from names in the index and from what is not yet in it, never from a walk over
//! the log.

use std::collections::BTreeMap;

use domain::{Category, CategoryPage, PageLimit, Position, ReadError, StreamName};

use super::read::{Page, closed, read_one, unavailable};
use super::shared::Shared;

/// Positions of the oldest events found, a page of them and one more, which says that there is another page.
struct Oldest {
    found: BTreeMap<Position, StreamName>,
    max: usize,
    /// Beyond it nothing is durable for certain.
    head: Position,
}

impl Oldest {
    fn offer(&mut self, position: Position, stream: &StreamName) {
        let is_older = |last: &Position| position < *last;
        let wanted = self.found.len() < self.max || self.found.keys().next_back().is_some_and(is_older);
        if position <= self.head && wanted {
            self.found.insert(position, stream.clone());
            if self.found.len() > self.max {
                self.found.pop_last();
            }
        }
    }
}

/// Reads the events of a category after a position.
pub(crate) fn read(
    shared: &Shared,
    category: Category,
    after: Position,
    limit: PageLimit,
) -> Result<CategoryPage, ReadError> {
    let head = shared.head_now();
    let mut page = Page::new(limit);
    if after >= head {
        let events = page.events;
        return Ok(CategoryPage { events, upto: head });
    }
    let mut upto = head;
    for (position, stream) in find(shared, category, after, head, limit)? {
        // A copy: a slice would keep a whole batch in memory for one event.
        let event = read_one(shared, position, |batch, record| {
            record.to_event(&batch.bytes, true)
        })?;
        if event.stream != stream {
            let why = format!("the index names position {position} for an event of {stream}");
            return Err(ReadError::Corrupt(why));
        }
        if page.is_full() || !page.add(event) {
            upto = page.events.last().map_or(after, |e| e.position);
            break;
        }
    }
    let events = page.events;
    Ok(CategoryPage { events, upto })
}

fn find(
    shared: &Shared,
    category: Category,
    after: Position,
    head: Position,
    limit: PageLimit,
) -> Result<BTreeMap<Position, StreamName>, ReadError> {
    let mut oldest = Oldest {
        found: BTreeMap::new(),
        max: limit.events.saturating_add(1),
        head,
    };
    // First what is not indexed, then the index: what moves from one to the other in between is seen at least once.
    let covered = {
        let recent = shared.recent();
        for key in recent.after(after).filter(|key| key.stream.is_of(category)) {
            oldest.offer(key.position, &key.stream);
        }
        recent.covers(after)
    };
    if !covered && let Some(index) = shared.index().map_err(closed)? {
        let prefix = format!("{}-", category.as_str());
        index
            .visit_positions(&prefix, after, &mut |position, stream| {
                oldest.offer(position, stream)
            })
            .map_err(unavailable)?;
    }
    Ok(oldest.found)
}
