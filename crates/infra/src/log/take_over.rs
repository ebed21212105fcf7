//! Takes events of another log over, as they are.

use async_trait::async_trait;
use domain::{Append, AppendError, Expected, NewEvent, Revision};

use super::queue::{Recorded, Request};
use super::segmented::SegmentedLog;
use crate::migrate::{Moved, TakeOver};

#[async_trait]
impl TakeOver for SegmentedLog {
    async fn take_over(&self, events: Vec<Moved>) -> Result<(), AppendError> {
        let mut answers = Vec::new();
        for Moved { event, content } in events {
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
            let (mut request, answered) = Request::new(append, &self.shared.options)?;
            request.recorded = Some(Recorded {
                recorded_at: event.recorded_at,
                duplicate_of: event.duplicate_of,
            });
            // One after the other into the queue: that is the order of the log.
            self.shared.queue.push(request)?;
            answers.push(answered);
        }
        for answered in answers {
            let lost = |_| Err(AppendError::Unknown("the writer of the log has stopped".into()));
            answered.await.unwrap_or_else(lost)?;
        }
        Ok(())
    }
}
