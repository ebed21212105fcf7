use std::sync::Arc;
use std::time::Duration;

use domain::testing::{ManualClock, MemoryLog};
use domain::{
    ActionAudited, Append, Audit, AuditMark, AuditOutcome, AuditWanted, Clock, CommandError, EventId,
    EventLog, Expected, KeyId, KeyStanding, Keys, LogId, NewKey, PresentedKey, Revision, Scope, StreamName,
    TenantId, Timestamp,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;

const PATIENT: Duration = Duration::from_secs(10);

struct Rig {
    clock: Arc<ManualClock>,
    log: Arc<MemoryLog>,
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
    async fn keeper(&self) -> Arc<KeyKeeper> {
        let keeper = KeyKeeper::new(
            KeyOptions { keys_max: 3 },
            Arc::<MemoryLog>::clone(&self.log),
            Arc::<ManualClock>::clone(&self.clock),
        );
        let keeper = Arc::new(keeper);
        assert!(
            keeper.directory().is_none(),
            "nobody is known before the log was read"
        );
        tokio::spawn(Arc::clone(&keeper).follow(CancellationToken::new()));
        until("the keys were read", || keeper.directory().is_some()).await;
        keeper
    }

    /// Moves the clock to a time.
    fn at(&self, time: &str) {
        let time: Timestamp = time.parse().unwrap();
        self.clock.advance_millis(time.millis_since(self.clock.now()));
    }

    fn trail(&self) -> AuditTrail {
        AuditTrail::new(
            Arc::<MemoryLog>::clone(&self.log),
            Arc::<ManualClock>::clone(&self.clock),
        )
    }
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

fn order(name: &str, tenant: &str) -> NewKey {
    NewKey {
        tenant: tenant.parse().unwrap(),
        name: name.parse().unwrap(),
        scopes: vec![Scope::Read],
        expires_at: None,
        created_by: "loopback".into(),
    }
}

fn standing(keeper: &KeyKeeper, id: &KeyId) -> Option<KeyStanding> {
    let directory = keeper.directory()?;
    directory.get(id).map(|key| key.standing(Timestamp::default()))
}

#[tokio::test]
async fn a_key_opens_at_once_where_it_was_made_and_soon_everywhere() {
    let rig = Rig::new();
    let (here, there) = (rig.keeper().await, rig.keeper().await);
    let made = here.create(order("ci", "team-a")).await.unwrap();
    let presented = PresentedKey::parse(made.text.expose()).unwrap();
    assert_eq!(presented.id, made.key.created.key);
    assert_eq!(presented.hash, made.key.created.hash);
    assert_eq!(standing(&here, &presented.id), Some(KeyStanding::Active));
    until("the other replica knows the key", || {
        standing(&there, &presented.id).is_some()
    })
    .await;
    let revoked = there.revoke(&presented.id, "alice".into()).await.unwrap();
    assert_eq!(
        revoked.revoked.map(|(fact, _)| fact.revoked_by).as_deref(),
        Some("alice")
    );
    assert_eq!(standing(&there, &presented.id), Some(KeyStanding::Revoked));
    // A replica that has not heard of it yet is told so by the log, and says who was first.
    let again = here.revoke(&presented.id, "bob".into()).await.unwrap();
    assert_eq!(
        again.revoked.map(|(fact, _)| fact.revoked_by).as_deref(),
        Some("alice")
    );
    assert_eq!(standing(&here, &presented.id), Some(KeyStanding::Revoked));
    // And one that starts later reads the same.
    assert_eq!(rig.keeper().await.directory(), there.directory());
}

#[tokio::test]
async fn what_stands_in_the_log_is_no_key() {
    let rig = Rig::new();
    let made = rig.keeper().await.create(order("ci", "default")).await.unwrap();
    let stream = made.key.stream();
    let events = rig
        .log
        .read_stream(&stream, Revision::new(0), domain::PageLimit::default())
        .await;
    let metadata = String::from_utf8(events.unwrap()[0].metadata.to_vec()).unwrap();
    // The secret is base64url and may hold `_` itself: it begins after the second one.
    let secret = made.text.expose().splitn(3, '_').nth(2).unwrap();
    assert_eq!(secret.len(), 43, "32 bytes without padding");
    assert!(
        metadata.contains(&made.key.created.hash.to_string()),
        "{metadata}"
    );
    assert!(
        !metadata.contains(secret) && !format!("{made:?}").contains(secret),
        "{metadata}"
    );
}

#[tokio::test]
async fn a_key_that_breaks_a_rule_is_not_made_and_there_are_only_so_many() {
    let rig = Rig::new();
    let keeper = rig.keeper().await;
    let reserved = keeper.create(order("loopback", "default")).await;
    assert!(matches!(reserved, Err(CommandError::Invalid(why)) if why.contains("reserved")));
    assert!(keeper.directory().unwrap().is_keyless());
    let mut last = None;
    for name in ["a", "b", "c"] {
        last = Some(
            keeper
                .create(order(name, "default"))
                .await
                .unwrap()
                .key
                .created
                .key,
        );
    }
    let fourth = keeper.create(order("d", "default")).await;
    assert!(matches!(fourth, Err(CommandError::Refused(why)) if why.contains("3 active keys")));
    keeper.revoke(&last.unwrap(), "alice".into()).await.unwrap();
    keeper.create(order("d", "default")).await.unwrap();
}

#[tokio::test]
async fn what_can_not_be_written_is_not_made_and_what_is_unknown_not_revoked() {
    let rig = Rig::new();
    let keeper = rig.keeper().await;
    let made = keeper
        .create(order("ci", "default"))
        .await
        .unwrap()
        .key
        .created
        .key;
    let none = keeper.revoke(&"nobody".parse().unwrap(), "alice".into()).await;
    assert!(matches!(none, Err(CommandError::NotFound(_))));
    rig.log.set_unwritable(true);
    let create = keeper.create(order("b", "default")).await;
    assert!(matches!(create, Err(CommandError::Unavailable(_))), "{create:?}");
    let revoke = keeper.revoke(&made, "alice".into()).await;
    assert!(matches!(revoke, Err(CommandError::Unavailable(_))));
    assert_eq!(standing(&keeper, &made), Some(KeyStanding::Active));
}

fn by_action(name: &str) -> AuditWanted {
    AuditWanted {
        action: Some(name.to_owned()),
        ..AuditWanted::default()
    }
}

fn refused() -> AuditWanted {
    AuditWanted {
        outcome: Some(AuditOutcome::Refused),
        ..AuditWanted::default()
    }
}

fn action(name: &str, outcome: AuditOutcome, begun: Option<EventId>) -> ActionAudited {
    ActionAudited {
        tenant: TenantId::default(),
        by: "ci".into(),
        key: None,
        action: name.into(),
        target: None,
        remote: None,
        request_id: "r".into(),
        outcome,
        status: None,
        begun,
        unwritten: 0,
    }
}

#[tokio::test]
async fn an_action_and_its_end_are_one_even_over_midnight_and_two_replicas() {
    let rig = Rig::new();
    let (here, there) = (rig.trail(), rig.trail());
    rig.at("2026-11-21T23:59:59Z");
    let first = here
        .record(action("replay.one", AuditOutcome::Begun, None))
        .await
        .unwrap();
    let second = there
        .record(action("key.create", AuditOutcome::Begun, None))
        .await
        .unwrap();
    rig.at("2026-11-22T00:00:01Z");
    here.record(action("replay.one", AuditOutcome::Done, Some(first)))
        .await
        .unwrap();
    there
        .record(action("key.revoke", AuditOutcome::Refused, None))
        .await
        .unwrap();
    let yesterday: StreamName = "audit-default.2026-11-21".parse().unwrap();
    let events = rig
        .log
        .read_stream(&yesterday, Revision::new(0), domain::PageLimit::default());
    assert_eq!(events.await.unwrap().len(), 3);
    let page = here
        .page(&TenantId::default(), &AuditWanted::default(), None, 10)
        .await
        .unwrap();
    let seen: Vec<_> = page
        .records
        .iter()
        .map(|r| (r.action.action.as_str(), r.action.outcome))
        .collect();
    assert_eq!(
        seen,
        [
            ("key.revoke", AuditOutcome::Refused),
            ("key.create", AuditOutcome::Begun),
            ("replay.one", AuditOutcome::Done)
        ]
    );
    assert_eq!((page.records[1].id, page.records[2].id), (second, first));
    assert_eq!(
        page.records[2].ended_at,
        Some("2026-11-22T00:00:01Z".parse().unwrap())
    );
    assert_eq!(page.next, None);
    for (wanted, actions) in [
        (by_action("replay"), &["replay.one"][..]),
        (by_action("key.create"), &["key.create"]),
        (by_action("key.cre"), &[]),
        (refused(), &["key.revoke"]),
    ] {
        let page = here.page(&TenantId::default(), &wanted, None, 10).await.unwrap();
        let seen: Vec<_> = page.records.iter().map(|r| r.action.action.as_str()).collect();
        assert_eq!(seen, actions, "{wanted:?}");
    }
    assert!(
        here.page(&"other".parse().unwrap(), &AuditWanted::default(), None, 10)
            .await
            .unwrap()
            .records
            .is_empty()
    );
}

#[tokio::test]
async fn the_trail_is_read_page_by_page_over_days_without_a_gap() {
    let rig = Rig::new();
    let trail = rig.trail();
    let mut written = Vec::new();
    for (day, actions) in [(1, 3), (2, 0), (3, 2), (9, 4)] {
        rig.at(&format!("2026-11-{day:02}T12:00:00Z"));
        for n in 0..actions {
            let name = format!("{day}.{n}");
            let begun = trail
                .record(action(&name, AuditOutcome::Begun, None))
                .await
                .unwrap();
            trail
                .record(action(&name, AuditOutcome::Done, Some(begun)))
                .await
                .unwrap();
            written.push(name);
        }
    }
    written.reverse();
    for limit in [1, 2, 4, 9, 100] {
        let (mut seen, mut mark): (Vec<String>, Option<AuditMark>) = (Vec::new(), None);
        loop {
            let page = trail
                .page(&TenantId::default(), &AuditWanted::default(), mark, limit)
                .await
                .unwrap();
            assert!(page.records.len() <= limit);
            seen.extend(page.records.into_iter().map(|record| record.action.action));
            mark = page.next;
            if mark.is_none() {
                break;
            }
        }
        assert_eq!(seen, written, "{limit} at a time");
    }
}

#[tokio::test]
async fn a_trail_that_others_write_to_and_one_that_can_not_be_written() {
    let rig = Rig::new();
    let trail = rig.trail();
    trail.record(action("a", AuditOutcome::Done, None)).await.unwrap();
    // Somebody else is quicker by one, which this replica does not know.
    let other = Append {
        stream: ActionAudited::stream(&TenantId::default(), rig.clock.now()),
        expected: Expected::Revision(Revision::new(0)),
        events: vec![action("b", AuditOutcome::Done, None).to_event(EventId::new(Uuid::now_v7()))],
        content: None,
    };
    rig.log.append(other).await.unwrap();
    trail.record(action("c", AuditOutcome::Done, None)).await.unwrap();
    let page = trail
        .page(&TenantId::default(), &AuditWanted::default(), None, 10)
        .await
        .unwrap();
    let seen: Vec<_> = page.records.iter().map(|r| r.action.action.as_str()).collect();
    assert_eq!(seen, ["c", "b", "a"]);
    rig.log.set_unwritable(true);
    let refused = trail.record(action("d", AuditOutcome::Begun, None)).await;
    assert!(matches!(refused, Err(CommandError::Unavailable(_))));
}
