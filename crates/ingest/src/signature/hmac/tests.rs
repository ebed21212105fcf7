use super::super::claude_code::CLAUDE_CODE;
use super::super::codegen::CODEGEN;
use super::super::tests::{Pairs, Vector, at, fits, head, secrets};
use super::*;
use crate::options::FactOptions;

fn build(
    proof: impl FnOnce(&mut ProofOptions),
    facts: impl FnOnce(&mut FactOptions),
) -> Result<HmacScheme, String> {
    let mut options = ProofOptions {
        header: Some("X-Signature".into()),
        ..ProofOptions::default()
    };
    proof(&mut options);
    let mut places = FactOptions::default();
    facts(&mut places);
    HmacScheme::build("hmac", &options, ConfiguredFacts::build(&places)?, 8)
}

fn hmac(proof: impl FnOnce(&mut ProofOptions)) -> HmacScheme {
    build(proof, |_| {}).unwrap()
}

fn vector(scheme: &HmacScheme, secret: &str, headers: &Pairs<'_>, body: &[u8], signed: &[&str]) {
    let proof = headers[0].0;
    Vector {
        scheme,
        secret,
        headers,
        proof,
        body,
    }
    .check(signed);
}

/// RFC 2202 and RFC 4231, test case 2.
#[test]
fn the_vectors_of_the_rfcs_verify_and_nothing_near_them() {
    for (hash, digest) in [
        (HashKind::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (
            HashKind::Sha256,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            HashKind::Sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let scheme = hmac(|proof| proof.hash = Some(hash));
        let body = b"what do ya want for nothing?";
        vector(&scheme, "Jefe", &[("X-Signature", digest)], body, &[]);
    }
}

#[test]
fn the_vector_of_github_verifies_by_settings_alone() {
    let github = hmac(|proof| {
        proof.header = Some("X-Hub-Signature-256".into());
        proof.prefix = Some("sha256=".into());
    });
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("X-Hub-Signature-256", signature)];
    vector(
        &github,
        "It's a Secret to Everybody",
        &headers,
        b"Hello, World!",
        &[],
    );
}

/// The rest was made with openssl or Python's `hmac`, in the shapes of senders that many know.
#[test]
fn a_signature_in_base64_verifies_as_of_shopify() {
    let shopify = hmac(|proof| proof.encoding = Some(Encoding::Base64));
    let headers = [("X-Signature", "qBvrsZF7RfB1iS6BX6IHqJTp5L911P7intnPeTPsH0I=")];
    vector(&shopify, "hush", &headers, br#"{"id":820982911946154508}"#, &[]);
}

fn stripe() -> HmacScheme {
    hmac(|proof| {
        proof.signature_key = Some("v1".into());
        proof.timestamp_key = Some("t".into());
    })
}

const STRIPE: &str = "5d10b7ef6f4ad3434202c2eb5be7aaeab2caf78d79d6315aa57727f049338be4";
const CHARGE: &[u8] = br#"{"type":"charge.paid"}"#;

#[test]
fn a_list_of_keys_and_values_verifies_as_of_stripe() {
    let value = format!("t=1492774577,v1={STRIPE}");
    let headers = [("X-Signature", value.as_str())];
    vector(&stripe(), "whsec_stripe_text", &headers, CHARGE, &[]);
    let claim = stripe().claim(&head(&headers)).unwrap();
    assert!(claim.signed_at.unwrap().is_fresh(at(1_492_774_577), 1));
    let which = |value: &str| {
        fits(
            &stripe(),
            &secrets(&["whsec_stripe_text"]),
            &head(&[("X-Signature", value)]),
            CHARGE,
        )
    };
    // In any order, with others beside it, and with semicolons as Paddle has them.
    assert_eq!(
        which(&format!("v0=00, v1=00, v1={STRIPE}; t=1492774577")),
        Some(0)
    );
    assert_eq!(which(&format!("v1={STRIPE}")), None, "without its time");
    assert_eq!(which(&format!("t=1492774577,v0={STRIPE}")), None);
    assert_eq!(
        which(&format!("t=1492774577{},v1={STRIPE}", ",v1=00".repeat(8))),
        None,
        "more signatures than allowed"
    );
    // The first time counts, for the signature as for its age.
    assert_eq!(which(&format!("t=1,t=1492774577,v1={STRIPE}")), None);
}

fn slack() -> HmacScheme {
    hmac(|proof| {
        proof.prefix = Some("v0=".into());
        proof.timestamp_header = Some("X-Time".into());
        proof.content = Some("v0:{timestamp}:{body}".into());
    })
}

#[test]
fn a_time_in_a_header_of_its_own_is_signed_as_of_slack() {
    let value = "v0=18d36284cae220fc4be99afe331418e068eec3da077c3a585eaab07c3a841029";
    let headers = [("X-Signature", value), ("X-Time", "1531420618")];
    vector(
        &slack(),
        "slack-secret",
        &headers,
        b"token=x&team_id=T1",
        &["X-Time"],
    );
    let claim = |pairs: &Pairs<'_>| slack().claim(&head(pairs));
    assert!(
        claim(&headers)
            .unwrap()
            .signed_at
            .unwrap()
            .is_fresh(at(1_531_420_618), 1)
    );
    assert_eq!(
        claim(&headers[..1]),
        Err(Rejection::HeaderMissing("x-time".into()))
    );
    let odd = [headers[0], ("X-Time", "now")];
    assert_eq!(claim(&odd), Err(Rejection::HeaderInvalid("x-time".into())));
}

#[test]
fn several_signatures_with_a_prefix_verify_as_of_pagerduty() {
    let pager = hmac(|proof| proof.prefix = Some("v1=".into()));
    let right = "v1=f72e77d3389fd47a3bb95f1eeea26cfbcba1810abaad3b089f5341226aef8164";
    let body = br#"{"event":{"event_type":"incident.triggered"}}"#;
    vector(&pager, "pager", &[("X-Signature", right)], body, &[]);
    let value = format!("v1=00,{right}");
    let both = head(&[("X-Signature", value.as_str())]);
    assert_eq!(fits(&pager, &secrets(&["x", "pager"]), &both, body), Some(1));
}

#[test]
fn the_presets_verify_and_every_field_of_theirs_may_be_set_otherwise() {
    let (proof, facts) = (ProofOptions::default(), FactOptions::default());
    let codegen = CODEGEN.build(&proof, &facts, 8).unwrap();
    let value = "sha256=69ada88392dea9279fc31829a2e6eacb0a41a8b05b07fdcd86a63b333456aa42";
    let headers = [("X-Codegen-Signature", value)];
    let body = br#"{"action":"finished","repository":{"full_name":"octo-org/hello"}}"#;
    vector(&codegen, "codegen-secret", &headers, body, &[]);
    let claude = CLAUDE_CODE.build(&proof, &facts, 8).unwrap();
    let value = "sha256=5482776801c5a9667c4fc3499a8c1a1e2870b08d7aa64f633677e3123584e59e";
    let headers = [("X-Claude-Code-Signature", value)];
    vector(
        &claude,
        "claude-secret",
        &headers,
        br#"{"action":"finished"}"#,
        &[],
    );
    assert_eq!((codegen.name(), claude.name()), ("codegen", "claude-code"));

    let named = [("X-Codegen-Delivery", "d"), ("X-Codegen-Event", "run")];
    let claim = codegen.claim(&head(&named)).unwrap();
    assert_eq!(
        (claim.delivery_id.as_deref(), claim.event.as_deref()),
        (Some("d"), Some("run"))
    );
    let bare = FactOptions {
        id_header: Some(String::new()),
        event_header: Some(String::new()),
        event_pointer: Some("/kind".into()),
        ..FactOptions::default()
    };
    let other = CODEGEN.build(
        &ProofOptions {
            header: Some("X-Other".into()),
            prefix: Some(String::new()),
            encoding: Some(Encoding::Base64),
            ..proof
        },
        &bare,
        8,
    );
    let other = other.unwrap();
    let claim = other.claim(&head(&named)).unwrap();
    assert_eq!((claim.delivery_id, claim.event), (None, None));
    let to_sign = ToSign {
        event: "e",
        delivery_id: "d",
        body: b"{}",
        now: at(1),
    };
    let signed = other.sign(&to_sign, secrets(&["s"]).first()).unwrap();
    assert!(signed.contains_key("x-other") && !signed.contains_key("x-codegen-event"));
}

#[test]
fn a_key_may_be_written_in_hex_or_base64() {
    for (encoding, text) in [
        (SecretEncoding::Hex, "4a656665"),
        (SecretEncoding::Base64, "SmVmZQ=="),
    ] {
        let scheme = hmac(|proof| proof.secret_encoding = Some(encoding));
        let digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let head = head(&[("X-Signature", digest)]);
        let body = b"what do ya want for nothing?";
        assert_eq!(fits(&scheme, &secrets(&[text]), &head, body), Some(0));
        let why = scheme.check_secret(&Secret::new("x", "swordfish!")).unwrap_err();
        assert!(
            why.contains("secret_encoding") && !why.contains("swordfish"),
            "{why}"
        );
    }
}

#[test]
fn an_id_may_be_signed_with_the_rest() {
    let scheme = build(
        |proof| proof.content = Some("{id}|{body}".into()),
        |facts| facts.id_header = Some("X-Id".into()),
    )
    .unwrap();
    let to_sign = ToSign {
        event: "e",
        delivery_id: "d-1",
        body: b"{}",
        now: at(1),
    };
    let secret = secrets(&["s"]);
    let signed = Head::new(None, scheme.sign(&to_sign, secret.first()).unwrap());
    assert_eq!(fits(&scheme, &secret, &signed, b"{}"), Some(0));
    let mut other = signed.headers.clone();
    other.insert("x-id", HeaderValue::from_static("d-2"));
    let other = Head::new(None, other);
    assert_eq!(fits(&scheme, &secret, &other, b"{}"), None);
}

#[test]
fn settings_that_could_never_be_right_are_refused() {
    let why = |proof: fn(&mut ProofOptions)| build(proof, |_| {}).err().unwrap();
    assert!(why(|p| p.header = None).contains("proof.header"));
    assert!(why(|p| p.header = Some("x y".into())).contains("proof.header"));
    assert!(why(|p| p.prefix = Some("a,b".into())).contains("comma"));
    assert!(why(|p| p.timestamp_key = Some("t".into())).contains("signature_key"));
    assert!(why(|p| p.content = Some("{timestamp}{body}".into())).contains("timestamp_header"));
    let unsigned: fn(&mut ProofOptions) = |p| {
        p.timestamp_header = Some("X-Time".into());
        p.content = Some("{body}".into());
    };
    assert!(why(unsigned).contains("proves nothing"));
    let twice: fn(&mut ProofOptions) = |p| {
        p.signature_key = Some("v1".into());
        p.timestamp_key = Some("t".into());
        p.timestamp_header = Some("X-Time".into());
    };
    assert!(why(twice).contains("one of"));
    assert!(why(|p| p.content = Some("{id}{body}".into())).contains("facts.id_header"));
    assert!(why(|p| p.content = Some("x".into())).contains("{body}"));
}
