//! Linear: `Linear-Signature` is the hex HMAC-SHA256 of the raw body, and the time of signing is the member
//! `webhookTimestamp` of the body, in milliseconds (<https://linear.app/developers/webhooks>).
//!
//! The header `Linear-Timestamp` repeats that time but is not signed: it is not looked at.

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

const SIGNATURE: &str = "Linear-Signature";
const DELIVERY: &str = "Linear-Delivery";
const EVENT: &str = "Linear-Event";
const AGENT: &str = "Linear-Webhook";
/// How far the time may be off, in milliseconds: what Linear's own library takes.
const TOLERANCE_MS: u64 = 60_000;

/// The scheme `linear`.
pub(super) struct Linear;

impl Scheme for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn user_agent(&self) -> Option<&'static str> {
        Some(AGENT)
    }

    fn tolerance_ms(&self) -> Option<u64> {
        Some(TOLERANCE_MS)
    }

    fn claim(&self, head: &Head) -> Result<Claim, Rejection> {
        content::json(head)?;
        head.sole(SIGNATURE)?;
        let delivery_id = head
            .name(DELIVERY)?
            .ok_or(Rejection::HeaderMissing(DELIVERY.into()))?;
        Ok(Claim {
            delivery_id: Some(delivery_id),
            event: head.name(EVENT)?,
            ..Claim::default()
        })
    }

    fn check(&self, head: &Head, candidates: &[&Secret]) -> Option<Box<dyn Check>> {
        let value = head.headers.get(SIGNATURE)?.to_str().ok()?;
        let given = hex::decode(value.trim()).ok()?;
        let keys = candidates.iter().map(|s| s.value.expose_secret().as_bytes());
        let check = MacCheck::new(HashKind::Sha256, keys.enumerate(), vec![given])?;
        Some(Box::new(check))
    }

    fn shape(&self, _head: &Head, _candidates: &[&Secret]) -> Shape<'_> {
        Shape::Mac(MacShape {
            header: SIGNATURE,
            prefix: "",
            key: None,
            time_key: None,
            encoding: Encoding::Hex,
            hash: HashKind::Sha256,
            separators: &[],
            signed_header: None,
        })
    }

    fn paths(&self, _claim: &Claim) -> FactPaths {
        FactPaths {
            object_required: true,
            event: vec![Path::of(&["type"])],
            action: vec![Path::of(&["action"])],
            sender: vec![Path::of(&["actor", "name"])],
            entity: vec![(None, Path::of(&["data", "id"]))],
            signed_at: Some(Path::of(&["webhookTimestamp"])),
            ..FactPaths::default()
        }
    }

    fn example(&self, of: &Example<'_>) -> Value {
        json!({
            "type": of.event,
            "action": of.action.unwrap_or("create"),
            "data": {"title": "Keep it logically awesome."},
            "actor": {"type": "user", "name": "hooklog"},
            "webhookTimestamp": of.now.as_millis(),
        })
    }

    fn sign(&self, delivery: &ToSign<'_>, secret: Option<&Secret>) -> Result<HeaderMap, SignError> {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(CONTENT_TYPE, json);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        set(&mut headers, EVENT, delivery.event)?;
        set(&mut headers, DELIVERY, delivery.delivery_id)?;
        if let Some(secret) = secret {
            let key = secret.value.expose_secret().as_bytes();
            let mac = mac_of(HashKind::Sha256, key, &[delivery.body]).unwrap_or_default();
            set(&mut headers, SIGNATURE, &hex::encode(mac))?;
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Vector, claim, fits, head, secrets};
    use super::*;

    const SECRET: &str = "lin_wh_0123456789abcdef";
    const BODY: &str = r#"{"action":"create","type":"Issue","data":{"id":"2174add1-f7c8-44e3-bbf3-2d60b5ea8bc9","title":"Hooks"},"actor":{"id":"b5ea5f1f-8adc-4f52-b4bd-ab4e84cf51ba","type":"user","name":"Ada"},"organizationId":"dc844923-f9a4-40a3-825c-dea7747e57d5","webhookTimestamp":1676056940508,"webhookId":"000042e3-d123-4980-b49f-8e140eef9329"}"#;
    /// By Python's `hmac`.
    const SIGNED: &str = "76dc011e7c7d6f7ea264ed4b77fba847d7550deb55dd13f67acb5873db80b9e1";

    #[test]
    fn a_vector_made_elsewhere_verifies_and_nothing_near_it() {
        let vector = Vector {
            scheme: &Linear,
            secret: SECRET,
            headers: &[("Linear-Signature", SIGNED)],
            proof: "Linear-Signature",
            body: BODY.as_bytes(),
        };
        vector.check(&[]);
    }

    #[test]
    fn the_signature_is_hex_without_a_prefix() {
        let fits = |value: &str| {
            let head = head(&[("Linear-Signature", value)]);
            fits(&Linear, &secrets(&[SECRET]), &head, BODY.as_bytes()).is_some()
        };
        assert!(fits(SIGNED) && fits(&SIGNED.to_uppercase()));
        for bad in [
            "",
            "zz",
            &format!("sha256={SIGNED}"),
            &format!("{SIGNED},{SIGNED}"),
            &SIGNED[2..],
        ] {
            assert!(!fits(bad), "{bad}");
        }
    }

    #[test]
    fn its_headers_name_the_delivery_and_its_body_must_be_json() {
        let named = [("Linear-Delivery", "d-1"), ("Linear-Event", "Issue")];
        let of = claim(&Linear, &named).unwrap();
        assert_eq!(
            (of.delivery_id.as_deref(), of.event.as_deref()),
            (Some("d-1"), Some("Issue"))
        );
        assert_eq!(
            claim(&Linear, &named[1..]),
            Err(Rejection::HeaderMissing("Linear-Delivery".into()))
        );
        for kind in ["text/plain", "application/x-www-form-urlencoded"] {
            let head = head(&[("Content-Type", kind), named[0]]);
            assert_eq!(Linear.claim(&head), Err(Rejection::ContentType), "{kind}");
        }
        let json = head(&[("Content-Type", "application/json; charset=utf-8"), named[0]]);
        assert!(Linear.claim(&json).is_ok());
        assert_eq!(Linear.claim(&head(&named)), Err(Rejection::ContentType));
    }
}
