//! Replicas of one log, each with a receiver that writes down what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::testing::{ManualClock, MemoryLog};
use domain::{
    AddSource, CommandError, Hold, LogId, NewSecret, OpenSource, RotateSourceSecret, SecretFacts,
    SourceKnown, SourceName, SourceOrigin, SourceRef, SourceStatus, SourceTerms, Sources as _, TenantId,
    UseSources,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::secret::{MasterKey, Sealer};
use crate::source::{Configured, SourceKeeper, SourceKeeperOptions};

pub(super) const PATIENT: Duration = Duration::from_secs(10);

/// What a receiver knows of a source: its secrets in clear, or why it takes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Put {
        path: Option<String>,
        secrets: Vec<String>,
    },
    Held(Hold),
}

#[derive(Default)]
pub(super) struct Receiver {
    pub(super) told: Mutex<BTreeMap<SourceName, Told>>,
    pub(super) complete: Mutex<Option<usize>>,
}

impl Receiver {
    pub(super) fn of(&self, name: &str) -> Option<Told> {
        self.told.lock().unwrap().get(&name.parse().unwrap()).cloned()
    }

    pub(super) fn all(&self) -> BTreeMap<SourceName, Told> {
        self.told.lock().unwrap().clone()
    }
}

impl UseSources for Receiver {
    fn check(&self, source: &OpenSource) -> Result<(), String> {
        if source.terms.scheme == "nonsense" {
            return Err("there is no scheme \"nonsense\"".into());
        }
        let told = self.told.lock().unwrap();
        let taken = told.iter().any(|(name, told)| {
            let Told::Put { path: Some(path), .. } = told else {
                return false;
            };
            *name != source.name && Some(path) == source.terms.path.as_ref()
        });
        if taken {
            Err("the path is another source's".into())
        } else {
            Ok(())
        }
    }

    fn put(&self, source: &OpenSource) -> Result<(), String> {
        self.check(source)?;
        let secrets = source
            .secrets
            .iter()
            .map(|s| s.value.expose_secret().to_owned())
            .collect();
        let path = source.terms.path.clone();
        self.told
            .lock()
            .unwrap()
            .insert(source.name.clone(), Told::Put { path, secrets });
        Ok(())
    }

    /// Its path is told by whether another can have it.
    fn hold(&self, name: &SourceName, _path: Option<&str>, why: Hold) {
        self.told.lock().unwrap().insert(name.clone(), Told::Held(why));
    }

    fn remove(&self, name: &SourceName) {
        self.told.lock().unwrap().remove(name);
    }

    fn complete(&self) {
        let known = self.told.lock().unwrap().len();
        let before = self.complete.lock().unwrap().replace(known);
        assert_eq!(before, None, "said twice");
    }
}

pub(super) struct Rig {
    pub(super) clock: Arc<ManualClock>,
    pub(super) log: Arc<MemoryLog>,
}

pub(super) struct Replica {
    pub(super) keeper: Arc<SourceKeeper>,
    pub(super) receiver: Arc<Receiver>,
}

impl Rig {
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::at("2026-11-01T08:30:00Z".parse().unwrap()));
        let log = MemoryLog::with_gaps(
            LogId::new(Uuid::from_u128(7)),
            Arc::<ManualClock>::clone(&clock),
            3,
        );
        Self {
            clock,
            log: Arc::new(log),
        }
    }

    /// A replica that has read the log.
    pub(super) async fn replica(&self) -> Replica {
        self.replica_with(Sealer::new(&MasterKey::new([1; 32]), &[]))
            .await
    }

    pub(super) async fn replica_with(&self, sealer: Sealer) -> Replica {
        let settings = vec![configured("fixed", false), configured("github", true)];
        self.replica_beside(settings, sealer).await
    }

    pub(super) async fn replica_beside(&self, configured: Vec<Configured>, sealer: Sealer) -> Replica {
        let receiver = Arc::new(Receiver::default());
        let options = SourceKeeperOptions {
            sources_max: 4,
            secrets_per_source_max: 3,
            secrets_per_hook_max: 2,
            ..SourceKeeperOptions::default()
        };
        let keeper = Arc::new(SourceKeeper::new(
            options,
            configured,
            Arc::<MemoryLog>::clone(&self.log),
            Arc::<ManualClock>::clone(&self.clock),
            sealer,
            Arc::<Receiver>::clone(&receiver),
        ));
        let early = keeper.list(&TenantId::default()).await;
        assert!(
            matches!(early, Err(CommandError::Unavailable(_))),
            "known before the log was read"
        );
        tokio::spawn(Arc::clone(&keeper).follow(CancellationToken::new()));
        until("the sources were read", || {
            receiver.complete.lock().unwrap().is_some()
        })
        .await;
        Replica { keeper, receiver }
    }
}

pub(super) fn configured(name: &str, replaceable: bool) -> Configured {
    let known = SourceKnown {
        name: name.parse().unwrap(),
        tenant: TenantId::default(),
        origin: SourceOrigin::Settings,
        terms: SourceTerms::of_scheme("github"),
        secrets: vec![SecretFacts {
            id: "s".into(),
            tenant: "team-b".parse().unwrap(),
            hook: None,
            added_at: None,
            valid_until: None,
        }],
        status: SourceStatus::Active,
        added: None,
        revision: None,
    };
    Configured { known, replaceable }
}

pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let held = tokio::time::timeout(PATIENT, waiting).await;
    assert!(held.is_ok(), "it never happened that {what}");
}

pub(super) fn of(name: &str, caller: &str) -> SourceRef {
    SourceRef {
        name: name.parse().unwrap(),
        caller: caller.parse().unwrap(),
        by: "ci".into(),
    }
}

pub(super) fn secret(text: &str) -> NewSecret {
    NewSecret {
        id: Some(text.parse().unwrap()),
        value: SecretString::from(format!("plain-{text}")),
        tenant: None,
        hook: None,
    }
}

pub(super) fn order(name: &str, caller: &str) -> AddSource {
    AddSource {
        source: of(name, caller),
        tenant: None,
        terms: SourceTerms::of_scheme("github"),
        secret: Some(secret("a")),
    }
}

pub(super) fn put(secrets: &[&str]) -> Option<Told> {
    let secrets = secrets.iter().map(|s| format!("plain-{s}")).collect();
    Some(Told::Put { path: None, secrets })
}

pub(super) fn rotation(name: &str, caller: &str, text: &str, grace_ms: u64) -> RotateSourceSecret {
    RotateSourceSecret {
        source: of(name, caller),
        secret: secret(text),
        grace_ms: Some(grace_ms),
    }
}

pub(super) fn is_refused<T: std::fmt::Debug>(result: Result<T, CommandError>, why: &str) {
    match result {
        Err(CommandError::Refused(said)) if said.contains(why) => {}
        other => panic!("not refused with {why:?}: {other:?}"),
    }
}

pub(super) fn is_unknown<T: std::fmt::Debug>(result: Result<T, CommandError>) {
    assert!(matches!(result, Err(CommandError::NotFound(_))), "{result:?}");
}
