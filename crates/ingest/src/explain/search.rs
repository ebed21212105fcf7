//! Looks for why no secret fits: the secret written otherwise, the body re-encoded on its way, another secret, another source.
//!
//! It signs nothing that it gives away: each try is the scheme's own check of what the caller gave, and what is told is that one
//! of them fits, by the id of its secret. How much is tried is bounded, and only secrets are that the caller may hear of.

use poem::http::header::CONTENT_ENCODING;
use secrecy::{ExposeSecret as _, SecretString};

use super::walk::Walk;
use super::{ExplainOptions, Finding, recoded, words};
use crate::options::Secret;
use crate::rejection::Rejection;
use crate::signature::{Scheme, Shape};
use crate::source::Source;

/// What a try costs beside the bytes of the body.
const TRY_BYTES: u64 = 256;

/// What the curve of a public key costs, in bytes of a body: about 50 µs.
const CURVE_BYTES: u64 = 16 * 1024;

/// A search under way.
pub(super) struct Search<'w, 'a> {
    walk: &'w Walk<'a>,
    body: &'w [u8],
    options: &'w ExplainOptions,
    left: u64,
    /// Whether something was not tried, because it would have been too much.
    cut: bool,
}

impl<'w, 'a> Search<'w, 'a> {
    pub(super) fn new(walk: &'w Walk<'a>) -> Self {
        let options = &walk.known.options.explain;
        Self {
            walk,
            body: walk.found.body.as_deref().unwrap_or(&walk.question.body),
            options,
            left: options.work_bytes_max,
            cut: false,
        }
    }

    /// Why the signature fits none of the secrets that are tried.
    pub(super) fn why(mut self) -> Finding {
        let candidates = &self.walk.found.candidates;
        let message = if candidates.is_empty() {
            "no secret is tried on it: all that might be are bound to other hooks".to_owned()
        } else {
            format!(
                "it fits none of the secrets that are tried: {}",
                words::ids(candidates)
            )
        };
        let answered = words::of(&Rejection::SignatureInvalid).message;
        let finding = Finding::new(format!("{message}; {}", after_semicolon(&answered)));
        let found = self.secret_written_otherwise();
        let found = found.or_else(|| self.body_re_encoded());
        let found = found.or_else(|| self.other_secret());
        let found = found.or_else(|| self.taken_elsewhere());
        let found = found.or_else(|| self.secret_of_another_source());
        finding.with(found.unwrap_or_else(|| self.nothing()))
    }

    /// Whether the very same request is signed as another source has it.
    pub(super) fn taken_elsewhere(&mut self) -> Option<String> {
        // What is not decoded yet is not what a signature covers.
        if self.walk.found.body.is_none() && self.walk.head.headers.contains_key(CONTENT_ENCODING) {
            return None;
        }
        let asker = &self.walk.question.asker;
        for other in self.other_sources() {
            let Ok(claim) = other.scheme.claim(self.walk.head) else {
                continue;
            };
            let mut candidates = other.candidates(&claim, self.walk.connection(), self.walk.now);
            candidates.retain(|secret| asker.sees(secret));
            if let Some(secret) = self.fits(other.scheme.as_ref(), &candidates, self.body) {
                return Some(format!(
                    "it is signed with the secret {} of the source {}, as that wants it: is the URL at the sender the right one?",
                    secret.id, other.name
                ));
            }
        }
        None
    }

    /// The same secret with white space or quotes around it, on one side or the other.
    fn secret_written_otherwise(&mut self) -> Option<String> {
        for secret in &self.walk.found.candidates {
            for (written, words) in written_otherwise(secret) {
                if self.fits(self.scheme(), &[&written], self.body).is_some() {
                    return Some(format!("it fits the secret {} {words}", secret.id));
                }
            }
        }
        None
    }

    fn body_re_encoded(&mut self) -> Option<String> {
        if !self.body_is_signed() {
            return None;
        }
        if self.walk.question.body != self.body {
            let encoded = &self.walk.question.body;
            if let Some(secret) = self.fits(self.scheme(), &self.walk.found.candidates, encoded) {
                return Some(format!(
                    "the signature fits the body as it was encoded, by the secret {}; it has to cover the decoded bytes",
                    secret.id
                ));
            }
        }
        if self.body.len() > self.options.reencode_bytes_max {
            self.cut = true;
            return None;
        }
        // Indented it may be a few times as long.
        let bytes_max = self.options.reencode_bytes_max.saturating_mul(4);
        for (words, form) in recoded::forms(self.body, bytes_max) {
            if let Some(secret) = self.fits(self.scheme(), &self.walk.found.candidates, &form) {
                return Some(format!(
                    "the signature fits the body {words} (secret {}): something between the sender and here re-encoded it",
                    secret.id
                ));
            }
        }
        None
    }

    /// Another secret of the source, bound to another hook or to none.
    fn other_secret(&mut self) -> Option<String> {
        let candidates = &self.walk.found.candidates;
        let (asker, source) = (&self.walk.question.asker, self.walk.source);
        let others = source.secrets().filter(|secret| asker.sees(secret));
        let others = others.filter(|secret| !candidates.iter().any(|tried| std::ptr::eq(*tried, *secret)));
        let others = self.some(others, self.options.secrets_max);
        let secret = self.fits(self.scheme(), &others, self.body)?;
        if let Some(until) = secret.valid_until.filter(|_| !secret.is_valid(self.walk.now)) {
            return Some(format!(
                "it was signed with the secret {} of this source, which was replaced and verified until {until} only",
                secret.id
            ));
        }
        let bound = match &secret.hook {
            Some(hook) => format!("is bound to {hook}"),
            None => "is bound to no hook".to_owned(),
        };
        Some(format!(
            "it was signed with the secret {} of this source, which {bound} and is not tried here: see the hook of the request and \
             the connection in its path",
            secret.id
        ))
    }

    /// A secret of another source, under the scheme of this one.
    fn secret_of_another_source(&mut self) -> Option<String> {
        let asker = &self.walk.question.asker;
        let mut left = self.options.secrets_max;
        for other in self.other_sources() {
            let seen = other.secrets().filter(|secret| asker.sees(secret));
            let scheme = self.scheme();
            let usable = seen.filter(|secret| scheme.check_secret(secret).is_ok());
            let secrets = self.some(usable, left);
            left -= secrets.len();
            if let Some(secret) = self.fits(self.scheme(), &secrets, self.body) {
                return Some(format!(
                    "it was signed with the secret {} of the source {}: is the URL at the sender the right one?",
                    secret.id, other.name
                ));
            }
        }
        None
    }

    /// What to say where nothing is found.
    fn nothing(&self) -> String {
        let mut hint = "the sender has another secret, or the body is not the one that it signed: compare both with the sender's \
                        own record of the delivery"
            .to_owned();
        if self.cut {
            hint.push_str(
                "; not everything was tried, because it would have been too much (see ingest.explain)",
            );
        }
        hint
    }

    /// So many of the secrets; that there are more is remembered.
    fn some<'s>(&mut self, secrets: impl Iterator<Item = &'s Secret>, max: usize) -> Vec<&'s Secret> {
        let mut secrets: Vec<&Secret> = secrets.take(max.saturating_add(1)).collect();
        self.cut |= secrets.len() > max;
        secrets.truncate(max);
        secrets
    }

    /// A token says nothing about the body.
    fn body_is_signed(&self) -> bool {
        let shape = self.scheme().shape(self.walk.head, &self.walk.found.candidates);
        match shape {
            Shape::Token(_) => false,
            Shape::Mac(_) | Shape::List(_) => true,
        }
    }

    fn scheme(&self) -> &'a dyn Scheme {
        self.walk.source.scheme.as_ref()
    }

    /// The other sources that the caller may hear of.
    fn other_sources(&self) -> Vec<&'a Source> {
        let (asker, source) = (&self.walk.question.asker, self.walk.source);
        let all = self.walk.known.sources.iter().copied();
        all.filter(|other| other.name != source.name && other.verify && asker.knows(other))
            .collect()
    }

    /// Which of the secrets fits a body, by the check of receiving.
    fn fits<'s>(&mut self, scheme: &dyn Scheme, secrets: &[&'s Secret], body: &[u8]) -> Option<&'s Secret> {
        if secrets.is_empty() {
            return None;
        }
        let bytes = match scheme.shape(self.walk.head, secrets) {
            Shape::Token(_) => 0,
            Shape::Mac(_) => body.len() as u64,
            // Each signature is verified by each key on its own.
            Shape::List(list) if list.public => (body.len() as u64 + CURVE_BYTES)
                .saturating_mul(self.walk.known.options.signatures_max as u64),
            Shape::List(_) => body.len() as u64,
        };
        let cost = bytes
            .saturating_add(TRY_BYTES)
            .saturating_mul(secrets.len() as u64);
        let Some(left) = self.left.checked_sub(cost) else {
            self.cut = true;
            return None;
        };
        self.left = left;
        let mut check = scheme.check(self.walk.head, secrets)?;
        check.update(body);
        secrets.get(check.finish()?).copied()
    }
}

fn after_semicolon(text: &str) -> &str {
    text.split_once("; ").map_or(text, |(_, after)| after)
}

/// A secret as it may have been meant, with the words for it. Empty ones would fit whatever anybody signs with nothing.
fn written_otherwise(secret: &Secret) -> Vec<(Secret, &'static str)> {
    let text = secret.value.expose_secret();
    let trimmed = text.trim();
    let quoted = |quote: char| trimmed.strip_prefix(quote)?.strip_suffix(quote);
    let bare = quoted('"').or_else(|| quoted('\'')).unwrap_or(trimmed);
    let with_line_feed = SecretString::from(format!("{text}\n"));
    let ways = [
        (
            SecretString::from(trimmed),
            "without the white space around it: take that out of the settings",
        ),
        (
            SecretString::from(bare),
            "without the quotes around it: take those out of the settings",
        ),
        (
            with_line_feed,
            "with a line feed behind it: the sender's copy has one too many",
        ),
    ];
    let other = |value: &SecretString| !value.expose_secret().is_empty() && value.expose_secret() != text;
    let ways = ways.into_iter().filter(|(value, _)| other(value));
    ways.map(|(value, words)| {
        let written = Secret {
            value,
            ..secret.clone()
        };
        (written, words)
    })
    .collect()
}
