//! The `action` blocks, and what they do to the attributes of one item.

use base_re2::{Regex, Slots};
use language_eval::value::Number;
use language_eval::{Block, Value};
use sdk_protocols_otlp::edit::{Attributes, any};
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{Any, AnyValue};
use sdk_signals::Origin;
use sha2::{Digest as _, Sha256};

/// One change.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Action {
    /// The attribute to change; `delete` and `hash` may have a `pattern` instead.
    #[attr(optional)]
    pub key: String,
    /// The value to set.
    #[attr]
    pub value: Option<Value>,
    /// For `delete` and `hash`: which keys. For `extract`: what to find in the value; every group needs a name.
    #[attr(optional)]
    pub pattern: String,
    /// Takes the value of another attribute.
    #[attr(optional)]
    pub from_attribute: String,
    /// Takes a value of the request: `metadata.<header>`, `auth.<name>` or `client.address`.
    #[attr(optional)]
    pub from_context: String,
    /// For `convert`: `int`, `double` or `string`.
    #[attr(optional)]
    pub converted_type: String,
    /// `insert`, `update`, `upsert`, `delete`, `hash`, `extract` or `convert`, in any case.
    #[attr]
    pub action: String,
}

/// All actions, ready to be applied.
pub(super) struct Program(Vec<Step>);

/// A program with the values that come from a request.
pub(super) struct Bound<'p> {
    steps: &'p [Step],
    /// For each step that asks for one.
    context: Vec<Option<Vec<u8>>>,
}

enum Step {
    Put { how: Put, key: Vec<u8>, source: Source },
    Delete(Keys),
    Hash(Keys),
    Extract { key: Vec<u8>, pattern: Regex, names: Vec<Vec<u8>> },
    Convert { key: Vec<u8>, to: Kind },
}

#[derive(Clone, Copy)]
enum Put {
    Insert,
    Update,
    Upsert,
}

enum Source {
    Value(Vec<u8>),
    Attribute(Vec<u8>),
    Context(String),
}

struct Keys {
    key: Option<Vec<u8>>,
    pattern: Option<Regex>,
}

#[derive(Clone, Copy)]
enum Kind {
    Int,
    Double,
    Text,
}

// === impl Program ===

impl Program {
    pub(super) fn new(actions: &[Action]) -> Result<Program, String> {
        let step = |(i, action): (usize, &Action)| {
            Step::new(action).map_err(|message| {
                if action.key.is_empty() {
                    format!("{message} ({i}-th action)")
                } else {
                    format!("error with key {:?} ({i}-th action): {message}", action.key)
                }
            })
        };
        actions.iter().enumerate().map(step).collect::<Result<_, _>>().map(Program)
    }

    /// The values of a request are looked up once, not for each item.
    pub(super) fn for_origin(&self, origin: Option<&Origin>) -> Bound<'_> {
        let context = |step: &Step| match step {
            Step::Put { source: Source::Context(name), .. } => {
                from_context(origin?, name).map(|text| any::text(text.as_bytes()))
            }
            _ => None,
        };
        Bound { steps: &self.0, context: self.0.iter().map(context).collect() }
    }
}

impl Step {
    fn new(action: &Action) -> Result<Step, String> {
        let word = action.action.to_lowercase();
        let key = || action.key.clone().into_bytes();
        if action.key.is_empty() {
            return match &word[..] {
                "delete" | "hash" if !action.pattern.is_empty() => Ok(()),
                "delete" | "hash" => Err(format!(
                    "the action {} requires at least the key argument or the pattern argument to be set",
                    action.action
                )),
                _ => Err(format!("the action {} requires the key argument to be set", action.action)),
            }
            .and_then(|()| Step::of_keys(action, &word));
        }
        let value = action.value.as_ref().filter(|value| !matches!(value, Value::Null));
        let sources = [value.is_some(), !action.from_attribute.is_empty(), !action.from_context.is_empty()];
        let sources = sources.into_iter().filter(|given| *given).count();
        let unused = |field: &str, given: bool| {
            if given { Err(format!("action {word:?} does not use {field}; it must not be given")) } else { Ok(()) }
        };
        match &word[..] {
            "insert" | "update" | "upsert" => {
                unused("pattern", !action.pattern.is_empty())?;
                unused("converted_type", !action.converted_type.is_empty())?;
                let source = match (sources, value) {
                    (0, _) => return Err("one of value, from_attribute or from_context must be given".to_owned()),
                    (1, Some(value)) => Source::Value(encode(value)?),
                    (1, None) if !action.from_attribute.is_empty() => {
                        Source::Attribute(action.from_attribute.clone().into_bytes())
                    }
                    (1, None) => Source::Context(action.from_context.clone()),
                    _ => return Err("multiple value sources are set".to_owned()),
                };
                let how = match &word[..] {
                    "insert" => Put::Insert,
                    "update" => Put::Update,
                    _ => Put::Upsert,
                };
                Ok(Step::Put { how, key: key(), source })
            }
            "delete" | "hash" => Step::of_keys(action, &word),
            "extract" => {
                unused("a value source", sources > 0)?;
                unused("converted_type", !action.converted_type.is_empty())?;
                if action.pattern.is_empty() {
                    return Err("missing required field \"pattern\" for action \"extract\"".to_owned());
                }
                let pattern = regex(&action.pattern)?;
                let names: Option<Vec<_>> =
                    pattern.group_names().skip(1).map(|name| Some(name?.as_bytes().to_vec())).collect();
                match names {
                    None => Err("field \"pattern\" contains at least one unnamed matcher group".to_owned()),
                    Some(names) if names.is_empty() => {
                        Err("field \"pattern\" contains no named matcher groups".to_owned())
                    }
                    Some(names) => Ok(Step::Extract { key: key(), pattern, names }),
                }
            }
            "convert" => {
                unused("a value source", sources > 0)?;
                unused("pattern", !action.pattern.is_empty())?;
                let to = match &action.converted_type[..] {
                    "int" => Kind::Int,
                    "double" => Kind::Double,
                    "string" => Kind::Text,
                    "" => return Err("missing required field \"converted_type\" for action \"convert\"".to_owned()),
                    other => {
                        return Err(format!(
                            "invalid value {other:?} in field \"converted_type\" for action \"convert\""
                        ));
                    }
                };
                Ok(Step::Convert { key: key(), to })
            }
            _ => Err(format!("unsupported action {:?}", action.action)),
        }
    }

    /// `delete` and `hash`.
    fn of_keys(action: &Action, word: &str) -> Result<Step, String> {
        let value = action.value.as_ref().is_some_and(|value| !matches!(value, Value::Null));
        if value || !action.from_attribute.is_empty() || !action.converted_type.is_empty() {
            return Err(format!("action {word:?} does not use value, from_attribute or converted_type"));
        }
        let keys = Keys {
            key: (!action.key.is_empty()).then(|| action.key.clone().into_bytes()),
            pattern: if action.pattern.is_empty() { None } else { Some(regex(&action.pattern)?) },
        };
        Ok(if word == "delete" { Step::Delete(keys) } else { Step::Hash(keys) })
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("field \"pattern\" has an invalid pattern: {error}"))
}

/// A value of the configuration as an attribute's.
pub(crate) fn encode(value: &Value) -> Result<Vec<u8>, String> {
    Ok(match value {
        Value::Null => Vec::new(),
        Value::String(text) => any::text(text.as_bytes()),
        Value::Bool(value) => any::bool(*value),
        Value::Number(Number::Int(value)) => any::int(*value),
        Value::Number(Number::Uint(value)) => any::int(*value as i64),
        Value::Number(Number::Float(value)) => any::double(*value),
        Value::Array(list) => {
            let values: Vec<Vec<u8>> = list.iter().map(encode).collect::<Result<_, _>>()?;
            any::array(values.iter().map(Vec::as_slice))
        }
        Value::Object(object) => {
            let pairs: Vec<(&str, Vec<u8>)> =
                object.iter().map(|(key, value)| Ok((key, encode(value)?))).collect::<Result<_, String>>()?;
            any::map(pairs.iter().map(|(key, value)| (key.as_bytes(), &value[..])))
        }
        // What is written into telemetry leaves the process in the open.
        Value::Secret(_) => {
            return Err("a secret cannot be an attribute; use convert.nonsensitive if it is none".to_owned());
        }
        other => return Err(format!("a {} cannot be an attribute", other.kind())),
    })
}

fn from_context(origin: &Origin, name: &str) -> Option<String> {
    if name == "client.address" {
        return origin.peer.map(|peer| peer.to_string());
    }
    if let Some(name) = name.strip_prefix("auth.") {
        return origin.auth.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    }
    let header = name.strip_prefix("metadata.").unwrap_or(name).to_ascii_lowercase();
    origin.header(&header).map(|values| values.join(";"))
}

// === impl Bound ===

impl Bound<'_> {
    pub(super) fn apply(&self, attributes: &mut Attributes<'_>) {
        for (step, context) in self.steps.iter().zip(&self.context) {
            step.apply(context.as_deref(), attributes);
        }
    }
}

impl Step {
    fn apply(&self, context: Option<&[u8]>, attributes: &mut Attributes<'_>) {
        match self {
            Step::Put { how, key, source } => match source {
                Source::Value(value) => how.put(key, value, attributes),
                Source::Context(_) => {
                    if let Some(value) = context {
                        how.put(key, value, attributes);
                    }
                }
                Source::Attribute(other) => {
                    if let Some(value) = attributes.get(other).map(|value| value.0.to_vec()) {
                        how.put(key, &value, attributes);
                    }
                }
            },
            Step::Delete(keys) => attributes.retain(|key, _| !keys.contain(key)),
            Step::Hash(keys) => attributes.rewrite(|key, value| keys.contain(key).then(|| hash(value))),
            Step::Extract { key, pattern, names } => {
                let Some(Any::Text(text)) = attributes.get(key).map(AnyValue::get) else { return };
                let text = text.to_vec();
                let mut slots = Slots::default();
                if !pattern.captures(&text, &mut slots) {
                    return;
                }
                for (i, name) in names.iter().enumerate() {
                    let found = slots.get(i + 1).map_or(&[][..], |range| &text[range]);
                    attributes.upsert(name, &any::text(found));
                }
            }
            Step::Convert { key, to } => {
                if let Some(converted) = attributes.get(key).and_then(|value| to.convert(value)) {
                    attributes.update(key, &converted);
                }
            }
        }
    }
}

impl Put {
    fn put(self, key: &[u8], value: &[u8], attributes: &mut Attributes<'_>) {
        match self {
            Put::Insert => attributes.insert(key, value),
            Put::Update => attributes.update(key, value),
            Put::Upsert => attributes.upsert(key, value),
        }
    }
}

impl Keys {
    fn contain(&self, key: &[u8]) -> bool {
        self.key.as_deref() == Some(key) || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(key))
    }
}

/// Hex SHA-256 of a text or a simple value; anything else becomes an empty text.
fn hash(value: AnyValue<'_>) -> Vec<u8> {
    let digest = match value.get() {
        Any::Text(text) => Sha256::digest(text),
        Any::Bool(value) => Sha256::digest([u8::from(value)]),
        Any::Int(value) => Sha256::digest(value.to_le_bytes()),
        Any::Double(value) => Sha256::digest(value.to_le_bytes()),
        Any::Empty | Any::Array(_) | Any::Map(_) | Any::Bytes(_) => return any::text(b""),
    };
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    any::text(hex.as_bytes())
}

impl Kind {
    /// The value in this kind; `None` when it is already, or cannot be.
    fn convert(self, value: AnyValue<'_>) -> Option<Vec<u8>> {
        match (self, value.get()) {
            (Kind::Text, Any::Text(_)) | (Kind::Int, Any::Int(_)) | (Kind::Double, Any::Double(_)) => None,
            (Kind::Text, _) => Some(any::text(text::of(value).as_bytes())),
            (Kind::Int, Any::Double(value)) => Some(any::int(value as i64)),
            (Kind::Int, Any::Bool(value)) => Some(any::int(value.into())),
            (Kind::Int, Any::Text(text)) => Some(any::int(std::str::from_utf8(text).ok()?.parse().ok()?)),
            (Kind::Double, Any::Int(value)) => Some(any::double(value as f64)),
            (Kind::Double, Any::Bool(value)) => Some(any::double(value.into())),
            (Kind::Double, Any::Text(text)) => Some(any::double(std::str::from_utf8(text).ok()?.parse().ok()?)),
            _ => None,
        }
    }
}
