//! Takes events of another log over, as they are.

use async_trait::async_trait;
use domain::{Append, AppendError, Expected, NewEvent, Revision};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::append::Writing;
use super::retry::Retry;
use super::{EventStoreLog, Shared, claim};
use crate::migrate::{Moved, TakeOver};

/// How many announcements are under way at the same time. Their order says nothing: nobody writes meanwhile.
const CLAIMS_IN_FLIGHT: usize = 64;

#[async_trait]
impl TakeOver for EventStoreLog {
    async fn take_over(&self, events: Vec<Moved>) -> Result<(), AppendError> {
        let shared = &*self.shared;
        // Announced before they are written, as always: whoever is there was announced.
        let announcing: Vec<_> = events.iter().map(|moved| announce(shared, moved)).collect();
        stream::iter(announcing)
            .buffer_unordered(CLAIMS_IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await?;
        // One after the other: that is the order of the log.
        for moved in events {
            write(shared, moved).await?;
        }
        Ok(())
    }
}

async fn announce(shared: &Shared, moved: &Moved) -> Result<(), AppendError> {
    let Some(content) = &moved.content else {
        return Ok(());
    };
    let mut retry = Retry::lasting(&shared.options, shared.options.append_timeout_ms);
    let announced = claim::announce_all(shared, &moved.event.stream, content, &mut retry).await;
    announced.map_err(AppendError::from)
}

async fn write(shared: &Shared, Moved { event, content }: Moved) -> Result<(), AppendError> {
    let append = Append {
        stream: event.stream,
        expected: match event.revision.get().checked_sub(1) {
            None => Expected::NoStream,
            Some(before) => Expected::Revision(Revision::new(before)),
        },
        events: vec![NewEvent {
            id: event.id,
            event_type: event.event_type,
            schema: event.schema,
            metadata: event.metadata,
            data: event.data,
        }],
        content,
    };
    let mut writing = Writing::new(shared, &append, false);
    writing.as_it_was(event.recorded_at, event.duplicate_of).await?;
    Ok(())
}
