//! What every adapter of the log promises, as tests. [`run_all`] runs them against fresh logs.
#![expect(clippy::unwrap_used, reason = "a contract suite fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a contract suite fails by panicking")]

mod append;
mod category;
mod content;
mod outcome;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{ManualClock, TestDelivery};
use crate::{
    Append, Appended, Clock, EventData, EventId, EventLog, Expected, FindDeliveries, NewEvent, PageLimit,
    Position, RecordedEvent, Revision, Timestamp,
};

/// A log under test.
pub trait ContractLog: EventLog + FindDeliveries + 'static {}

impl<L: EventLog + FindDeliveries + 'static> ContractLog for L {}

/// A log with the clock it was made with.
pub struct Subject {
    /// The log, empty.
    pub log: Arc<dyn ContractLog>,
    /// Its clock.
    pub clock: Arc<ManualClock>,
}

const DEADLINE: Duration = Duration::from_secs(20);

/// Runs every rule, each against a fresh log that `make` gives.
///
/// # Panics
/// When the log breaks a rule.
pub async fn run_all<F>(make: F)
where
    F: AsyncFn(Arc<dyn Clock>) -> Arc<dyn ContractLog>,
{
    macro_rules! rules {
        ($($rule:path),+ $(,)?) => {$(
            let clock = Arc::new(ManualClock::at(start()));
            let log = make(Arc::clone(&clock) as Arc<dyn Clock>).await;
            let rule = tokio::time::timeout(DEADLINE, Box::pin($rule(Subject { log, clock })));
            assert!(rule.await.is_ok(), concat!(stringify!($rule), " did not end in time"));
        )+};
    }
    rules!(
        reading::a_new_log_is_empty,
        reading::an_event_is_read_back_byte_for_byte,
        reading::positions_grow_and_revisions_are_dense,
        append::a_stream_that_is_there_conflicts_with_no_stream,
        append::a_wrong_revision_conflicts,
        append::an_append_without_events_is_invalid,
        append::a_retry_with_the_same_ids_gets_the_first_answer,
        append::a_retry_must_repeat_the_whole_append_at_its_place,
        append::a_refused_append_leaves_nothing,
        reading::a_page_is_bounded_but_never_empty,
        reading::a_stream_is_read_from_a_revision,
        reading::recorded_at_never_goes_back,
        reading::a_waiter_is_woken_by_the_next_event,
        append::one_of_many_appends_with_one_key_wins,
        content::the_same_body_within_the_window_is_marked,
        content::the_same_body_outside_the_window_is_not_marked,
        content::a_mark_always_names_the_unmarked_original,
        content::the_same_sender_id_under_another_hook_is_marked_for_ever,
        content::content_is_compared_within_tenant_and_source,
        outcome::an_outcome_without_data_is_read_back_in_its_stream,
        outcome::of_two_outcomes_decided_from_one_state_one_stands,
        outcome::metadata_up_to_its_limit_is_taken,
        category::a_category_is_read_in_the_order_of_the_log_and_alone,
        category::pages_of_a_category_are_bounded_and_miss_nothing,
        category::a_category_read_while_it_grows_is_complete,
        reading::deliveries_are_found_by_their_senders_id,
        reading::the_tail_is_no_longer_than_asked,
        reading::health_shows_the_head,
    );
}

fn start() -> Timestamp {
    Timestamp::from_millis(1_763_766_000_000)
}

fn event(n: u128, data: &'static [u8]) -> NewEvent {
    NewEvent {
        id: EventId::new(uuid::Uuid::from_u128(n)),
        event_type: "ThingHappened".parse().unwrap(),
        schema: 3,
        metadata: Bytes::from_static(b"{\"n\":1}"),
        data: EventData::Inline(Bytes::from_static(data)),
    }
}

fn append(stream: &str, expected: Expected, events: Vec<NewEvent>) -> Append {
    Append {
        stream: stream.parse().unwrap(),
        expected,
        events,
        content: None,
    }
}

const fn at(revision: u64) -> Expected {
    Expected::Revision(Revision::new(revision))
}

async fn all(log: &dyn ContractLog) -> Vec<RecordedEvent> {
    let page = log.read_all(Position::START, PageLimit::default()).await.unwrap();
    page.events
}

async fn receive(log: &dyn ContractLog, delivery: &TestDelivery) -> Appended {
    log.append(delivery.append()).await.unwrap()
}
