//! Writes the audit trail and reads it, a stream per tenant and day.
//!
//! Which day is in the event's id, a UUIDv7: so the end of an action finds the stream of its beginning without a look-up.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    ActionAudited, Append, AppendError, Audit, AuditMark, AuditOutcome, AuditPage, AuditRecord, AuditWanted,
    Clock, CommandError, EventId, EventLog, Expected, PageLimit, Position, RecordedEvent, Revision,
    StreamName, TenantId, Timestamp,
};
use tokio::sync::Mutex;
use uuid::{NoContext, Uuid};

/// How often others may be quicker, or the log silent, before the action is given up.
const TRIES_MAX: u32 = 8;
/// The streams whose end is remembered; more tenants than that cost a second try now and then.
const REMEMBERED_MAX: usize = 256;
/// How many days without an action one page looks through.
const DAYS_MAX: u64 = 400;
const DAY_MS: i64 = 86_400_000;

/// The audit trail of a log.
pub struct AuditTrail {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    /// The last revision of each stream, as far as known. Held while writing, so that we don't get in our own way.
    ends: Mutex<HashMap<StreamName, Revision>>,
}

impl AuditTrail {
    /// The trail of a log.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self {
            log,
            clock,
            ends: Mutex::default(),
        }
    }

    fn new_id(&self) -> EventId {
        let micros = u64::try_from(self.clock.now().as_micros()).unwrap_or(0);
        let nanos = u32::try_from(micros % 1_000_000 * 1000).unwrap_or(0);
        let time = uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, nanos);
        EventId::new(Uuid::new_v7(time))
    }

    /// All of a day, in the order of the log.
    async fn day(&self, tenant: &TenantId, day: u64) -> Result<Vec<RecordedEvent>, CommandError> {
        let stream = ActionAudited::stream(tenant, start_of(day));
        let mut events: Vec<RecordedEvent> = Vec::new();
        loop {
            let from = events.last().map_or(0, |last| last.revision.get() + 1);
            let page = self
                .log
                .read_stream(&stream, Revision::new(from), PageLimit::default())
                .await
                .map_err(unavailable)?;
            if page.is_empty() {
                return Ok(events);
            }
            events.extend(page);
        }
    }

    /// The day of the first event of the log: before it nobody did anything.
    async fn first_day(&self) -> Result<u64, CommandError> {
        let one = PageLimit {
            events: 1,
            ..PageLimit::default()
        };
        let page = self
            .log
            .read_all(Position::START, one)
            .await
            .map_err(unavailable)?;
        let first = page
            .events
            .first()
            .map_or_else(|| self.clock.now(), |event| event.recorded_at);
        // A clock may have been wrong by a day at the start.
        Ok(day_of(first).saturating_sub(1))
    }
}

#[async_trait]
impl Audit for AuditTrail {
    async fn record(&self, action: ActionAudited) -> Result<EventId, CommandError> {
        let id = self.new_id();
        let stream = ActionAudited::stream(&action.tenant, time_of(action.begun.unwrap_or(id)));
        let event = action.to_event(id);
        let mut ends = self.ends.lock().await;
        if ends.len() > REMEMBERED_MAX {
            ends.clear();
        }
        let mut expected = ends
            .get(&stream)
            .map_or(Expected::NoStream, |end| Expected::Revision(*end));
        let mut last = String::new();
        for _ in 0..TRIES_MAX {
            let append = Append {
                stream: stream.clone(),
                expected,
                events: vec![event.clone()],
                content: None,
            };
            match self.log.append(append).await {
                Ok(appended) => {
                    ends.insert(stream, appended.revision);
                    return Ok(id);
                }
                // Another replica wrote, or we don't know the stream yet.
                Err(AppendError::Conflict { current, .. }) => {
                    expected = Expected::Revision(current);
                    last = "others write to it at the same time".into();
                }
                Err(AppendError::Unknown(why)) => last = why,
                Err(error) => return Err(unavailable(error)),
            }
        }
        Err(CommandError::Unavailable(last))
    }

    async fn page(
        &self,
        tenant: &TenantId,
        wanted: &AuditWanted,
        before: Option<AuditMark>,
        limit: usize,
    ) -> Result<AuditPage, CommandError> {
        let today = day_of(self.clock.now());
        let mut mark = before.unwrap_or(AuditMark {
            day: today,
            before: u64::MAX,
        });
        let first = self.first_day().await?;
        let mut page = AuditPage::default();
        for _ in 0..DAYS_MAX {
            if mark.day < first || mark.day > today {
                return Ok(page);
            }
            let records = joined(&self.day(tenant, mark.day).await?);
            let before = mark.before;
            let older = records.into_iter().rev().filter(|(at, _)| *at < before);
            for (revision, record) in older.filter(|(_, record)| wanted.fits(&record.action)) {
                if page.records.len() == limit {
                    page.next = Some(mark);
                    return Ok(page);
                }
                mark.before = revision;
                page.records.push(record);
            }
            let Some(day) = mark.day.checked_sub(1) else {
                return Ok(page);
            };
            mark = AuditMark {
                day,
                before: u64::MAX,
            };
        }
        page.next = Some(mark);
        Ok(page)
    }
}

/// The actions of a day with their ends, by the revisions of their beginnings.
fn joined(events: &[RecordedEvent]) -> Vec<(u64, AuditRecord)> {
    let mut records: Vec<(u64, AuditRecord)> = Vec::new();
    let mut at: HashMap<EventId, usize> = HashMap::new();
    for event in events {
        let action = match ActionAudited::of(event) {
            Some(Ok(action)) => action,
            Some(Err(error)) => {
                let position = event.position.get();
                tracing::error!(%error, position, "an event of the audit trail can't be understood");
                continue;
            }
            None => continue,
        };
        let begun = action.begun.and_then(|id| records.get_mut(*at.get(&id)?));
        match begun {
            Some((_, record)) => {
                record.ended_at = Some(event.recorded_at);
                record.action = action;
            }
            None => {
                at.insert(event.id, records.len());
                let ended = action.outcome != AuditOutcome::Begun;
                let record = AuditRecord {
                    id: event.id,
                    at: event.recorded_at,
                    ended_at: ended.then_some(event.recorded_at),
                    action,
                };
                records.push((event.revision.get(), record));
            }
        }
    }
    records
}

fn unavailable(error: impl ToString) -> CommandError {
    CommandError::Unavailable(error.to_string())
}

fn time_of(id: EventId) -> Timestamp {
    let (secs, nanos) = id.as_uuid().get_timestamp().map_or((0, 0), |time| time.to_unix());
    let micros = secs
        .saturating_mul(1_000_000)
        .saturating_add(u64::from(nanos / 1000));
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn day_of(time: Timestamp) -> u64 {
    u64::try_from(time.as_millis().div_euclid(DAY_MS)).unwrap_or(0)
}

fn start_of(day: u64) -> Timestamp {
    let day = i64::try_from(day).unwrap_or(0);
    Timestamp::from_millis(day.saturating_mul(DAY_MS))
}
