//! GitHub: `X-Hub-Signature-256: sha256=<hex>`, the HMAC-SHA256 of the raw body under the hook's secret, for JSON and for
//! form bodies alike (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>).
//!
//! GitHub signs neither the delivery's id nor a time: the log's memory of ids is the only defence against repeats.

use poem::http::header::{CONTENT_TYPE, USER_AGENT};
use poem::http::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::mac::{MacCheck, mac_of};
use super::{Check, Claim, Example, FactPaths, MacShape, Scheme, Shape, SignError, ToSign, content, set};
use crate::head::Head;
use crate::json::Path;
use crate::options::{Encoding, HashKind, Secret};
use crate::rejection::Rejection;

const SIGNATURE: &str = "X-Hub-Signature-256";
const EVENT: &str = "X-GitHub-Event";
const DELIVERY: &str = "X-GitHub-Delivery";
const HOOK: &str = "X-GitHub-Hook-ID";
/// A digest of SHA-256 in hex.
const HEX_CHARS: usize = 64;
const AGENT: &str = "GitHub-Hookshot/";
const PREFIX: &str = "sha256=";

/// The scheme `github`.
pub(super) struct Github;

impl Scheme for Github {
    fn name(&self) -> &'static str {
        "github"
    }

    fn user_agent(&self) -> Option<&'static str> {
        Some(AGENT)
    }

    fn claim(&self, head: &Head) -> Result<Claim, Rejection> {
        let form = content::json_or_form(head)?;
        head.sole(SIGNATURE)?;
        let required = |name: &'static str| head.name(name)?.ok_or(Rejection::HeaderMissing(name.into()));
        let (event, delivery_id) = (required(EVENT)?, required(DELIVERY)?);
        Ok(Claim {
            hook_id: head.name(HOOK)?,
            delivery_id: Some(delivery_id),
            event: Some(event),
            form,
            ..Claim::default()
        })
    }

    fn check(&self, head: &Head, candidates: &[&Secret]) -> Option<Box<dyn Check>> {
        let value = head.headers.get(SIGNATURE)?.to_str().ok()?;
        let digest = value.trim().strip_prefix(PREFIX)?;
        let given = (digest.len() == HEX_CHARS)
            .then(|| hex::decode(digest).ok())
            .flatten()?;
        let keys = candidates.iter().map(|s| s.value.expose_secret().as_bytes());
        let check = MacCheck::new(HashKind::Sha256, keys.enumerate(), vec![given])?;
        Some(Box::new(check))
    }

    fn shape(&self, _head: &Head, _candidates: &[&Secret]) -> Shape<'_> {
        Shape::Mac(MacShape {
            header: SIGNATURE,
            prefix: PREFIX,
            key: None,
            time_key: None,
            encoding: Encoding::Hex,
            hash: HashKind::Sha256,
            separators: &[],
            signed_header: None,
        })
    }

    fn paths(&self, claim: &Claim) -> FactPaths {
        let entity = claim.event.as_deref().and_then(entity);
        FactPaths {
            object_required: true,
            action: vec![Path::of(&["action"])],
            repository: vec![Path::of(&["repository", "full_name"])],
            sender: vec![Path::of(&["sender", "login"])],
            entity: entity
                .map(|(kind, path)| (Some(kind), path))
                .into_iter()
                .collect(),
            ..FactPaths::default()
        }
    }

    fn example(&self, of: &Example<'_>) -> Value {
        let (owner, name) = of.repository.split_once('/').unwrap_or(("", of.repository));
        let mut body = json!({
            "zen": "Keep it logically awesome.",
            "repository": {"full_name": of.repository, "name": name, "owner": {"login": owner}},
            "sender": {"login": "hooklog"},
        });
        if let (Some(action), Some(members)) = (of.action, body.as_object_mut()) {
            members.insert("action".to_owned(), action.into());
        }
        body
    }

    fn sign(&self, delivery: &ToSign<'_>, secret: Option<&Secret>) -> Result<HeaderMap, SignError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static("GitHub-Hookshot/hooklog-test"),
        );
        let mut put = |name: &str, value: &str| set(&mut headers, name, value);
        put(EVENT, delivery.event)?;
        put(DELIVERY, delivery.delivery_id)?;
        if let Some(hook) = secret.and_then(|s| s.hook.as_deref()) {
            put(HOOK, hook)?;
        }
        if let Some(secret) = secret {
            let key = secret.value.expose_secret().as_bytes();
            let mac = mac_of(HashKind::Sha256, key, &[delivery.body]).unwrap_or_default();
            put(SIGNATURE, &format!("{PREFIX}{}", hex::encode(mac)))?;
        }
        Ok(headers)
    }
}

/// What an event is about: the name of its kind and the member that identifies it.
fn entity(event: &str) -> Option<(&'static str, Path)> {
    Some(match event {
        "workflow_job" => ("workflow_job", Path::of(&["workflow_job", "id"])),
        "workflow_run" => ("workflow_run", Path::of(&["workflow_run", "id"])),
        "check_run" => ("check_run", Path::of(&["check_run", "id"])),
        "check_suite" => ("check_suite", Path::of(&["check_suite", "id"])),
        "pull_request"
        | "pull_request_review"
        | "pull_request_review_comment"
        | "pull_request_review_thread"
        | "pull_request_target" => ("pull_request", Path::of(&["pull_request", "id"])),
        "issues" | "issue_comment" => ("issue", Path::of(&["issue", "id"])),
        "discussion" | "discussion_comment" => ("discussion", Path::of(&["discussion", "id"])),
        "deployment" | "deployment_status" => ("deployment", Path::of(&["deployment", "id"])),
        "release" => ("release", Path::of(&["release", "id"])),
        "milestone" => ("milestone", Path::of(&["milestone", "id"])),
        "label" => ("label", Path::of(&["label", "id"])),
        "package" => ("package", Path::of(&["package", "id"])),
        "registry_package" => ("registry_package", Path::of(&["registry_package", "id"])),
        "commit_comment" => ("comment", Path::of(&["comment", "id"])),
        "fork" => ("fork", Path::of(&["forkee", "id"])),
        "installation" | "installation_repositories" => ("installation", Path::of(&["installation", "id"])),
        "code_scanning_alert" => ("code_scanning_alert", Path::of(&["alert", "number"])),
        "dependabot_alert" => ("dependabot_alert", Path::of(&["alert", "number"])),
        "secret_scanning_alert" => ("secret_scanning_alert", Path::of(&["alert", "number"])),
        "security_advisory" => ("security_advisory", Path::of(&["security_advisory", "ghsa_id"])),
        "repository_advisory" => (
            "repository_advisory",
            Path::of(&["repository_advisory", "ghsa_id"]),
        ),
        "projects_v2_item" => ("projects_v2_item", Path::of(&["projects_v2_item", "id"])),
        "status" => ("commit", Path::of(&["sha"])),
        "push" => ("commit", Path::of(&["after"])),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNED: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn fits(secrets: &[&str], signature: &str, body: &[u8]) -> Option<usize> {
        let secrets: Vec<Secret> = secrets.iter().map(|s| Secret::new("x", s)).collect();
        let mut headers = HeaderMap::new();
        headers.insert(SIGNATURE, HeaderValue::from_str(signature).unwrap());
        let head = Head::new(None, headers);
        let mut check = Github.check(&head, &secrets.iter().collect::<Vec<_>>())?;
        for piece in body.chunks(5) {
            check.update(piece);
        }
        check.finish()
    }

    #[test]
    fn the_documented_vector_verifies() {
        assert_eq!(fits(&[SECRET], SIGNED, BODY), Some(0));
        assert_eq!(
            fits(
                &[SECRET],
                &SIGNED.to_uppercase().replace("SHA256", "sha256"),
                BODY
            ),
            Some(0)
        );
    }

    #[test]
    fn any_changed_bit_of_the_body_or_signature_fails() {
        for at in 0..BODY.len() * 8 {
            let mut body = BODY.to_vec();
            body[at / 8] ^= 1 << (at % 8);
            assert_eq!(fits(&[SECRET], SIGNED, &body), None, "bit {at} of the body");
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(&SIGNED[7..], &mut digest).unwrap();
        for at in 0..256 {
            let mut digest = digest;
            digest[at / 8] ^= 1 << (at % 8);
            let signature = format!("sha256={}", hex::encode(digest));
            assert_eq!(
                fits(&[SECRET], &signature, BODY),
                None,
                "bit {at} of the signature"
            );
        }
        assert_eq!(fits(&[SECRET], SIGNED, b"Hello, World"), None);
        assert_eq!(fits(&[SECRET], SIGNED, b""), None);
    }

    #[test]
    fn a_signature_of_another_shape_fails() {
        let hex = &SIGNED[7..];
        for bad in [
            "",
            "sha256=",
            hex,
            &format!("sha1={hex}"),
            &format!("SHA256={hex}"),
            &format!("sha256= {hex}"),
            &format!("sha256={hex}00"),
            &SIGNED[..SIGNED.len() - 2],
            &format!("sha256={}zz", &hex[2..]),
            &format!("{SIGNED},{SIGNED}"),
        ] {
            assert_eq!(fits(&[SECRET], bad, BODY), None, "{bad:?}");
        }
    }

    #[test]
    fn the_secret_that_fits_is_named() {
        assert_eq!(fits(&["a", SECRET, "b"], SIGNED, BODY), Some(1));
        assert_eq!(fits(&[SECRET, SECRET], SIGNED, BODY), Some(0));
        assert_eq!(fits(&["a", "b"], SIGNED, BODY), None);
        assert_eq!(fits(&[], SIGNED, BODY), None);
    }

    #[test]
    fn what_it_signs_it_verifies() {
        let secret = Secret::new("x", "s3cret");
        let to_sign = ToSign {
            event: "ping",
            delivery_id: "1",
            body: b"{}",
            now: domain::Timestamp::from_millis(0),
        };
        let head = Head::new(None, Github.sign(&to_sign, Some(&secret)).unwrap());
        let mut check = Github.check(&head, &[&secret]).unwrap();
        check.update(b"{}");
        assert_eq!(check.finish(), Some(0));
        assert_eq!(Github.claim(&head).unwrap().event.as_deref(), Some("ping"));
    }
}
