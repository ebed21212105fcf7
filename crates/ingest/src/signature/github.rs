//! GitHub: `X-Hub-Signature-256: sha256=<hex>`, the HMAC-SHA256 of the raw body under the hook's secret, for JSON and for
//! form bodies alike (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>).
//!
//! GitHub signs neither the delivery's id nor a time: the log's memory of ids is the only defence against repeats.

use hmac::{Hmac, KeyInit, Mac};
use poem::http::header::{CONTENT_TYPE, InvalidHeaderValue, USER_AGENT};
use poem::http::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use sha2::Sha256;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{Check, Claim, FactPaths, Scheme, ToSign};
use crate::head::Head;
use crate::json::Path;
use crate::options::Secret;
use crate::rejection::Rejection;

const SIGNATURE: &str = "X-Hub-Signature-256";
const EVENT: &str = "X-GitHub-Event";
const DELIVERY: &str = "X-GitHub-Delivery";
const HOOK: &str = "X-GitHub-Hook-ID";
const AGENT: &str = "GitHub-Hookshot/";
const PREFIX: &str = "sha256=";

/// The scheme `github`.
pub(super) struct Github;

type HmacSha256 = Hmac<Sha256>;

impl Scheme for Github {
    fn name(&self) -> &'static str {
        "github"
    }

    fn user_agent(&self) -> Option<&'static str> {
        Some(AGENT)
    }

    fn secret_headers(&self) -> &'static [&'static str] {
        &[]
    }

    fn claim(&self, head: &Head) -> Result<Claim, Rejection> {
        let form = is_form(head)?;
        head.sole(SIGNATURE)?;
        let event = head.name(EVENT)?.ok_or(Rejection::HeaderMissing(EVENT))?;
        let delivery_id = head.name(DELIVERY)?.ok_or(Rejection::HeaderMissing(DELIVERY))?;
        Ok(Claim {
            hook_id: head.name(HOOK)?,
            delivery_id: Some(delivery_id),
            event: Some(event),
            form,
        })
    }

    fn check(&self, head: &Head, candidates: &[&Secret]) -> Option<Box<dyn Check>> {
        let value = head.headers.get(SIGNATURE)?.to_str().ok()?;
        let mut given = [0; 32];
        hex::decode_to_slice(value.trim().strip_prefix(PREFIX)?, &mut given).ok()?;
        let macs: Option<Vec<HmacSha256>> = candidates.iter().map(|secret| mac(secret)).collect();
        Some(Box::new(Signature { given, macs: macs? }))
    }

    fn paths(&self, claim: &Claim) -> FactPaths {
        FactPaths {
            object_required: true,
            event: None,
            action: Some(Path {
                outer: "action",
                inner: None,
            }),
            repository: Some(inner("repository", "full_name")),
            sender: Some(inner("sender", "login")),
            entity: claim.event.as_deref().and_then(entity),
        }
    }

    fn sign(&self, delivery: &ToSign<'_>, secret: Option<&Secret>) -> Result<HeaderMap, InvalidHeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static("GitHub-Hookshot/hooklog-test"),
        );
        headers.insert(EVENT, HeaderValue::from_str(delivery.event)?);
        headers.insert(DELIVERY, HeaderValue::from_str(delivery.delivery_id)?);
        if let Some(hook) = secret.and_then(|s| s.hook.as_deref()) {
            headers.insert(HOOK, HeaderValue::from_str(hook)?);
        }
        if let Some(mut mac) = secret.and_then(mac) {
            mac.update(delivery.body);
            let signature = hex::encode(mac.finalize().into_bytes());
            headers.insert(SIGNATURE, HeaderValue::from_str(&format!("{PREFIX}{signature}"))?);
        }
        Ok(headers)
    }
}

/// Whether the body is a form; refuses what is neither a form nor JSON.
fn is_form(head: &Head) -> Result<bool, Rejection> {
    let content_type = head.name("Content-Type")?.ok_or(Rejection::ContentType)?;
    let encoding = head.name("Content-Encoding")?;
    if encoding.is_some_and(|e| !e.eq_ignore_ascii_case("identity")) {
        return Err(Rejection::ContentType);
    }
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let form = domain::is_form(&content_type);
    if form || kind.eq_ignore_ascii_case("application/json") {
        Ok(form)
    } else {
        Err(Rejection::ContentType)
    }
}

/// HMAC takes keys of any length, so that this is always some.
fn mac(secret: &Secret) -> Option<HmacSha256> {
    HmacSha256::new_from_slice(secret.value.expose_secret().as_bytes()).ok()
}

struct Signature {
    given: [u8; 32],
    macs: Vec<HmacSha256>,
}

impl Check for Signature {
    fn update(&mut self, piece: &[u8]) {
        for mac in &mut self.macs {
            mac.update(piece);
        }
    }

    fn finish(self: Box<Self>) -> Option<usize> {
        let (mut found, mut which) = (Choice::from(0), 0_u64);
        for (at, mac) in (0_u64..).zip(self.macs) {
            let computed: [u8; 32] = mac.finalize().into_bytes().into();
            let fits = computed.ct_eq(&self.given);
            which.conditional_assign(&at, fits & !found);
            found |= fits;
        }
        bool::from(found)
            .then_some(which)
            .and_then(|at| usize::try_from(at).ok())
    }
}

const fn inner(outer: &'static str, inner: &'static str) -> Path {
    Path {
        outer,
        inner: Some(inner),
    }
}

/// What an event is about: the name of its kind and the member that identifies it.
fn entity(event: &str) -> Option<(&'static str, Path)> {
    Some(match event {
        "workflow_job" => ("workflow_job", inner("workflow_job", "id")),
        "workflow_run" => ("workflow_run", inner("workflow_run", "id")),
        "check_run" => ("check_run", inner("check_run", "id")),
        "check_suite" => ("check_suite", inner("check_suite", "id")),
        "pull_request"
        | "pull_request_review"
        | "pull_request_review_comment"
        | "pull_request_review_thread"
        | "pull_request_target" => ("pull_request", inner("pull_request", "id")),
        "issues" | "issue_comment" => ("issue", inner("issue", "id")),
        "discussion" | "discussion_comment" => ("discussion", inner("discussion", "id")),
        "deployment" | "deployment_status" => ("deployment", inner("deployment", "id")),
        "release" => ("release", inner("release", "id")),
        "milestone" => ("milestone", inner("milestone", "id")),
        "label" => ("label", inner("label", "id")),
        "package" => ("package", inner("package", "id")),
        "registry_package" => ("registry_package", inner("registry_package", "id")),
        "commit_comment" => ("comment", inner("comment", "id")),
        "fork" => ("fork", inner("forkee", "id")),
        "installation" | "installation_repositories" => ("installation", inner("installation", "id")),
        "code_scanning_alert" => ("code_scanning_alert", inner("alert", "number")),
        "dependabot_alert" => ("dependabot_alert", inner("alert", "number")),
        "secret_scanning_alert" => ("secret_scanning_alert", inner("alert", "number")),
        "security_advisory" => ("security_advisory", inner("security_advisory", "ghsa_id")),
        "repository_advisory" => ("repository_advisory", inner("repository_advisory", "ghsa_id")),
        "projects_v2_item" => ("projects_v2_item", inner("projects_v2_item", "id")),
        "status" => (
            "commit",
            Path {
                outer: "sha",
                inner: None,
            },
        ),
        "push" => (
            "commit",
            Path {
                outer: "after",
                inner: None,
            },
        ),
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
        let head = Head { peer: None, headers };
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
        };
        let head = Head {
            peer: None,
            headers: Github.sign(&to_sign, Some(&secret)).unwrap(),
        };
        let mut check = Github.check(&head, &[&secret]).unwrap();
        check.update(b"{}");
        assert_eq!(check.finish(), Some(0));
        assert_eq!(Github.claim(&head).unwrap().event.as_deref(), Some("ping"));
    }
}
