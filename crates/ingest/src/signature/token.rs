//! Senders that prove themselves by sending their secret, as `Authorization: Bearer …` or in a header of their own.
//!
//! Such a proof covers nothing of the request: whoever sees one can send whatever he likes. TLS is what protects it.

use poem::http::header::{AUTHORIZATION, CONTENT_TYPE};
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::configured::{ConfiguredFacts, header};
use super::plain::PlainCheck;
use super::{Check, Claim, Example, FactPaths, Scheme, Shape, SignError, ToSign, TokenShape, content, set};
use crate::head::Head;
use crate::options::{ProofOptions, Secret};
use crate::rejection::Rejection;

/// The scheme `token`.
pub(super) struct Token {
    headers: [HeaderName; 1],
    prefix: String,
    facts: ConfiguredFacts,
}

impl Token {
    /// A bearer token, unless the settings name another header or prefix.
    pub(super) fn build(proof: &ProofOptions, facts: ConfiguredFacts) -> Result<Self, String> {
        let only = ProofOptions {
            header: proof.header.clone(),
            prefix: proof.prefix.clone(),
            ..ProofOptions::default()
        };
        if *proof != only {
            return Err(
                "proof: a token is sent as it is; only header and prefix mean something to it".into(),
            );
        }
        let header = match proof.header.as_deref() {
            None | Some("") => AUTHORIZATION,
            Some(name) => header("proof.header", name)?,
        };
        let usual = if header == AUTHORIZATION { "Bearer" } else { "" };
        let prefix = proof.prefix.as_deref().unwrap_or(usual).trim().to_owned();
        Ok(Self {
            headers: [header],
            prefix,
            facts,
        })
    }

    fn header(&self) -> &HeaderName {
        let [header] = &self.headers;
        header
    }

    /// What follows the prefix, which is written in any case, as the names of HTTP's own schemes are.
    fn given<'v>(&self, value: &'v HeaderValue) -> Option<&'v [u8]> {
        let (prefix, rest) = value.as_bytes().split_at_checked(self.prefix.len())?;
        let fits = prefix.eq_ignore_ascii_case(self.prefix.as_bytes());
        fits.then(|| rest.trim_ascii())
    }
}

impl Scheme for Token {
    fn name(&self) -> &'static str {
        "token"
    }

    fn secret_headers(&self) -> &[HeaderName] {
        &self.headers
    }

    fn check_secret(&self, secret: &Secret) -> Result<(), &'static str> {
        let text = secret.value.expose_secret();
        let sendable = HeaderValue::from_str(text).is_ok() && text.trim() == text;
        sendable
            .then_some(())
            .ok_or("can't be the value of a header: it holds line breaks, or spaces at an end")
    }

    fn claim(&self, head: &Head) -> Result<Claim, Rejection> {
        let form = content::any(head)?;
        head.sole(self.header().as_str())?;
        Ok(Claim {
            form,
            ..self.facts.claim(head)?
        })
    }

    fn check(&self, head: &Head, candidates: &[&Secret]) -> Option<Box<dyn Check>> {
        let given = self.given(head.headers.get(self.header())?)?;
        Some(Box::new(PlainCheck::new(
            given,
            candidates.iter().copied().enumerate(),
        )))
    }

    fn shape(&self, _head: &Head, _candidates: &[&Secret]) -> Shape<'_> {
        Shape::Token(TokenShape {
            header: self.header().as_str(),
            prefix: &self.prefix,
        })
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
        if let Some(secret) = secret {
            let value = format!("{} {}", self.prefix, secret.value.expose_secret());
            set(&mut headers, self.header().as_str(), value.trim())?;
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Pairs, Vector, fits, head, secrets};
    use super::*;
    use crate::options::FactOptions;

    fn token(change: impl FnOnce(&mut ProofOptions)) -> Result<Token, String> {
        let mut proof = ProofOptions::default();
        change(&mut proof);
        Token::build(&proof, ConfiguredFacts::build(&FactOptions::default()).unwrap())
    }

    #[test]
    fn a_bearer_token_fits_and_nothing_near_it() {
        let bearer = token(|_| {}).unwrap();
        Vector {
            scheme: &bearer,
            secret: "mF_9.B5f-4.1JqM",
            headers: &[("Authorization", "Bearer mF_9.B5f-4.1JqM")],
            proof: "Authorization",
            body: b"{}",
        }
        .check_header("Authorization");
        let which = |value: &str| {
            fits(
                &bearer,
                &secrets(&["a", "b c"]),
                &head(&[("Authorization", value)]),
                b"",
            )
        };
        assert_eq!(which("bearer a"), Some(0));
        assert_eq!(which("Bearer  b c"), Some(1));
        for wrong in ["a", "Basic a", "Bearer", "Bearer ", "Bearer A", "Beare"] {
            assert_eq!(which(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_header_of_its_own_holds_the_token_alone() {
        let own = token(|proof| proof.header = Some("X-Auth".into())).unwrap();
        let which = |pairs: &Pairs<'_>| fits(&own, &secrets(&["a"]), &head(pairs), b"x");
        assert_eq!(which(&[("X-Auth", "a")]), Some(0));
        assert_eq!(which(&[("X-Auth", "Bearer a")]), None);
        assert_eq!(which(&[("Authorization", "Bearer a")]), None);
        assert_eq!(own.secret_headers(), ["x-auth"]);
        let twice = head(&[("X-Auth", "a"), ("X-Auth", "a")]);
        assert_eq!(
            own.claim(&twice).unwrap_err(),
            Rejection::HeaderDuplicated("x-auth".into())
        );
    }

    #[test]
    fn what_means_nothing_to_a_token_is_refused() {
        let why = token(|proof| proof.hash = Some(crate::options::HashKind::Sha1))
            .err()
            .unwrap();
        assert!(why.contains("only header and prefix"), "{why}");
        let why = token(|proof| proof.header = Some("x y".into())).err().unwrap();
        assert!(why.contains("proof.header"), "{why}");
        let bearer = token(|_| {}).unwrap();
        assert!(bearer.check_secret(&Secret::new("x", "a\nb")).is_err());
        assert!(bearer.check_secret(&Secret::new("x", " a")).is_err());
    }
}
