//! Keepers over one log in memory, and receivers that write down what they are told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::testing::{ManualClock, MemoryLog};
use domain::{
    AddSource, AddSourceSecret, ChangeSource, CommandError, EventLog as _, Hold, LogId, NewSecret,
    OpenSource, PageLimit, Position, RotateSourceSecret, SecretFacts, SourceKnown, SourceName, SourceOrigin,
    SourceRef, SourceStatus, SourceTerms, Sources as _, TenantId, UseSources,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::secret::{MasterKey, Sealer};

const PATIENT: Duration = Duration::from_secs(10);

/// What a receiver knows of a source: its secrets in clear, or why it takes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Put {
        path: Option<String>,
        secrets: Vec<String>,
    },
    Held(Hold),
}

#[derive(Default)]
struct Receiver {
    told: Mutex<BTreeMap<SourceName, Told>>,
    complete: Mutex<Option<usize>>,
}

impl Receiver {
    fn of(&self, name: &str) -> Option<Told> {
        self.told.lock().unwrap().get(&name.parse().unwrap()).cloned()
    }

    fn all(&self) -> BTreeMap<SourceName, Told> {
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

struct Rig {
    clock: Arc<ManualClock>,
    log: Arc<MemoryLog>,
}

struct Replica {
    keeper: Arc<SourceKeeper>,
    receiver: Arc<Receiver>,
}

impl Rig {
    fn new() -> Self {
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
    async fn replica(&self) -> Replica {
        self.replica_with(Sealer::new(&MasterKey::new([1; 32]), &[]))
            .await
    }

    async fn replica_with(&self, sealer: Sealer) -> Replica {
        let receiver = Arc::new(Receiver::default());
        let options = SourceKeeperOptions {
            sources_max: 4,
            secrets_per_source_max: 3,
            ..SourceKeeperOptions::default()
        };
        let configured = vec![configured("fixed", false), configured("github", true)];
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

fn configured(name: &str, replaceable: bool) -> Configured {
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

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let held = tokio::time::timeout(PATIENT, waiting).await;
    assert!(held.is_ok(), "it never happened that {what}");
}

fn of(name: &str, caller: &str) -> SourceRef {
    SourceRef {
        name: name.parse().unwrap(),
        caller: caller.parse().unwrap(),
        by: "ci".into(),
    }
}

fn secret(text: &str) -> NewSecret {
    NewSecret {
        id: Some(text.parse().unwrap()),
        value: SecretString::from(format!("plain-{text}")),
        tenant: None,
        hook: None,
    }
}

fn order(name: &str, caller: &str) -> AddSource {
    AddSource {
        source: of(name, caller),
        tenant: None,
        terms: SourceTerms::of_scheme("github"),
        secret: Some(secret("a")),
    }
}

fn put(secrets: &[&str]) -> Option<Told> {
    let secrets = secrets.iter().map(|s| format!("plain-{s}")).collect();
    Some(Told::Put { path: None, secrets })
}

fn rotation(name: &str, caller: &str, text: &str, grace_ms: u64) -> RotateSourceSecret {
    RotateSourceSecret {
        source: of(name, caller),
        secret: secret(text),
        grace_ms: Some(grace_ms),
    }
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, CommandError>, why: &str) {
    match result {
        Err(CommandError::Refused(said)) if said.contains(why) => {}
        other => panic!("not refused with {why:?}: {other:?}"),
    }
}

fn is_unknown<T: std::fmt::Debug>(result: Result<T, CommandError>) {
    assert!(matches!(result, Err(CommandError::NotFound(_))), "{result:?}");
}

#[tokio::test]
async fn a_source_is_received_at_once_where_it_was_added_and_soon_everywhere() {
    let rig = Rig::new();
    let (here, there) = (rig.replica().await, rig.replica().await);
    let added = here.keeper.add(order("shop", "default")).await.unwrap();
    assert_eq!(
        (added.origin, added.status),
        (SourceOrigin::Log, SourceStatus::Active)
    );
    assert_eq!(here.receiver.of("shop"), put(&["a"]));
    until("the other replica receives it", || {
        there.receiver.of("shop") == put(&["a"])
    })
    .await;
    // Whoever starts later knows it before it says that it knows all.
    let late = rig.replica().await;
    assert_eq!(*late.receiver.complete.lock().unwrap(), Some(1));
    is_refused(
        there.keeper.add(order("shop", "default")).await,
        "a source of this name",
    );
}

#[tokio::test]
async fn no_event_says_a_secret_and_a_second_add_of_one_name_loses() {
    let rig = Rig::new();
    let (here, there) = (rig.replica().await, rig.replica().await);
    let (one, other) = tokio::join!(
        here.keeper.add(order("shop", "default")),
        there.keeper.add(order("shop", "team-a")),
    );
    assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
    let owner = one.or(other).unwrap().tenant;
    here.keeper
        .rotate(rotation("shop", owner.as_str(), "b", 1000))
        .await
        .unwrap();
    let page = rig
        .log
        .read_all(Position::START, PageLimit::default())
        .await
        .unwrap();
    assert_eq!(page.events.len(), 2);
    for event in page.events {
        let text = String::from_utf8(event.metadata.to_vec()).unwrap();
        assert!(!text.contains("plain"), "{text}");
    }
}

#[tokio::test]
async fn an_old_secret_goes_on_beside_the_new_one_until_its_time() {
    let rig = Rig::new();
    let replica = rig.replica().await;
    replica.keeper.add(order("shop", "default")).await.unwrap();
    let known = replica
        .keeper
        .rotate(rotation("shop", "default", "b", 60_000))
        .await
        .unwrap();
    assert_eq!(replica.receiver.of("shop"), put(&["a", "b"]));
    let ends: Vec<bool> = known.secrets.iter().map(|s| s.valid_until.is_some()).collect();
    assert_eq!(ends, [true, false]);
    rig.clock.advance_millis(60_000);
    let known = replica.keeper.get(&of("shop", "default")).await.unwrap();
    assert_eq!(known.secrets.len(), 1, "what verifies nothing is not shown");
    let too_long = rotation("shop", "default", "c", u64::MAX);
    let refused = replica.keeper.rotate(too_long).await;
    assert!(matches!(refused, Err(CommandError::Invalid(_))), "{refused:?}");
    replica
        .keeper
        .rotate(rotation("shop", "default", "c", 60_000))
        .await
        .unwrap();
    let b = "b".parse().unwrap();
    replica
        .keeper
        .revoke_secret(&of("shop", "default"), &b)
        .await
        .unwrap();
    assert_eq!(replica.receiver.of("shop"), put(&["c"]));
    let c = "c".parse().unwrap();
    is_refused(
        replica.keeper.revoke_secret(&of("shop", "default"), &c).await,
        "last secret",
    );
}

#[tokio::test]
async fn a_source_is_paused_resumed_changed_removed_and_comes_back() {
    let rig = Rig::new();
    let Replica { keeper, receiver } = rig.replica().await;
    let shop = of("shop", "default");
    let added = keeper.add(order("shop", "default")).await.unwrap();
    let paused = keeper.pause(&shop, Some("nonsense".into())).await.unwrap();
    assert_eq!(paused.status.as_str(), "paused");
    assert_eq!(receiver.of("shop"), Some(Told::Held(Hold::Paused)));
    keeper.resume(&shop).await.unwrap();
    assert_eq!(receiver.of("shop"), put(&["a"]));
    let terms = SourceTerms {
        events: vec!["push".into()],
        ..SourceTerms::of_scheme("github")
    };
    let change = |terms: &SourceTerms, revision| ChangeSource {
        source: of("shop", "default"),
        terms: terms.clone(),
        revision,
    };
    is_refused(
        keeper.change(change(&terms, added.revision)).await,
        "changed meanwhile",
    );
    assert_eq!(keeper.change(change(&terms, None)).await.unwrap().terms, terms);
    let nonsense = keeper
        .change(change(&SourceTerms::of_scheme("nonsense"), None))
        .await;
    assert!(matches!(nonsense, Err(CommandError::Invalid(_))), "{nonsense:?}");
    keeper.remove(&shop, None).await.unwrap();
    assert_eq!(receiver.of("shop"), None);
    is_unknown(keeper.get(&shop).await);
    is_unknown(keeper.pause(&shop, None).await);
    let again = AddSource {
        secret: Some(secret("b")),
        ..order("shop", "default")
    };
    keeper.add(again).await.unwrap();
    assert_eq!(receiver.of("shop"), put(&["b"]));
}

#[tokio::test]
async fn what_belongs_to_another_tenant_does_not_exist() {
    let rig = Rig::new();
    let Replica { keeper, .. } = rig.replica().await;
    keeper.add(order("shop", "team-a")).await.unwrap();
    let theirs = of("shop", "team-b");
    is_unknown(keeper.get(&theirs).await);
    is_unknown(keeper.pause(&theirs, None).await);
    is_unknown(keeper.resume(&theirs).await);
    is_unknown(keeper.remove(&theirs, None).await);
    is_unknown(keeper.rotate(rotation("shop", "team-b", "b", 1)).await);
    is_unknown(keeper.revoke_secret(&theirs, &"a".parse().unwrap()).await);
    let add = AddSourceSecret {
        source: theirs.clone(),
        secret: secret("b"),
    };
    is_unknown(keeper.add_secret(add).await);
    is_refused(keeper.add(order("shop", "team-b")).await, "the name is taken");
    is_refused(keeper.add(order("fixed", "team-b")).await, "the name is taken");
    is_refused(keeper.reseal(&theirs.caller, "ci".into()).await, "default");
    // The operator of all acts for all; a secret without a tenant is the owner's.
    let for_all = AddSourceSecret {
        source: of("shop", "default"),
        secret: secret("c"),
    };
    let known = keeper.add_secret(for_all).await.unwrap();
    assert!(known.secrets.iter().all(|s| s.tenant.as_str() == "team-a"));
    let foreign = NewSecret {
        tenant: Some("team-b".parse().unwrap()),
        ..secret("d")
    };
    let own = AddSourceSecret {
        source: of("shop", "team-a"),
        secret: foreign.clone(),
    };
    is_refused(keeper.add_secret(own.clone()).await, "another tenant");
    let source = of("shop", "default");
    keeper
        .add_secret(AddSourceSecret { source, ..own })
        .await
        .unwrap();
    // The owner sees the source, and not the secret that another tenant has of it.
    let mine = keeper.get(&of("shop", "team-a")).await.unwrap();
    assert!(mine.secrets.iter().all(|s| s.id != "d"), "{mine:?}");
    is_refused(
        keeper
            .add_secret(AddSourceSecret {
                source: of("shop", "default"),
                secret: secret("e"),
            })
            .await,
        "no more",
    );
}

#[tokio::test]
async fn the_settings_win_unless_nobody_chose_their_secret() {
    let rig = Rig::new();
    let Replica { keeper, receiver } = rig.replica().await;
    is_refused(keeper.add(order("fixed", "default")).await, "settings");
    is_refused(keeper.pause(&of("fixed", "default"), None).await, "settings");
    is_refused(keeper.remove(&of("github", "default"), None).await, "settings");
    let names = |list: Vec<SourceKnown>| -> Vec<(String, &str)> {
        list.iter()
            .map(|s| (s.name.to_string(), s.origin.as_str()))
            .collect()
    };
    keeper.add(order("github", "default")).await.unwrap();
    assert_eq!(receiver.of("github"), put(&["a"]));
    let all = keeper.list(&TenantId::default()).await.unwrap();
    assert_eq!(
        names(all),
        [("fixed".into(), "settings"), ("github".into(), "log")]
    );
    // Who has a secret of a source of the settings sees it, others do not.
    let team_b = keeper.list(&"team-b".parse().unwrap()).await.unwrap();
    assert_eq!(names(team_b), [("fixed".into(), "settings")]);
    assert_eq!(keeper.list(&"team-a".parse().unwrap()).await.unwrap(), []);
    keeper.remove(&of("github", "default"), None).await.unwrap();
    let all = keeper.list(&TenantId::default()).await.unwrap();
    assert_eq!(
        names(all),
        [("fixed".into(), "settings"), ("github".into(), "settings")]
    );
}

#[tokio::test]
async fn without_its_key_a_source_waits_and_with_it_the_secrets_move_to_the_new_one() {
    let rig = Rig::new();
    let (old, new) = (|| MasterKey::new([1; 32]), || MasterKey::new([2; 32]));
    let first = rig.replica_with(Sealer::new(&old(), &[])).await;
    first.keeper.add(order("shop", "default")).await.unwrap();
    let lost = rig.replica_with(Sealer::new(&new(), &[])).await;
    assert_eq!(lost.receiver.of("shop"), Some(Told::Held(Hold::Unavailable)));
    let status = lost.keeper.get(&of("shop", "default")).await.unwrap().status;
    let SourceStatus::Unavailable(why) = status else {
        panic!("{status:?}")
    };
    assert!(why.contains(old().id()) && why.contains("old_key_files"), "{why}");
    is_refused(
        lost.keeper.rotate(rotation("shop", "default", "b", 1)).await,
        old().id(),
    );
    let both = rig.replica_with(Sealer::new(&new(), &[old()])).await;
    assert_eq!(both.receiver.of("shop"), put(&["a"]));
    let default = TenantId::default();
    assert_eq!(both.keeper.reseal(&default, "ci".into()).await.unwrap(), 1);
    assert_eq!(both.keeper.reseal(&default, "ci".into()).await.unwrap(), 0);
    let after = rig.replica_with(Sealer::new(&new(), &[])).await;
    assert_eq!(after.receiver.of("shop"), put(&["a"]));
    until("the replica without the old key has it", || {
        lost.receiver.of("shop") == put(&["a"])
    })
    .await;
}

#[tokio::test]
async fn a_path_is_one_sources_and_free_when_that_is_gone() {
    let rig = Rig::new();
    let (here, there) = (rig.replica().await, rig.replica().await);
    let with_path = |name: &str| {
        let mut order = order(name, "default");
        order.terms.path = Some("/hooks".into());
        order
    };
    // Each is fine for itself; of one log, the second is not.
    let (one, other) = tokio::join!(
        here.keeper.add(with_path("one")),
        there.keeper.add(with_path("two"))
    );
    assert!(one.is_ok() || other.is_ok());
    if let (Ok(_), Ok(_)) = (one, other) {
        until("both replicas know both", || {
            here.receiver.all().len() == 2 && there.receiver.all().len() == 2
        })
        .await;
        let held = |replica: &Replica| {
            let all = replica.receiver.all();
            all.into_values()
                .filter(|told| *told == Told::Held(Hold::Unavailable))
                .count()
        };
        assert_eq!((held(&here), held(&there)), (1, 1));
        let Some(Told::Put { .. }) = here.receiver.of("one") else {
            panic!("{:?}", here.receiver.all())
        };
        here.keeper.remove(&of("one", "default"), None).await.unwrap();
        assert!(matches!(here.receiver.of("two"), Some(Told::Put { .. })));
    }
    let third = here.keeper.add(with_path("three")).await;
    assert!(matches!(third, Err(CommandError::Invalid(_))), "{third:?}");
}

#[tokio::test]
async fn there_are_no_more_sources_than_may_be() {
    let rig = Rig::new();
    let Replica { keeper, .. } = rig.replica().await;
    for name in ["a", "b", "c", "d"] {
        keeper.add(order(name, "default")).await.unwrap();
    }
    is_refused(keeper.add(order("e", "default")).await, "sources_max");
    keeper.remove(&of("a", "default"), None).await.unwrap();
    keeper.add(order("e", "default")).await.unwrap();
}
