//! In which way a proof is not written as its scheme writes it.
//!
//! It looks at what the caller sent and at the settings, never at a secret, and decides nothing: it is asked only after no
//! secret fitted.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::Finding;
use crate::head::Head;
use crate::options::{Encoding, HashKind};
use crate::signature::{ListShape, MacShape, Shape, TokenShape};

/// What kept requests show in place of a signature.
const MASKED: &str = "masked)";
/// Signatures of ed25519, in bytes.
const ED25519_BYTES: usize = 64;

/// Headers with a proof, and who sends them.
const PROOFS: [(&str, &str); 9] = [
    ("x-hub-signature-256", "GitHub"),
    ("x-hub-signature", "GitHub, by SHA-1"),
    ("x-gitlab-token", "GitLab"),
    ("webhook-signature", "Standard Webhooks and GitLab"),
    ("svix-signature", "Svix"),
    ("linear-signature", "Linear"),
    ("x-codegen-signature", "Codegen"),
    ("x-claude-code-signature", "Claude Code"),
    ("authorization", "senders of a bearer token"),
];

/// What is wrong with the form of a proof; none where it is as it should be.
pub(super) fn problem(shape: &Shape<'_>, head: &Head, signatures_max: usize) -> Option<Finding> {
    match shape {
        Shape::Mac(shape) => of_mac(shape, head, signatures_max),
        Shape::List(shape) => of_list(shape, head, signatures_max),
        Shape::Token(shape) => of_token(shape, head),
    }
}

/// The text of the header, or what is wrong with it.
fn text<'h>(head: &'h Head, header: &str) -> Result<&'h str, Finding> {
    let value = head.headers.get(header).ok_or_else(|| missing(head, header))?;
    let text = value
        .to_str()
        .map_err(|_| Finding::new(format!("the header {header} holds bytes that no signature has")))?;
    if text.contains(MASKED) {
        return Err(Finding::new(format!(
            "the signature in {header} is masked, as it is in every request that is kept"
        ))
        .with("take the header from the sender's own record of the delivery"));
    }
    Ok(text.trim())
}

fn missing(head: &Head, header: &str) -> Finding {
    let finding = Finding::new(format!("the header {header} is missing"));
    let others = PROOFS
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case(header) && head.headers.contains_key(*name));
    let others: Vec<String> = others.map(|(name, who)| format!("{name} ({who})")).collect();
    if others.is_empty() {
        finding.with("a sender signs only when it was given the secret; a proxy may drop headers")
    } else {
        finding.with(format!(
            "there is {}: the source may be the wrong one, or have the wrong scheme",
            others.join(", ")
        ))
    }
}

/// The first of the headers that the signature covers and that is not there.
fn signed_but_missing<'n>(head: &Head, names: impl IntoIterator<Item = &'n str>) -> Option<Finding> {
    let missing = names.into_iter().find(|name| !head.headers.contains_key(*name))?;
    let finding = Finding::new(format!("the header {missing} is missing"));
    Some(
        finding
            .with("the signature covers it, so the sender sent it: something between it and here dropped it"),
    )
}

fn of_mac(shape: &MacShape<'_>, head: &Head, signatures_max: usize) -> Option<Finding> {
    let text = match text(head, shape.header) {
        Ok(text) => text,
        Err(finding) => return Some(finding),
    };
    let entries: Vec<&str> = if shape.separators.is_empty() {
        vec![text]
    } else {
        text.split(shape.separators).map(str::trim).collect()
    };
    let under = |key: &str| -> Vec<&str> {
        let pairs = entries.iter().filter_map(|entry| entry.split_once('='));
        pairs
            .filter(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim())
            .collect()
    };
    let given = match shape.key {
        None => entries.clone(),
        Some(key) => under(key),
    };
    if let Some(key) = shape.key.filter(|_| given.is_empty()) {
        return Some(Finding::new(format!(
            "the header {} holds no {key}=",
            shape.header
        )));
    }
    if let Some(key) = shape.time_key.filter(|key| under(key).is_empty()) {
        return Some(Finding::new(format!(
            "the header {} holds no time, {key}=",
            shape.header
        )));
    }
    let with_prefix = given.iter().filter(|one| one.starts_with(shape.prefix));
    if with_prefix.count() > signatures_max {
        return Some(too_many(shape.header, signatures_max));
    }
    if let Some(finding) = signed_but_missing(head, shape.signed_header) {
        return Some(finding);
    }
    let expected = bytes_of(shape.hash);
    let problems = given.iter().map(|one| match one.strip_prefix(shape.prefix) {
        None => Some(prefix_problem(one, shape)),
        Some(digest) => digest_problem(digest, shape.encoding, expected),
    });
    // One of them that is as it should be is enough.
    first_unless_one_is_well(problems).map(|what| Finding::new(format!("the signature {what}")))
}

fn first_unless_one_is_well(problems: impl Iterator<Item = Option<String>>) -> Option<String> {
    let mut first = None;
    for problem in problems {
        first = first.or(Some(problem?));
    }
    first
}

fn too_many(header: &str, signatures_max: usize) -> Finding {
    Finding::new(format!(
        "the header {header} holds more than {signatures_max} signatures"
    ))
    .with("see ingest.signatures_max")
}

const fn bytes_of(hash: HashKind) -> usize {
    match hash {
        HashKind::Sha1 => 20,
        HashKind::Sha256 => 32,
        HashKind::Sha512 => 64,
    }
}

/// The hash whose digests have so many bytes.
const fn hash_of(bytes: usize) -> Option<&'static str> {
    match bytes {
        20 => Some("SHA-1"),
        32 => Some("SHA-256"),
        64 => Some("SHA-512"),
        _ => None,
    }
}

fn prefix_problem(given: &str, shape: &MacShape<'_>) -> String {
    let prefix = shape.prefix;
    let lower = given.to_ascii_lowercase();
    if lower.starts_with(&prefix.to_ascii_lowercase()) {
        return format!("has its prefix in another case; {prefix} is expected");
    }
    for (other, hash) in [("sha1=", "SHA-1"), ("sha256=", "SHA-256"), ("sha512=", "SHA-512")] {
        if lower.starts_with(other) {
            return format!("is one by {hash}; {prefix} is expected before it");
        }
    }
    if digest_problem(given, shape.encoding, bytes_of(shape.hash)).is_none() {
        return format!("lacks its prefix, {prefix}");
    }
    format!("does not begin with {prefix}")
}

/// What is wrong with the digest itself.
fn digest_problem(digest: &str, encoding: Encoding, bytes: usize) -> Option<String> {
    let has_prefix = digest.split_once('=').is_some_and(|(name, rest)| {
        let algorithm = ["sha1", "sha256", "sha512"].contains(&name.to_ascii_lowercase().as_str());
        algorithm && !rest.is_empty()
    });
    if digest.is_empty() {
        return Some("is empty".to_owned());
    }
    if has_prefix {
        return Some("has a prefix, and is expected without one".to_owned());
    }
    let (as_hex, as_base64) = (hex::decode(digest).ok(), STANDARD.decode(digest).ok());
    let is_hex = as_hex.as_ref().is_some_and(|d| d.len() == bytes);
    let is_base64 = as_base64.as_ref().is_some_and(|d| d.len() == bytes);
    match encoding {
        Encoding::Hex => match as_hex {
            Some(decoded) => length_problem(decoded.len(), bytes),
            None if is_base64 => Some("is in base64; hex is expected".to_owned()),
            None => Some("is no hex".to_owned()),
        },
        Encoding::Base64 if is_hex => Some("is in hex; base64 is expected".to_owned()),
        Encoding::Base64 => base64_problem(digest, as_base64, bytes),
    }
}

fn base64_problem(digest: &str, decoded: Option<Vec<u8>>, bytes: usize) -> Option<String> {
    let Some(decoded) = decoded else {
        let plain = digest.trim_end_matches('=');
        return Some(
            match (STANDARD.decode(padded(plain)), URL_SAFE_NO_PAD.decode(plain)) {
                (Ok(_), _) => "is in base64 without its padding".to_owned(),
                (_, Ok(_)) => "is in the base64 of URLs (- and _); standard base64 is expected".to_owned(),
                (Err(_), Err(_)) => "is no base64".to_owned(),
            },
        );
    };
    length_problem(decoded.len(), bytes)
}

fn padded(plain: &str) -> String {
    format!("{plain}{}", "=".repeat(plain.len().wrapping_neg() % 4))
}

fn length_problem(given: usize, expected: usize) -> Option<String> {
    if given == expected {
        return None;
    }
    let of = |bytes| hash_of(bytes).map_or_else(String::new, |hash| format!(", as by {hash}"));
    Some(format!(
        "has {given} bytes{}; {expected}{} are expected",
        of(given),
        of(expected)
    ))
}

fn of_list(shape: &ListShape, head: &Head, signatures_max: usize) -> Option<Finding> {
    let text = match text(head, shape.header) {
        Ok(text) => text,
        Err(finding) => return Some(finding),
    };
    let entries: Vec<&str> = text.split_ascii_whitespace().collect();
    if entries.len() > signatures_max {
        return Some(too_many(shape.header, signatures_max));
    }
    if let Some(finding) = signed_but_missing(head, shape.signed_headers) {
        return Some(finding);
    }
    let of = |version: &str| -> Vec<&str> {
        let of_version = entries
            .iter()
            .filter_map(|one| one.strip_prefix(version)?.strip_prefix(','));
        of_version.collect()
    };
    let (shared, public) = (of("v1"), of("v1a"));
    if shared.is_empty() && public.is_empty() {
        return Some(Finding::new(format!(
            "no signature in {} begins with v1, or v1a,",
            shape.header
        )));
    }
    let problems = |given: Vec<&str>, bytes| {
        let each = given
            .into_iter()
            .map(|one| digest_problem(one, Encoding::Base64, bytes))
            .collect::<Vec<_>>();
        first_unless_one_is_well(each.into_iter())
    };
    match (
        shape.shared && !shared.is_empty(),
        shape.public && !public.is_empty(),
    ) {
        (false, false) if shared.is_empty() => Some(
            Finding::new(
                "the signatures are of ed25519 (v1a), and none of the secrets that are tried is a key of it",
            )
            .with("the sender's public key, whpk_…, has to be a secret of the source"),
        ),
        (false, false) => Some(Finding::new(
            "the signatures are HMACs (v1), and none of the secrets that are tried is one for HMAC (whsec_…)",
        )),
        (true, false) => problems(shared, bytes_of(HashKind::Sha256)).map(told),
        (false, true) => problems(public, ED25519_BYTES).map(told),
        (true, true) => problems(shared, bytes_of(HashKind::Sha256))
            .and(problems(public, ED25519_BYTES))
            .map(told),
    }
}

fn told(what: String) -> Finding {
    Finding::new(format!("the signature {what}"))
}

/// Of a token nothing is told but whether there is one.
fn of_token(shape: &TokenShape<'_>, head: &Head) -> Option<Finding> {
    let header = shape.header;
    let Some(value) = head.headers.get(header) else {
        return Some(missing(head, header));
    };
    let bytes = value.as_bytes();
    if bytes.ends_with(MASKED.as_bytes()) {
        return Some(
            Finding::new(format!(
                "the token in {header} is masked, as it is in every request that is kept"
            ))
            .with("take the header from the sender's own record of the delivery"),
        );
    }
    let begins = bytes
        .get(..shape.prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(shape.prefix.as_bytes()));
    if !begins {
        return Some(Finding::new(format!(
            "the header {header} does not begin with {}",
            shape.prefix
        )));
    }
    let rest = bytes.get(shape.prefix.len()..).unwrap_or_default();
    rest.trim_ascii()
        .is_empty()
        .then(|| Finding::new(format!("the header {header} holds no token")))
}
