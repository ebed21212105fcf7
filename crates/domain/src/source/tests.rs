//! What may become of a source, and that every reader of its stream sees the same.

use super::*;
use crate::testing::recorded_as;
use crate::{CategoryFold, EventId, SourceName, StreamName, TenantId, Timestamp};

fn shop() -> SourceName {
    "shop".parse().unwrap()
}

fn id(text: &str) -> SecretId {
    text.parse().unwrap()
}

fn now(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn secret(text: &str, hook: Option<&str>) -> SealedSecret {
    SealedSecret {
        id: id(text),
        tenant: TenantId::default(),
        hook: hook.map(str::to_owned),
        sealed_with: "k1".into(),
        nonce: "n".into(),
        ciphertext: "c".into(),
    }
}

fn added(tenant: &str, first: &str) -> SourceAdded {
    SourceAdded {
        source: shop(),
        tenant: tenant.parse().unwrap(),
        terms: SourceTerms::of_scheme("github"),
        secret: Some(secret(first, None)),
        added_by: "ci".into(),
    }
}

/// A directory and the events that made it, one a second.
#[derive(Default)]
struct Story {
    all: SourceDirectory,
    revision: u64,
}

impl Story {
    fn tell(&mut self, fact: &SourceEvent) {
        let new = fact.to_event(EventId::new(uuid::Uuid::from_u128(1)));
        let at = now(1000 * i64::try_from(self.revision).unwrap());
        let stream = StreamName::of_source(&shop());
        let event = recorded_as(new, stream, self.revision, self.revision + 1, at);
        self.all.evolve(&event);
        // What is seen twice changes nothing.
        let before = self.all.clone();
        self.all.evolve(&event);
        assert_eq!(self.all, before);
        self.revision += 1;
    }

    fn begun() -> Self {
        let mut story = Self::default();
        story.tell(&SourceState::add(None, added("default", "a")).unwrap());
        story
    }

    fn state(&self) -> &SourceState {
        self.all.get(&shop()).unwrap()
    }

    fn does(&mut self, command: SourceCommand, at: i64) {
        let fact = self.state().decide(command, now(at)).unwrap();
        self.tell(&fact.expect("it changes something"));
    }

    fn stays(&self, command: SourceCommand, at: i64) {
        assert_eq!(self.state().decide(command, now(at)), Ok(None));
    }

    fn refuses(&self, command: SourceCommand, at: i64, why: SourceRejection) {
        assert_eq!(self.state().decide(command, now(at)), Err(why));
    }

    fn valid(&self, at: i64) -> Vec<&str> {
        let valid = self.state().valid_secrets(now(at));
        valid.map(|secret| secret.sealed.id.as_str()).collect()
    }
}

fn rotate(to: SealedSecret, until: i64) -> SourceCommand {
    SourceCommand::RotateSecret {
        secret: to,
        valid_until: now(until),
        rotated_by: "ci".into(),
    }
}

fn revoke(secret: &str) -> SourceCommand {
    SourceCommand::RevokeSecret(SourceSecretRevoked {
        secret: id(secret),
        revoked_by: "ci".into(),
    })
}

fn remove() -> SourceCommand {
    SourceCommand::Remove(SourceRemoved {
        removed_by: "ci".into(),
        reason: None,
    })
}

fn pause() -> SourceCommand {
    SourceCommand::Pause(SourcePaused {
        paused_by: "ci".into(),
        reason: None,
    })
}

fn resume() -> SourceCommand {
    SourceCommand::Resume(SourceResumed {
        resumed_by: "ci".into(),
    })
}

fn add_secret(secret: SealedSecret) -> SourceCommand {
    let added_by = "ci".into();
    SourceCommand::AddSecret(SourceSecretAdded { secret, added_by })
}

#[test]
fn a_name_is_added_once_and_stays_with_its_tenant() {
    let mut story = Story::begun();
    let add = |story: &Story, tenant, secret| SourceState::add(Some(story.state()), added(tenant, secret));
    assert_eq!(add(&story, "default", "b"), Err(SourceRejection::SourceExists));
    assert_eq!(add(&story, "team-a", "b"), Err(SourceRejection::NameIsTaken));
    story.does(remove(), 5000);
    assert!(story.state().is_removed());
    story.stays(remove(), 5000);
    story.refuses(pause(), 5000, SourceRejection::SourceIsUnknown);
    assert_eq!(add(&story, "team-a", "b"), Err(SourceRejection::NameIsTaken));
    assert_eq!(add(&story, "default", "a"), Err(SourceRejection::SecretIdIsTaken));
    let again = add(&story, "default", "b").unwrap();
    story.tell(&again);
    assert_eq!(story.valid(9000), ["b"]);
    story.refuses(
        add_secret(secret("a", None)),
        9000,
        SourceRejection::SecretIdIsTaken,
    );
}

#[test]
fn an_old_secret_verifies_beside_the_new_one_until_its_grace_is_over() {
    let mut story = Story::begun();
    story.does(add_secret(secret("hooked", Some("41"))), 1000);
    story.does(rotate(secret("b", None), 10_000), 2000);
    assert_eq!(story.valid(9_999), ["a", "hooked", "b"]);
    assert_eq!(story.valid(10_000), ["hooked", "b"], "the end is not within");
    // Rotated again within the grace, the first one gets no longer.
    story.does(rotate(secret("c", None), 20_000), 3000);
    assert_eq!(story.valid(9_999), ["a", "hooked", "b", "c"]);
    assert_eq!(story.valid(10_000), ["hooked", "b", "c"]);
    assert_eq!(story.valid(20_000), ["hooked", "c"]);
    let elsewhere = rotate(secret("d", Some("42")), 20_000);
    story.refuses(elsewhere, 3000, SourceRejection::NothingToRotate);
    let taken = rotate(secret("a", None), 20_000);
    story.refuses(taken, 3000, SourceRejection::SecretIdIsTaken);
}

#[test]
fn a_secret_is_revoked_at_once_but_never_the_last_one() {
    let mut story = Story::begun();
    story.refuses(revoke("a"), 1000, SourceRejection::SecretIsTheLast);
    story.refuses(revoke("x"), 1000, SourceRejection::SecretIsUnknown);
    story.does(rotate(secret("b", None), 10_000), 1000);
    story.does(revoke("a"), 2000);
    assert_eq!(story.valid(2000), ["b"]);
    story.stays(revoke("a"), 3000);
    story.refuses(revoke("b"), 3000, SourceRejection::SecretIsTheLast);
}

#[test]
fn without_proof_the_last_secret_may_go() {
    let mut story = Story::default();
    let terms = SourceTerms {
        verify: false,
        ..SourceTerms::of_scheme("github")
    };
    let open = SourceAdded {
        terms,
        ..added("default", "a")
    };
    story.tell(&SourceEvent::Added(open));
    story.does(revoke("a"), 1000);
    assert!(story.valid(1000).is_empty());
}

#[test]
fn a_source_is_paused_and_resumed_once() {
    let mut story = Story::begun();
    story.stays(resume(), 1000);
    story.does(pause(), 1000);
    assert!(story.state().is_paused());
    story.stays(pause(), 2000);
    story.does(resume(), 3000);
    assert_eq!(story.state().standing, SourceStanding::Active);
    let same = SourceChanged {
        terms: SourceTerms::of_scheme("github"),
        changed_by: "ci".into(),
    };
    story.stays(SourceCommand::Change(same), 3000);
}

#[test]
fn sealing_again_changes_what_is_sealed_and_nothing_else() {
    let mut story = Story::begun();
    let again = |secret: &str, hook| SealedSecret {
        sealed_with: "k2".into(),
        ..self::secret(secret, hook)
    };
    let fact = |secrets| SourceSecretsResealed {
        secrets,
        resealed_by: "ci".into(),
    };
    story.stays(SourceCommand::Reseal(fact(vec![again("a", Some("41"))])), 1000);
    story.stays(SourceCommand::Reseal(fact(vec![again("x", None)])), 1000);
    story.does(
        SourceCommand::Reseal(fact(vec![again("a", None), again("x", None)])),
        1000,
    );
    let secrets = &story.state().secrets;
    assert_eq!((secrets.len(), secrets[0].sealed.sealed_with.as_str()), (1, "k2"));
    assert_eq!((secrets[0].added_at, secrets[0].valid_until), (now(0), None));
}

#[test]
fn an_event_that_can_not_be_understood_leaves_its_source_in_trouble() {
    let mut story = Story::begun();
    let mut new = SourceEvent::Resumed(SourceResumed {
        resumed_by: "ci".into(),
    })
    .to_event(EventId::new(uuid::Uuid::from_u128(1)));
    new.metadata = "{}".into();
    let stream = StreamName::of_source(&shop());
    story.all.evolve(&recorded_as(new, stream, 1, 2, now(1)));
    story.revision = 2;
    let trouble = story.state().trouble.clone().unwrap();
    assert!(
        trouble.contains("SourceResumed") && trouble.contains("position 2"),
        "{trouble}"
    );
    assert_eq!(story.state().revision.get(), 1, "it can still be commanded");
    story.does(remove(), 2000);
    story.tell(&SourceState::add(Some(story.state()), added("default", "b")).unwrap());
    assert_eq!(story.state().trouble, None);
}

#[test]
fn a_stream_is_about_the_source_that_it_is_named_after() {
    let mut all = SourceDirectory::default();
    let new = SourceEvent::Added(added("default", "a")).to_event(EventId::new(uuid::Uuid::from_u128(1)));
    for stream in ["source-default.other", "key-default.shop"] {
        all.evolve(&recorded_as(new.clone(), stream.parse().unwrap(), 0, 1, now(0)));
    }
    assert_eq!(all.iter().count(), 0);
}
