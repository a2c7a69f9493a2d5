//! Operators that move values about: add, assign_keys, copy, flatten, move, regex_replace, remove, retain, sanitize_utf8,
//! unquote.

use base_re2::Regex;
use language_eval::{Value, ValueError};
use sdk_protocols_otlp::model::{AnyValue, Map};

use super::Act;
use crate::entry::{Entry, type_of};
use crate::expression::Expression;
use crate::field::{Field, Found, Root};
use crate::options::{Options, any, field, regex, rootable, text};

/// The operator of a type; none if it is none of these.
pub(super) fn read(kind: &str, options: &Options<'_>) -> Result<Option<Box<dyn Act>>, ValueError> {
    Ok(Some(match kind {
        "add" => Box::new(Add { field: options.required("field", field)?, value: options.required("value", added)? }),
        "assign_keys" => {
            let field = options.required("field", rootable)?;
            let keys = options.texts("keys")?.filter(|keys| !keys.is_empty());
            let keys = keys.ok_or_else(|| ValueError::new("missing required key \"keys\""))?;
            Box::new(AssignKeys { field, keys })
        }
        "copy" => Box::new(Copy { from: options.required("from", field)?, to: options.required("to", field)? }),
        "flatten" => Box::new(Flatten { field: options.required("field", field)? }),
        "move" => Box::new(Move { from: options.required("from", field)?, to: options.required("to", field)? }),
        "remove" => Box::new(Remove { field: options.required("field", rootable)? }),
        "retain" => Box::new(Retain { fields: retained(options)? }),
        "unquote" => Box::new(Unquote { field: options.field("field")?.unwrap_or_else(Field::body) }),
        "sanitize_utf8" => Box::new(SanitizeUtf8 { field: options.field("field")?.unwrap_or_else(Field::body) }),
        "regex_replace" => {
            let field = options.required("field", field)?;
            let with = options.text("replace_with")?.unwrap_or_default();
            let regex = match options.text("regex_name")?.as_deref() {
                None | Some("") => options.required("regex", regex)?,
                Some("ansi_control_sequences") => {
                    options.value("regex");
                    Regex::new(ANSI_SEQUENCE).expect("a pattern of our own")
                }
                Some(other) => {
                    let what = format!("{other:?} is unknown; there is \"ansi_control_sequences\"");
                    return Err(ValueError::new(what).at_field("regex_name"));
                }
            };
            Box::new(RegexReplace { field, regex, with })
        }
        _ => return Ok(None),
    }))
}

/// Control sequences of terminals, by ECMA-48, 5.4.
const ANSI_SEQUENCE: &str = r"\x1B\[[\x30-\x3F]*[\x20-\x2F]*[\x40-\x7E]";

fn retained(options: &Options<'_>) -> Result<Vec<Field>, ValueError> {
    let fields = options.texts("fields")?.filter(|fields| !fields.is_empty());
    let fields = fields.ok_or_else(|| ValueError::new("missing required key \"fields\""))?;
    let read = |(at, text): (usize, &String)| {
        Field::parse(text).map_err(|error| ValueError::new(error).at_index(at).at_field("fields"))
    };
    fields.iter().enumerate().map(read).collect()
}

/// What `add` puts there.
enum Added {
    Value(AnyValue),
    Expression(Expression),
}

fn added(value: &Value) -> Result<Added, ValueError> {
    if let Value::String(_) = value
        && let Some(inner) = text(value)?.strip_prefix("EXPR(").and_then(|rest| rest.strip_suffix(')'))
    {
        return Expression::new(inner).map(Added::Expression).map_err(ValueError::new);
    }
    any(value).map(Added::Value)
}

struct Add {
    field: Field,
    value: Added,
}

struct AssignKeys {
    field: Field,
    keys: Vec<String>,
}

struct Copy {
    from: Field,
    to: Field,
}

struct Flatten {
    field: Field,
}

struct Move {
    from: Field,
    to: Field,
}

struct Remove {
    field: Field,
}

struct Retain {
    fields: Vec<Field>,
}

struct Unquote {
    field: Field,
}

struct SanitizeUtf8 {
    field: Field,
}

struct RegexReplace {
    field: Field,
    regex: Regex,
    with: String,
}

impl Act for Add {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let value = match &self.value {
            Added::Value(value) => value.clone(),
            Added::Expression(expression) => {
                expression.value(entry).map_err(|error| format!("evaluate value_expr: {error}"))?
            }
        };
        self.field.set(entry, value)
    }
}

impl Act for AssignKeys {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let AssignKeys { field, keys } = self;
        let values = match field.get(entry) {
            None => return Err(format!("apply assign_keys: field {field} does not exist on entry")),
            Some(Found::Value(AnyValue::Array(values))) => values.clone(),
            Some(_) => return Err(format!("apply assign_keys: field {field} is no list")),
        };
        if values.len() != keys.len() {
            let (values, keys) = (values.len(), keys.len());
            return Err(format!(
                "apply assign_keys: field {field} contains {values} values, and there are {keys} keys"
            ));
        }
        let map: Map = keys.iter().map(String::as_str).zip(values).collect();
        field.set(entry, AnyValue::Map(map))
    }
}

impl Act for Copy {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let value = self.from.get(entry).map(Found::cloned);
        let value = value.ok_or_else(|| format!("copy: from field does not exist in this entry: {}", self.from))?;
        self.to.set(entry, value)
    }
}

impl Act for Flatten {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let field = &self.field;
        match field.delete(entry) {
            None => Err(format!("apply flatten: field {field} does not exist on entry")),
            Some(AnyValue::Map(map)) => {
                let parent = field.parent();
                for pair in map.0 {
                    let value = pair.value().clone();
                    parent.child(&pair.key.as_str()).set(entry, value)?;
                }
                Ok(())
            }
            Some(other) => {
                field.set(entry, other)?;
                Err(format!("apply flatten: field {field} is not a map"))
            }
        }
    }
}

impl Act for Move {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let value = self.from.delete(entry).ok_or_else(|| format!("move: field does not exist: {}", self.from))?;
        self.to.set(entry, value)
    }
}

impl Act for Remove {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        match self.field.delete(entry) {
            Some(_) => Ok(()),
            None => Err(format!("remove: field does not exist: {}", self.field)),
        }
    }
}

impl Act for Retain {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        let touches = |root: Root| self.fields.iter().any(|field| field.root == root);
        let mut kept = Entry::default();
        for field in &self.fields {
            if let Some(value) = field.get(entry).map(Found::cloned) {
                field.set(&mut kept, value)?;
            }
        }
        // Parts of the record that no field names stay whole.
        if touches(Root::Body) {
            entry.body = kept.body;
        }
        if touches(Root::Attributes) {
            entry.attributes = kept.attributes;
        }
        if touches(Root::Resource) {
            entry.resource = kept.resource;
        }
        Ok(())
    }
}

/// Replaces a text; nothing is to be done where there is nothing.
fn change(
    field: &Field,
    entry: &mut Entry,
    to: impl FnOnce(&[u8]) -> Result<Option<String>, String>,
) -> Result<(), String> {
    let changed = match field.get(entry) {
        None => return Ok(()),
        Some(Found::Value(AnyValue::Text(text))) => to(text.as_bytes())?,
        Some(Found::Value(other)) => return Err(format!("type {} cannot be handled", type_of(other))),
        Some(Found::Map(_)) => return Err("type map[string]interface {} cannot be handled".to_owned()),
    };
    changed.map_or(Ok(()), |text| field.set(entry, text.into()))
}

impl Act for Unquote {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        change(&self.field, entry, |text| {
            let text = base_stdx::quote::unquote(text).ok_or("invalid syntax")?;
            Ok(Some(String::from_utf8_lossy(&text).into_owned()))
        })
    }
}

impl Act for SanitizeUtf8 {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        change(&self.field, entry, |text| {
            if std::str::from_utf8(text).is_ok() {
                return Ok(None);
            }
            // One mark for each run of bytes that are none.
            let mut clean = String::new();
            for chunk in text.utf8_chunks() {
                if !chunk.valid().is_empty() || clean.is_empty() {
                    clean.push_str(chunk.valid());
                }
                if !chunk.invalid().is_empty()
                    && (!chunk.valid().is_empty() || !clean.ends_with(char::REPLACEMENT_CHARACTER))
                {
                    clean.push(char::REPLACEMENT_CHARACTER);
                }
            }
            Ok(Some(clean))
        })
    }
}

impl Act for RegexReplace {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        change(&self.field, entry, |text| {
            Ok(Some(self.regex.replace_all(&String::from_utf8_lossy(text), &self.with).into_owned()))
        })
    }
}
