//! Keepers over one log in memory: what one did, all know, and receiving hears of it.

mod any_order;
mod rig;

use domain::{
    AddSource, AddSourceSecret, ChangeSource, CommandError, EventLog as _, Hold, NewSecret, PageLimit,
    Position, SourceKnown, SourceOrigin, SourceStatus, SourceTerms, Sources as _, TenantId,
};
use rig::{Replica, Rig, Told, is_refused, is_unknown, of, order, put, rotation, secret, until};

use crate::secret::{MasterKey, Sealer};

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
async fn of_two_sources_of_one_path_the_first_in_the_log_has_it_everywhere_and_always() {
    let rig = Rig::new();
    let (here, there) = (rig.replica().await, rig.replica().await);
    let with_path = |name| AddSource {
        terms: SourceTerms {
            path: Some("/hooks/one".into()),
            ..SourceTerms::of_scheme("github")
        },
        ..order(name, "default")
    };
    // In the same moment: neither knows of the other.
    let (one, other) = tokio::join!(
        here.keeper.add(with_path("shop")),
        there.keeper.add(with_path("hub")),
    );
    let (first, second) = if one.unwrap().revision.is_some() && other.is_ok() {
        let page = rig
            .log
            .read_all(Position::START, PageLimit::default())
            .await
            .unwrap();
        let names: Vec<String> = page
            .events
            .iter()
            .map(|event| event.stream.id().to_owned())
            .collect();
        (names[0].clone(), names[1].clone())
    } else {
        panic!("both replicas had to take theirs: {other:?}")
    };
    let has = |replica: &Replica, name: &str| {
        matches!(replica.receiver.of(name), Some(Told::Put { path: Some(_), .. }))
    };
    let agreed = |replica: &Replica| {
        has(replica, &first) && replica.receiver.of(&second) == Some(Told::Held(Hold::Unavailable))
    };
    until("both agree", || agreed(&here) && agreed(&there)).await;
    // What else becomes of the first is no reason to lose its path, at a restart either.
    rig.clock.advance_millis(1000);
    here.keeper
        .rotate(rotation(&first, "default", "b", 1000))
        .await
        .unwrap();
    let late = rig.replica().await;
    assert!(agreed(&late), "{:?}", late.receiver.all());
    here.keeper.remove(&of(&first, "default"), None).await.unwrap();
    until("the second has it, when it is free", || {
        [&here, &there, &late]
            .into_iter()
            .all(|replica| has(replica, &second))
    })
    .await;
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
        secret: NewSecret {
            hook: Some("41".into()),
            ..secret("c")
        },
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
    is_refused(keeper.add(order("github", "team-a")).await, "the name is taken");
    let for_another = AddSource {
        tenant: Some("team-a".parse().unwrap()),
        ..order("github", "default")
    };
    is_refused(keeper.add(for_another).await, "settings");
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
async fn a_source_that_the_settings_stand_before_is_encrypted_anew_with_the_others() {
    let rig = Rig::new();
    let (old, new) = (|| MasterKey::new([1; 32]), || MasterKey::new([2; 32]));
    let before = rig.replica_beside(Vec::new(), Sealer::new(&old(), &[])).await;
    before.keeper.add(order("fixed", "default")).await.unwrap();
    let both = rig.replica_with(Sealer::new(&new(), &[old()])).await;
    assert_eq!(both.receiver.of("fixed"), None, "the settings win");
    assert_eq!(both.keeper.reseal(&TenantId::default(), "ci".into()).await, Ok(1));
    let after = rig.replica_beside(Vec::new(), Sealer::new(&new(), &[])).await;
    assert_eq!(after.receiver.of("fixed"), put(&["a"]));
}

#[tokio::test]
async fn secrets_whose_key_is_lost_are_named_and_can_be_revoked_and_the_others_go_on() {
    let rig = Rig::new();
    let key = |n| MasterKey::new([n; 32]);
    let first = rig.replica_with(Sealer::new(&key(1), &[])).await;
    first.keeper.add(order("shop", "default")).await.unwrap();
    let more = |name: &str, text: &str, hook: &str| AddSourceSecret {
        source: of(name, "default"),
        secret: NewSecret {
            hook: Some(hook.into()),
            ..secret(text)
        },
    };
    first.keeper.add_secret(more("shop", "b", "41")).await.unwrap();
    let second = rig.replica_with(Sealer::new(&key(2), &[key(1)])).await;
    second.keeper.add_secret(more("shop", "c", "42")).await.unwrap();
    second.keeper.add(order("till", "default")).await.unwrap();
    // The first key is gone.
    let third = rig.replica_with(Sealer::new(&key(3), &[key(2)])).await;
    assert_eq!(third.receiver.of("shop"), Some(Told::Held(Hold::Unavailable)));
    let resealed = third.keeper.reseal(&TenantId::default(), "ci".into()).await;
    let Err(CommandError::Refused(said)) = resealed else {
        panic!("{resealed:?}");
    };
    assert!(
        said.starts_with("2 secrets") && said.contains("source shop: secret a is"),
        "{said}"
    );
    for lost in ["a", "b"] {
        third
            .keeper
            .revoke_secret(&of("shop", "default"), &lost.parse().unwrap())
            .await
            .unwrap();
    }
    assert_eq!(third.receiver.of("shop"), put(&["c"]));
    let last = rig.replica_with(Sealer::new(&key(3), &[])).await;
    assert_eq!(
        (last.receiver.of("shop"), last.receiver.of("till")),
        (put(&["c"]), put(&["a"]))
    );
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

#[tokio::test]
async fn only_the_tenant_of_unproven_deliveries_may_ask_for_no_proof() {
    let rig = Rig::new();
    let Replica { keeper, .. } = rig.replica().await;
    let mut open = order("shop", "team-a");
    open.terms.verify = false;
    open.secret = None;
    let refused = keeper.add(open.clone()).await;
    assert!(matches!(refused, Err(CommandError::Invalid(_))), "{refused:?}");
    open.source = of("shop", "default");
    keeper.add(open).await.unwrap();
}

#[tokio::test]
async fn no_more_secrets_are_tried_on_one_delivery_than_may_be() {
    let rig = Rig::new();
    let Replica { keeper, .. } = rig.replica().await;
    keeper.add(order("shop", "default")).await.unwrap();
    let add = |text: &str, hook: Option<&str>| AddSourceSecret {
        source: of("shop", "default"),
        secret: NewSecret {
            hook: hook.map(str::to_owned),
            ..secret(text)
        },
    };
    keeper.add_secret(add("b", None)).await.unwrap();
    is_refused(keeper.add_secret(add("c", None)).await, "secrets_per_hook_max");
    is_refused(
        keeper.rotate(rotation("shop", "default", "c", 1)).await,
        "secrets_per_hook_max",
    );
    keeper.add_secret(add("c", Some("41"))).await.unwrap();
}
