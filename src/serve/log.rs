//! The log of the settings: in the data directory, or on a cluster.

use std::sync::Arc;

use anyhow::Context as _;
use domain::{EventLog, FindDeliveries};
use infra::budget::RoomHandle;
use infra::data_dir::DataDir;
use infra::eventstore::EventStoreLog;
use infra::guard::GuardedLog;
use infra::log::SegmentedLog;
use infra::migrate::TakeOver;

use crate::clock::SystemClock;
use crate::settings::{LogBackend, Settings};

/// An open log, for whoever closes it.
pub(crate) enum OpenLog {
    Embedded(Arc<SegmentedLog>),
    Eventstore(Arc<EventStoreLog>),
}

impl OpenLog {
    /// Opens the log that the settings name.
    ///
    /// # Errors
    /// When it is damaged or in use, or the cluster can't be reached in time.
    pub(crate) async fn open(settings: &Settings, data: &DataDir) -> anyhow::Result<Self> {
        Self::open_as(settings.log.backend, settings, data).await
    }

    /// Opens a log of the kind, wherever the settings say that it is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) async fn open_as(
        kind: LogBackend,
        settings: &Settings,
        data: &DataDir,
    ) -> anyhow::Result<Self> {
        match kind {
            LogBackend::Embedded => {
                let (options, clock) = (settings.log.embedded.clone(), Arc::new(SystemClock));
                Ok(Self::Embedded(
                    SegmentedLog::open(&data.log(), options, clock).await?,
                ))
            }
            LogBackend::Eventstore => Ok(Self::Eventstore(on_cluster(settings).await?)),
        }
    }

    /// The log as everybody else sees it. `room` is that of the data directory: a log on a cluster needs none of it.
    pub(crate) fn events(&self, room: RoomHandle) -> Arc<dyn EventLog> {
        match self {
            Self::Embedded(log) => Arc::new(GuardedLog::new(Arc::clone(log) as _, room)),
            Self::Eventstore(log) => Arc::clone(log) as _,
        }
    }

    /// What finds deliveries by the ids of their senders.
    pub(crate) fn find(&self) -> Arc<dyn FindDeliveries> {
        match self {
            Self::Embedded(log) => Arc::clone(log) as _,
            Self::Eventstore(log) => Arc::clone(log) as _,
        }
    }

    /// The log, to be filled from another one.
    pub(crate) fn take_over(&self) -> &dyn TakeOver {
        match self {
            Self::Embedded(log) => &**log,
            Self::Eventstore(log) => &**log,
        }
    }

    /// Waits for the appends under way, and takes no more.
    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            Self::Eventstore(log) => log.close().await,
        }
    }
}

/// The log on the cluster of the settings.
///
/// # Errors
/// When it can't be reached in time.
pub(crate) async fn on_cluster(settings: &Settings) -> anyhow::Result<Arc<EventStoreLog>> {
    let options = settings.log.eventstore.clone();
    tracing::info!("opening the log on EventStoreDB or KurrentDB");
    let opened = EventStoreLog::open(options, Arc::new(SystemClock)).await;
    opened.context("the log can't be opened (settings [log.eventstore])")
}
