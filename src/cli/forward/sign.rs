//! Signs deliveries anew: as the server says that their source signs, with a secret of the developer's own.

use anyhow::Context as _;
use bytes::Bytes;
use domain::{Clock as _, SourceName};
use ingest::{FactOptions, ProofOptions, SchemeKind, Secret, Sender, Sent, SourceOptions};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{patient, refused};
use crate::cli::client::{Client, part};
use crate::cli::table::{cell, field};
use crate::clock::SystemClock;
use crate::settings::Settings;

/// Where senders put their proofs: signed anew, none of an old one is left.
const PROOF_HEADERS: [&str; 11] = [
    "x-hub-signature",
    "x-hub-signature-256",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "linear-signature",
    "x-codegen-signature",
    "x-claude-code-signature",
];

/// How a source signs is not to be had from the server, for any of its deliveries.
#[derive(Debug, thiserror::Error)]
#[error("how the source {source_name} signs is not known: {why}{help}")]
pub(super) struct Unsigned {
    source_name: String,
    why: String,
    help: &'static str,
}

/// What to sign with.
pub(super) struct Signing {
    /// For sources of which the server says nothing that helps.
    pub(super) settings: Settings,
    pub(super) secret: SecretString,
    /// By which scheme, if not that of the source.
    pub(super) scheme: Option<SchemeKind>,
}

impl Signing {
    /// Puts new signatures into the place of the old ones.
    pub(super) async fn sign(
        &self,
        server: &Client,
        row: &Value,
        body: &Bytes,
        headers: &mut HeaderMap,
    ) -> anyhow::Result<()> {
        let source = cell(field(row, "source"));
        let id = field(row, "deliveryId").as_str();
        let id = id.map_or_else(|| cell(field(row, "id")), str::to_owned);
        let known = patient(&id, async || {
            server.get(&format!("/sources/{}", part(&source)), &[]).await
        });
        let known = known.await;
        // A key that is no good is not one that may know less.
        if let Err(error) = &known
            && refused(error) == Some(StatusCode::UNAUTHORIZED)
        {
            let (source_name, why) = (source, format!("{error:#}"));
            return Err(Unsigned {
                source_name,
                why,
                help: "",
            }
            .into());
        }
        let signed = Sender::build(&self.options(&source, known.as_ref())?)?.sign(&Sent {
            event: &cell(field(row, "event")),
            delivery_id: &id,
            body,
            now: SystemClock.now(),
        })?;
        for name in PROOF_HEADERS {
            headers.remove(name);
        }
        let proof = known.as_ref().map_or(&Value::Null, |known| field(known, "proof"));
        for name in ["header", "timestamp_header"] {
            if let Some(name) = field(proof, name).as_str() {
                headers.remove(name);
            }
        }
        for (name, value) in signed {
            // What the sender said of the body stays.
            if name != "content-type" && name != "user-agent" {
                headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
            }
        }
        Ok(())
    }

    /// How it is signed: as the server has it. Only by another scheme than the source's it is as the settings here have it.
    fn options(&self, source: &str, known: Result<&Value, &anyhow::Error>) -> anyhow::Result<SourceOptions> {
        let secret = self.secret.expose_secret();
        match (self.scheme, known) {
            (None, Ok(known)) => as_known(source, known, secret),
            (Some(scheme), Ok(known)) if field(known, "scheme") == scheme.as_str() => {
                as_known(source, known, secret)
            }
            (Some(scheme), _) => {
                let mut options = self.settings.sender_of(source, secret)?;
                if options.scheme != scheme {
                    options.proof = ProofOptions::default();
                    options.facts = FactOptions::default();
                }
                Ok(SourceOptions { scheme, ..options })
            }
            (None, Err(error)) => {
                let why = format!("{error:#}");
                let source_name = source.to_owned();
                Err(Unsigned {
                    source_name,
                    why,
                    help: "; say it with --scheme",
                }
                .into())
            }
        }
    }
}

/// A source as the server describes it, with another secret.
fn as_known(source: &str, known: &Value, secret: &str) -> anyhow::Result<SourceOptions> {
    let name: SourceName = source.parse()?;
    let scheme = cell(field(known, "scheme"));
    let scheme = SchemeKind::named(&scheme)
        .with_context(|| format!("the scheme {scheme} is not known here; say one with --scheme"))?;
    Ok(SourceOptions {
        scheme,
        proof: said(known, "proof")?,
        facts: said(known, "facts")?,
        ..SourceOptions::new(name, vec![Secret::new("sender", secret)])
    })
}

fn said<T: DeserializeOwned + Default>(known: &Value, name: &str) -> anyhow::Result<T> {
    let said = field(known, name);
    if said.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(said.clone()).with_context(|| format!("the server's `{name}` is not known here"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signing(scheme: Option<SchemeKind>) -> Signing {
        Signing {
            settings: Settings::of_nothing(),
            secret: "a secret of the laptop".into(),
            scheme,
        }
    }

    #[test]
    fn what_a_source_leaves_open_is_as_the_server_has_it() {
        let known = json!({"scheme": "hmac", "proof": {"header": "X-Shop", "prefix": "v1=", "encoding": "base64", "hash": "sha512"},
            "facts": {"event_header": "X-Topic"}});
        for scheme in [None, Some(SchemeKind::Hmac)] {
            let options = signing(scheme).options("shop", Ok(&known)).unwrap();
            assert_eq!(options.scheme, SchemeKind::Hmac);
            assert_eq!(options.proof.header.as_deref(), Some("X-Shop"));
            assert_eq!(options.proof.prefix.as_deref(), Some("v1="));
            assert_eq!(options.facts.event_header.as_deref(), Some("X-Topic"));
            assert!(Sender::build(&options).is_ok());
        }
        let other = signing(Some(SchemeKind::Github))
            .options("shop", Ok(&known))
            .unwrap();
        assert_eq!((other.scheme, other.proof.header), (SchemeKind::Github, None));
    }

    #[test]
    fn what_is_not_known_is_said_instead_of_guessed() {
        let why = |scheme, known: Value| {
            signing(scheme)
                .options("shop", Ok(&known))
                .unwrap_err()
                .to_string()
        };
        assert!(why(None, json!({"scheme": "carrier-pigeon"})).contains("--scheme"));
        let newer = json!({"scheme": "hmac", "proof": {"header": "X-Shop", "salt": "x"}});
        assert!(why(None, newer).contains("`proof` is not known here"));
        let away = anyhow::anyhow!("away");
        let error = signing(None).options("shop", Err(&away)).unwrap_err();
        assert!(error.to_string().contains("away; say it with --scheme"));
        assert!(error.is::<Unsigned>(), "so would it be for the next one");
        assert!(
            signing(Some(SchemeKind::Github))
                .options("shop", Err(&away))
                .is_ok()
        );
    }
}
