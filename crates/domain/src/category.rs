//! A state folded from all streams of one category, kept current: what many readers of the log need whole, such as the
//! sources. Never here: a loop, a pause or a clock; whoever owns a view says when it looks.

use crate::{Category, EventLog, LogId, PageLimit, Position, ReadError, RecordedEvent};

/// What a category is folded into. Its default is the state before the first event.
pub trait CategoryFold: Default {
    /// The category.
    const CATEGORY: Category;

    /// Takes the next event of the category, in the order of the log. What it can't read it has to remember as its own
    /// trouble: the next event comes all the same.
    fn evolve(&mut self, event: &RecordedEvent);
}

/// What a look at the log brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// Whether the state is another one now.
    pub changed: bool,
    /// Whether nothing is missing up to the head that the log had at the look.
    pub caught_up: bool,
}

/// The state of a category up to a position of one log.
#[derive(Debug)]
pub struct CategoryView<S> {
    state: S,
    log: Option<LogId>,
    upto: Position,
}

impl<S: CategoryFold> Default for CategoryView<S> {
    fn default() -> Self {
        Self {
            state: S::default(),
            log: None,
            upto: Position::START,
        }
    }
}

impl<S: CategoryFold> CategoryView<S> {
    /// The state, as of [`CategoryView::upto`].
    #[must_use]
    pub const fn state(&self) -> &S {
        &self.state
    }

    /// Up to where the log is in it.
    #[must_use]
    pub const fn upto(&self) -> Position {
        self.upto
    }

    /// Takes one page of what is new. A log that is another one, or ends before what is known, is read from its begin.
    ///
    /// # Errors
    /// When the log can't be read; the state stays as it is.
    pub async fn advance(&mut self, log: &dyn EventLog, limit: PageLimit) -> Result<Advance, ReadError> {
        let mut restarted = false;
        if self.log != Some(log.id()) {
            restarted = self.log.is_some();
            *self = Self {
                log: Some(log.id()),
                ..Self::default()
            };
        }
        let mut page = log.read_category(S::CATEGORY, self.upto, limit).await?;
        if page.upto < self.upto {
            restarted = true;
            page = log.read_category(S::CATEGORY, Position::START, limit).await?;
            *self = Self {
                log: Some(log.id()),
                ..Self::default()
            };
        }
        page.events.iter().for_each(|event| self.state.evolve(event));
        // Only a full page ends at its own last event with more behind it; the next look tells.
        let is_full = page.events.last().is_some_and(|e| e.position == page.upto);
        self.upto = page.upto;
        let caught_up = !is_full || log.head().await? <= self.upto;
        Ok(Advance {
            changed: restarted || !page.events.is_empty(),
            caught_up,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{ManualClock, MemoryLog, TestDelivery};
    use crate::{Append, EventData, EventId, Expected, NewEvent, Timestamp};

    #[derive(Debug, Default, PartialEq)]
    struct Seen(Vec<String>);

    impl CategoryFold for Seen {
        const CATEGORY: Category = Category::Source;
        fn evolve(&mut self, event: &RecordedEvent) {
            self.0.push(event.stream.id().to_owned());
        }
    }

    fn log(n: u128) -> MemoryLog {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
        MemoryLog::with_gaps(LogId::new(uuid::Uuid::from_u128(n)), clock, 3)
    }

    async fn add(log: &MemoryLog, name: &str) {
        let event = NewEvent {
            id: EventId::new(uuid::Uuid::from_u128(1)),
            event_type: "ThingHappened".parse().unwrap(),
            schema: 1,
            metadata: "{}".into(),
            data: EventData::Inline(bytes::Bytes::new()),
        };
        let append = Append {
            stream: format!("source-default.{name}").parse().unwrap(),
            expected: Expected::NoStream,
            events: vec![event],
            content: None,
        };
        log.append(append).await.unwrap();
    }

    const ONE: PageLimit = PageLimit {
        events: 1,
        bytes: usize::MAX,
    };

    async fn catch_up(view: &mut CategoryView<Seen>, log: &MemoryLog) -> usize {
        for looks in 1..100 {
            if view.advance(log, ONE).await.unwrap().caught_up {
                return looks;
            }
        }
        panic!("it never caught up");
    }

    #[tokio::test]
    async fn a_view_catches_up_page_by_page_and_says_when_it_has() {
        let log = log(1);
        for name in ["a", "b", "c"] {
            add(&log, name).await;
            log.append(TestDelivery::new("push", name.to_owned()).append())
                .await
                .unwrap();
        }
        let mut view = CategoryView::<Seen>::default();
        let first = view.advance(&log, ONE).await.unwrap();
        assert_eq!((first.changed, first.caught_up), (true, false));
        assert!(catch_up(&mut view, &log).await <= 3);
        assert_eq!(view.state().0, ["a", "b", "c"]);
        assert_eq!(Ok(view.upto()), log.head().await);
        let quiet = view.advance(&log, ONE).await.unwrap();
        assert_eq!((quiet.changed, quiet.caught_up), (false, true));
    }

    #[tokio::test]
    async fn a_log_that_is_another_or_ends_earlier_is_read_from_its_begin() {
        let (long, foreign, regressed) = (log(1), log(2), log(1));
        for name in ["a", "b"] {
            add(&long, name).await;
        }
        add(&foreign, "c").await;
        add(&regressed, "d").await;
        let mut view = CategoryView::<Seen>::default();
        catch_up(&mut view, &long).await;
        assert!(
            view.advance(&foreign, PageLimit::default())
                .await
                .unwrap()
                .changed
        );
        assert_eq!(view.state().0, ["c"]);
        catch_up(&mut view, &long).await;
        assert_eq!(view.state().0, ["a", "b"]);
        let advance = view.advance(&regressed, PageLimit::default()).await.unwrap();
        assert!(advance.changed && advance.caught_up, "{advance:?}");
        assert_eq!(view.state().0, ["d"]);
    }
}
