//! A request of a sender, checked as receiving would, to find out why its signature does not fit.
//!
//! What is told are names of checks and ids of secrets. Never here: a signature, a secret, or a word about another tenant's.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::SourceName;
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use poem::web::Data;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use poem_openapi::{Object, OpenApi};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::Group;
use crate::access::Caller;
use crate::access::audit::AuditNote;
use crate::answer::Answer;
use crate::failure::{Code, Failure};
use crate::json_body::{Command, JsonBody};
use crate::param::parse_time;
use crate::ports::RequestToCheck;
use crate::shape::verify::CheckedRequest;
use crate::state::State;

/// More headers than this no request has; receiving takes fewer.
const HEADERS_MAX: usize = 1000;
/// The longest connection; of a path no more is looked at.
const CONNECTION_BYTES_MAX: usize = 512;
/// Seconds after which to ask again where others are being checked.
const RETRY_SECS: u64 = 2;

pub(crate) struct VerifyApi {
    pub(crate) state: Arc<State>,
}

/// A request as its sender made it.
#[derive(Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
struct VerifyRequest {
    /// The source that it was sent to. Needed.
    source: Option<String>,
    /// The connection in its path, the last part of `/api/webhooks/<source>/<connection>`.
    connection: Option<String>,
    /// Its headers, each with its value or, where one stands several times, a list of them.
    headers: Option<Headers>,
    /// Its body, where that is a text. This or `bodyBase64` is needed.
    body: Option<String>,
    /// Its body in base64, byte for byte.
    body_base64: Option<String>,
    /// When it is taken to be received; now unless given.
    at: Option<String>,
}

impl Command for VerifyRequest {
    const WHAT: &'static str = "The request to check";
    const EXPECTED: &'static str =
        "a JSON object with source, connection, headers, body or bodyBase64, and at is expected";
    const REQUIRED: bool = true;
}

/// Headers in their order. Never shown: tokens stand in them.
#[derive(Default, Clone, Serialize)]
struct Headers(Vec<(String, Values)>);

/// The values of a header.
#[derive(Clone, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "the value of a header has to be a text, or a list of texts"
)]
enum Values {
    One(String),
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with headers and their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some(header) = map.next_entry()? {
                    headers.push(header);
                }
                Ok(Headers(headers))
            }

            // The usual error would show what stands there: a header with its token.
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Headers, E> {
                Err(E::custom(
                    "headers have to be an object, each header with its value",
                ))
            }
        }
        from.deserialize_any(InOrder)
    }
}

impl Type for Headers {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "headers".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let values = MetaSchema {
            one_of: vec![String::schema_ref(), Vec::<String>::schema_ref()],
            ..MetaSchema::ANY
        };
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(values)))),
            ..MetaSchema::new("object")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Headers {
    fn to_json(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}

impl ParseFromJSON for Headers {
    fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
        serde_json::from_value(value.unwrap_or_default())
            .map_err(|error| ParseError::custom(error.to_string()))
    }
}

#[OpenApi(prefix_path = "/api/webhooks", tag = "Group::Deliveries")]
impl VerifyApi {
    /// Check a request as receiving would, and say which check fails and why.
    ///
    /// Nothing is received. Where no secret fits, the body is tried as something on its way may have re-encoded it, and so are
    /// other secrets of the caller's tenant. It never tells what the right signature would be. Addresses, rates and duplicates are
    /// not looked at.
    #[oai(path = "/verify", method = "post", operation_id = "verifyRequest")]
    async fn verify(
        &self,
        caller: Data<&Caller>,
        note: Data<&AuditNote>,
        body: JsonBody<VerifyRequest>,
    ) -> Result<Answer<CheckedRequest>, Failure> {
        let options = &self.state.options;
        let patience = Duration::from_millis(options.check_timeout_ms);
        let busy = |_| Failure::later("other requests are being checked; try again", RETRY_SECS);
        let place = tokio::time::timeout(patience, self.state.checking.acquire()).await;
        let _place = place
            .map_err(busy)?
            .map_err(|_| Failure::later("the service is shutting down", RETRY_SECS))?;
        let read = body.read_within(options.check_bytes_max, patience).await?;
        let request = to_check(read, &caller)?;
        note.set(request.source.to_string());
        let checked = self.state.check.check(request).await;
        let checked = checked.map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        Ok(Answer(checked))
    }
}

fn to_check(asked: VerifyRequest, caller: &Caller) -> Result<RequestToCheck, Failure> {
    let expected = "the name of a source is expected: 1 to 63 of a-z, 0-9, - and _";
    let source = asked.source.as_deref().map(str::parse::<SourceName>);
    let source = source
        .and_then(Result::ok)
        .ok_or_else(|| Failure::field("source", expected))?;
    Ok(RequestToCheck {
        tenant: caller.tenant.clone(),
        source,
        connection: asked.connection.map(connection).transpose()?,
        headers: header_map(asked.headers.unwrap_or_default())?,
        body: body(asked.body, asked.body_base64)?,
        at: match &asked.at {
            None => None,
            Some(text) => Some(
                parse_time(text)
                    .ok_or_else(|| Failure::field("at", "a time such as 2026-11-21T08:30:00Z is expected"))?,
            ),
        },
    })
}

fn connection(text: String) -> Result<String, Failure> {
    let plain = (1..=CONNECTION_BYTES_MAX).contains(&text.len()) && !text.contains('/');
    plain
        .then_some(text)
        .ok_or_else(|| Failure::field("connection", "one part of a path is expected, at most 512 bytes"))
}

fn body(text: Option<String>, base64: Option<String>) -> Result<Bytes, Failure> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into()),
        (None, Some(base64)) => STANDARD
            .decode(base64.trim())
            .map(Bytes::from)
            .map_err(|_| Failure::field("bodyBase64", "standard base64 with its padding is expected")),
        (None, None) => Err(Failure::field(
            "body",
            "give it, or bodyBase64; an empty body is \"\"",
        )),
        (Some(_), Some(_)) => Err(Failure::field("body", "give either it or bodyBase64")),
    }
}

/// The headers as a connection would have brought them: white space around a value is not part of it.
fn header_map(headers: Headers) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::new();
    for (name, values) in headers.0 {
        let values = match values {
            Values::One(value) => vec![value],
            Values::Several(values) => values,
        };
        let parsed = HeaderName::from_bytes(name.as_bytes());
        // Names are shown, for they are no secrets; values may be.
        let shown: String = name.chars().take(100).collect();
        let parsed =
            parsed.map_err(|_| Failure::field("headers", &format!("{shown:?} can't be the name of one")))?;
        for value in values {
            let value =
                HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes()).map_err(|_| {
                    Failure::field(
                        "headers",
                        &format!("the value of {shown:?} holds control characters"),
                    )
                })?;
            if map.len() >= HEADERS_MAX {
                return Err(Failure::field("headers", "at most 1000 are expected"));
            }
            map.append(parsed.clone(), value);
        }
    }
    Ok(map)
}
