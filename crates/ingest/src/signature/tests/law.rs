//! Laws that hold for every scheme, tried with arbitrary secrets, bodies and headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{at, fits};
use crate::head::Head;
use crate::options::{Encoding, HashKind, IngestOptions, SchemeKind, Secret, SourceOptions};
use crate::signature::{Scheme, TimeUnit, ToSign, scheme};

/// A scheme, a secret of its own form made of bytes, and what is set beside it.
type Case = (SchemeKind, fn(&[u8]) -> String, fn(&mut SourceOptions));

fn as_is(_: &mut SourceOptions) {}

fn like_stripe(source: &mut SourceOptions) {
    source.proof.header = Some("x-signature".into());
    source.proof.signature_key = Some("v1".into());
    source.proof.timestamp_key = Some("t".into());
    source.proof.hash = Some(HashKind::Sha512);
    source.facts.id_header = Some("x-id".into());
}

fn like_slack(source: &mut SourceOptions) {
    source.proof.header = Some("x-signature".into());
    source.proof.prefix = Some("v0=".into());
    source.proof.encoding = Some(Encoding::Base64);
    source.proof.hash = Some(HashKind::Sha1);
    source.proof.timestamp_header = Some("x-time".into());
    source.proof.timestamp_unit = Some(TimeUnit::Milliseconds);
    source.proof.content = Some("{id}:{body}:{timestamp}".into());
    source.facts.id_header = Some("x-id".into());
}

fn own_header(source: &mut SourceOptions) {
    source.proof.header = Some("x-token".into());
    source.facts.id_header = Some("x-id".into());
}

fn bearer(source: &mut SourceOptions) {
    source.facts.id_header = Some("x-id".into());
}

fn text(key: &[u8]) -> String {
    format!("s-{}", hex::encode(key))
}

fn shared(key: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

fn private(key: &[u8]) -> String {
    format!("whsk_{}", STANDARD.encode(key))
}

const CASES: &[Case] = &[
    (SchemeKind::Github, text, as_is),
    (SchemeKind::Gitlab, text, as_is),
    (SchemeKind::Gitlab, shared, as_is),
    (SchemeKind::Linear, text, as_is),
    (SchemeKind::Standard, shared, as_is),
    (SchemeKind::Standard, private, as_is),
    (SchemeKind::Hmac, text, like_stripe),
    (SchemeKind::Hmac, text, like_slack),
    (SchemeKind::Token, text, bearer),
    (SchemeKind::Token, text, own_header),
    (SchemeKind::Codegen, text, as_is),
    (SchemeKind::ClaudeCode, text, as_is),
];

fn of(case: Case) -> Box<dyn Scheme> {
    let mut options = SourceOptions {
        scheme: case.0,
        ..SourceOptions::new("x".parse().unwrap(), Vec::new())
    };
    case.2(&mut options);
    scheme(&options, &IngestOptions::default()).unwrap()
}

fn signed(scheme: &dyn Scheme, secret: &Secret, body: &[u8]) -> Head {
    let to_sign = ToSign {
        event: "ping",
        delivery_id: "id-1",
        body,
        now: at(1_700_000_000),
    };
    let headers = scheme.sign(&to_sign, Some(secret)).unwrap();
    Head::new(None, headers)
}

fn any_case() -> impl Strategy<Value = Case> {
    (0..CASES.len()).prop_map(|at| CASES[at])
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), b' '..=b'~'];
    let shaped = prop_oneof![
        "(sha256=|v1,|v1a,|Bearer |t=1,v1=)?[0-9a-fA-F+/=, ]{0,90}",
        "[0-9]{0,20}"
    ];
    prop_oneof![
        prop::collection::vec(byte, 0..100),
        shaped.prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn what_it_signs_it_verifies(case in any_case(), key: [u8; 32], body: Vec<u8>) {
        let scheme = of(case);
        let secret = Secret::new("right", &case.1(&key));
        scheme.check_secret(&secret).unwrap();
        let head = signed(scheme.as_ref(), &secret, &body);
        prop_assert_eq!(fits(scheme.as_ref(), std::slice::from_ref(&secret), &head, &body), Some(0));
        let claim = scheme.claim(&head).unwrap();
        prop_assert_eq!(claim.delivery_id.as_deref(), Some("id-1"));
        if scheme.signs_time(&secret) && scheme.paths(&claim).signed_at.is_none() {
            prop_assert!(claim.signed_at.unwrap().is_fresh(at(1_700_000_000), 1));
        }
    }

    #[test]
    fn any_flipped_bit_fails(
        case in any_case(), key: [u8; 32], body in prop::collection::vec(any::<u8>(), 1..200), bit: prop::sample::Index,
    ) {
        let scheme = of(case);
        let secret = Secret::new("right", &case.1(&key));
        let head = signed(scheme.as_ref(), &secret, &body);
        let plain = !scheme.secret_headers().is_empty() && !scheme.signs_time(&secret);
        let (mut changed, bit) = (body.clone(), bit.index(body.len() * 8));
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected = plain.then_some(0);
        prop_assert_eq!(fits(scheme.as_ref(), std::slice::from_ref(&secret), &head, &changed), expected);
        let mut other = key;
        other[0] ^= 1;
        let other = [Secret::new("wrong", &case.1(&other))];
        prop_assert_eq!(fits(scheme.as_ref(), &other, &head, &body), None);
    }

    #[test]
    fn the_order_of_secrets_never_matters(case in any_case(), keys: [[u8; 32]; 4], right in 0usize..4, body: Vec<u8>) {
        prop_assume!((0..4).all(|n| n == right || keys[n] != keys[right]));
        let scheme = of(case);
        let secrets: Vec<Secret> = keys.iter().map(|key| Secret::new("x", &case.1(key))).collect();
        let head = signed(scheme.as_ref(), &secrets[right], &body);
        for turn in 0..4 {
            let mut turned = secrets.clone();
            turned.rotate_left(turn);
            let found = fits(scheme.as_ref(), &turned, &head, &body);
            prop_assert_eq!(found, Some((right + 4 - turn) % 4));
        }
    }

    #[test]
    fn arbitrary_headers_never_panic_and_never_fit(
        case in any_case(),
        key: [u8; 32],
        values in prop::collection::vec((0usize..24, any_value()), 0..12),
        body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        const NAMES: [&str; 24] = [
            "content-type", "content-encoding", "x-hub-signature-256", "x-github-event", "x-github-delivery",
            "x-gitlab-token", "x-gitlab-event", "idempotency-key", "webhook-id", "webhook-timestamp",
            "webhook-signature", "svix-id", "svix-timestamp", "svix-signature", "linear-signature", "linear-delivery",
            "x-signature", "x-time", "x-id", "authorization", "x-token", "x-codegen-signature", "x-codegen-event",
            "x-claude-code-signature",
        ];
        let scheme = of(case);
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(NAMES[name]), value);
            }
        }
        let head = Head::new(None, headers);
        if let Ok(claim) = scheme.claim(&head) {
            let _ = scheme.paths(&claim);
        }
        prop_assert_eq!(fits(scheme.as_ref(), &[Secret::new("x", &case.1(&key))], &head, &body), None);
    }
}
