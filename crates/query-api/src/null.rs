//! Nulls in the OpenAPI document, which the library can't say.

use serde_json::{Map, Value, json};

/// Says of every member that may be absent that it may be null: answers show it as null, requests may too.
pub(crate) fn named(document: &str) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(document) else {
        return document.to_owned();
    };
    name_nulls(&mut document);
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn name_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("type").is_some_and(|kind| kind == "object") {
                name_nulls_of(members);
            }
            members.values_mut().for_each(name_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(name_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn name_nulls_of(object: &mut Map<String, Value>) {
    let required: Vec<String> = match object.get("required") {
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    let Some(Value::Object(properties)) = object.get_mut("properties") else {
        return;
    };
    for (name, schema) in properties {
        if required.contains(name) {
            continue;
        }
        // Beside a reference nothing counts: it has to be wrapped.
        if schema.get("$ref").is_some() {
            *schema = json!({"allOf": [schema.take()]});
        }
        if let Value::Object(schema) = schema {
            schema.insert("nullable".to_owned(), true.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_absent_may_be_null_and_nothing_else() {
        let text = json!({"components": {"schemas": {"A": {
            "type": "object",
            "required": ["always"],
            "properties": {
                "always": {"type": "string"},
                "never": {"type": "string"},
                "other": {"$ref": "#/components/schemas/B"},
                "inner": {"type": "object", "properties": {"deep": {"type": "integer"}}},
            },
        }}}});
        let completed: Value = serde_json::from_str(&named(&text.to_string())).unwrap();
        let properties = &completed["components"]["schemas"]["A"]["properties"];
        assert_eq!(properties["always"], json!({"type": "string"}));
        assert_eq!(properties["never"], json!({"type": "string", "nullable": true}));
        let other = json!({"allOf": [{"$ref": "#/components/schemas/B"}], "nullable": true});
        assert_eq!(properties["other"], other);
        assert_eq!(properties["inner"]["properties"]["deep"]["nullable"], true);
    }
}
