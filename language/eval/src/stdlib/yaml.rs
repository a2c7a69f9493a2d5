//! `encoding.from_yaml`: the first document of a YAML text, with the scalars of YAML 1.1 that Alloy knows.

use std::collections::{BTreeMap, HashMap};

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::arguments::only;
use crate::value::{FunctionError, Number, Object, Value};

/// How deep a document may nest.
const MAX_DEPTH: usize = 100;

/// How many values a document may hold, aliases expanded: nine lines of YAML can ask for billions.
const MAX_VALUES: usize = 1_000_000;

pub fn from_yaml(arguments: &[Value]) -> Result<Value, FunctionError> {
    let text: String = only(arguments)?;
    let mut loader = Loader { parser: Parser::new_from_str(&text), anchors: HashMap::new(), values: 0 };
    loader.document().map_err(|message| FunctionError::new(format!("yaml: {message}")))
}

struct Loader<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    /// Each with the number of values it holds.
    anchors: HashMap<usize, (Value, usize)>,
    values: usize,
}

impl<'a> Loader<'a> {
    fn document(&mut self) -> Result<Value, String> {
        loop {
            let (event, span) = self.event()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok(Value::Null),
                event => return self.value(event, span, 0),
            }
        }
    }

    /// The next event that means something to a value.
    fn event(&mut self) -> Result<(Event<'a>, Span), String> {
        loop {
            match self.parser.next() {
                Some(Ok(event)) if is_content(&event.0) => return Ok(event),
                // Comments, which there are if another crate asks for them.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, String> {
        let line = span.start.line();
        if depth > MAX_DEPTH {
            return Err(format!("line {line}: nests too deep"));
        }
        let before = self.values;
        self.count(1, line)?;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let (value, size) =
                    self.anchors.get(&anchor).cloned().ok_or_else(|| format!("line {line}: unknown anchor"))?;
                self.count(size, line)?;
                return Ok(value);
            }
            event => self.node(event, line, depth)?,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), self.values - before));
        }
        Ok(value)
    }

    fn count(&mut self, more: usize, line: usize) -> Result<(), String> {
        self.values = self.values.saturating_add(more);
        if self.values > MAX_VALUES {
            return Err(format!("line {line}: holds more than {MAX_VALUES} values"));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<(Value, usize), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref().map(|tag| (tag.handle(), tag.suffix()));
                Ok((scalar(&text, style, tag, line)?, anchor))
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.event()? {
                        (Event::SequenceEnd, _) => return Ok((Value::Array(items.into()), anchor)),
                        (event, span) => items.push(self.value(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(_, anchor, _) => Ok((self.mapping(depth)?, anchor)),
            _ => Err(format!("line {line}: did not find expected node content")),
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, String> {
        let mut fields: BTreeMap<String, Value> = BTreeMap::new();
        let mut merged: Vec<Value> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.event()?;
            if event == Event::MappingEnd {
                break;
            }
            let line = span.start.line();
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.value(event, span, depth + 1)?;
            let (event, span) = self.event()?;
            let value = self.value(event, span, depth + 1)?;
            if merge {
                merged.push(value);
                continue;
            }
            let key = match &key {
                Value::String(text) => text.to_string_lossy().into_owned(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(format!("line {line}: a list or a map cannot be a key"));
                }
                key => format!("{key:?}"),
            };
            if let Some(first) = lines.insert(key.clone(), line) {
                return Err(format!("line {line}: mapping key {key:?} already defined at line {first}"));
            }
            fields.insert(key, value);
        }
        for value in merged {
            merge_into(&mut fields, &value)?;
        }
        Ok(Value::Object(fields.into_iter().collect::<Object>()))
    }
}

fn is_content(event: &Event<'_>) -> bool {
    use Event::*;
    matches!(
        event,
        StreamStart
            | StreamEnd
            | DocumentStart(..)
            | DocumentEnd
            | Alias(_)
            | Scalar(..)
            | SequenceStart(..)
            | SequenceEnd
            | MappingStart(..)
            | MappingEnd
    )
}

/// `<<: *defaults`: what stands in the mapping itself wins, then what was merged first.
fn merge_into(fields: &mut BTreeMap<String, Value>, value: &Value) -> Result<(), String> {
    match value {
        Value::Object(object) => {
            for (name, value) in object.iter() {
                fields.entry(name.to_owned()).or_insert_with(|| value.clone());
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| match item {
            Value::Array(_) => Err("map merge requires map or sequence of maps as the value".to_owned()),
            item => merge_into(fields, item),
        }),
        _ => Err("map merge requires map or sequence of maps as the value".to_owned()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<(&str, &str)>, line: usize) -> Result<Value, String> {
    let plain = match tag {
        None => style == ScalarStyle::Plain,
        Some(("tag:yaml.org,2002:", "binary")) => {
            let encoded: Vec<Value> = vec![Value::from(text.split_whitespace().collect::<String>())];
            return super::encodings::from_base64(&encoded).map_err(|error| format!("line {line}: {}", error.message));
        }
        Some(("tag:yaml.org,2002:", suffix)) => suffix != "str",
        Some(_) => false,
    };
    Ok(if plain { resolve(text) } else { Value::from(text) })
}

/// What an unquoted scalar stands for.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::from(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::from(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::from(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Value::from(text);
    }
    if let Some(time) = timestamp(text) {
        return Value::from(time);
    }
    let digits = text.replace('_', "");
    let number = whole(&digits).or_else(|| float(&digits).map(Number::Float));
    number.map_or_else(|| Value::from(text), Value::Number)
}

fn whole(digits: &str) -> Option<Number> {
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (digits, base) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if !digits.starts_with(|first: char| first.is_digit(base)) {
        return None;
    }
    let number = u64::from_str_radix(digits, base).ok()?;
    match negative {
        false => Some(Number::from(number)),
        true => i64::try_from(-i128::from(number)).ok().map(Number::Int),
    }
}

/// Digits with a point, an exponent or both, and nothing else that Rust takes for a float (`inf`, `nan`).
fn float(digits: &str) -> Option<f64> {
    let allowed = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if !digits.bytes().all(allowed) || !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number: &f64| number.is_finite())
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
