//! Converters of texts.

use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, Text};

use super::{Arguments, Built, Function, Kind, converter, everywhere, optional, required};
use crate::coerce;
use crate::error::{Error, Result};
use crate::text::{case, pairs};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("Concat", &[required("Vals", Kind::TextLikes), required("Delimiter", Kind::Text)], concat),
    everywhere("Split", &[required("Target", Kind::Text), required("Delimiter", Kind::Text)], split),
    everywhere(
        "Substring",
        &[
            required("Target", Kind::Text),
            required("Start", Kind::Int),
            required("Length", Kind::Int),
            optional("Utf8Safe", Kind::LiteralBool),
        ],
        substring,
    ),
    everywhere("Trim", &[required("Target", Kind::Text), optional("Replacement", Kind::LiteralText)], trim),
    everywhere("TrimPrefix", &[required("Target", Kind::Text), required("Prefix", Kind::Text)], |a| {
        two(a, |text, prefix| {
            Ok(Value::Text(
                text.as_bytes()
                    .strip_prefix(&prefix.as_bytes()[..])
                    .map_or_else(|| text.clone(), |rest| part(&text, rest)),
            ))
        })
    }),
    everywhere("TrimSuffix", &[required("Target", Kind::Text), required("Suffix", Kind::Text)], |a| {
        two(a, |text, suffix| {
            Ok(Value::Text(
                text.as_bytes()
                    .strip_suffix(&suffix.as_bytes()[..])
                    .map_or_else(|| text.clone(), |rest| part(&text, rest)),
            ))
        })
    }),
    everywhere("HasPrefix", &[required("Target", Kind::Text), required("Prefix", Kind::Text)], |a| {
        two(a, |text, prefix| Ok(Value::Bool(text.as_bytes().starts_with(prefix.as_bytes()))))
    }),
    everywhere("HasSuffix", &[required("Target", Kind::Text), required("Suffix", Kind::Text)], |a| {
        two(a, |text, suffix| Ok(Value::Bool(text.as_bytes().ends_with(suffix.as_bytes()))))
    }),
    everywhere("ConvertCase", &[required("Target", Kind::Text), required("ToCase", Kind::LiteralText)], |a| {
        let target = a.expression(0)?;
        let to = a.text(1)?;
        let convert = match to.as_str() {
            "lower" => lower,
            "upper" => upper,
            "snake" => snake,
            "camel" => camel,
            _ => return Err(format!("invalid case: {to}, allowed cases are: lower, upper, snake, camel")),
        };
        converter(move |on| Ok(Value::Text(convert(&coerce::text(&target, on)?))))
    }),
    everywhere("ToLowerCase", &[required("Target", Kind::Text)], |a| one(a, lower)),
    everywhere("ToUpperCase", &[required("Target", Kind::Text)], |a| one(a, upper)),
    everywhere("ToSnakeCase", &[required("Target", Kind::Text)], |a| one(a, snake)),
    everywhere("ToCamelCase", &[required("Target", Kind::Text)], |a| one(a, camel)),
];

/// A part of a text, sharing its memory.
fn part(text: &Text, part: &[u8]) -> Text {
    Text::from(text.as_bytes().slice_ref(part))
}

fn one(a: &mut Arguments, convert: fn(&Text) -> Text) -> std::result::Result<Built, String> {
    let target = a.expression(0)?;
    converter(move |on| Ok(Value::Text(convert(&coerce::text(&target, on)?))))
}

fn two(a: &mut Arguments, apply: fn(Text, Text) -> Result<Value<'static>>) -> std::result::Result<Built, String> {
    let (target, other) = (a.expression(0)?, a.expression(1)?);
    converter(move |on| {
        let target = coerce::text(&target, on)?;
        apply(target, coerce::text(&other, on)?)
    })
}

fn lower(text: &Text) -> Text {
    if text.as_bytes().iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return text.clone();
    }
    // Letter by letter, as Go does: no final sigma, and one letter for one letter.
    Text::from(text.as_str().chars().map(|c| single(c, c.to_lowercase())).collect::<String>())
}

fn upper(text: &Text) -> Text {
    if text.as_bytes().iter().all(|byte| byte.is_ascii() && !byte.is_ascii_lowercase()) {
        return text.clone();
    }
    Text::from(text.as_str().chars().map(|c| single(c, c.to_uppercase())).collect::<String>())
}

fn single(letter: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => letter,
    }
}

fn snake(text: &Text) -> Text {
    Text::from(Bytes::from(case::snake(text.as_bytes())))
}

fn camel(text: &Text) -> Text {
    Text::from(Bytes::from(case::camel(text.as_bytes())))
}

fn concat(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (values, delimiter) = (a.expressions(0)?, a.expression(1)?);
    converter(move |on| {
        let delimiter = coerce::text(&delimiter, on)?;
        let mut out = Vec::new();
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(delimiter.as_bytes());
            }
            match coerce::text_like(value, on)? {
                Some(text) => out.extend_from_slice(text.as_bytes()),
                None => out.extend_from_slice(b"<nil>"),
            }
        }
        Ok(Value::Text(Text::from(Bytes::from(out))))
    })
}

fn split(a: &mut Arguments) -> std::result::Result<Built, String> {
    two(a, |text, delimiter| {
        let bytes = text.as_bytes();
        let mut parts = Vec::new();
        if delimiter.is_empty() {
            let text = text.as_str();
            parts.extend(text.chars().map(|c| AnyValue::Text(Text::from(c.to_string()))));
            return Ok(Value::list(parts));
        }
        let mut rest = &bytes[..];
        while let Some(at) = pairs::find(rest, delimiter.as_bytes()) {
            parts.push(AnyValue::Text(part(&text, &rest[..at])));
            rest = &rest[at + delimiter.as_bytes().len()..];
        }
        parts.push(AnyValue::Text(part(&text, rest)));
        Ok(Value::list(parts))
    })
}

fn substring(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, start, length) = (a.expression(0)?, a.expression(1)?, a.expression(2)?);
    let utf8_safe = a.given_bool(3).unwrap_or(false);
    converter(move |on| {
        let start = coerce::int(&start, on)?;
        if start < 0 {
            return Err(Error::new(format!("invalid start for substring function, {start} cannot be negative")));
        }
        let length = coerce::int(&length, on)?;
        if length <= 0 {
            return Err(Error::new(format!(
                "invalid length for substring function, {length} cannot be negative or zero"
            )));
        }
        let text = coerce::text(&target, on)?;
        let bytes = text.as_bytes();
        let all = bytes.len() as i64;
        if start > all || length > all - start {
            return Err(Error::new(format!(
                "invalid range for substring function, start({start})+length({length}) cannot be greater than the length of target string({all})"
            )));
        }
        let (mut from, mut to) = (start as usize, (start + length) as usize);
        if utf8_safe {
            let inside = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
            while inside(from) {
                from += 1;
            }
            while from < to && inside(to) {
                to -= 1;
            }
            to = to.max(from);
        }
        Ok(Value::Text(Text::from(bytes.slice(from..to))))
    })
}

/// Cuts characters off both ends: blanks, or any of those given.
fn trim(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, cut) = (a.expression(0)?, a.given_text(1).unwrap_or_else(|| " ".to_owned()));
    converter(move |on| {
        let text = coerce::text(&target, on)?;
        if cut.is_ascii() {
            let bytes = text.as_bytes();
            let goes = |byte: &u8| cut.as_bytes().contains(byte);
            let start = bytes.iter().position(|byte| !goes(byte)).unwrap_or(bytes.len());
            let end = bytes.iter().rposition(|byte| !goes(byte)).map_or(start, |at| at + 1);
            return Ok(Value::Text(Text::from(bytes.slice(start..end))));
        }
        let trimmed = text.as_str().trim_matches(|c| cut.contains(c)).to_owned();
        Ok(Value::text(trimmed))
    })
}
