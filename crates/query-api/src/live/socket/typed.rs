//! Which event of Socket.IO a delivery is, and the object in its payload that clients want.

use std::borrow::Cow;
use std::collections::HashMap;

use domain::catalogue::{self, Category};
use domain::{EventData, decode_form_payload};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::delivery::detail::body_url;
use crate::live::item::Delivery;

/// What the payload of a push says of it; it has no object of its own.
const PUSH: [&str; 11] = [
    "ref",
    "before",
    "after",
    "created",
    "deleted",
    "forced",
    "compare",
    "pusher",
    "user_name",
    "head_commit",
    "commits",
];

/// A kind of event that live clients know by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// Its name on the wire.
    pub(super) name: &'static str,
    /// What the object is called in it.
    field: &'static str,
    object: Object,
}

/// Where the object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    /// Under the first of these names that the payload has.
    Under(&'static [&'static str]),
    /// Some fields of the payload.
    Fields(&'static [&'static str]),
    /// The payload itself.
    Whole,
}

const fn under(name: &'static str, field: &'static str, names: &'static [&'static str]) -> Option<Kind> {
    let object = Object::Under(names);
    Some(Kind { name, field, object })
}

/// The kind of an event, if it has one.
pub(super) fn kind(scheme: &str, event: &str) -> Option<Kind> {
    let push = Some(Kind {
        name: "push-event",
        field: "push",
        object: Object::Fields(&PUSH),
    });
    match (scheme, event) {
        ("github", "workflow_job") => under("workflow-job", "job", &["workflow_job"]),
        ("github", "workflow_run") => under("workflow-run", "run", &["workflow_run"]),
        ("github", "push") | ("gitlab", "push" | "tag_push") => push,
        ("gitlab", "merge_request") => under("pull-request", "pull_request", &["object_attributes"]),
        ("gitlab", "issue") => under("issue-event", "issue", &["object_attributes"]),
        ("gitlab", "pipeline") => under("workflow-run", "run", &["object_attributes"]),
        ("gitlab", "build") => Some(Kind {
            name: "workflow-job",
            field: "job",
            object: Object::Whole,
        }),
        ("linear", "Issue") => under("issue-event", "issue", &["data"]),
        ("github", _) => match catalogue::category(scheme, event) {
            Category::PullRequest => under("pull-request", "pull_request", &["pull_request"]),
            Category::Issue if event.starts_with("issue") => under("issue-event", "issue", &["issue"]),
            // Of the others some say that a scan is over, or that a setting is another one: nobody is to be woken up for that.
            Category::Security if is_alert(event) => under(
                "security-alert",
                "alert",
                &["alert", "security_advisory", "repository_advisory"],
            ),
            Category::Issue
            | Category::Security
            | Category::Actions
            | Category::Code
            | Category::Repository
            | Category::Organization
            | Category::Other => None,
        },
        _ => None,
    }
}

/// Whether an event of GitHub's about security says that something was found.
fn is_alert(event: &str) -> bool {
    event.ends_with("_alert")
        || [
            "secret_scanning_alert_location",
            "security_advisory",
            "repository_advisory",
        ]
        .contains(&event)
}

#[derive(Serialize)]
struct Repository<'a> {
    full_name: &'a str,
}

/// What is sent; the object goes out as it came in, byte for byte.
struct Typed<'a> {
    delivery: &'a Delivery,
    field: &'static str,
    object: Option<Shown<'a>>,
    payload_url: Option<String>,
}

enum Shown<'a> {
    One(&'a RawValue),
    Some(Vec<(&'static str, &'a RawValue)>),
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(value) => value.serialize(serializer),
            Self::Some(fields) => serializer.collect_map(fields.iter().copied()),
        }
    }
}

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let received = &self.delivery.received;
        let repository = received.repository.as_deref();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("eventType", &received.event)?;
        map.serialize_entry("action", &received.action)?;
        map.serialize_entry(
            "repository",
            &repository.map(|full_name| Repository { full_name }),
        )?;
        map.serialize_entry(self.field, &self.object)?;
        map.serialize_entry("id", received.key.as_str())?;
        map.serialize_entry("deliveryId", &received.delivery_id)?;
        map.serialize_entry("source", &received.source)?;
        map.serialize_entry("sender", &received.sender)?;
        map.serialize_entry("position", &self.delivery.position)?;
        map.serialize_entry("timestamp", &received.received_at)?;
        if let Some(url) = &self.payload_url {
            map.serialize_entry("payloadUrl", url)?;
        }
        map.end()
    }
}

/// The event as it is sent. A body that is too large, or stored elsewhere, is not in it, but where it can be read is.
pub(super) fn json(
    kind: Kind,
    delivery: &Delivery,
    base_url: &str,
    bytes_max: usize,
) -> Option<Box<RawValue>> {
    let decoded;
    let body: Option<&[u8]> = match &delivery.data {
        EventData::Inline(bytes) if bytes.len() <= bytes_max => {
            if delivery.form {
                decoded = decode_form_payload(bytes);
                decoded.as_deref()
            } else {
                Some(bytes)
            }
        }
        EventData::Inline(_) | EventData::Stored(_) => None,
    };
    let by_reference =
        delivery.data.byte_len() > bytes_max as u64 || matches!(delivery.data, EventData::Stored(_));
    let typed = Typed {
        delivery,
        field: kind.field,
        object: body.and_then(|body| object(kind.object, body)),
        payload_url: by_reference.then(|| body_url(base_url, &delivery.received)),
    };
    serde_json::value::to_raw_value(&typed).ok()
}

fn object(object: Object, body: &[u8]) -> Option<Shown<'_>> {
    if object == Object::Whole {
        return serde_json::from_slice(body).ok().map(Shown::One);
    }
    let fields: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).ok()?;
    let get = |name: &&'static str| fields.get(*name).copied();
    match object {
        Object::Under(names) => names.iter().find_map(get).map(Shown::One),
        Object::Fields(names) => {
            let some = names.iter().filter_map(|name| Some((*name, get(name)?)));
            Some(Shown::Some(some.collect()))
        }
        Object::Whole => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::testing::{TestDelivery, recorded};
    use serde_json::{Value, json};

    use super::*;
    use crate::live::item::{self, Item};

    fn shown(event: &str, body: impl Into<bytes::Bytes>) -> Option<(&'static str, Value)> {
        let (name, text) = shown_as_text(event, body)?;
        Some((name, serde_json::from_str(text.get()).unwrap()))
    }

    fn shown_as_text(event: &str, body: impl Into<bytes::Bytes>) -> Option<(&'static str, Box<RawValue>)> {
        let mut delivery = TestDelivery::new(event, body);
        delivery.delivery_id = "d-1".into();
        let item = Item::of(&recorded(7, &delivery));
        let item::Kind::Delivery(delivery) = item.kind else {
            panic!("no delivery");
        };
        let kind = kind(&delivery.received.scheme, event)?;
        Some((kind.name, json(kind, &delivery, "http://h/", 1000).unwrap()))
    }

    #[test]
    fn the_object_goes_out_byte_for_byte() {
        let job = r#"{"id":1.0e2, "z":18446744073709551617,"a":0.10,"a":2}"#;
        let (_, text) = shown_as_text("workflow_job", format!("{{\"workflow_job\":{job}}}")).unwrap();
        assert!(text.get().contains(&format!("\"job\":{job},")), "{text}");
        let (_, text) = shown_as_text("push", r#"{"before":1.0e2,"ref":"r"}"#).unwrap();
        assert!(
            text.get().contains(r#""push":{"ref":"r","before":1.0e2}"#),
            "{text}"
        );
    }

    #[test]
    fn a_typed_event_has_the_object_of_its_payload() {
        let (name, job) = shown(
            "workflow_job",
            r#"{"action":"queued","workflow_job":{"id":1.0e2}}"#,
        )
        .unwrap();
        assert_eq!(name, "workflow-job");
        assert_eq!(
            job,
            json!({"eventType": "workflow_job", "action": null, "repository": {"full_name": "octo-org/octo-repo"},
                "job": {"id": 100.0}, "id": "github.41.d-1", "deliveryId": "d-1", "source": "github", "sender": "octocat",
                "position": 7, "timestamp": "2025-11-21T23:00:00Z"})
        );
        let (name, push) = shown("push", r#"{"ref":"refs/heads/x","commits":[],"repository":{}}"#).unwrap();
        assert_eq!(
            (name, &push["push"]),
            ("push-event", &json!({"ref": "refs/heads/x", "commits": []}))
        );
        let (name, alert) = shown("security_advisory", r#"{"security_advisory":{"a":1}}"#).unwrap();
        assert_eq!((name, &alert["alert"]), ("security-alert", &json!({"a": 1})));
        assert_eq!(
            shown("issue_comment", "{}").map(|(name, _)| name),
            Some("issue-event")
        );
        assert_eq!(
            shown("pull_request_review", "{}").map(|(name, _)| name),
            Some("pull-request")
        );
        assert_eq!(shown("star", "{}"), None);
    }

    #[test]
    fn what_is_no_json_has_no_object_and_what_is_large_is_somewhere_else() {
        assert_eq!(shown("push", "no json").unwrap().1["push"], Value::Null);
        let (_, large) = shown("push", format!("{{\"ref\":\"{}\"}}", "x".repeat(1000))).unwrap();
        assert_eq!(large["push"], Value::Null);
        assert_eq!(
            large["payloadUrl"],
            "http://h/api/webhooks/events/github.41.d-1/body"
        );
    }

    #[test]
    fn other_senders_have_their_counterparts() {
        let name = |scheme, event| kind(scheme, event).map(|kind| kind.name);
        assert_eq!(name("gitlab", "merge_request"), Some("pull-request"));
        assert_eq!(name("gitlab", "build"), Some("workflow-job"));
        assert_eq!(name("gitlab", "pipeline"), Some("workflow-run"));
        assert_eq!(name("gitlab", "push"), Some("push-event"));
        assert_eq!(name("gitlab", "issue"), Some("issue-event"));
        assert_eq!(name("linear", "Issue"), Some("issue-event"));
        for event in [
            "dependabot_alert",
            "code_scanning_alert",
            "secret_scanning_alert",
            "repository_vulnerability_alert",
            "secret_scanning_alert_location",
            "security_advisory",
            "repository_advisory",
        ] {
            assert_eq!(name("github", event), Some("security-alert"), "{event}");
        }
        for event in ["security_and_analysis", "secret_scanning_scan"] {
            assert_eq!(
                catalogue::category("github", event),
                Category::Security,
                "{event}"
            );
            assert_eq!(name("github", event), None, "{event}: nothing was found");
        }
        assert_eq!(name("hmac", "push"), None);
    }
}
