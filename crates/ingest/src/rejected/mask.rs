//! Headers as they are shown to an operator: all of them, but nothing in them that would let anybody in.

use domain::HeaderFact;
use memchr::memmem;
use secrecy::ExposeSecret as _;

use crate::head::{Head, is_secret, text_of};
use crate::source::Source;

/// What stands in place of a secret.
const MASKED: &str = "(masked)";

/// Names that say that their value is a secret, in part.
const SECRET_WORDS: [&str; 14] = [
    "auth",
    "token",
    "secret",
    "passw",
    "credential",
    "cookie",
    "session",
    "jwt",
    "assertion",
    "api-key",
    "apikey",
    "access-key",
    "private",
    "bearer",
];

/// Names that say that their value is a proof.
const PROOF_WORDS: [&str; 5] = ["signature", "hmac", "digest", "proof", "x-hub-"];

/// How values begin that are secrets under whatever name.
const SECRET_VALUES: [&str; 14] = [
    "bearer ",
    "basic ",
    "token ",
    "digest ",
    "whsec_",
    "whsk_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "lin_api_",
    "xox",
    "eyj",
];

/// A run of so many letters and digits may be a proof; shorter ones say what kind of proof it is, and stay.
const RUN_CHARS_MIN: usize = 16;
/// Shorter secrets than this would be found everywhere.
const SECRET_BYTES_MIN: usize = 6;

/// The headers, masked, as many as fit into so many bytes, and how many did not.
pub(super) fn headers(head: &Head, source: &Source, bytes_max: usize) -> (Vec<HeaderFact>, u32) {
    let (mut kept, mut bytes, mut left_out) = (Vec::new(), 0, 0);
    for (name, value) in &head.headers {
        let value = shown(name.as_str(), text_of(value), source);
        bytes += name.as_str().len() + value.len();
        if bytes > bytes_max {
            left_out += 1;
            bytes -= name.as_str().len() + value.len();
        } else {
            kept.push(HeaderFact(name.as_str().to_owned(), value));
        }
    }
    (kept, left_out)
}

/// Whether one of the source's secrets stands somewhere in these bytes.
pub(super) fn holds_secret(bytes: &[u8], source: &Source) -> bool {
    source.secrets().any(|secret| {
        let value = secret.value.expose_secret().as_bytes();
        value.len() >= SECRET_BYTES_MIN && memmem::find(bytes, value).is_some()
    })
}

fn shown(name: &str, value: String, source: &Source) -> String {
    let its_own = source.scheme.secret_headers();
    let lower = value.to_ascii_lowercase();
    let secret = is_secret(name)
        || its_own.iter().any(|own| own == name)
        || SECRET_WORDS.iter().any(|word| name.contains(word))
        || SECRET_VALUES.iter().any(|start| lower.starts_with(start))
        || holds_secret(value.as_bytes(), source);
    if secret {
        return MASKED.to_owned();
    }
    let configured = source.scheme.proof_header().is_some_and(|own| own == name);
    if configured || is_proof(name, &lower) {
        without_runs(&value)
    } else {
        value
    }
}

/// Whether a header is, or looks like, a proof.
fn is_proof(name: &str, value: &str) -> bool {
    PROOF_WORDS.iter().any(|word| name.contains(word))
        || ["sha1=", "sha256=", "sha512=", "v1,", "v1a,", "v1="]
            .iter()
            .any(|start| value.starts_with(start))
}

/// A proof without what proves anything: `sha256=(64 characters masked)` still says whether it has its prefix, and how
/// long it is.
fn without_runs(value: &str) -> String {
    let mut shown = String::new();
    let mut rest = value;
    while !rest.is_empty() {
        let run = rest.find(|c: char| !is_of_run(c)).unwrap_or(rest.len());
        let (text, after) = rest.split_at(run);
        if text.len() >= RUN_CHARS_MIN {
            shown.push_str(&format!("({} characters masked)", text.len()));
        } else {
            shown.push_str(text);
        }
        let other = after.find(is_of_run).unwrap_or(after.len());
        let (between, next) = after.split_at(other);
        shown.push_str(between);
        rest = next;
    }
    shown
}

const fn is_of_run(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-')
}
