//! What receiving takes of a source of the log, and what the API shows of one of the settings.

use domain::OpenSecret;
use serde_json::json;

use super::*;
use crate::settings::Overrides;

const SECRET: &str = "swordfish, a secret of a test";

fn bounds() -> Bounds {
    Bounds {
        addresses: vec!["10.0.0.0/8".parse().unwrap()],
        body_bytes_max: 1000,
    }
}

fn source(terms: SourceTerms) -> OpenSource {
    OpenSource {
        name: "shop".parse().unwrap(),
        terms,
        secrets: vec![OpenSecret {
            id: "2026-11".parse().unwrap(),
            tenant: "team-a".parse().unwrap(),
            hook: Some("41".into()),
            value: SECRET.into(),
            valid_until: Some(domain::Timestamp::from_millis(7)),
        }],
    }
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn hmac() -> SourceTerms {
    SourceTerms {
        path: Some("/hooks/shop".into()),
        events: vec!["push".into()],
        repositories: vec!["octo-org/*".into()],
        addresses: vec!["192.30.252.0/22".into(), "2001:db8::1".into()],
        user_agent_check: true,
        tolerance_ms: Some(1),
        dedup_window_ms: Some(2),
        body_bytes_max: Some(1000),
        source_rate_per_minute: 3,
        source_rate_burst: 4,
        repository_rate_per_minute: 5,
        repository_rate_burst: 6,
        proof: map(json!({"header": "X-Signature", "hash": "sha512"})),
        facts: map(json!({"id_header": "X-Id"})),
        ..SourceTerms::of_scheme("hmac")
    }
}

#[test]
fn the_secrets_of_a_source_of_the_log_keep_their_owners_and_their_ends() {
    let options = bounds().options_of(&source(hmac())).unwrap();
    let [secret] = options.secrets.as_slice() else {
        panic!("{:?}", options.secrets);
    };
    assert_eq!(
        (secret.id.as_str(), secret.tenant.as_str(), secret.hook.as_deref()),
        ("2026-11", "team-a", Some("41"))
    );
    assert_eq!(secret.value.expose_secret(), SECRET);
    assert_eq!(secret.valid_until, Some(domain::Timestamp::from_millis(7)));
    options.check(&ingest::IngestOptions::default()).unwrap();
}

#[test]
fn what_is_said_of_a_source_comes_back_as_it_was_said() {
    let options = bounds().options_of(&source(hmac())).unwrap();
    let known = known_of(options);
    let networks = vec!["192.30.252.0/22".into(), "2001:db8::1/128".into()];
    let expected = SourceTerms {
        addresses: networks,
        ..hmac()
    };
    assert_eq!(known.terms, expected);
    assert_eq!(known.origin, SourceOrigin::Settings);
    assert_eq!(known.secrets[0].tenant.as_str(), "team-a");
}

#[test]
fn a_source_that_names_no_networks_takes_those_for_all() {
    let options = bounds().options_of(&source(SourceTerms::of_scheme("github")));
    assert_eq!(options.unwrap().address_allow, bounds().addresses);
}

#[test]
fn what_can_not_be_used_is_said_in_words_and_without_a_secret() {
    type Change = fn(&mut SourceTerms);
    let cases: [(Change, &[&str]); 6] = [
        (
            |t| t.scheme = "githubb".into(),
            &["\"githubb\"", "github, gitlab", "claude-code"],
        ),
        (
            |t| t.addresses = vec!["octo.example".into()],
            &["addresses", "octo.example", "neither an address nor a network"],
        ),
        (
            |t| t.proof = map(json!({"haeder": "X"})),
            &["proof", "haeder", "header"],
        ),
        (
            |t| t.proof = map(json!({"hash": "md5"})),
            &["proof", "md5", "sha256"],
        ),
        (
            |t| t.facts = map(json!({"event": "X"})),
            &["facts", "`event`", "event_header"],
        ),
        (
            |t| t.body_bytes_max = Some(1001),
            &["bodyBytesMax", "1000", "ingest.body_bytes_max"],
        ),
    ];
    for (change, words) in cases {
        let mut terms = hmac();
        change(&mut terms);
        let said = bounds().options_of(&source(terms)).unwrap_err();
        for word in words {
            assert!(said.contains(word), "{word} is missing in: {said}");
        }
        assert!(!said.contains("swordfish"), "{said}");
    }
}

#[test]
fn the_domain_and_receiving_know_the_same_schemes() {
    assert_eq!(SchemeKind::ALL.map(SchemeKind::as_str), domain::SOURCE_SCHEMES);
}

#[test]
fn only_a_source_whose_secret_nobody_chose_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooklog.toml");
    let text = "[source.made]\n[source.chosen]\nsecrets = [\"swordfish\"]\n[source.open]\nverify = false\n";
    std::fs::write(&file, text).unwrap();
    let settings = Overrides::default().file(Some(file)).load().unwrap().settings;
    let all = configured(&settings).unwrap();
    let gives_way = |name: &str| {
        let found = all.iter().find(|source| source.known.name.as_str() == name);
        found.unwrap().replaceable
    };
    assert!(gives_way("made") && !gives_way("chosen") && !gives_way("open"));
    assert!(!format!("{all:?}").contains("swordfish"));
}
