//! `encoding.from_yaml`: the first document of a YAML text, with the scalars of YAML 1.1 that Alloy knows.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use base_yaml::{Kind, MOST_NODES, Node, Scalar, float, is_null, whole};

use super::arguments::only;
use crate::value::{FunctionError, Number, Object, Value};

pub fn from_yaml(arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: String = only(arguments)?;
    let document = Node::of(&text, MOST_NODES).and_then(|document| Maker::default().value(&document));
    document.map_err(|message| FunctionError::new(format!("yaml: {message}")))
}

/// Makes values of nodes. What several aliases share is made once, and they share it again.
#[derive(Default)]
struct Maker {
    /// By where the shared node's content lies.
    shared: HashMap<*const (), Value>,
}

impl Maker {
    fn value(&mut self, node: &Node) -> Result<Value, String> {
        match &node.kind {
            Kind::Scalar(Scalar { text, plain, tag }) => {
                let tag = tag.as_ref().map(|(handle, suffix)| (handle.as_str(), suffix.as_str()));
                scalar(text, *plain, tag, node.line)
            }
            Kind::List(items) => self.once(items, Maker::list),
            Kind::Map(fields) => self.once(fields, Maker::map),
        }
    }

    fn once<T>(
        &mut self,
        content: &Rc<[T]>,
        make: fn(&mut Maker, &[T]) -> Result<Value, String>,
    ) -> Result<Value, String> {
        if Rc::strong_count(content) == 1 {
            return make(self, content);
        }
        let at = content.as_ptr().cast();
        if let Some(value) = self.shared.get(&at) {
            return Ok(value.clone());
        }
        let value = make(self, content)?;
        self.shared.insert(at, value.clone());
        Ok(value)
    }

    fn list(&mut self, items: &[Node]) -> Result<Value, String> {
        let items: Result<Vec<Value>, String> = items.iter().map(|item| self.value(item)).collect();
        Ok(Value::Array(items?.into()))
    }

    fn map(&mut self, fields: &[(Node, Node)]) -> Result<Value, String> {
        let mut object = BTreeMap::new();
        for (key, field) in fields {
            let name = match self.value(key)? {
                Value::String(text) => text.to_string_lossy().into_owned(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(format!("line {}: a list or a map cannot be a key", key.line));
                }
                key => format!("{key:?}"),
            };
            // Two that are written differently may be the same number.
            if object.insert(name.clone(), self.value(field)?).is_some() {
                return Err(format!("line {}: mapping key {name:?} already defined", key.line));
            }
        }
        Ok(Value::Object(object.into_iter().collect::<Object>()))
    }
}

fn scalar(text: &str, plain: bool, tag: Option<(&str, &str)>, line: usize) -> Result<Value, String> {
    let plain = match tag {
        None => plain,
        Some(("tag:yaml.org,2002:", "binary")) => {
            let encoded: Vec<Value> = vec![Value::from(text.split_whitespace().collect::<String>())];
            return super::encodings::from_base64(&encoded).map_err(|error| format!("line {line}: {}", error.message));
        }
        Some(("tag:yaml.org,2002:", suffix @ ("int" | "float" | "bool" | "null" | "timestamp"))) => {
            return tagged(text, suffix).map_err(|error| format!("line {line}: {error}"));
        }
        Some(("tag:yaml.org,2002:", suffix)) => suffix != "str",
        Some(_) => false,
    };
    Ok(if plain { resolve(text) } else { Value::from(text) })
}

/// A scalar that says what it is, in quotes or not. A whole number is a float, too; nothing else is what it is not.
fn tagged(text: &str, suffix: &str) -> Result<Value, String> {
    let value = resolve(text);
    let is = match &value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(Number::Float(_)) => "float",
        Value::Number(_) => "int",
        _ if timestamp(text).is_some() => "timestamp",
        _ => "str",
    };
    match value {
        value if is == suffix => Ok(value),
        Value::Number(number) if suffix == "float" => Ok(Value::Number(Number::Float(number.as_f64()))),
        _ => Err(format!("cannot decode !!{is} `{text}` as a !!{suffix}")),
    }
}

/// What an unquoted scalar stands for.
fn resolve(text: &str) -> Value {
    match text {
        _ if is_null(text) => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Value::from(text);
    }
    if let Some(time) = timestamp(text) {
        return Value::from(time);
    }
    let digits = text.replace('_', "");
    let whole = whole(&digits).and_then(|number| match u64::try_from(number) {
        Ok(number) => Some(Number::from(number)),
        Err(_) => i64::try_from(number).ok().map(Number::Int),
    });
    let number = whole.or_else(|| float(&digits).map(Number::Float));
    number.map_or_else(|| Value::from(text), Value::Number)
}

/// `2020-01-01`, `2001-12-14t21:59:43.10-05:00`, `2001-12-14 21:59:43`, as RFC 3339 text.
fn timestamp(text: &str) -> Option<String> {
    let number = |text: &str, length: std::ops::RangeInclusive<usize>, most: u32| -> Option<u32> {
        let digits = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number <= most)
    };
    let date_end = text.find(['T', 't', ' ', '\t']).unwrap_or(text.len());
    let (date, time) = text.split_at(date_end);
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4..=4, 9999)?;
    let month = number(parts.next()?, 1..=2, 12).filter(|month| *month > 0)?;
    let day = number(parts.next()?, 1..=2, days(year, month)).filter(|day| *day > 0)?;
    if parts.next().is_some() {
        return None;
    }
    if time.is_empty() {
        return Some(format!("{year:04}-{month:02}-{day:02}T00:00:00Z"));
    }
    let time = time.trim_start_matches(['T', 't', ' ', '\t']);
    let zone_start = time.find(['Z', '+', '-', ' ']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_start);
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 1..=2, 23)?;
    let minute = number(parts.next()?, 2..=2, 59)?;
    let (second, fraction) = parts.next().map(|second| second.split_once('.').unwrap_or((second, "")))?;
    let second = number(second, 2..=2, 59)?;
    if parts.next().is_some() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    let zone = match zone.trim() {
        "" | "Z" => "Z".to_owned(),
        zone => {
            let (sign, offset) = zone.split_at_checked(1).filter(|(sign, _)| matches!(*sign, "+" | "-"))?;
            let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "00"));
            format!("{sign}{:02}:{:02}", number(hours, 1..=2, 23)?, number(minutes, 2..=2, 59)?)
        }
    };
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_kept_or_refused() {
        let taken = [
            ("!!int 1", "Number(Int(1))"),
            ("!!int \"0x10\"", "Number(Int(16))"),
            ("!!float 1", "Number(Float(1.0))"),
            ("!!float \"1.5\"", "Number(Float(1.5))"),
            ("!!bool \"true\"", "Bool(true)"),
            ("!!null \"\"", "Null"),
            ("!!null", "Null"),
            ("!!str 1", "String(\"1\")"),
            ("!!timestamp 2020-01-01", "String(\"2020-01-01T00:00:00Z\")"),
        ];
        for (text, expect) in taken {
            let ours = match from_yaml(&[Value::from(text)]).expect(text) {
                Value::Null => "Null".to_owned(),
                Value::Bool(truth) => format!("Bool({truth})"),
                Value::Number(number) => format!("Number({number:?})"),
                Value::String(text) => format!("String({text:?})"),
                other => format!("{other:?}"),
            };
            assert_eq!(ours, expect, "{text}");
        }
        let refused = [
            ("!!int a", "!!str `a` as a !!int"),
            ("!!int 1.5", "!!float `1.5` as a !!int"),
            ("!!bool yes", "!!str `yes` as a !!bool"),
            ("!!bool 1", "!!int `1` as a !!bool"),
            ("!!null x", "!!str `x` as a !!null"),
            ("!!float a", "!!str `a` as a !!float"),
            ("!!int", "!!null `` as a !!int"),
            ("!!timestamp x", "!!str `x` as a !!timestamp"),
        ];
        for (text, expect) in refused {
            let error = from_yaml(&[Value::from(text)]).expect_err(text);
            assert!(error.message.ends_with(&format!("cannot decode {expect}")), "{text}: {}", error.message);
        }
    }
}
