//! A log that takes nothing while the data directory has no room: a decorator over the port.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, EventLog, LogHealth, LogId, LogPage, PageLimit,
    Position, ReadError, RecordedEvent, Revision, Spacing, StreamName,
};

use crate::budget::RoomHandle;

const NO_ROOM: &str = "the data directory is at its disk floor: free some room or raise data.budget";

/// Refuses appends at the disk's floor, before the disk is so full that nothing works; takes them again by itself.
/// Reads go through untouched.
pub struct GuardedLog {
    log: Arc<dyn EventLog>,
    room: RoomHandle,
}

impl GuardedLog {
    /// Guards a log.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, room: RoomHandle) -> Self {
        Self { log, room }
    }
}

#[async_trait]
impl EventLog for GuardedLog {
    fn id(&self) -> LogId {
        self.log.id()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if !self.room.allows_append() {
            return Err(AppendError::Unavailable(NO_ROOM.into()));
        }
        self.log.append(append).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.log.read_stream(stream, from, limit).await
    }

    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        self.log.read_all(after, limit).await
    }

    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        self.log.read_category(category, after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.log.head().await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        self.log.wait_past(position).await
    }

    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        self.log.tail_start(bytes).await
    }

    fn spacing(&self) -> Spacing {
        self.log.spacing()
    }

    fn health(&self) -> LogHealth {
        let mut health = self.log.health();
        if health.unwritable.is_none() && !self.room.allows_append() {
            health.unwritable = Some(NO_ROOM.into());
        }
        health
    }
}

#[cfg(test)]
mod tests {
    use domain::testing::{ManualClock, MemoryLog, TestDelivery};
    use domain::{LogId, Timestamp};

    use super::*;
    use crate::budget::Room;

    #[tokio::test]
    async fn at_the_floor_nothing_is_appended_and_above_it_again() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
        let log = Arc::new(MemoryLog::new(LogId::new(uuid::Uuid::nil()), clock));
        let room = RoomHandle::default();
        let guarded = GuardedLog::new(log, room.clone());
        let delivery = TestDelivery::new("push", "{}");

        room.set(Room::Floor);
        let refused = guarded.append(delivery.append()).await.unwrap_err();
        assert!(refused.retry(), "{refused}");
        assert!(guarded.health().unwritable.is_some());
        assert_eq!(guarded.head().await.unwrap(), Position::START);

        room.set(Room::Tight);
        guarded.append(delivery.append()).await.unwrap();
        assert_eq!(guarded.health().unwritable, None);
    }
}
