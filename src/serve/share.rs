//! Sharing the work with other processes: leases and notes in NATS where several may work on the log, none where one does
//! it all.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use domain::{Checkpoints, Holder, LeaseName, LeaseStanding, Leases, LogId, SharedWork, Unshared};
use infra::checkpoint::DirectoryCheckpoints;
use infra::jetstream::{JetStream, NatsCheckpoints, NatsLeases};
use infra::lease::{LeaseKeeper, UseLeases};
use query_api::PartitionHolder;
use uuid::Uuid;

use crate::role::{Role, Roles};
use crate::settings::Settings;

/// The most partitions whose holders are looked up for an answer.
const PARTITIONS_SHOWN_MAX: u32 = 64;
/// How long an answer waits for the store of leases.
const STORE_TIMEOUT: Duration = Duration::from_millis(1000);

/// How this process shares its work.
pub(crate) struct Sharing {
    with_others: Option<WithOthers>,
    leases: Arc<dyn Leases>,
}

struct WithOthers {
    keeper: LeaseKeeper,
    leases: Arc<NatsLeases>,
    checkpoints: Arc<NatsCheckpoints>,
}

/// Whether work is shared.
fn shares(settings: &Settings) -> bool {
    match settings.leases.r#use {
        UseLeases::Auto => settings.log.is_shared(),
        UseLeases::Always => true,
        UseLeases::Never => false,
    }
}

/// Refuses a process that does a part of the work with engines of its own: the others would never hear of it.
///
/// # Errors
/// Says which setting is missing.
pub(crate) fn check(settings: &Settings, roles: &Roles) -> anyhow::Result<()> {
    let alone = !shares(settings) || roles.are_all();
    let asks_tables = roles.has(Role::Project) || roles.has(Role::Query);
    ensure!(
        alone || !settings.nats.url.is_empty(),
        "setting nats.url: processes that share the work share a NATS server; name it"
    );
    ensure!(
        alone || !asks_tables || !settings.clickhouse.url.is_empty(),
        "setting clickhouse.url: processes that share the work share a ClickHouse; name it"
    );
    Ok(())
}

impl Sharing {
    pub(crate) fn new(settings: &Settings, roles: &Roles, log: LogId) -> Self {
        if !shares(settings) {
            return Self {
                with_others: None,
                leases: Arc::new(Unshared),
            };
        }
        if settings.nats.url.is_empty() {
            tracing::warn!(
                "the leases are in a NATS server of this process alone: run no other process on this log, or set nats.url"
            );
        }
        let holder = Holder {
            instance: Uuid::now_v7(),
            host: host(),
            roles: roles.to_string(),
        };
        tracing::info!(instance = %holder.instance, host = holder.host, roles = holder.roles, "work is shared by leases");
        let options = &settings.leases;
        let leases = Arc::new(NatsLeases::new(&options.bucket));
        let keeper = LeaseKeeper::new(Arc::clone(&leases) as _, log, holder, options.clone());
        let checkpoints = NatsCheckpoints::new(&options.checkpoint_bucket, log);
        Self {
            leases: Arc::new(keeper.clone()),
            with_others: Some(WithOthers {
                keeper,
                leases,
                checkpoints: Arc::new(checkpoints),
            }),
        }
    }

    /// Whether other processes may work on the log.
    pub(crate) const fn is_shared(&self) -> bool {
        self.with_others.is_some()
    }

    pub(crate) fn leases(&self) -> Arc<dyn Leases> {
        Arc::clone(&self.leases)
    }

    /// Where readers of the log note how far they are: in a place that others find too, where there are others.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub(crate) fn checkpoints(&self, directory: &Path) -> anyhow::Result<Arc<dyn Checkpoints>> {
        if let Some(with_others) = &self.with_others {
            return Ok(Arc::clone(&with_others.checkpoints) as _);
        }
        let opened = DirectoryCheckpoints::open(directory);
        Ok(Arc::new(
            opened.context("the directory of checkpoints can't be read")?,
        ))
    }

    /// NATS is there.
    pub(crate) fn set(&self, jetstream: &JetStream) {
        if let Some(with_others) = &self.with_others {
            with_others.leases.set(jetstream.clone());
            with_others.checkpoints.set(jetstream.clone());
        }
    }

    /// How this process stands for the parts of some work; `None` where it shares nothing.
    pub(crate) fn share_of(&self, work: SharedWork) -> Option<Share> {
        let with_others = self.with_others.as_ref()?;
        let standings = with_others.keeper.standings().into_iter();
        let of_work = standings.filter(|(name, _)| name.work == work);
        Some(Share::of(of_work.map(|(_, standing)| standing)))
    }

    /// Who fills which of so many partitions of the projections: as this process stands for them, and where it stands for none,
    /// as the store of leases says.
    pub(crate) async fn partition_holders(&self, partitions: u32) -> Vec<PartitionHolder> {
        let Some(with_others) = &self.with_others else {
            return Vec::new();
        };
        let mut standings = with_others.keeper.standings();
        standings.retain(|(name, _)| name.work == SharedWork::Project);
        if standings.is_empty() {
            standings = with_others
                .as_store_says(partitions.min(PARTITIONS_SHOWN_MAX))
                .await;
        }
        let holder = |(name, standing): (LeaseName, LeaseStanding)| PartitionHolder {
            partition: name.part,
            here: standing.works(),
            other: match standing {
                LeaseStanding::Standby(holder) => holder.map(|holder| holder.to_string()),
                LeaseStanding::Held | LeaseStanding::Unleased => None,
            },
        };
        standings.into_iter().map(holder).collect()
    }

    /// The work is done: others may go on.
    pub(crate) async fn close(&self) {
        if let Some(with_others) = &self.with_others {
            with_others.keeper.close().await;
        }
    }
}

impl WithOthers {
    /// Nothing where it says nothing in time: that is no reason for an answer to wait.
    async fn as_store_says(&self, partitions: u32) -> Vec<(LeaseName, LeaseStanding)> {
        let asked = self.keeper.holders(SharedWork::Project, partitions);
        let holders = match tokio::time::timeout(STORE_TIMEOUT, asked).await {
            Ok(Ok(holders)) => holders,
            Ok(Err(error)) => {
                tracing::debug!(%error, "it is not known who fills the partitions");
                return Vec::new();
            }
            Err(_) => return Vec::new(),
        };
        let standby = |(name, holder)| (name, LeaseStanding::Standby(holder));
        holders.into_iter().map(standby).collect()
    }
}

/// How a process stands for the parts of some work.
#[derive(Default)]
pub(crate) struct Share {
    parts: usize,
    works: usize,
    unleased: usize,
    /// Others that hold a part, each once.
    others: BTreeSet<String>,
}

impl Share {
    fn of(standings: impl Iterator<Item = LeaseStanding>) -> Self {
        let mut share = Self::default();
        for standing in standings {
            share.parts += 1;
            share.works += usize::from(standing.works());
            match standing {
                LeaseStanding::Unleased => share.unleased += 1,
                LeaseStanding::Standby(Some(holder)) => {
                    share.others.insert(holder.to_string());
                }
                LeaseStanding::Held | LeaseStanding::Standby(None) => {}
            }
        }
        share
    }

    /// Whether any of it is done here.
    pub(crate) const fn works(&self) -> bool {
        self.works > 0
    }

    /// What a person should know.
    pub(crate) fn in_words(&self) -> String {
        let mut words = match (self.works, self.parts) {
            (0, _) => "standby".to_owned(),
            (works, parts) => format!("{works} of {parts} parts are done here"),
        };
        if !self.others.is_empty() {
            let others: Vec<&str> = self.others.iter().map(String::as_str).collect();
            words = format!("{words}; others by {}", others.join(", "));
        }
        if self.unleased > 0 {
            words = format!(
                "{words}; {} without a lease, as NATS can't be reached",
                self.unleased
            );
        }
        words
    }
}

/// The machine, as people name it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(instance: u128) -> LeaseStanding {
        LeaseStanding::Standby(Some(Holder {
            instance: Uuid::from_u128(instance),
            host: "b".into(),
            roles: "react".into(),
        }))
    }

    #[test]
    fn a_part_of_the_work_is_not_done_with_engines_of_its_own() {
        let mut settings = crate::settings::Overrides::default().load().unwrap().settings;
        let (all, relay, query) = (
            Roles::of(Vec::new()),
            Roles::of(vec![Role::Relay]),
            Roles::of(vec![Role::Query]),
        );
        assert!(check(&settings, &query).is_ok(), "nothing is shared");
        settings.leases.r#use = UseLeases::Always;
        assert!(check(&settings, &all).is_ok(), "it does everything");
        let refused = |settings: &Settings, roles| check(settings, roles).unwrap_err().to_string();
        assert!(refused(&settings, &relay).contains("nats.url"));
        settings.nats.url = "nats://nats:4222".into();
        assert!(check(&settings, &relay).is_ok(), "it asks no tables");
        assert!(refused(&settings, &query).contains("clickhouse.url"));
        settings.clickhouse.url = "http://clickhouse:8123".into();
        assert!(check(&settings, &query).is_ok());
    }

    #[test]
    fn a_process_says_what_it_does_and_who_does_the_rest() {
        use LeaseStanding::{Held, Standby, Unleased};
        let id = Uuid::from_u128(7);
        for (standings, works, words) in [
            (vec![Standby(None)], false, "standby".to_owned()),
            (
                vec![other(7), other(7)],
                false,
                format!("standby; others by {id} on b"),
            ),
            (vec![Held, Held], true, "2 of 2 parts are done here".into()),
            (
                vec![Held, other(7)],
                true,
                format!("1 of 2 parts are done here; others by {id} on b"),
            ),
            (
                vec![Unleased, Standby(None)],
                true,
                "1 of 2 parts are done here; 1 without a lease, as NATS can't be reached".into(),
            ),
        ] {
            let share = Share::of(standings.into_iter());
            assert_eq!((share.works(), share.in_words()), (works, words));
        }
    }
}
