//! What conditions and priorities can ask about a delivery.

use std::collections::HashMap;

use bytes::Bytes;
use cel::Value;
use domain::{DeliveryReceived, decode_form_payload, is_form};

/// The names that expressions know.
pub(crate) const NAMES: [&str; 10] = [
    "source",
    "event",
    "action",
    "repository",
    "sender",
    "tenant",
    "delivery_id",
    "hook_id",
    "headers",
    "body",
];

/// The JSON in a body, `payload=` of a form decoded; none where there is none.
pub(crate) fn json_of(received: &DeliveryReceived, body: &Bytes) -> Option<Bytes> {
    if received.header("content-type").is_some_and(is_form) {
        decode_form_payload(body).map(Bytes::from)
    } else {
        Some(body.clone())
    }
}

/// The values of the names, those that an expression asks for. What a delivery does not have is an empty text, and a body
/// that is no JSON (or nested beyond 128) is null.
pub(crate) fn facts(
    received: &DeliveryReceived,
    json: Option<&[u8]>,
    asked: impl Fn(&str) -> bool,
) -> HashMap<&'static str, Value> {
    let mut facts = HashMap::new();
    let text = |value: Option<&str>| Value::from(value.unwrap_or_default());
    for name in NAMES.into_iter().filter(|name| asked(name)) {
        let value = match name {
            "source" => text(Some(received.source.as_str())),
            "event" => text(Some(&received.event)),
            "action" => text(received.action.as_deref()),
            "repository" => text(received.repository.as_deref()),
            "sender" => text(received.sender.as_deref()),
            "tenant" => text(Some(received.tenant.as_str())),
            "delivery_id" => text(received.delivery_id.as_deref()),
            "hook_id" => text(received.hook_id.as_deref()),
            "headers" => headers(received),
            _ => json
                .and_then(|bytes| serde_json::from_slice(bytes).ok())
                .map_or(Value::Null, of_json),
        };
        facts.insert(name, value);
    }
    facts
}

/// Names in lower case; several values of one name are joined by a comma, as HTTP has it.
fn headers(received: &DeliveryReceived) -> Value {
    let mut joined: HashMap<String, String> = HashMap::new();
    for header in &received.headers {
        joined
            .entry(header.0.to_lowercase())
            .and_modify(|value| {
                value.push_str(", ");
                value.push_str(&header.1);
            })
            .or_insert_with(|| header.1.clone());
    }
    Value::from(joined)
}

/// Whole numbers become `int`, so that they compare and add up with those written in an expression.
fn of_json(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value),
            (None, Some(value)) => Value::UInt(value),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(items) => Value::from(items.into_iter().map(of_json).collect::<Vec<_>>()),
        serde_json::Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, of_json(value)));
            Value::from(fields.collect::<HashMap<_, _>>())
        }
    }
}
