//! Standard Webhooks, and Svix from which they come: `webhook-signature` is a list of `v1,<base64>` (HMAC-SHA256) and
//! `v1a,<base64>` (ed25519) over `{id}.{timestamp}.{body}`. The headers may be called `svix-…` instead
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, StreamVerifier, VerifyingKey};
use poem::http::header::CONTENT_TYPE;
use poem::http::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::configured::ConfiguredFacts;
use super::key::Key;
use super::mac::{MacCheck, mac_of};
use super::{
    Check, Claim, Example, FactPaths, ListShape, Scheme, Shape, SignError, Stamp, TimeUnit, ToSign, content,
    set,
};
use crate::head::Head;
use crate::options::{FactOptions, HashKind, Secret};
use crate::rejection::Rejection;

/// The names of the three headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) id: &'static str,
    pub(super) timestamp: &'static str,
    pub(super) signature: &'static str,
}

/// As the specification has them.
pub(super) const WEBHOOK: Names = Names {
    id: "webhook-id",
    timestamp: "webhook-timestamp",
    signature: "webhook-signature",
};
const SVIX: Names = Names {
    id: "svix-id",
    timestamp: "svix-timestamp",
    signature: "svix-signature",
};

/// How far the time may be off, in milliseconds: what the reference libraries take.
pub(super) const TOLERANCE_MS: u64 = 300_000;

/// The scheme `standard`.
pub(super) struct Standard {
    /// The most signatures that one delivery may carry.
    signatures_max: usize,
    facts: ConfiguredFacts,
}

impl Standard {
    /// The id is that of the header, which is signed; the event is `type` in the body unless the settings say otherwise.
    pub(super) fn build(facts: &FactOptions, signatures_max: usize) -> Result<Self, String> {
        if facts.id_header.is_some() || facts.id_pointer.is_some() {
            return Err("facts: the id of a delivery is its signed webhook-id; leave it out".into());
        }
        let usual = || Some("/type".to_owned());
        let facts = FactOptions {
            event_pointer: facts.event_pointer.clone().or_else(usual),
            ..facts.clone()
        };
        Ok(Self {
            signatures_max,
            facts: ConfiguredFacts::build(&facts)?,
        })
    }
}

impl Scheme for Standard {
    fn name(&self) -> &'static str {
        "standard"
    }

    fn check_secret(&self, secret: &Secret) -> Result<(), &'static str> {
        Key::parse(secret).map(drop)
    }

    fn tolerance_ms(&self) -> Option<u64> {
        Some(TOLERANCE_MS)
    }

    fn claim(&self, head: &Head) -> Result<Claim, Rejection> {
        let form = content::any(head)?;
        let names = names(head);
        head.sole(names.signature)?;
        let id = head
            .name(names.id)?
            .ok_or(Rejection::HeaderMissing(names.id.into()))?;
        Ok(Claim {
            delivery_id: Some(id),
            signed_at: Some(signed_at(head, &names)?),
            form,
            ..self.facts.claim(head)?
        })
    }

    fn check(&self, head: &Head, candidates: &[&Secret]) -> Option<Box<dyn Check>> {
        let candidates = candidates.iter().copied().enumerate();
        check(head, &names(head), candidates, self.signatures_max)
    }

    fn shape(&self, head: &Head, candidates: &[&Secret]) -> Shape<'_> {
        Shape::List(shape(&names(head), candidates))
    }

    fn paths(&self, _claim: &Claim) -> FactPaths {
        self.facts.paths()
    }

    fn example(&self, of: &Example<'_>) -> Value {
        self.facts.example(of)
    }

    fn sign(&self, delivery: &ToSign<'_>, secret: Option<&Secret>) -> Result<HeaderMap, SignError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.facts.sign(&mut headers, delivery)?;
        sign(&mut headers, delivery, secret)?;
        Ok(headers)
    }
}

/// The names that a request uses.
fn names(head: &Head) -> Names {
    let svix = head.headers.contains_key(SVIX.id) && !head.headers.contains_key(WEBHOOK.id);
    if svix { SVIX } else { WEBHOOK }
}

/// What the list of a request looks like, by the kinds of keys that are tried on it.
pub(super) fn shape(names: &Names, candidates: &[&Secret]) -> ListShape {
    let mut shape = ListShape {
        header: names.signature,
        shared: false,
        public: false,
        signed_headers: [names.id, names.timestamp],
    };
    for secret in candidates {
        match Key::parse(secret) {
            Ok(Key::Shared(_)) => shape.shared = true,
            Ok(Key::Public(_) | Key::Private(_)) => shape.public = true,
            // No key of this scheme, so none of those that are tried.
            Err(_) => {}
        }
    }
    shape
}

/// The time that a request was signed at.
fn signed_at(head: &Head, names: &Names) -> Result<Stamp, Rejection> {
    let text = head
        .name(names.timestamp)?
        .ok_or(Rejection::HeaderMissing(names.timestamp.into()))?;
    Stamp::parse(&text, TimeUnit::Seconds).ok_or(Rejection::HeaderInvalid(names.timestamp.into()))
}

/// Begins to check a request; none when it carries no signature that could be right. `candidates` go with their numbers.
pub(super) fn check<'s>(
    head: &Head,
    names: &Names,
    candidates: impl IntoIterator<Item = (usize, &'s Secret)>,
    signatures_max: usize,
) -> Option<Box<dyn Check>> {
    let raw = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    let before = [raw(names.id)?, b".", raw(names.timestamp)?, b"."].concat();
    let list = std::str::from_utf8(raw(names.signature)?).ok()?;
    if list.split_ascii_whitespace().count() > signatures_max {
        return None;
    }
    let of = |version: &str| {
        let given = list
            .split_ascii_whitespace()
            .filter_map(|one| one.strip_prefix(version)?.strip_prefix(','))
            .filter_map(|encoded| STANDARD.decode(encoded).ok());
        given.collect::<Vec<_>>()
    };
    let (mut shared, mut public) = (Vec::new(), Vec::new());
    for (at, secret) in candidates {
        match Key::parse(secret) {
            Ok(Key::Shared(key)) => shared.push((at, key)),
            Ok(Key::Public(key)) => public.push((at, key)),
            Ok(Key::Private(key)) => public.push((at, key.verifying_key())),
            // Refused when the source was built.
            Err(_) => {}
        }
    }
    let keys = shared.iter().map(|(at, key)| (*at, key.expose_secret()));
    let macs = MacCheck::new(HashKind::Sha256, keys, of("v1"))?.around(&before, &[]);
    let mut streams = streams(&public, &of("v1a"));
    for (_, stream) in &mut streams {
        stream.update(&before);
    }
    Some(Box::new(StandardCheck {
        macs: Box::new(macs),
        streams,
    }))
}

/// Of each candidate and each signature one verification, which takes the body as it arrives: a signature of ed25519
/// needs no more memory than an HMAC.
fn streams(keys: &[(usize, VerifyingKey)], given: &[Vec<u8>]) -> Vec<(usize, StreamVerifier)> {
    let pairs = keys
        .iter()
        .flat_map(|(at, key)| given.iter().map(move |given| (*at, key, given)));
    let begun = |(at, key, given): (usize, &VerifyingKey, &Vec<u8>)| {
        let signature = Signature::from_slice(given).ok()?;
        Some((at, key.verify_stream(&signature).ok()?))
    };
    pairs.filter_map(begun).collect()
}

struct StandardCheck {
    macs: Box<MacCheck>,
    streams: Vec<(usize, StreamVerifier)>,
}

impl Check for StandardCheck {
    fn update(&mut self, piece: &[u8]) {
        self.macs.update(piece);
        for (_, stream) in &mut self.streams {
            stream.update(piece);
        }
    }

    fn finish(self: Box<Self>) -> Option<usize> {
        let by_mac = self.macs.finish();
        // Public keys: how long this takes tells nothing that is not public.
        let fits = |(at, stream): (usize, StreamVerifier)| stream.finalize_and_verify().is_ok().then_some(at);
        let by_key: Vec<usize> = self.streams.into_iter().filter_map(fits).collect();
        by_mac.or_else(|| by_key.first().copied())
    }
}

/// Sets the three headers.
pub(super) fn sign(
    headers: &mut HeaderMap,
    delivery: &ToSign<'_>,
    secret: Option<&Secret>,
) -> Result<(), SignError> {
    let timestamp = Stamp::text(delivery.now, TimeUnit::Seconds).to_string();
    set(headers, WEBHOOK.id, delivery.delivery_id)?;
    set(headers, WEBHOOK.timestamp, &timestamp)?;
    let Some(key) = secret.and_then(|secret| Key::parse(secret).ok()) else {
        return Ok(());
    };
    let id = delivery.delivery_id.as_bytes();
    let signed = [id, b".", timestamp.as_bytes(), b".", delivery.body];
    let (version, signature) = match key {
        Key::Shared(key) => (
            "v1",
            mac_of(HashKind::Sha256, key.expose_secret(), &signed).unwrap_or_default(),
        ),
        Key::Private(key) => ("v1a", key.sign(&signed.concat()).to_vec()),
        Key::Public(_) => return Err(SignError::PublicKey),
    };
    let signature = format!("{version},{}", STANDARD.encode(signature));
    set(headers, WEBHOOK.signature, &signature)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Pairs, Vector, at, claim, fits, head, secrets};
    use super::*;

    fn standard_webhooks() -> Standard {
        Standard::build(&FactOptions::default(), 8).unwrap()
    }

    /// The example of the reference libraries.
    const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const HEADERS: &Pairs<'static> = &[
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", SIGNATURE),
    ];
    /// The same message, signed by openssl with the seed `[7; 32]`.
    const PRIVATE: &str = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    const PUBLIC: &str = "whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
    const SIGNATURE_A: &str =
        "v1a,2iFnCkcL0nCB7d0lgaT5vmGnQgJl4zcl9qd7UbPYvulcwR3MRYzjXT2JCSEV4dFH3XNALA4OW0zY5fFdGv9GBA==";

    fn with(list: &str) -> Head {
        head(&[HEADERS[0], HEADERS[1], ("webhook-signature", list)])
    }

    #[test]
    fn the_example_of_the_reference_libraries_verifies_and_nothing_near_it() {
        for secret in [SECRET.to_owned(), format!("whsec_{SECRET}")] {
            let vector = Vector {
                scheme: &standard_webhooks(),
                secret: &secret,
                headers: HEADERS,
                proof: "webhook-signature",
                body: BODY,
            };
            vector.check(&["webhook-id", "webhook-timestamp"]);
        }
    }

    #[test]
    fn the_example_of_svix_verifies_under_the_names_of_svix() {
        Vector {
            scheme: &standard_webhooks(),
            secret: "whsec_plJ3nmyCDGBKInavdOK15jsl",
            headers: &[
                ("svix-id", "msg_loFOjxBNrRLzqYUf"),
                ("svix-timestamp", "1731705121"),
                (
                    "svix-signature",
                    "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
                ),
            ],
            proof: "svix-signature",
            body: br#"{"event_type":"ping","data":{"success":true}}"#,
        }
        .check(&["svix-id", "svix-timestamp"]);
    }

    #[test]
    fn a_signature_of_ed25519_verifies_and_nothing_near_it() {
        for secret in [PUBLIC, PRIVATE] {
            let headers = [HEADERS[0], HEADERS[1], ("webhook-signature", SIGNATURE_A)];
            let vector = Vector {
                scheme: &standard_webhooks(),
                secret,
                headers: &headers,
                proof: "webhook-signature",
                body: BODY,
            };
            vector.check(&["webhook-id", "webhook-timestamp"]);
        }
    }

    #[test]
    fn of_a_list_any_signature_may_fit_and_versions_are_kept_apart() {
        let fits = |secret: &str, list: &str| {
            fits(&standard_webhooks(), &secrets(&[secret]), &with(list), BODY).is_some()
        };
        let other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert!(fits(
            SECRET,
            &format!("{other} v2,what {SIGNATURE} nonsense v1a,x")
        ));
        assert!(fits(PUBLIC, &format!("{other} {SIGNATURE_A}")));
        assert!(!fits(SECRET, &SIGNATURE.replace("v1,", "v1a,")));
        assert!(!fits(PUBLIC, &SIGNATURE_A.replace("v1a,", "v1,")));
        assert!(!fits(PUBLIC, SIGNATURE) && !fits(SECRET, SIGNATURE_A));
        assert!(!fits(SECRET, &SIGNATURE[3..]) && !fits(SECRET, ""));
        // As many as the settings allow, and no more.
        assert!(fits(SECRET, &format!("{}{SIGNATURE}", "v1,AA== ".repeat(7))));
        assert!(!fits(SECRET, &format!("{}{SIGNATURE}", "v1,AA== ".repeat(8))));
    }

    #[test]
    fn the_secret_that_fits_is_named_whatever_its_kind() {
        let which =
            |secrets_: &[&str], list: &str| fits(&standard_webhooks(), &secrets(secrets_), &with(list), BODY);
        let other = "whsec_MDEyMzQ1Njc4OWFiY2RlZg==";
        assert_eq!(which(&[other, SECRET], SIGNATURE), Some(1));
        assert_eq!(which(&[other, PUBLIC, SECRET], SIGNATURE), Some(2));
        assert_eq!(which(&[other, SECRET, PUBLIC], SIGNATURE_A), Some(2));
        assert_eq!(which(&[other], SIGNATURE), None);
        assert_eq!(which(&[], SIGNATURE), None);
    }

    #[test]
    fn its_headers_are_required_and_mean_what_they_say() {
        let all = claim(&standard_webhooks(), HEADERS).unwrap();
        assert_eq!(all.delivery_id.as_deref(), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"));
        assert!(all.signed_at.unwrap().is_fresh(at(1_614_265_330), 1));
        let refused = |pairs: &Pairs<'_>| claim(&standard_webhooks(), pairs).unwrap_err();
        assert_eq!(
            refused(&HEADERS[1..]),
            Rejection::HeaderMissing("webhook-id".into())
        );
        let late = [HEADERS[0], HEADERS[2]];
        assert_eq!(
            refused(&late),
            Rejection::HeaderMissing("webhook-timestamp".into())
        );
        for text in ["soon", "1614265330.5", "-1", "16142653300000000000000"] {
            let odd = [HEADERS[0], ("webhook-timestamp", text)];
            assert_eq!(
                refused(&odd),
                Rejection::HeaderInvalid("webhook-timestamp".into())
            );
        }
        let twice = [HEADERS, &HEADERS[2..]].concat();
        assert_eq!(
            refused(&twice),
            Rejection::HeaderDuplicated("webhook-signature".into())
        );
        // Nothing but the proof may be missing without a word about it.
        assert!(claim(&standard_webhooks(), &HEADERS[..2]).is_ok());
    }

    #[test]
    fn its_facts_may_stand_elsewhere_but_not_its_id() {
        let build = |change: fn(&mut FactOptions)| {
            let mut facts = FactOptions::default();
            change(&mut facts);
            Standard::build(&facts, 8)
        };
        let claim = Claim::default();
        let event = |of: Standard| of.paths(&claim).event;
        assert_eq!(
            event(standard_webhooks()),
            [crate::json::Path::parse("/type").unwrap()]
        );
        let other = build(|facts| facts.event_pointer = Some("/event_type".into())).unwrap();
        assert_eq!(event(other), [crate::json::Path::parse("/event_type").unwrap()]);
        let why = |change| build(change).err().unwrap();
        assert!(why(|facts| facts.id_header = Some("x-id".into())).contains("webhook-id"));
        assert!(why(|facts| facts.event_pointer = Some("type".into())).contains("facts.event_pointer"));
        assert!(why(|facts| facts.event_header = Some("x y".into())).contains("facts.event_header"));
    }

    #[test]
    fn a_public_key_can_not_sign() {
        let to_sign = ToSign {
            event: "ping",
            delivery_id: "1",
            body: b"{}",
            now: at(1),
        };
        let signed = |secret: &str| standard_webhooks().sign(&to_sign, Some(&Secret::new("x", secret)));
        assert_eq!(signed(PUBLIC).unwrap_err(), SignError::PublicKey);
        assert!(signed(PRIVATE).is_ok());
    }
}
