//! Arguments compared with those that Alloy was recorded to have: names, types, what is required, every default.
//!
//! ```ignore
//! for definition in components::all() {
//!     let differences = compare_schema(&(definition.arguments)(), definition.name);
//!     assert_eq!(differences, Some(vec![]), "{}", definition.name);
//! }
//! ```

use base_stdx::{ByteSize, GoDuration, PrometheusDuration};
use language_eval::schema::{BlockSchema, FieldKind, FieldSchema, Repeat, TypeSchema};
use language_eval::{Number, Value};
use serde::Deserialize;

use crate::oracle;

#[derive(Deserialize)]
struct Recorded {
    arguments: Vec<Field>,
    #[serde(default)]
    exports: Option<Vec<Export>>,
}

#[derive(Deserialize)]
struct Export {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
}

/// An attribute, block, enum of blocks or label; or the word `(recursive)`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Known(Box<Known>),
    Recursive(#[allow(dead_code)] String),
}

#[derive(Deserialize)]
struct Known {
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    repeatable: bool,
    #[serde(default, rename = "type")]
    type_name: String,
    #[serde(default)]
    default: serde_json::Value,
    #[serde(default)]
    when_absent: serde_json::Value,
    #[serde(default)]
    body: Body,
}

/// What a block holds; or the word `(recursive)`: what a block around it holds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Fields(Vec<Field>),
    Recursive(#[allow(dead_code)] String),
}

impl Default for Body {
    fn default() -> Body {
        Body::Fields(Vec::new())
    }
}

impl Body {
    fn fields(&self) -> &[Field] {
        match self {
            Body::Fields(fields) => fields,
            Body::Recursive(_) => &[],
        }
    }
}

/// Every way in which the arguments of a component differ from Alloy's, as sentences that begin with the path of the
/// argument; `None`, with a word about it, if there is no recording.
pub fn compare_schema(ours: &BlockSchema, component: &str) -> Option<Vec<String>> {
    let text = oracle::text(&format!("pipelines/defaults/schema/{component}.json"))?;
    let recorded: Recorded = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{component}.json: {error}"));
    let mut differences = Vec::new();
    compare_body(ours, &recorded.arguments, "", &mut differences);
    Some(differences)
}

/// The same for what a component exports.
pub fn compare_exports(ours: &BlockSchema, component: &str) -> Option<Vec<String>> {
    let text = oracle::text(&format!("pipelines/defaults/schema/{component}.json"))?;
    let recorded: Recorded = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{component}.json: {error}"));
    let recorded = recorded.exports.unwrap_or_default();
    let mut differences = Vec::new();
    for export in &recorded {
        let name = &export.name;
        match ours.fields.iter().find(|field| field.name == name) {
            None => differences.push(format!("export {name}: missing ({} in Alloy)", export.type_name)),
            Some(FieldSchema { kind: FieldKind::Attribute { value, .. }, .. })
                if !same_type(value, &export.type_name) =>
            {
                differences.push(format!("export {name}: is of type {value:?}, in Alloy {}", export.type_name));
            }
            Some(_) => {}
        }
    }
    for field in ours.fields.iter().filter(|field| !recorded.iter().any(|export| export.name == field.name)) {
        differences.push(format!("export {}: Alloy has no such export", field.name));
    }
    Some(differences)
}

fn compare_body(ours: &BlockSchema, recorded: &[Field], path: &str, differences: &mut Vec<String>) {
    let mut known = Vec::new();
    for field in recorded {
        let Field::Known(field) = field else { return };
        if field.kind == "enum" {
            if let Body::Recursive(_) = field.body {
                // The same alternatives as further out, which are compared there.
                let prefix = format!("{}.", field.name);
                known.extend(
                    ours.fields.iter().map(|ours| ours.name.to_owned()).filter(|name| name.starts_with(&prefix)),
                );
            }
            for variant in field.body.fields() {
                let Field::Known(variant) = variant else { continue };
                let name = if field.name.is_empty() {
                    variant.name.clone()
                } else {
                    format!("{}.{}", field.name, variant.name)
                };
                compare_field(ours, variant, &name, path, differences, true);
                known.push(name);
            }
        } else if field.kind != "label" {
            compare_field(ours, field, &field.name, path, differences, false);
            known.push(field.name.clone());
        }
    }
    for field in ours.fields.iter().filter(|field| !known.iter().any(|name| name == field.name)) {
        differences.push(format!("{path}{}: Alloy has no such argument", field.name));
    }
}

fn compare_field(
    ours: &BlockSchema,
    recorded: &Known,
    name: &str,
    path: &str,
    differences: &mut Vec<String>,
    variant: bool,
) {
    let path = format!("{path}{name}");
    let Some(field) = ours.fields.iter().find(|field| field.name == name) else {
        differences.push(format!(
            "{path}: missing ({} in Alloy)",
            if recorded.kind == "attr" { &recorded.type_name } else { "a block" }
        ));
        return;
    };
    if field.required != recorded.required && !variant {
        differences.push(format!("{path}: required is {}, in Alloy {}", field.required, recorded.required));
    }
    match (&field.kind, recorded.kind.as_str()) {
        (FieldKind::Attribute { value, default }, "attr") => {
            if !same_type(value, &recorded.type_name) {
                differences.push(format!("{path}: is of type {value:?}, in Alloy {}", recorded.type_name));
            }
            if !recorded.required && !same_default(default.as_ref(), &recorded.default) {
                differences.push(format!("{path}: the default is {default:?}, in Alloy {}", recorded.default));
            }
        }
        (FieldKind::Block { schema, repeat, absent, .. }, "block") => {
            let repeatable = matches!(repeat, Repeat::Many);
            if !variant && repeatable != recorded.repeatable {
                differences.push(format!("{path}: repeatable is {repeatable}, in Alloy {}", recorded.repeatable));
            }
            let schema = schema();
            compare_body(&schema, recorded.body.fields(), &format!("{path}."), differences);
            if !recorded.required && !recorded.repeatable && !variant {
                compare_absent(&schema, absent.as_ref(), &recorded.when_absent, &path, differences);
            }
        }
        (FieldKind::Attribute { .. }, _) => differences.push(format!("{path}: is an attribute, in Alloy a block")),
        (FieldKind::Block { .. }, _) => differences.push(format!("{path}: is a block, in Alloy an attribute")),
    }
}

/// What applies when a block is left out: in ours, what the parent says, and for the rest the block's own defaults.
fn compare_absent(
    block: &BlockSchema,
    absent: Option<&Value>,
    recorded: &serde_json::Value,
    path: &str,
    differences: &mut Vec<String>,
) {
    let Some(recorded) = recorded.as_object() else {
        if recorded.is_null() && absent.is_some() {
            differences.push(format!("{path}: when left out it is {absent:?}, in Alloy it is not there"));
        }
        return;
    };
    for (name, value) in recorded {
        let given = match absent {
            Some(Value::Object(object)) => object.get(name).cloned(),
            // Ours is not there at all. Then the component does nothing, or what the block's own defaults say.
            _ if is_zero(value) => continue,
            _ => None,
        };
        let ours = given.or_else(|| own_default(block, name));
        let is_attribute =
            block.fields.iter().any(|field| field.name == name && matches!(field.kind, FieldKind::Attribute { .. }));
        if is_attribute && !same_default(ours.as_ref(), value) {
            differences.push(format!("{path}: when left out, {name} is {ours:?}, in Alloy {value}"));
        }
    }
}

fn own_default(block: &BlockSchema, name: &str) -> Option<Value> {
    let field: &FieldSchema = block.fields.iter().find(|field| field.name == name)?;
    match &field.kind {
        FieldKind::Attribute { default, .. } => default.clone(),
        FieldKind::Block { .. } => None,
    }
}

fn same_type(ours: &TypeSchema, recorded: &str) -> bool {
    let inner = |prefix: &str| recorded.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
    match ours {
        TypeSchema::Any => true,
        TypeSchema::Bool => recorded == "bool",
        TypeSchema::Int | TypeSchema::Uint => recorded == "int",
        TypeSchema::Float => matches!(recorded, "float" | "int"),
        TypeSchema::String | TypeSchema::Word(_) => recorded == "string",
        TypeSchema::Duration => recorded == "duration",
        TypeSchema::Text(_) => matches!(recorded, "string" | "duration"),
        TypeSchema::Secret => matches!(recorded, "secret" | "secret or string"),
        TypeSchema::List(item) => inner("list(").is_some_and(|recorded| same_type(item, recorded)),
        TypeSchema::Map(value) => inner("map(").is_some_and(|recorded| same_type(value, recorded)),
        TypeSchema::Struct(_) => recorded == "object",
        TypeSchema::Target => matches!(recorded, "target" | "capsule"),
        // Rules are a list of objects to Alloy, and something of their own to us.
        TypeSchema::Capsule(_) => matches!(recorded, "capsule" | "list(object)"),
    }
}

fn same_default(ours: Option<&Value>, recorded: &serde_json::Value) -> bool {
    let Some(ours) = ours else { return is_zero(recorded) };
    match (ours, recorded) {
        (Value::Null, recorded) => is_zero(recorded),
        (Value::Bool(ours), serde_json::Value::Bool(recorded)) => ours == recorded,
        (Value::Number(ours), serde_json::Value::Number(recorded)) => {
            recorded.as_f64().is_some_and(|recorded| Number::Float(recorded) == *ours)
        }
        (Value::String(ours), serde_json::Value::String(recorded)) => same_text(&ours.to_string_lossy(), recorded),
        (Value::Secret(ours), serde_json::Value::String(recorded)) => ours.value.to_string_lossy() == *recorded,
        // Some kinds of number were recorded as text.
        (Value::Number(ours), serde_json::Value::String(recorded)) => {
            recorded.parse().is_ok_and(|recorded| Number::Float(recorded) == *ours)
        }
        (Value::Array(ours), serde_json::Value::Array(recorded)) => {
            ours.len() == recorded.len()
                && ours.iter().zip(recorded).all(|(ours, recorded)| same_default(Some(ours), recorded))
        }
        (Value::Object(ours), serde_json::Value::Object(recorded)) => {
            ours.len() == recorded.len()
                && ours
                    .iter()
                    .all(|(name, ours)| recorded.get(name).is_some_and(|recorded| same_default(Some(ours), recorded)))
        }
        (Value::Bool(ours), serde_json::Value::Null) => !ours,
        (Value::Number(ours), serde_json::Value::Null) => *ours == Number::Int(0),
        (Value::Array(ours), serde_json::Value::Null) => ours.is_empty(),
        (Value::Object(ours), serde_json::Value::Null) => ours.is_empty(),
        (Value::Secret(ours), serde_json::Value::Null) => ours.value.as_bytes().is_empty(),
        (Value::String(ours), serde_json::Value::Null) => ours.as_bytes().is_empty(),
        _ => false,
    }
}

/// The same text, or the same length of time or number of bytes.
fn same_text(ours: &str, recorded: &str) -> bool {
    let nanoseconds = |text: &str| {
        let go = text.parse::<GoDuration>().ok().and_then(GoDuration::to_std);
        go.or_else(|| text.parse::<PrometheusDuration>().ok().map(PrometheusDuration::to_std))
    };
    ours == recorded
        || nanoseconds(ours).is_some_and(|ours| nanoseconds(recorded) == Some(ours))
        || ours.parse::<ByteSize>().is_ok_and(|ours| recorded.parse::<ByteSize>() == Ok(ours))
}

/// Unset, or what an unset field holds.
fn is_zero(recorded: &serde_json::Value) -> bool {
    match recorded {
        serde_json::Value::Null => true,
        serde_json::Value::Bool(truth) => !truth,
        serde_json::Value::Number(number) => number.as_f64() == Some(0.0),
        serde_json::Value::String(text) => matches!(text.as_str(), "" | "0s" | "0B"),
        serde_json::Value::Array(items) => items.is_empty(),
        serde_json::Value::Object(fields) => fields.values().all(is_zero),
    }
}

#[cfg(test)]
mod tests {
    use language_eval::Block;

    use super::*;

    #[derive(Block)]
    struct File {
        #[attr]
        #[allow(dead_code)]
        filename: String,
        #[attr(default = "poll")]
        detector: String,
        #[attr(optional)]
        colour: bool,
    }

    #[test]
    fn what_differs_is_named_with_both_sides() {
        let Some(differences) = compare_schema(&<File as Block>::schema(), "local.file") else { return };
        let found = |start: &str| differences.iter().any(|difference| difference.starts_with(start));
        assert!(found("colour: Alloy has no such argument"), "{differences:?}");
        assert!(found("detector: the default is Some(\"poll\"), in Alloy \"fsnotify\""), "{differences:?}");
        assert!(found("poll_frequency: missing"), "{differences:?}");
        assert!(!found("filename"), "{differences:?}");
    }
}
