//! Bodies and values as the web API shows them (spec §2.8).

use std::fmt::Write;

use crate::block::BodyNode;
use crate::value::{Number, Object, Secret, Value};

/// An encoded body, or a component's exports (see [`object_to_body`]), as a JSON list.
pub fn body_to_json(body: &[BodyNode]) -> String {
    let mut json = String::new();
    write_body(&mut json, body);
    json
}

/// A value as `{"type": …, "value": …}`. Secrets show as `(secret)`; infinities and NaN, which JSON has no word for, as text.
pub fn value_to_json(value: &Value) -> String {
    let mut json = String::new();
    write_value(&mut json, value);
    json
}

/// The fields of an object as attributes: the form in which exports are shown.
pub fn object_to_body(object: &Object) -> Vec<BodyNode> {
    let fields = object.iter();
    fields.map(|(name, value)| BodyNode::Attribute { name: name.to_owned(), value: value.clone() }).collect()
}

fn write_body(json: &mut String, body: &[BodyNode]) {
    write_list(json, body, |json, node| match node {
        BodyNode::Attribute { name, value } => {
            json.push_str("{\"name\":");
            write_string(json, name);
            json.push_str(",\"type\":\"attr\",\"value\":");
            write_value(json, value);
            json.push('}');
        }
        BodyNode::Block { name, label, body } => {
            json.push_str("{\"name\":");
            write_string(json, name);
            json.push_str(",\"type\":\"block\"");
            if let Some(label) = label.as_ref().filter(|label| !label.is_empty()) {
                json.push_str(",\"label\":");
                write_string(json, label);
            }
            json.push_str(",\"body\":");
            write_body(json, body);
            json.push('}');
        }
    });
}

fn write_value(json: &mut String, value: &Value) {
    let typed = |json: &mut String, name: &str| {
        let _ = write!(json, "{{\"type\":\"{name}\",\"value\":");
    };
    match value {
        Value::Null => json.push_str("{\"type\":\"null\",\"value\":null"),
        Value::Number(number) => {
            typed(json, "number");
            write_number(json, *number);
        }
        Value::String(text) => {
            typed(json, "string");
            write_string(json, &text.to_string_lossy());
        }
        Value::Bool(truth) => {
            typed(json, "bool");
            let _ = write!(json, "{truth}");
        }
        Value::Array(items) => {
            typed(json, "array");
            write_list(json, items.iter(), write_value);
        }
        Value::Object(object) => {
            typed(json, "object");
            write_list(json, object.iter(), |json, (name, value)| {
                write_field(json, name, |json| write_value(json, value))
            });
        }
        Value::Target(target) => {
            typed(json, "object");
            write_list(json, target.iter(), |json, (name, label)| {
                write_field(json, name, |json| {
                    typed(json, "string");
                    write_string(json, label);
                    json.push('}');
                });
            });
        }
        Value::Function(_) => {
            typed(json, "function");
            write_string(json, "function");
        }
        Value::Secret(secret) => {
            typed(json, "capsule");
            write_string(json, &shown(secret));
        }
        Value::Capsule(capsule) => {
            typed(json, "capsule");
            write_string(json, &format!("{capsule:?}"));
        }
    }
    json.push('}');
}

/// A secret stays one; a text that is none is quoted.
fn shown(secret: &Secret) -> String {
    match secret.is_secret() {
        true => "(secret)".to_owned(),
        false => base_stdx::quote::quote(secret.value.as_bytes()),
    }
}

fn write_field(json: &mut String, name: &str, value: impl FnOnce(&mut String)) {
    json.push_str("{\"key\":");
    write_string(json, name);
    json.push_str(",\"value\":");
    value(json);
    json.push('}');
}

/// A JSON float, as Alloy's: large integers lose digits.
fn write_number(json: &mut String, number: Number) {
    let number = number.as_f64();
    match base_stdx::float::json(number) {
        Some(text) => json.push_str(&text),
        None => write_string(json, &base_stdx::float::general(number)),
    }
}

fn write_list<T>(json: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    json.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        write(json, item);
    }
    json.push(']');
}

fn write_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\u{1f}' => {
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{SecretKind, Text};

    #[test]
    fn a_body_reads_as_alloy_prints_it() {
        let body = [
            BodyNode::Attribute {
                name: "targets".into(),
                value: Value::from(vec![Value::Object([("__address__", Value::from("a:1"))].into_iter().collect())]),
            },
            BodyNode::Block { name: "rule".into(), label: Some("x".into()), body: vec![] },
        ];
        assert_eq!(
            body_to_json(&body),
            r#"[{"name":"targets","type":"attr","value":{"type":"array","value":[{"type":"object","value":[{"key":"__address__","value":{"type":"string","value":"a:1"}}]}]}},{"name":"rule","type":"block","label":"x","body":[]}]"#
        );
    }

    #[test]
    fn infinity_does_not_break_the_page_and_secrets_stay_secret() {
        assert_eq!(value_to_json(&Value::from(f64::INFINITY)), r#"{"type":"number","value":"+Inf"}"#);
        let secret = |kind| Value::Secret(Secret { value: Text::from("hunter2"), kind });
        assert_eq!(value_to_json(&secret(SecretKind::Always)), r#"{"type":"capsule","value":"(secret)"}"#);
        assert_eq!(value_to_json(&secret(SecretKind::OptionalPlain)), r#"{"type":"capsule","value":"\"hunter2\""}"#);
    }
}
