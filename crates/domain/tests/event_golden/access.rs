//! Keys, and what operators did: every fact, with all that it can say and with as little as it can.

use domain::{ActionAudited, AuditOutcome, ContentHash, KeyCreated, KeyEvent, KeyRevoked, Scope, TenantId};

use super::{at, event_id};

pub(super) fn keys() -> Vec<KeyEvent> {
    let created = KeyCreated {
        tenant: TenantId::default(),
        key: "3k9x0v2m7q4d".parse().unwrap(),
        name: "ci".parse().unwrap(),
        scopes: vec![Scope::Read, Scope::Operate, Scope::Admin],
        hash: ContentHash::of(b"hk_3k9x0v2m7q4d_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
        expires_at: Some(at("2026-12-01T00:00:00Z")),
        created_by: "loopback".into(),
    };
    let bare = KeyCreated {
        scopes: vec![Scope::Read],
        expires_at: None,
        ..created.clone()
    };
    let revoked_by = "alice".to_owned();
    vec![
        KeyEvent::Created(created),
        KeyEvent::Created(bare),
        KeyEvent::Revoked(KeyRevoked { revoked_by }),
    ]
}

pub(super) fn actions() -> Vec<ActionAudited> {
    let begun = ActionAudited {
        tenant: TenantId::default(),
        by: "ci".into(),
        key: Some("3k9x0v2m7q4d".parse().unwrap()),
        action: "replay.one".into(),
        target: Some("github.41.72d3162e-cc78-11e3-81ab-4c9367dc0958".into()),
        remote: Some("192.0.2.7".into()),
        request_id: "01980000-0000-7000-8000-000000000001".into(),
        outcome: AuditOutcome::Begun,
        status: None,
        begun: None,
        unwritten: 0,
    };
    let ended = |outcome, status| ActionAudited {
        outcome,
        status: Some(status),
        begun: Some(event_id(8)),
        ..begun.clone()
    };
    let refused = ActionAudited {
        by: "anonymous".into(),
        key: None,
        target: None,
        remote: None,
        outcome: AuditOutcome::Refused,
        status: Some(401),
        unwritten: 41,
        ..begun.clone()
    };
    let (done, failed) = (ended(AuditOutcome::Done, 200), ended(AuditOutcome::Failed, 503));
    vec![begun, done, failed, refused]
}
