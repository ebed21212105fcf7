//! GitLab: `X-Gitlab-Token` carries the secret itself, or a signing token signs by Standard Webhooks
//! (<https://docs.gitlab.com/user/project/integrations/webhooks/>).
//!
//! `X-Gitlab-Webhook-UUID` is new with each request and `X-Gitlab-Event-UUID` is shared by different events: neither ever
//! identifies a delivery.

use poem::http::header::{CONTENT_TYPE, USER_AGENT};
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::key::{Key, SHARED};
use super::plain::PlainCheck;
use super::standard::{self, TOLERANCE_MS, WEBHOOK};
use super::{
    Check, Claim, Example, FactPaths, Scheme, Shape, SignError, Stamp, TimeUnit, ToSign, TokenShape, content,
    set,
};
use crate::head::Head;
use crate::json::Path;
use crate::options::Secret;
use crate::rejection::Rejection;

const TOKEN: &str = "X-Gitlab-Token";
static TOKEN_HEADERS: [HeaderName; 1] = [HeaderName::from_static("x-gitlab-token")];
const EVENT: &str = "X-Gitlab-Event";
const IDEMPOTENCY: &str = "Idempotency-Key";
const AGENT: &str = "GitLab/";

/// The scheme `gitlab`.
pub(super) struct Gitlab {
    /// The most signatures that one delivery may carry.
    pub(super) signatures_max: usize,
}

/// A secret of this form is a signing token, every other one is sent as it is.
fn is_signing(secret: &Secret) -> bool {
    secret.value.expose_secret().starts_with(SHARED)
}

/// Whether a request carries a signature, and there is something to check it with.
fn is_signed(head: &Head, candidates: &[&Secret]) -> bool {
    candidates.iter().any(|secret| is_signing(secret)) && head.headers.contains_key(WEBHOOK.signature)
}

/// A check by signature and by token.
struct EitherCheck {
    signature: Option<Box<dyn Check>>,
    token: Option<PlainCheck>,
}

impl Check for EitherCheck {
    fn update(&mut self, piece: &[u8]) {
        if let Some(signature) = &mut self.signature {
            signature.update(piece);
        }
    }

    fn finish(self: Box<Self>) -> Option<usize> {
        let by_signature = self.signature.and_then(Check::finish);
        let by_token = self.token.and_then(|token| Box::new(token).finish());
        by_signature.or(by_token)
    }
}

impl Scheme for Gitlab {
    fn name(&self) -> &'static str {
        "gitlab"
    }

    fn user_agent(&self) -> Option<&'static str> {
        Some(AGENT)
    }

    fn secret_headers(&self) -> &[HeaderName] {
        &TOKEN_HEADERS
    }

    fn check_secret(&self, secret: &Secret) -> Result<(), &'static str> {
        if is_signing(secret) {
            Key::parse(secret).map(drop)
        } else {
            Ok(())
        }
    }

    fn tolerance_ms(&self) -> Option<u64> {
        Some(TOLERANCE_MS)
    }

    fn signs_time(&self, secret: &Secret) -> bool {
        is_signing(secret)
    }

    fn claim(&self, head: &Head) -> Result<Claim, Rejection> {
        let form = content::any(head)?;
        for name in [TOKEN, WEBHOOK.signature] {
            head.sole(name)?;
        }
        let id = head.name(WEBHOOK.id)?;
        // One that can't be read matters only where a signature covers it, which then is too old.
        let signed_at = head.name(WEBHOOK.timestamp)?;
        let signed_at = signed_at.and_then(|text| Stamp::parse(&text, TimeUnit::Seconds));
        Ok(Claim {
            delivery_id: id.map_or_else(|| head.name(IDEMPOTENCY), |id| Ok(Some(id)))?,
            event: head.name(EVENT)?,
            signed_at,
            form,
            ..Claim::default()
        })
    }

    /// The signature where one fits, else the token: a hook may sign with a signing token that only its owner knows, beside
    /// another that we know, and whoever has the right token needs no signature.
    fn check(&self, head: &Head, candidates: &[&Secret]) -> Option<Box<dyn Check>> {
        let numbered = || candidates.iter().copied().enumerate();
        let signing = numbered().filter(|(_, secret)| is_signing(secret));
        let signature = is_signed(head, candidates)
            .then(|| standard::check(head, &WEBHOOK, signing, self.signatures_max))
            .flatten();
        let plain = numbered().filter(|(_, secret)| !is_signing(secret));
        let token = head.headers.get(TOKEN);
        let token = token.map(|given| PlainCheck::new(given.as_bytes(), plain));
        (signature.is_some() || token.is_some()).then(|| Box::new(EitherCheck { signature, token }) as _)
    }

    fn shape(&self, head: &Head, candidates: &[&Secret]) -> Shape<'_> {
        if is_signed(head, candidates) {
            return Shape::List(standard::shape(&WEBHOOK, candidates));
        }
        Shape::Token(TokenShape {
            header: TOKEN,
            prefix: "",
        })
    }

    fn paths(&self, _claim: &Claim) -> FactPaths {
        FactPaths {
            event: vec![Path::of(&["object_kind"]), Path::of(&["event_name"])],
            // What happened to a job, a pipeline or a deployment is the status that it has now.
            action: vec![
                Path::of(&["object_attributes", "action"]),
                Path::of(&["action"]),
                Path::of(&["build_status"]),
                Path::of(&["object_attributes", "status"]),
                Path::of(&["status"]),
            ],
            repository: vec![
                Path::of(&["project", "path_with_namespace"]),
                Path::of(&["path_with_namespace"]),
                Path::of(&["project_path_with_namespace"]),
            ],
            sender: vec![Path::of(&["user", "username"]), Path::of(&["user_username"])],
            entity: vec![
                (None, Path::of(&["object_attributes", "id"])),
                (None, Path::of(&["build_id"])),
                (None, Path::of(&["deployment_id"])),
                (Some("commit"), Path::of(&["after"])),
                (None, Path::of(&["id"])),
            ],
            ..FactPaths::default()
        }
    }

    fn example(&self, of: &Example<'_>) -> Value {
        let mut body = json!({
            "object_kind": of.event,
            "project": {"path_with_namespace": of.repository},
            "user": {"username": "hooklog"},
        });
        if let (Some(action), Some(members)) = (of.action, body.as_object_mut()) {
            members.insert("object_attributes".to_owned(), json!({"action": action}));
        }
        body
    }

    fn sign(&self, delivery: &ToSign<'_>, secret: Option<&Secret>) -> Result<HeaderMap, SignError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("GitLab/hooklog-test"));
        set(&mut headers, EVENT, delivery.event)?;
        set(&mut headers, IDEMPOTENCY, delivery.delivery_id)?;
        match secret {
            Some(secret) if is_signing(secret) => standard::sign(&mut headers, delivery, Some(secret))?,
            Some(secret) => set(&mut headers, TOKEN, secret.value.expose_secret())?,
            None => {}
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Pairs, Vector, claim, fits, head, secrets};
    use super::*;

    const GITLAB: Gitlab = Gitlab { signatures_max: 8 };
    const PLAIN: &str = "a token of GitLab";
    const SIGNING: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";
    const BODY: &[u8] = br#"{"object_kind":"push","event_name":"push","project":{"path_with_namespace":"group/sub/project"},"user_username":"ada","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7"}"#;
    /// By Python's `hmac`.
    const SIGNED: &Pairs<'static> = &[
        ("webhook-id", "1c1b9c3e-7f4a-4a53-8cdb-6f4f7f2d9a11"),
        ("webhook-timestamp", "1731705121"),
        (
            "webhook-signature",
            "v1,V9frevT/Xd7Gio1lQfPx8RSgbZz/CqXsuRyOJnHexhI=",
        ),
    ];

    #[test]
    fn the_token_is_the_secret_itself_and_nothing_near_it() {
        let vector = Vector {
            scheme: &GITLAB,
            secret: PLAIN,
            headers: &[("X-Gitlab-Token", PLAIN)],
            proof: "X-Gitlab-Token",
            body: BODY,
        };
        vector.check_header("X-Gitlab-Token");
        let which = |values: &[&str], given: &str| {
            fits(
                &GITLAB,
                &secrets(values),
                &head(&[("X-Gitlab-Token", given)]),
                BODY,
            )
        };
        assert_eq!(which(&["a", PLAIN, "b"], PLAIN), Some(1));
        assert_eq!(which(&["a", "b"], ""), None);
        // A signing token never goes over the wire, so that it is no token.
        assert_eq!(which(&[SIGNING], SIGNING), None);
    }

    #[test]
    fn a_signing_token_signs_the_body_its_id_and_its_time() {
        let vector = Vector {
            scheme: &GITLAB,
            secret: SIGNING,
            headers: SIGNED,
            proof: "webhook-signature",
            body: BODY,
        };
        vector.check(&["webhook-id", "webhook-timestamp"]);
    }

    #[test]
    fn a_signature_that_fits_counts_and_the_token_elsewhere() {
        let both = [SIGNED, &[("X-Gitlab-Token", PLAIN)]].concat();
        let which = |values: &[&str], body: &[u8]| fits(&GITLAB, &secrets(values), &head(&both), body);
        assert_eq!(which(&[PLAIN, SIGNING], BODY), Some(1));
        // As if it were not signed: by a key that we don't know, or changed by somebody who has the token.
        assert_eq!(which(&[PLAIN, SIGNING], b"changed"), Some(0));
        assert_eq!(which(&[SIGNING], b"changed"), None);
        assert_eq!(which(&["another token", SIGNING], b"changed"), None);
        assert_eq!(which(&[PLAIN], BODY), Some(0));
        let plain = [("X-Gitlab-Token", PLAIN)];
        assert_eq!(
            fits(&GITLAB, &secrets(&[SIGNING, PLAIN]), &head(&plain), BODY),
            Some(1)
        );
        let [plain, signing] = [PLAIN, SIGNING].map(|value| Secret::new("x", value));
        assert!(GITLAB.signs_time(&signing) && !GITLAB.signs_time(&plain));
    }

    #[test]
    fn a_delivery_is_identified_by_what_stays_the_same_when_it_is_sent_again() {
        let id = |pairs: &Pairs<'_>| claim(&GITLAB, pairs).unwrap().delivery_id;
        let uuids = [("X-Gitlab-Event-UUID", "a"), ("X-Gitlab-Webhook-UUID", "b")];
        let key = [("Idempotency-Key", "k")];
        assert_eq!(id(&uuids), None);
        assert_eq!(id(&[&uuids[..], &key[..]].concat()).as_deref(), Some("k"));
        assert_eq!(
            id(&[&key[..], &[("webhook-id", "w")][..]].concat()).as_deref(),
            Some("w")
        );
    }

    #[test]
    fn nothing_is_required_but_the_proof() {
        let bare = GITLAB.claim(&head(&[])).unwrap();
        assert_eq!(bare, Claim::default());
        let event = claim(&GITLAB, &[("X-Gitlab-Event", "Push Hook")]).unwrap().event;
        assert_eq!(event.as_deref(), Some("Push Hook"));
        let twice = [("X-Gitlab-Token", "a"), ("X-Gitlab-Token", "b")];
        assert_eq!(
            claim(&GITLAB, &twice),
            Err(Rejection::HeaderDuplicated("X-Gitlab-Token".into()))
        );
    }
}
