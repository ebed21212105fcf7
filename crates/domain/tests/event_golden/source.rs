//! Sources: every fact, with all that it can say and with as little as it can.

use domain::{
    SealedSecret, SourceAdded, SourceChanged, SourceEvent, SourcePaused, SourceRemoved, SourceResumed,
    SourceSecretAdded, SourceSecretRevoked, SourceSecretRotated, SourceSecretsResealed, SourceTerms,
    TenantId,
};
use serde_json::json;

use super::at;

fn secret(id: &str, hook: Option<&str>) -> SealedSecret {
    SealedSecret {
        id: id.parse().unwrap(),
        tenant: TenantId::default(),
        hook: hook.map(str::to_owned),
        sealed_with: "0f1e2d3c4b5a6978".into(),
        nonce: "AAECAwQFBgcICQoL".into(),
        ciphertext: "c2VhbGVkIGFuZCBub3QgdG8gYmUgb3BlbmVk".into(),
    }
}

fn terms() -> SourceTerms {
    let map = |value: serde_json::Value| value.as_object().unwrap().clone();
    SourceTerms {
        verify: false,
        path: Some("/hooks/shop".into()),
        events: vec!["order.paid".into()],
        repositories: vec!["octo-org/*".into()],
        addresses: vec!["192.0.2.0/24".into()],
        user_agent_check: true,
        tolerance_ms: Some(0),
        dedup_window_ms: Some(1000),
        body_bytes_max: Some(4096),
        source_rate_per_minute: 600,
        source_rate_burst: 60,
        repository_rate_per_minute: 60,
        repository_rate_burst: 6,
        proof: map(json!({ "header": "X-Shop-Signature" })),
        facts: map(json!({ "event_pointer": "/type" })),
        ..SourceTerms::of_scheme("hmac")
    }
}

pub(super) fn sources() -> Vec<SourceEvent> {
    let added = SourceAdded {
        source: "shop".parse().unwrap(),
        tenant: TenantId::default(),
        terms: terms(),
        secret: Some(secret("first", Some("41"))),
        added_by: "ci".into(),
    };
    let bare = SourceAdded {
        terms: SourceTerms::of_scheme("github"),
        secret: None,
        ..added.clone()
    };
    let paused = |reason: Option<&str>| SourcePaused {
        paused_by: "ci".into(),
        reason: reason.map(str::to_owned),
    };
    let removed = |reason: Option<&str>| SourceRemoved {
        removed_by: "ci".into(),
        reason: reason.map(str::to_owned),
    };
    vec![
        SourceEvent::Added(added),
        SourceEvent::Added(bare),
        SourceEvent::Changed(SourceChanged {
            terms: terms(),
            changed_by: "ci".into(),
        }),
        SourceEvent::SecretAdded(SourceSecretAdded {
            secret: secret("second", None),
            added_by: "ci".into(),
        }),
        SourceEvent::SecretRotated(SourceSecretRotated {
            secret: secret("third", None),
            replaces: vec!["second".parse().unwrap()],
            valid_until: at("2026-07-02T12:00:00Z"),
            rotated_by: "ci".into(),
        }),
        SourceEvent::SecretRevoked(SourceSecretRevoked {
            secret: "second".parse().unwrap(),
            revoked_by: "ci".into(),
        }),
        SourceEvent::SecretsResealed(SourceSecretsResealed {
            secrets: vec![secret("first", Some("41")), secret("third", None)],
            resealed_by: "ci".into(),
        }),
        SourceEvent::Paused(paused(Some("they send nonsense"))),
        SourceEvent::Paused(paused(None)),
        SourceEvent::Resumed(SourceResumed {
            resumed_by: "ci".into(),
        }),
        SourceEvent::Removed(removed(Some("the shop is closed"))),
        SourceEvent::Removed(removed(None)),
    ]
}
