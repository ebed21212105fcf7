//! What happened in repositories: events, contributors, and what the newest payload says about each.
//!
//! It counts events, not deliveries: marked duplicates and synthetic deliveries never get here. Which repository an event
//! belongs to was found at its receipt; only Linear's issues and attachments are looked into for one.

mod linear;
mod payload;

use std::borrow::Cow;

use domain::{DeliveryReceived, RecordedEvent, TableError, TenantId, Timestamp};
use serde::Serialize;

use self::payload::{Payload, RepositoryRow};
use super::column::{Band, Moment};
use super::rollup::Rollup;
use crate::{BuildShape, Projected, ReadModel, RowBatch, Table, View};

const ACTIVITY: &str = "repository_activity";
const CONTRIBUTORS: &str = "repository_contributors";
const REPOSITORIES: &str = "repositories";

const TABLES: &[Table] = &[
    Table {
        name: ACTIVITY,
        definition: include_str!("../sql/repository_activity.sql"),
    },
    Table {
        name: CONTRIBUTORS,
        definition: include_str!("../sql/repository_contributors.sql"),
    },
    Table {
        name: REPOSITORIES,
        definition: include_str!("../sql/repositories.sql"),
    },
];

const VIEWS: &[View] = &[
    View {
        name: "repository_activity",
        select: include_str!("../sql/view_repository_activity.sql"),
    },
    View {
        name: "repository_stats",
        select: include_str!("../sql/view_repository_stats.sql"),
    },
];

/// Events whose payload is read: for commits, merges, and what they say about the repository.
const WITH_PAYLOAD: [&str; 8] = [
    "push",
    "pull_request",
    "star",
    "watch",
    "fork",
    "release",
    "repository",
    "public",
];

/// Whether an event is a push; GitLab tells those of tags apart.
fn is_push(event: &str) -> bool {
    matches!(event, "push" | "tag_push")
}

/// The projection `repository_activity`.
#[derive(Debug)]
pub(crate) struct RepositoryActivity {
    activity: Rollup<ActivityKey, Activity>,
    contributors: Rollup<ContributorKey, Contribution>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ActivityKey {
    tenant: TenantId,
    repository_key: String,
    minute: Band,
    event: String,
    action: String,
}

#[derive(Debug, Clone, Default)]
struct Activity {
    repository: String,
    events: u64,
    commits: u64,
    merged: u64,
    last_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ContributorKey {
    tenant: TenantId,
    repository_key: String,
    hour: Band,
    sender: String,
}

#[derive(Debug, Clone, Default)]
struct Contribution {
    events: u64,
    pushes: u64,
    commits: u64,
    last_at: Timestamp,
}

impl RepositoryActivity {
    pub(crate) fn new(shape: BuildShape) -> Self {
        Self {
            activity: Rollup::new(shape),
            contributors: Rollup::new(shape),
        }
    }

    fn count(&mut self, event: &RecordedEvent, received: &DeliveryReceived, name: &str, payload: &Payload) {
        let commits = if received.event == "push" {
            payload.commits()
        } else {
            0
        };
        let merged = match (received.event.as_str(), received.action.as_deref()) {
            ("pull_request", Some("closed")) => payload.merged(),
            ("merge_request", Some("merge")) => true,
            _ => false,
        };
        let key = ActivityKey {
            tenant: received.tenant.clone(),
            repository_key: name.to_lowercase(),
            minute: Band::minute(received.received_at),
            event: received.event.clone(),
            action: received.action.clone().unwrap_or_default(),
        };
        self.activity.add(event, key, |activity| {
            name.clone_into(&mut activity.repository);
            activity.events += 1;
            activity.commits += commits;
            activity.merged += u64::from(merged);
            activity.last_at = activity.last_at.max(received.received_at);
        });
        let Some(sender) = received.sender.as_ref().filter(|sender| !sender.is_empty()) else {
            return;
        };
        let key = ContributorKey {
            tenant: received.tenant.clone(),
            repository_key: name.to_lowercase(),
            hour: Band::hour(received.received_at),
            sender: sender.clone(),
        };
        self.contributors.add(event, key, |contribution| {
            contribution.events += 1;
            contribution.pushes += u64::from(is_push(&received.event));
            contribution.commits += commits;
            contribution.last_at = contribution.last_at.max(received.received_at);
        });
    }

    fn write(&mut self, rows: &mut RowBatch) -> Result<(), TableError> {
        for (key, activity, slot) in self.activity.take_changed() {
            let row = ActivityRow {
                tenant: key.tenant,
                repository_key: key.repository_key,
                minute: key.minute,
                event: key.event,
                action: key.action,
                partition: slot.partition,
                block: slot.block,
                upto: slot.upto,
                repository: activity.repository,
                events: activity.events,
                commits: activity.commits,
                merged: activity.merged,
                last_at: activity.last_at.into(),
            };
            rows.push(ACTIVITY, &row)?;
        }
        for (key, contribution, slot) in self.contributors.take_changed() {
            let row = ContributorRow {
                tenant: key.tenant,
                repository_key: key.repository_key,
                hour: key.hour,
                sender: key.sender,
                partition: slot.partition,
                block: slot.block,
                upto: slot.upto,
                events: contribution.events,
                pushes: contribution.pushes,
                commits: contribution.commits,
                last_at: contribution.last_at.into(),
            };
            rows.push(CONTRIBUTORS, &row)?;
        }
        Ok(())
    }
}

impl ReadModel for RepositoryActivity {
    fn name(&self) -> &'static str {
        "repository_activity"
    }

    fn schema(&self) -> u16 {
        2
    }

    fn tables(&self) -> &'static [Table] {
        TABLES
    }

    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn wants_payload(&self, received: &DeliveryReceived) -> bool {
        let described = received.repository.is_some() && WITH_PAYLOAD.contains(&received.event.as_str());
        !received.synthetic && (described || linear::may_name_a_repository(received))
    }

    fn take(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError> {
        for projected in events {
            let Some(received) = super::counted_once(projected) else {
                continue;
            };
            // Another model may have asked for the payload of this event; only ours count.
            let wanted = projected
                .payload
                .as_deref()
                .filter(|_| self.wants_payload(received));
            let Some(name) = repository_of(received, wanted) else {
                continue;
            };
            let name = name.as_ref();
            let payload = wanted.map(Payload::read).unwrap_or_default();
            self.count(&projected.event, received, name, &payload);
            if let Some(row) = RepositoryRow::new(received, name, &payload) {
                rows.push(REPOSITORIES, &row)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, rows: &mut RowBatch) -> Result<(), TableError> {
        self.write(rows)
    }
}

/// The repository of an event, if it has one.
fn repository_of<'a>(received: &'a DeliveryReceived, payload: Option<&[u8]>) -> Option<Cow<'a, str>> {
    if let Some(name) = received.repository.as_deref() {
        return (!name.is_empty()).then_some(Cow::Borrowed(name));
    }
    let payload = payload.filter(|_| linear::may_name_a_repository(received))?;
    linear::repository(payload).map(Cow::Owned)
}

#[derive(Serialize)]
struct ActivityRow {
    tenant: TenantId,
    repository_key: String,
    minute: Band,
    event: String,
    action: String,
    partition: u32,
    block: u64,
    upto: u64,
    repository: String,
    events: u64,
    commits: u64,
    merged: u64,
    last_at: Moment,
}

#[derive(Serialize)]
struct ContributorRow {
    tenant: TenantId,
    repository_key: String,
    hour: Band,
    sender: String,
    partition: u32,
    block: u64,
    upto: u64,
    events: u64,
    pushes: u64,
    commits: u64,
    last_at: Moment,
}
