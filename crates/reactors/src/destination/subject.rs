//! Publishing to a NATS subject: a CloudEvent in binary mode, as on our own stream, with a body over the claim-check size
//! as a reference.

use std::sync::Arc;

use bytes::Bytes;
use domain::{DeliveryReceived, ErrorCode, Failure, PublishError, PublishToSubject, subject_part};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::payload::Payload;
use crate::Dispatch;

/// The largest body that travels in the message itself, in bytes; larger ones travel as a reference.
const CLAIM_CHECK_BYTES: u64 = 256 * 1024;
/// The longest subject, in bytes: NATS closes the connection at 4 KiB of a whole line.
const SUBJECT_BYTES_MAX: usize = 2048;
/// Our own stream and its kin stand under it.
const OURS: &str = "hooklog";
/// What no CloudEvents attribute holds as it is, beside everything beyond ASCII.
const NOT_IN_ATTRIBUTES: &AsciiSet = &CONTROLS.add(b'"').add(b'%').add(b' ');

/// A subject with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubjectTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Fact(Fact),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    Tenant,
    Source,
    Event,
    Action,
    Owner,
    Repo,
}

impl SubjectTemplate {
    /// Reads `literal.{source}.{event}`; placeholders are `tenant`, `source`, `event`, `action`, `owner` and `repo`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or("has a { without its }; placeholders look like {source}")?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Fact(fact(name)?));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self(parts);
        // Every placeholder gives at least one character that needs no escape.
        check(&template.filled(|_| "x".to_owned()))?;
        Ok(template)
    }

    /// The subject of a delivery.
    pub(crate) fn of(&self, received: &DeliveryReceived) -> Result<String, String> {
        let repository = received.repository.as_deref().map(str::to_lowercase);
        let (owner, name) = match repository.as_deref() {
            Some(full) => full
                .split_once('/')
                .map_or((None, Some(full)), |(owner, name)| (Some(owner), Some(name))),
            None => (None, None),
        };
        let subject = self.filled(|fact| {
            let text = match fact {
                Fact::Tenant => return received.tenant.to_string(),
                Fact::Source => return received.source.to_string(),
                Fact::Event => Some(received.event.as_str()),
                Fact::Action => received.action.as_deref(),
                Fact::Owner => owner,
                Fact::Repo => name,
            };
            subject_part(text).into_owned()
        });
        check(&subject)?;
        Ok(subject)
    }

    fn filled(&self, fill: impl Fn(Fact) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Fact(fact) => fill(*fact),
        };
        self.0.iter().map(part).collect()
    }
}

impl std::fmt::Display for SubjectTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.filled(|fact| format!("{{{}}}", name_of(fact))))
    }
}

const FACTS: [Fact; 6] = [
    Fact::Tenant,
    Fact::Source,
    Fact::Event,
    Fact::Action,
    Fact::Owner,
    Fact::Repo,
];

fn name_of(fact: Fact) -> &'static str {
    match fact {
        Fact::Tenant => "tenant",
        Fact::Source => "source",
        Fact::Event => "event",
        Fact::Action => "action",
        Fact::Owner => "owner",
        Fact::Repo => "repo",
    }
}

fn fact(name: &str) -> Result<Fact, String> {
    FACTS
        .into_iter()
        .find(|fact| name_of(*fact) == name)
        .ok_or_else(|| {
            let known = FACTS.map(name_of).join(", ");
            format!("has the placeholder {{{name}}}; known are {known}")
        })
}

fn check(subject: &str) -> Result<(), String> {
    if subject.len() > SUBJECT_BYTES_MAX {
        return Err(format!("is longer than {SUBJECT_BYTES_MAX} bytes"));
    }
    let tokens: Vec<&str> = subject.split('.').collect();
    let plain = |token: &&str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    if !tokens.iter().all(plain) {
        return Err("has to be words of printable ASCII, with a dot between them".to_owned());
    }
    if subject.contains(['*', '>']) {
        return Err("has a wildcard; a message goes to one subject".to_owned());
    }
    match tokens.first() {
        Some(&OURS) => {
            Err("is under hooklog., where our own stream is; choose another first word".to_owned())
        }
        Some(first) if first.starts_with('$') => {
            Err("is one of the server's own, which begin with $".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}

/// Publishes deliveries to a subject.
pub(crate) struct SubjectSender {
    pub(crate) subjects: Arc<dyn PublishToSubject>,
    pub(crate) template: SubjectTemplate,
    /// Where the API is reached, for bodies that travel by reference.
    pub(crate) base_url: String,
}

impl SubjectSender {
    /// Publishes a payload, and waits until the server has it.
    pub(crate) async fn publish(
        &self,
        dispatch: &Dispatch,
        payload: &Payload,
        made_anew: Option<&'static str>,
    ) -> Result<(), Failure> {
        let invalid =
            |problem: String| Failure::new(ErrorCode::ValidationError, format!("the subject {problem}"));
        let subject = self.template.of(&dispatch.received).map_err(invalid)?;
        let by_reference = made_anew.is_none() && payload.byte_len() > CLAIM_CHECK_BYTES;
        let bytes = if by_reference {
            Bytes::new()
        } else {
            let whole = payload.whole().await;
            whole.map_err(|lost| super::classify::of_lost(&lost))?
        };
        let headers = self.headers(dispatch, made_anew, by_reference);
        match self.subjects.publish(&subject, headers, bytes).await {
            Ok(()) => Ok(()),
            Err(error @ PublishError::Unavailable(_)) => {
                Err(Failure::new(ErrorCode::NetworkError, error.to_string()))
            }
            Err(error @ PublishError::Refused(_)) => {
                Err(Failure::new(ErrorCode::ValidationError, error.to_string()))
            }
        }
    }

    fn headers(
        &self,
        dispatch: &Dispatch,
        made_anew: Option<&'static str>,
        by_reference: bool,
    ) -> Vec<(String, String)> {
        let received = &dispatch.received;
        let mut headers = Vec::new();
        let mut put = |name: &str, value: &str| {
            let value = utf8_percent_encode(value, NOT_IN_ATTRIBUTES).to_string();
            headers.push((name.to_owned(), value));
        };
        put("Nats-Msg-Id", &dispatch.idempotency_key);
        put("ce-specversion", "1.0");
        put("ce-id", &dispatch.event_id.to_string());
        put("ce-type", DeliveryReceived::TYPE);
        put("ce-time", &received.received_at.to_string());
        put("ce-source", &format!("/{}/{}", received.tenant, received.source));
        if let Some(repository) = &received.repository {
            put("ce-subject", repository);
        }
        put("Hooklog-Delivery", &received.key.to_string());
        if let Some(delivery_id) = &received.delivery_id {
            put("Hooklog-Delivery-Id", delivery_id);
        }
        put("Hooklog-Attempt", &dispatch.number.to_string());
        if let Some(replay) = dispatch.replay {
            put("Hooklog-Replay", &replay.to_string());
        }
        if by_reference {
            let base_url = self.base_url.trim_end_matches('/');
            put(
                "ce-dataref",
                &format!("{base_url}/api/webhooks/events/{}/body", received.key),
            );
        }
        if let Some(content_type) = made_anew.or_else(|| received.header("content-type")) {
            // A space is usual in it, and no attribute of CloudEvents.
            let value = utf8_percent_encode(content_type, CONTROLS).to_string();
            headers.push(("content-type".to_owned(), value));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use domain::testing::TestDelivery;

    use super::*;

    #[test]
    fn a_subject_is_filled_with_escaped_facts() {
        let mut delivery = TestDelivery::new("pull_request.x", "{}");
        delivery.repository = Some("Octo-Org/next.js".into());
        let subject = |text: &str| {
            SubjectTemplate::parse(text)
                .unwrap()
                .of(&delivery.received())
                .unwrap()
        };
        assert_eq!(subject("ci.builds"), "ci.builds");
        assert_eq!(
            subject("ci.{source}.{event}.{action}.{owner}.{repo}"),
            "ci.github.pull_request%2Ex._.octo-org.next%2Ejs"
        );
        assert_eq!(subject("ci.v1-{tenant}"), "ci.v1-default");
    }

    #[test]
    fn what_is_no_subject_for_us_is_refused() {
        for text in [
            "",
            ".",
            "a.",
            "a..b",
            "a b",
            "a\tb",
            "ü",
            "a.*",
            "a.>",
            "$JS.API.x",
            "hooklog",
            "hooklog.x",
            "hooklog.v1.default",
            "{secret}",
            "{source",
            "a.{}",
        ] {
            assert!(SubjectTemplate::parse(text).is_err(), "{text:?}");
        }
        assert!(SubjectTemplate::parse("hooklogs.x").is_ok());
        assert!(SubjectTemplate::parse(&"a".repeat(3000)).is_err());
        assert_eq!(
            SubjectTemplate::parse("a.{event}").unwrap().to_string(),
            "a.{event}"
        );
    }

    #[test]
    fn a_fact_does_not_lead_into_our_own_stream() {
        let template = SubjectTemplate::parse("{event}.x").unwrap();
        assert!(
            template
                .of(&TestDelivery::new("hooklog", "{}").received())
                .is_err()
        );
        assert!(template.of(&TestDelivery::new("push", "{}").received()).is_ok());
    }
}
