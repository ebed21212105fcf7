//! Each scheme: what it takes, what it refuses, and what is said of it.

use super::Told::{Fails, Fits};
use super::{NOW, check, explained, signed, source, with, without};
use crate::CheckName::{
    Connection, ContentEncoding, EventFilter, Freshness, Headers, JsonObject, Signature, SignatureForm,
    Source, UserAgent,
};
use crate::{CheckOutcome, Encoding, HashKind, SchemeKind, Secret, SourceOptions, WouldBe};

const BODY: &str = r#"{"action":"opened","repository":{"full_name":"octo-org/hello"}}"#;
const SIGNATURE: &str = "x-hub-signature-256";

fn github() -> SourceOptions {
    source("github", SchemeKind::Github, &["a secret", "another"])
}

fn value(question: &crate::Question, name: &str) -> String {
    question.headers[name].to_str().unwrap().to_owned()
}

#[test]
fn github_is_told_apart_from_what_is_near_it() {
    let github = [github()];
    let right = signed(&github[0], "issues", BODY);
    check(&github, &right, Fits("a"));
    let explanation = explained(&github, &right);
    assert_eq!(explanation.event.as_deref(), Some("issues"));
    assert_eq!(explanation.action.as_deref(), Some("opened"));
    assert_eq!(explanation.repository.as_deref(), Some("octo-org/hello"));
    assert_eq!(explanation.delivery_id.as_deref(), Some("d-1"));
    assert_eq!(explanation.tenant.as_deref(), Some("default"));
    let hex = value(&right, SIGNATURE).split_off("sha256=".len());
    let sign = |value: &str| with(right.clone(), SIGNATURE, value);
    let form = |value: &str, words: &str| check(&github, &sign(value), Fails(SignatureForm, words, ""));
    form(&hex, "lacks its prefix, sha256=");
    form(&format!("SHA256={hex}"), "prefix in another case");
    form(&format!("sha1={}", &hex[..40]), "is one by SHA-1");
    form(
        &format!("sha256={}", &hex[..40]),
        "has 20 bytes, as by SHA-1; 32, as by SHA-256",
    );
    form(&format!("sha256={}zz", &hex[2..]), "is no hex");
    form("sha256=", "is empty");
    form("v0=00", "does not begin with sha256=");
    form("sha256=(64 characters masked)", "masked");
    let in_base64 = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        hex::decode(&hex).unwrap(),
    );
    form(&format!("sha256={in_base64}"), "is in base64; hex is expected");
    let missing = without(right.clone(), SIGNATURE);
    check(
        &github,
        &missing,
        Fails(
            SignatureForm,
            "X-Hub-Signature-256 is missing",
            "given the secret",
        ),
    );
    let only_sha1 = with(missing, "x-hub-signature", "sha1=00");
    check(
        &github,
        &only_sha1,
        Fails(SignatureForm, "is missing", "GitHub, by SHA-1"),
    );
}

#[test]
fn whatever_else_is_wrong_with_a_request_is_named() {
    let mut plain = github();
    plain.user_agent_check = true;
    let github = [plain];
    let right = signed(&github[0], "issues", BODY);
    check(&github, &right, Fits("a"));
    let event = without(right.clone(), "x-github-event");
    check(
        &github,
        &event,
        Fails(
            Headers,
            "X-GitHub-Event is missing; the sender is answered 400",
            "",
        ),
    );
    let kind = with(right.clone(), "content-type", "text/plain");
    check(&github, &kind, Fails(Headers, "content type", ""));
    let agent = with(right.clone(), "user-agent", "curl/8");
    check(&github, &agent, Fails(UserAgent, "user agent", ""));
    let mut twice = right.clone();
    twice.headers.append(SIGNATURE, "sha256=00".parse().unwrap());
    check(&github, &twice, Fails(Headers, "more than once", ""));
    let list = signed(&github[0], "issues", "[]");
    check(&github, &list, Fails(JsonObject, "not a JSON object", ""));
    assert_eq!(
        explained(&github, &list).secret_id.as_deref(),
        Some("a"),
        "the signature fits"
    );
    let gzip = with(right.clone(), "content-encoding", "gzip");
    check(
        &github,
        &gzip,
        Fails(ContentEncoding, "not encoded", "decoded already"),
    );
    let zip = with(right.clone(), "content-encoding", "zip");
    check(&github, &zip, Fails(ContentEncoding, "not taken", ""));
    let mut nobody = right.clone();
    nobody.source = "nobody".into();
    check(
        &github,
        &nobody,
        Fails(Source, "no source of this name", "there are: github"),
    );
    let mut bound = right;
    bound.connection = Some("41".into());
    check(
        &github,
        &bound,
        Fails(Connection, "bound to this connection", "none is bound to any"),
    );
}

#[test]
fn an_event_that_is_not_wanted_is_proven_and_ignored() {
    let mut github = github();
    github.events = vec!["push".into()];
    let explanation = explained(&[github.clone()], &signed(&github, "issues", BODY));
    assert_eq!(
        (explanation.would_be, explanation.verified),
        (WouldBe::Ignored, true)
    );
    let last = explanation.checks.last().unwrap();
    assert_eq!((last.name, last.outcome), (EventFilter, CheckOutcome::Failed));
}

#[test]
fn without_verification_nothing_is_verified() {
    let mut open = github();
    open.verify = false;
    let explanation = explained(
        &[open.clone()],
        &without(signed(&open, "issues", BODY), SIGNATURE),
    );
    assert_eq!(
        (explanation.would_be, explanation.verified),
        (WouldBe::Accepted, false)
    );
    assert_eq!((explanation.secret_id, explanation.tenant), (None, None));
    let signature = explanation
        .checks
        .iter()
        .find(|check| check.name == Signature)
        .unwrap();
    assert_eq!(signature.outcome, CheckOutcome::Skipped, "{signature:?}");
}

#[test]
fn a_secret_that_is_another_one_is_found_by_its_id() {
    let mut github = github();
    let bound = |id: &str, value: &str, hook: &str| Secret {
        hook: Some(hook.into()),
        ..Secret::new(id, value)
    };
    github.secrets.push(bound("of-41", "forty-one", "41"));
    github.secrets.push(bound("of-42", "forty-two", "42"));
    let codegen = source("codegen", SchemeKind::Codegen, &["of codegen"]);
    let sources = [github.clone(), codegen.clone()];
    let by = |secret: &str, hook: &str| {
        let signer = SourceOptions {
            secrets: vec![Secret::new("x", secret)],
            ..github.clone()
        };
        with(signed(&signer, "issues", BODY), "x-github-hook-id", hook)
    };
    check(&sources, &by("another", "7"), Fits("b"));
    check(&sources, &by("forty-one", "41"), Fits("of-41"));
    check(
        &sources,
        &by("forty-two", "41"),
        Fails(
            Signature,
            "tried: of-41;",
            "secret of-42 of this source, which is bound to 42",
        ),
    );
    check(
        &sources,
        &by("a secret", "41"),
        Fails(
            Signature,
            "401 SIGNATURE_INVALID",
            "secret a of this source, which is bound to no hook",
        ),
    );
    check(
        &sources,
        &by("of codegen", "7"),
        Fails(Signature, "tried: a, b;", "secret a of the source codegen"),
    );
    check(
        &sources,
        &by("nobody's", "7"),
        Fails(Signature, "tried: a, b;", "another secret"),
    );
    let mut misdirected = signed(&codegen, "ping", BODY);
    misdirected.source = "github".into();
    check(
        &sources,
        &misdirected,
        Fails(
            Headers,
            "X-GitHub-Event is missing",
            "signed with the secret a of the source codegen",
        ),
    );
    let mut connected = by("forty-two", "7");
    connected.connection = Some("42".into());
    check(&sources, &connected, Fits("of-42"));
    connected.connection = Some("43".into());
    check(&sources, &connected, Fails(Connection, "", "bound to: 41, 42"));
}

#[test]
fn a_secret_with_more_around_it_than_was_meant_is_recognised() {
    let of = |ours: &str, theirs: &str, words: &str| {
        let ours = source("github", SchemeKind::Github, &[ours]);
        let theirs = source("github", SchemeKind::Github, &[theirs]);
        check(
            &[ours],
            &signed(&theirs, "issues", BODY),
            Fails(Signature, "", words),
        );
    };
    of(
        " a secret\n",
        "a secret",
        "secret a without the white space around it",
    );
    of("\"a secret\"", "a secret", "secret a without the quotes");
    of("'a secret'", "a secret", "secret a without the quotes");
    of("a secret", "a secret\n", "secret a with a line feed behind it");
}

#[test]
fn linear_signs_its_time_in_the_body() {
    let linear = [source("linear", SchemeKind::Linear, &["lin_wh_1"])];
    let at = |millis: i64| format!(r#"{{"type":"Issue","action":"create","webhookTimestamp":{millis}}}"#);
    let now = NOW.as_millis();
    let right = signed(&linear[0], "Issue", at(now));
    check(&linear, &right, Fits("a"));
    check(
        &linear,
        &signed(&linear[0], "Issue", at(now - 3_600_000)),
        Fails(
            Freshness,
            "made 3600 s before the time of receipt; up to 60 s",
            "as of its own time",
        ),
    );
    check(
        &linear,
        &signed(&linear[0], "Issue", at(now + 61_000)),
        Fails(Freshness, "61 s ahead", "clocks"),
    );
    check(
        &linear,
        &signed(&linear[0], "Issue", "{}"),
        Fails(Freshness, "missing or can't be read", ""),
    );
    let mut old = signed(&linear[0], "Issue", at(now - 3_600_000));
    old.at = Some(domain::Timestamp::from_millis(now - 3_600_000));
    check(&linear, &old, Fits("a"));
    let prefixed = format!("sha256={}", value(&right, "linear-signature"));
    check(
        &linear,
        &with(right, "linear-signature", &prefixed),
        Fails(SignatureForm, "has a prefix", ""),
    );
}

#[test]
fn a_list_of_standard_webhooks_says_which_kind_is_missing() {
    let shared = "whsec_plJ3nmyCDGBKInavdOK15jsl";
    let private = "whsk_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let (hmac, ed25519) = (
        source("standard", SchemeKind::Standard, &[shared]),
        source("standard", SchemeKind::Standard, &[private]),
    );
    let (by_hmac, by_key) = (signed(&hmac, "ping", "{}"), signed(&ed25519, "ping", "{}"));
    check(std::slice::from_ref(&hmac), &by_hmac, Fits("a"));
    check(std::slice::from_ref(&ed25519), &by_key, Fits("a"));
    check(
        std::slice::from_ref(&hmac),
        &by_key,
        Fails(SignatureForm, "ed25519 (v1a)", "whpk_"),
    );
    check(&[ed25519], &by_hmac, Fails(SignatureForm, "HMACs (v1)", ""));
    let sign = |value: &str| with(by_hmac.clone(), "webhook-signature", value);
    let hmac = [hmac];
    for (value, words) in [
        ("v2,AAAA", "begins with v1, or v1a,"),
        ("v1,!!", "is no base64"),
        ("v1,AAAA", "has 3 bytes; 32, as by SHA-256"),
        (
            "v1,AA v1,AA v1,AA v1,AA v1,AA v1,AA v1,AA v1,AA v1,AA",
            "more than 8 signatures",
        ),
    ] {
        check(&hmac, &sign(value), Fails(SignatureForm, words, ""));
    }
    let unpadded = value(&by_hmac, "webhook-signature")
        .trim_end_matches('=')
        .to_owned();
    check(
        &hmac,
        &sign(&unpadded),
        Fails(SignatureForm, "without its padding", ""),
    );
    check(
        &hmac,
        &with(by_hmac.clone(), "webhook-id", "d-2"),
        Fails(Signature, "", ""),
    );
    let late = with(by_hmac.clone(), "webhook-timestamp", "soon");
    check(
        &hmac,
        &late,
        Fails(Headers, "webhook-timestamp can't be used", ""),
    );
    let mut old = by_hmac;
    old.at = Some(domain::Timestamp::from_millis(NOW.as_millis() + 301_000));
    check(&hmac, &old, Fails(Freshness, "301 s before", "tolerance_ms"));
}

#[test]
fn gitlab_is_checked_by_its_signature_or_else_by_its_token() {
    let (token, signing) = ("a token", "whsec_plJ3nmyCDGBKInavdOK15jsl");
    let gitlab = [source("gitlab", SchemeKind::Gitlab, &[token, signing])];
    let by_token = signed(&gitlab[0], "Push Hook", "{}");
    check(&gitlab, &by_token, Fits("a"));
    check(
        &gitlab,
        &with(by_token.clone(), "x-gitlab-token", "wrong"),
        Fails(Signature, "tried: a, b", "another secret"),
    );
    check(
        &gitlab,
        &without(by_token.clone(), "x-gitlab-token"),
        Fails(SignatureForm, "X-Gitlab-Token is missing", ""),
    );
    let also_signed = with(by_token, "webhook-signature", "v1,AAAA");
    check(&gitlab, &also_signed, Fits("a"));
    let wrong = with(also_signed, "x-gitlab-token", "wrong");
    check(
        &gitlab,
        &wrong,
        Fails(SignatureForm, "webhook-id is missing", "the signature covers it"),
    );
    let wrong = with(with(wrong, "webhook-id", "1"), "webhook-timestamp", "1");
    check(&gitlab, &wrong, Fails(SignatureForm, "has 3 bytes", ""));
    let signer = [source("gitlab", SchemeKind::Gitlab, &[signing])];
    let by_signature = signed(&signer[0], "Push Hook", "{}");
    check(&gitlab, &by_signature, Fits("b"));
    let tokens = [source("gitlab", SchemeKind::Gitlab, &[token])];
    check(
        &tokens,
        &by_signature,
        Fails(
            SignatureForm,
            "X-Gitlab-Token is missing",
            "webhook-signature (Standard Webhooks and GitLab)",
        ),
    );
}

#[test]
fn an_hmac_by_settings_is_explained_by_them() {
    let mut stripe = source("stripe", SchemeKind::Hmac, &["whsec_x"]);
    stripe.proof.header = Some("stripe-signature".into());
    stripe.proof.signature_key = Some("v1".into());
    stripe.proof.timestamp_key = Some("t".into());
    let right = signed(&stripe, "ping", "{}");
    let stripe = [stripe];
    check(&stripe, &right, Fits("a"));
    let text = value(&right, "stripe-signature");
    let sign = |value: &str| with(right.clone(), "stripe-signature", value);
    let (time, mac) = text.split_once(',').unwrap();
    check(&stripe, &sign(mac), Fails(SignatureForm, "holds no time, t=", ""));
    check(&stripe, &sign(time), Fails(SignatureForm, "holds no v1=", ""));
    let mut shop = source("shop", SchemeKind::Hmac, &["hush"]);
    shop.proof.header = Some("x-shop".into());
    shop.proof.encoding = Some(Encoding::Base64);
    shop.proof.hash = Some(HashKind::Sha1);
    let right = signed(&shop, "ping", "{}");
    let shop = [shop];
    check(&shop, &right, Fits("a"));
    let hex = "00".repeat(20);
    check(
        &shop,
        &with(right.clone(), "x-shop", &hex),
        Fails(SignatureForm, "is in hex; base64 is expected", ""),
    );
    check(
        &shop,
        &with(right.clone(), "x-shop", "-_8AAAAAAAAAAAAAAAAAAAAAAAA"),
        Fails(SignatureForm, "base64 of URLs", ""),
    );
    check(
        &shop,
        &with(right, "x-shop", "AAAA,"),
        Fails(SignatureForm, "has 3 bytes", ""),
    );
    let mut zoom = source("zoom", SchemeKind::Hmac, &["hush"]);
    zoom.proof.header = Some("x-zoom".into());
    zoom.proof.prefix = Some("v0=".into());
    zoom.proof.content = Some("{id}.{body}".into());
    zoom.facts.id_header = Some("x-zoom-id".into());
    let right = signed(&zoom, "ping", "{}");
    let zoom = [zoom];
    check(&zoom, &right, Fits("a"));
    let dropped = without(right.clone(), "x-zoom-id");
    check(
        &zoom,
        &dropped,
        Fails(SignatureForm, "x-zoom-id is missing", "the signature covers it"),
    );
    // Only those with the prefix are counted, as receiving counts them.
    let others = format!("{}{}", "v9=00,".repeat(20), "v0=zz");
    check(
        &zoom,
        &with(right, "x-zoom", &others),
        Fails(SignatureForm, "does not begin with v0=", ""),
    );
}

#[test]
fn of_a_token_nothing_is_told_but_whether_there_is_one() {
    let monitor = [source("monitor", SchemeKind::Token, &["a long token"])];
    let right = signed(&monitor[0], "ping", "{}");
    check(&monitor, &right, Fits("a"));
    check(
        &monitor,
        &without(right.clone(), "authorization"),
        Fails(SignatureForm, "authorization is missing", ""),
    );
    check(
        &monitor,
        &with(right.clone(), "authorization", "Basic x"),
        Fails(SignatureForm, "does not begin with Bearer", ""),
    );
    check(
        &monitor,
        &with(right.clone(), "authorization", "Bearer "),
        Fails(SignatureForm, "holds no token", ""),
    );
    // However near it is, the answer is the same.
    let of = |token: &str| {
        explained(
            &monitor,
            &with(right.clone(), "authorization", &format!("Bearer {token}")),
        )
    };
    let far = of("x");
    for near in ["a long toke", "a long token2", "A long token", "a long toker"] {
        assert_eq!(of(near), far);
    }
}
