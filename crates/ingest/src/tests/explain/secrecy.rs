//! Nothing that is told holds a right signature or a secret, whatever was asked.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::Hmac;
use proptest::prelude::*;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::{explained, signed, source, with};
use crate::{Question, SchemeKind, SourceOptions};

const SECRETS: [&str; 4] = [
    "swordfish-of-github",
    "sesame-of-linear",
    "c2Vzc2FtZS1vcGVuLXVwIQ==",
    "tuna-of-monitor",
];

fn sources() -> Vec<SourceOptions> {
    vec![
        source("github", SchemeKind::Github, &[SECRETS[0]]),
        source("linear", SchemeKind::Linear, &[SECRETS[1]]),
        source(
            "standard",
            SchemeKind::Standard,
            &[&format!("whsec_{}", SECRETS[2])],
        ),
        source("monitor", SchemeKind::Token, &[SECRETS[3]]),
        source("codegen", SchemeKind::Codegen, &["  padded-of-codegen\n"]),
    ]
}

fn macs(key: &[u8], content: &[u8]) -> Vec<Vec<u8>> {
    fn of<M: hmac::Mac + hmac::KeyInit>(key: &[u8], content: &[u8]) -> Vec<u8> {
        let mut mac = <M as hmac::KeyInit>::new_from_slice(key).unwrap();
        mac.update(content);
        mac.finalize().into_bytes().to_vec()
    }
    vec![
        of::<Hmac<Sha1>>(key, content),
        of::<Hmac<Sha256>>(key, content),
        of::<Hmac<Sha512>>(key, content),
    ]
}

/// All that must not be told: every secret, and every right signature of the body by each of them, in all encodings.
fn forbidden(question: &Question) -> Vec<String> {
    let keys: Vec<Vec<u8>> = SECRETS
        .iter()
        .flat_map(|s| [s.as_bytes().to_vec(), STANDARD.decode(s).unwrap_or_default()])
        .chain([b"padded-of-codegen".to_vec()])
        .filter(|key| !key.is_empty())
        .collect();
    let header = |name: &str| {
        question
            .headers
            .get(name)
            .map(|v| v.as_bytes().to_vec())
            .unwrap_or_default()
    };
    let standard = [
        &header("webhook-id"),
        b".".as_slice(),
        &header("webhook-timestamp"),
        b".",
        &question.body,
    ]
    .concat();
    let mut texts: Vec<String> = SECRETS.iter().map(|s| (*s).to_owned()).collect();
    texts.push("padded-of-codegen".into());
    for key in &keys {
        for mac in [macs(key, &question.body), macs(key, &standard)].concat() {
            texts.push(hex::encode(&mac));
            texts.push(hex::encode_upper(&mac));
            let engines = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
            texts.extend(engines.iter().map(|engine| engine.encode(&mac)));
        }
    }
    texts
}

/// Not even half of one is told.
#[track_caller]
fn tells_nothing(question: &Question) {
    let explanation = explained(&sources(), question);
    let text = serde_json::to_string(&explanation).unwrap() + &format!("{explanation:?}");
    for secret in forbidden(question) {
        let part = &secret[..secret.len().min(12)];
        assert!(!text.contains(part), "{part} of {secret} is in {text}");
    }
}

#[test]
fn neither_a_right_nor_a_wrong_request_is_answered_with_what_would_be_right() {
    let sources = sources();
    let wrong = [
        ("x-hub-signature-256", "sha256=00"),
        ("linear-signature", "00"),
        ("webhook-signature", "v1,AAAA"),
        ("authorization", "Bearer x"),
        ("x-codegen-signature", "sha256=00"),
    ];
    for (signer, (header, value)) in sources.iter().zip(wrong) {
        let right = signed(signer, "ping", r#"{"webhookTimestamp": 1763766000000}"#);
        for other in &sources {
            let question = Question {
                source: other.name.to_string(),
                ..right.clone()
            };
            tells_nothing(&question);
            tells_nothing(&with(question.clone(), header, value));
            let changed = Question {
                body: [&question.body[..], b"\n"].concat().into(),
                ..question
            };
            tells_nothing(&changed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_answer_to_anything_tells_a_secret(
        at in 0usize..5, signer in 0usize..5, body in "[ -~\u{fc}\n]{0,60}", header in 0usize..5,
        value in "(sha256=|v1,|Bearer )?[0-9a-fA-F+/=]{0,80}",
    ) {
        const NAMES: [&str; 5] =
            ["x-hub-signature-256", "linear-signature", "webhook-signature", "authorization", "x-codegen-signature"];
        let sources = sources();
        let question = Question {
            source: sources[at].name.to_string(),
            ..with(signed(&sources[signer], "ping", body), NAMES[header], &value)
        };
        tells_nothing(&question);
    }
}
