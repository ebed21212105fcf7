//! The headers of a request to a destination: those of the delivery as it came, ours, and those of the settings.
//!
//! Left out of the original ones: what concerned the connection they came over, what names intermediaries on the way to us
//! (`X-Forwarded-*`, `Via`, …: the receiver would take them for the way to it), credentials, and what we say ourselves.

use std::collections::BTreeMap;

use domain::{DeliveryReceived, HeaderFact, SentHeaders, is_forwarding_header};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

use crate::Dispatch;

/// What no header of ours may hold as it is; everything beyond ASCII is encoded too.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');
/// What requests without a `User-Agent` of their sender call themselves.
const AGENT: &str = concat!("Hooklog/", env!("CARGO_PKG_VERSION"));

/// Headers of one connection (RFC 9110 §7.6.1), of the message's form on it, and credentials: never passed on.
const NOT_PASSED_ON: [&str; 17] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];
/// The names under which a Standard Webhooks library looks for a signature. When we sign, a sender's own would be found
/// instead of ours or beside it.
const SIGNATURES: [&str; 2] = ["webhook-", "svix-"];
const OURS: &str = "hooklog-";
const SIGNATURE: &str = "webhook-signature";
/// What stands for a value that is not shown.
const MASK: &str = "***";
/// What describes the bytes of a body, and is wrong of another one.
const OF_THE_BYTES: [&str; 5] = [
    "content-digest",
    "content-encoding",
    "content-md5",
    "digest",
    "repr-digest",
];

/// What the headers are made for.
pub(crate) struct Letter<'a> {
    /// The attempt.
    pub(crate) dispatch: &'a Dispatch,
    /// The length of the body sent.
    pub(crate) byte_len: u64,
    /// The content type of a body that was made anew; none when it is the original.
    pub(crate) made_anew: Option<&'static str>,
    /// The signature, if it is signed.
    pub(crate) signature: Option<String>,
}

/// The headers of a request, but those of the settings.
pub(crate) fn compose(letter: &Letter<'_>) -> HeaderMap {
    let received = &letter.dispatch.received;
    let mut headers = HeaderMap::new();
    for HeaderFact(name, value) in &received.headers {
        let named = HeaderName::try_from(name.as_str());
        let valued = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (named, valued)
            && passed_on(name.as_str(), letter)
        {
            headers.append(name, value);
        }
    }
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(AGENT));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(letter.byte_len));
    if let Some(content_type) = letter.made_anew {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    ours(letter, received, &mut headers);
    headers
}

/// The same, with those of the settings, as people are told of it: what is secret is masked. The length is left out, as it is
/// known elsewhere.
pub(crate) fn told(letter: &Letter<'_>, settings: &HeaderMap) -> SentHeaders {
    let mut sent = compose(letter);
    sent.remove(CONTENT_LENGTH);
    for (name, value) in settings {
        sent.insert(name, value.clone());
    }
    let came = &letter.dispatch.received.headers;
    // One of which every value went on as it came is no news.
    let as_it_came = |name: &HeaderName| {
        let values = came
            .iter()
            .filter(|HeaderFact(n, _)| n.eq_ignore_ascii_case(name.as_str()));
        let values: Vec<&[u8]> = values.map(|HeaderFact(_, value)| value.as_bytes()).collect();
        let going = sent.get_all(name);
        !settings.contains_key(name) && going.iter().map(HeaderValue::as_bytes).eq(values)
    };
    let news = sent.iter().filter(|(name, _)| !as_it_came(name));
    let added = news.map(|(name, value)| HeaderFact(name.to_string(), shown(name, value)));
    let mut left_out: Vec<String> = Vec::new();
    for HeaderFact(name, _) in came {
        let lower = name.to_ascii_lowercase();
        let goes_on =
            HeaderName::try_from(&lower).is_ok_and(|name| sent.contains_key(&name) && as_it_came(&name));
        if !goes_on && !left_out.contains(&lower) {
            left_out.push(lower);
        }
    }
    SentHeaders {
        added: added.collect(),
        left_out,
    }
}

/// A value as it may be shown: those of the settings may all be credentials, and a signature is not for reading.
fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    if value.is_sensitive() || name.as_str() == SIGNATURE {
        return MASK.to_owned();
    }
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn ours(letter: &Letter<'_>, received: &DeliveryReceived, headers: &mut HeaderMap) {
    let dispatch = letter.dispatch;
    let mut put = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::try_from(utf8_percent_encode(text, ENCODED).to_string()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("idempotency-key", &dispatch.idempotency_key);
    put("hooklog-delivery", &received.key.to_string());
    put("hooklog-source", &received.source.to_string());
    put("hooklog-event", &received.event);
    put("hooklog-attempt", &dispatch.number.to_string());
    if let Some(replay) = dispatch.replay {
        put("hooklog-replay", &replay.to_string());
    }
    if let Some(signature) = &letter.signature {
        put("webhook-id", &dispatch.idempotency_key);
        put("webhook-timestamp", &dispatch.now.as_secs().to_string());
        put(SIGNATURE, signature);
    }
}

/// Whether an original header goes on; the name is in lower case.
fn passed_on(name: &str, letter: &Letter<'_>) -> bool {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    !(NOT_PASSED_ON.contains(&name)
        || name.starts_with(OURS)
        || is_forwarding_header(name)
        || (letter.signature.is_some() && starts(&SIGNATURES))
        || (letter.made_anew.is_some() && OF_THE_BYTES.contains(&name)))
}

/// Reads the headers of the settings. The values are marked as sensitive: nothing prints them.
pub(crate) fn configured(
    headers: &BTreeMap<String, SecretString>,
    signed: bool,
) -> Result<HeaderMap, String> {
    let mut read = HeaderMap::new();
    for (text, value) in headers {
        let name =
            HeaderName::try_from(text.as_str()).map_err(|_| format!("{text:?} is no name of a header"))?;
        let lower = name.as_str();
        let ours = lower.starts_with(OURS) || lower == "idempotency-key";
        let signs = signed && SIGNATURES.iter().any(|prefix| lower.starts_with(prefix));
        let credential = ["authorization", "cookie"].contains(&lower);
        if ours || signs || (NOT_PASSED_ON.contains(&lower) && !credential) {
            return Err(format!("{lower} is set by Hooklog itself; leave it out"));
        }
        let mut value = HeaderValue::try_from(value.expose_secret())
            .map_err(|_| format!("the value of {lower} is no value of a header"))?;
        value.set_sensitive(true);
        read.insert(name, value);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::testing::TestDelivery;
    use domain::{EventData, ReplayId};

    use super::*;

    fn dispatch(headers: &[(&str, &str)]) -> Dispatch {
        let delivery = TestDelivery::new("pü%sh", "x");
        let mut received = delivery.received();
        received.headers = headers
            .iter()
            .map(|(name, value)| HeaderFact((*name).into(), (*value).into()))
            .collect();
        Dispatch {
            destination: "ci".parse().unwrap(),
            event_id: delivery.event_id,
            idempotency_key: "key.ci".into(),
            number: 2,
            replay: None,
            now: domain::Timestamp::from_millis(1_731_705_121_999),
            received: Arc::new(received),
            data: EventData::Inline(delivery.body.clone()),
        }
    }

    fn compose(dispatch: &Dispatch, signature: Option<&str>, made_anew: Option<&'static str>) -> Vec<String> {
        let headers = super::compose(&Letter {
            dispatch,
            byte_len: 1,
            made_anew,
            signature: signature.map(str::to_owned),
        });
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        lines.sort();
        lines
    }

    fn has(lines: &[String], line: &str) -> bool {
        lines.iter().any(|l| l == line)
    }

    #[test]
    fn original_headers_go_on_in_all_their_values_and_ours_beside_them() {
        let sent = dispatch(&[
            ("X-GitHub-Event", "push"),
            ("X-Twice", "1"),
            ("x-twice", "2"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("User-Agent", "GitHub-Hookshot/abc"),
            ("X-Text", "grüß"),
        ]);
        let lines = compose(&sent, None, None);
        for line in [
            "x-github-event: push",
            "x-twice: 1",
            "x-twice: 2",
            "content-type: application/json; charset=utf-8",
            "user-agent: GitHub-Hookshot/abc",
            "x-text: grüß",
            "content-length: 1",
            "idempotency-key: key.ci",
            "hooklog-source: github",
            "hooklog-event: p%C3%BC%25sh",
            "hooklog-attempt: 2",
        ] {
            assert!(has(&lines, line), "{line}: {lines:#?}");
        }
        assert!(has(&lines, &format!("hooklog-delivery: {}", sent.received.key)));
        assert!(
            !lines
                .iter()
                .any(|l| l.starts_with("webhook-") || l.starts_with("hooklog-replay"))
        );
    }

    #[test]
    fn what_concerned_another_connection_or_is_a_credential_stays_behind() {
        let sent = dispatch(&[
            ("Host", "hooks.example"),
            ("Connection", "close"),
            ("Content-Length", "99"),
            ("Transfer-Encoding", "chunked"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("Expect", "100-continue"),
            ("Accept-Encoding", "gzip"),
            ("Authorization", "Bearer x"),
            ("Cookie", "a=b"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("Via", "1.1 proxy"),
            ("Idempotency-Key", "theirs"),
            ("Hooklog-Attempt", "77"),
            ("Bad Name", "x"),
            ("X-Bad", "a\nb"),
        ]);
        let lines = compose(&sent, None, None);
        assert_eq!(lines.len(), 7, "{lines:#?}");
        assert!(has(&lines, &format!("user-agent: {AGENT}")));
        assert!(has(&lines, "hooklog-attempt: 2") && has(&lines, "idempotency-key: key.ci"));
    }

    #[test]
    fn a_senders_own_signature_goes_on_unless_we_sign() {
        let theirs = [
            ("webhook-id", "theirs"),
            ("webhook-signature", "v1,theirs"),
            ("svix-id", "theirs"),
        ];
        let unsigned = compose(&dispatch(&theirs), None, None);
        assert!(has(&unsigned, "webhook-id: theirs") && has(&unsigned, "svix-id: theirs"));
        let signed = compose(&dispatch(&theirs), Some("v1,ours"), None);
        for line in [
            "webhook-id: key.ci",
            "webhook-timestamp: 1731705121",
            "webhook-signature: v1,ours",
        ] {
            assert!(has(&signed, line), "{line}: {signed:#?}");
        }
        assert!(!signed.iter().any(|line| line.contains("theirs")), "{signed:#?}");
    }

    #[test]
    fn a_body_made_anew_has_its_own_type_and_no_digest_of_the_old_one() {
        let sent = dispatch(&[
            ("Content-Type", "text/plain"),
            ("Content-Encoding", "gzip"),
            ("Digest", "x"),
        ]);
        let lines = compose(&sent, None, Some("application/json"));
        assert!(has(&lines, "content-type: application/json"), "{lines:#?}");
        assert!(
            !lines
                .iter()
                .any(|l| l.contains("gzip") || l.starts_with("digest")),
            "{lines:#?}"
        );
    }

    #[test]
    fn a_replay_is_named() {
        let mut sent = dispatch(&[]);
        sent.replay = Some(ReplayId::new(uuid::Uuid::from_u128(9)));
        let lines = compose(&sent, None, None);
        assert!(
            has(&lines, "hooklog-replay: 00000000-0000-0000-0000-000000000009"),
            "{lines:#?}"
        );
    }

    #[test]
    fn what_went_out_is_told_without_what_is_secret() {
        let sent = dispatch(&[
            ("Host", "hooks.example"),
            ("X-GitHub-Event", "push"),
            ("X-Twice", "1"),
            ("X-Twice", "2"),
            ("X-Mine", "theirs"),
            ("webhook-signature", "v1,theirs"),
        ]);
        let settings = BTreeMap::from([
            ("Authorization".to_owned(), SecretString::from("Bearer hush-hush")),
            ("X-Mine".to_owned(), SecretString::from("ours-hush")),
        ]);
        let settings = configured(&settings, true).unwrap();
        let letter = Letter {
            dispatch: &sent,
            byte_len: 7,
            made_anew: None,
            signature: Some("v1,hush".to_owned()),
        };
        let told = told(&letter, &settings);
        assert!(!format!("{told:?}").contains("hush"), "{told:?}");
        let mut left_out = told.left_out.clone();
        left_out.sort();
        assert_eq!(left_out, ["host", "webhook-signature", "x-mine"]);
        // Over the headers that it came with, it is what `compose` and the settings make.
        let over = told.over(&sent.received.headers);
        let mut names: Vec<String> = over
            .iter()
            .map(|HeaderFact(name, _)| name.to_lowercase())
            .collect();
        names.sort();
        let mut sending = super::compose(&letter);
        sending.remove(CONTENT_LENGTH);
        for (name, value) in &settings {
            sending.insert(name, value.clone());
        }
        let mut expected: Vec<String> = sending.iter().map(|(name, _)| name.to_string()).collect();
        expected.sort();
        assert_eq!(names, expected);
        let value = |wanted: &str| {
            over.iter()
                .find(|HeaderFact(name, _)| name == wanted)
                .map(|h| h.1.clone())
        };
        assert_eq!(value("authorization").as_deref(), Some("***"));
        assert_eq!(value("idempotency-key").as_deref(), Some("key.ci"));
        assert_eq!(value("X-GitHub-Event").as_deref(), Some("push"));
    }

    #[test]
    fn configured_headers_are_checked_and_never_shown() {
        let read = |name: &str, value: &str, signed| {
            configured(&BTreeMap::from([(name.to_owned(), value.into())]), signed)
        };
        for name in [
            "Authorization",
            "X-Api-Key",
            "User-Agent",
            "Content-Type",
            "webhook-id",
        ] {
            let headers = read(name, "hush-hush", false).unwrap();
            assert!(!format!("{headers:?}").contains("hush"), "{headers:?}");
        }
        for name in [
            "Host",
            "content-length",
            "Connection",
            "Hooklog-Attempt",
            "Idempotency-Key",
            "a b",
            "",
        ] {
            assert!(read(name, "x", false).is_err(), "{name}");
        }
        assert!(read("webhook-id", "x", true).is_err() && read("Svix-Id", "x", true).is_err());
        let error = read("X-Key", "hush\nhush", false).unwrap_err();
        assert!(error.contains("x-key") && !error.contains("hush"), "{error}");
    }
}
