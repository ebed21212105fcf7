//! What the library does not write into the OpenAPI document: how to show who asks, and which scope each operation needs.
//! Taken from the very rules that are enforced.

use serde_json::{Map, Value, json};

use crate::access::Need;
use crate::access::rule::Rule;

/// The document with its security schemes, and each operation with what it needs.
pub(crate) fn with_access(spec: &str) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(spec) else {
        return spec.to_owned();
    };
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("securitySchemes".to_owned(), schemes());
    }
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, operations) in paths.into_iter().flatten() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            if let (Some(rule), Some(operation)) =
                (Rule::of_operation(method, path), operation.as_object_mut())
            {
                describe(operation, rule);
            }
        }
    }
    serde_json::to_string(&document).unwrap_or_else(|_| spec.to_owned())
}

fn schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, `hk_<id>_<secret>`, as `Authorization: Bearer`.",
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Api-Key",
            "description": "The same key in a header of its own.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "hooklog_session",
            "description": "The cookie of a login, `POST /api/login`.",
        },
    })
}

fn describe(operation: &mut Map<String, Value>, rule: &Rule) {
    if rule.need == Need::Nothing {
        operation.insert("security".to_owned(), json!([]));
        return;
    }
    let any = json!([{ "bearer": [] }, { "apiKey": [] }, { "session": [] }]);
    operation.insert("security".to_owned(), any);
    operation.insert("x-hooklog-scope".to_owned(), rule.need.as_str().into());
    if rule.whole {
        operation.insert("x-hooklog-tenant".to_owned(), "default".into());
    }
}
