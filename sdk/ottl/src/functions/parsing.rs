//! Converters that read texts.

use std::sync::Arc;

use base_re2::Slots;
use sdk_protocols_otlp::model::{AnyValue, Map, Text};

use super::{Arguments, Built, Function, Kind, converter, everywhere, optional, required};
use crate::coerce;
use crate::error::{Error, Result};
use crate::text::{csv, grok, json, pairs};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("ParseJSON", &[required("Target", Kind::Text)], |a| {
        let target = a.expression(0)?;
        converter(move |on| Ok(Value::from_any(json::parse(coerce::text(&target, on)?.as_bytes())?)))
    }),
    everywhere(
        "ParseCSV",
        &[
            required("Target", Kind::Text),
            required("Header", Kind::Text),
            optional("Delimiter", Kind::LiteralText),
            optional("HeaderDelimiter", Kind::LiteralText),
            optional("Mode", Kind::LiteralText),
        ],
        parse_csv,
    ),
    everywhere(
        "ParseKeyValue",
        &[
            required("Target", Kind::Text),
            optional("Delimiter", Kind::LiteralText),
            optional("PairDelimiter", Kind::LiteralText),
        ],
        parse_key_value,
    ),
    everywhere("ExtractPatterns", &[required("Target", Kind::Text), required("Pattern", Kind::Text)], extract_patterns),
    everywhere(
        "ExtractGrokPatterns",
        &[
            required("Target", Kind::Text),
            required("Pattern", Kind::Text),
            optional("NamedCapturesOnly", Kind::LiteralBool),
            optional("PatternDefinitions", Kind::LiteralTexts),
        ],
        extract_grok_patterns,
    ),
    everywhere("ParseSeverity", &[required("Target", Kind::Any), required("Mapping", Kind::Map)], parse_severity),
];

fn parse_csv(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, header) = (a.expression(0)?, a.expression(1)?);
    let single = |text: Option<String>, name: &str| match text {
        None => Ok(None),
        Some(text) => {
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(one), None) => Ok(Some(one)),
                _ => Err(format!("{name} must be a single character")),
            }
        }
    };
    let delimiter = single(a.given_text(2), "delimiter")?.unwrap_or(',');
    let header_delimiter = single(a.given_text(3), "header_delimiter")?.unwrap_or(delimiter);
    let mode = a.given_text(4).unwrap_or_else(|| "strict".to_owned());
    let (lazy, ignore_quotes) = match mode.as_str() {
        "strict" => (false, false),
        "lazyQuotes" => (true, false),
        "ignoreQuotes" => (false, true),
        _ => return Err(format!("unknown mode: {mode}")),
    };
    converter(move |on| {
        let (row, header) = (coerce::text(&target, on)?, coerce::text(&header, on)?);
        if header.is_empty() {
            return Err("headers must not be an empty string".into());
        }
        let (row, header) = (row.as_str(), header.as_str());
        let fields = if ignore_quotes {
            row.split(delimiter).map(str::to_owned).collect()
        } else {
            csv::row(&row, delimiter, lazy)?
        };
        let names: Vec<&str> = header.split(header_delimiter).collect();
        if names.len() != fields.len() {
            let (expected, found) = (names.len(), fields.len());
            let message = format!("map csv headers: wrong number of fields: expected {expected}, found {found}");
            return Err(Error::new(message));
        }
        let named = names.into_iter().zip(fields).map(|(name, field)| (Text::from(name), AnyValue::from(field)));
        Ok(Value::map(json::unique(named.collect())))
    })
}

/// The delimiters at the places 1 and 2: between key and value, and between pairs.
pub(super) fn delimiters(a: &mut Arguments) -> std::result::Result<(String, String), String> {
    let delimiter = a.given_text(1).unwrap_or_else(|| "=".to_owned());
    if delimiter.is_empty() {
        return Err("delimiter cannot be set to an empty string".to_owned());
    }
    let pair_delimiter = a.given_text(2).unwrap_or_else(|| " ".to_owned());
    if pair_delimiter.is_empty() {
        return Err("pair delimiter cannot be set to an empty string".to_owned());
    }
    if pair_delimiter == delimiter {
        return Err(format!("pair delimiter {pair_delimiter:?} cannot be equal to delimiter {delimiter:?}"));
    }
    Ok((delimiter, pair_delimiter))
}

fn parse_key_value(a: &mut Arguments) -> std::result::Result<Built, String> {
    let target = a.expression(0)?;
    let (delimiter, pair_delimiter) = delimiters(a)?;
    converter(move |on| {
        let source = coerce::text(&target, on)?;
        if source.is_empty() {
            return Err("cannot parse from empty target".into());
        }
        let parts = pairs::split(source.as_bytes(), pair_delimiter.as_bytes()).map_err(|error| {
            Error::new(format!("splitting source {:?} into pairs failed: {error}", source.as_str()))
        })?;
        let mut found = Vec::with_capacity(parts.len());
        for part in &parts {
            let Some((key, value)) = pairs::pair(part, delimiter.as_bytes()) else {
                let part = String::from_utf8_lossy(part);
                let message =
                    format!("failed to split pairs into key-values: cannot split {part:?} into 2 items, got 1 item(s)");
                return Err(Error::new(message));
            };
            let text = |bytes: &[u8]| Text::from(bytes::Bytes::copy_from_slice(bytes));
            found.push((text(key), AnyValue::Text(text(value))));
        }
        Ok(Value::map(json::unique(found)))
    })
}

fn extract_patterns(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, pattern) = (a.expression(0)?, a.pattern(1, "ExtractPatterns")?);
    converter(move |on| {
        let pattern = pattern.get(on)?;
        if pattern.group_names().all(|name| name.is_none_or(str::is_empty)) {
            return Err("at least 1 named capture group must be supplied in the given regex".into());
        }
        let text = coerce::text(&target, on)?;
        let mut slots = Slots::default();
        if !pattern.captures(text.as_bytes(), &mut slots) {
            return Ok(Value::map(Map::default()));
        }
        let mut found = Vec::new();
        for (group, name) in pattern.group_names().enumerate() {
            let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
            let part = slots.get(group).map(|place| Text::from(text.as_bytes().slice(place))).unwrap_or_default();
            found.push((Text::from(name), AnyValue::Text(part)));
        }
        Ok(Value::map(json::unique(found)))
    })
}

fn extract_grok_patterns(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, pattern) = (a.expression(0)?, a.expression(1)?);
    let named_only = a.given_bool(2).unwrap_or(false);
    let mut own = Vec::new();
    for (at, definition) in a.given_texts(3).unwrap_or_default().iter().enumerate() {
        let Some((name, expression)) = definition.split_once('=') else {
            return Err(format!(
                "pattern {definition:?} at index {at} has incorrect format, expecting PATTERNNAME=pattern definition"
            ));
        };
        if name.contains(':') {
            return Err(format!("pattern ID {name:?} should not contain ':'"));
        }
        own.push((name.to_owned(), expression.to_owned()));
    }
    let compile = move |pattern: &str| -> Result<grok::Grok> {
        let grok = grok::Grok::new(pattern, named_only, &own)
            .map_err(|error| super::arguments::invalid("ExtractGrokPatterns", pattern, &error))?;
        if named_only && !grok.has_names() {
            return Err("at least 1 named capture group must be supplied in the given regex".into());
        }
        Ok(grok)
    };
    let fixed = match pattern.literal() {
        Some(Value::Text(text)) => Some(Arc::new(compile(&text.as_str()).map_err(|error| error.to_string())?)),
        _ => None,
    };
    converter(move |on| {
        let grok = match &fixed {
            Some(grok) => grok.clone(),
            None => Arc::new(compile(&coerce::text(&pattern, on)?.as_str())?),
        };
        Ok(Value::map(grok.parse(&coerce::text(&target, on)?)?))
    })
}

/// A level, and what is it.
struct Level {
    name: Text,
    equals: Vec<Text>,
    ranges: Vec<(i64, i64)>,
}

fn parse_severity(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, mapping) = (a.expression(0)?, a.expression(1)?);
    // What is wrong with the mapping is told on the first item, as in the Collector.
    let levels = match mapping.literal() {
        Some(Value::Map(map)) => map.0.iter().map(|pair| level(&pair.key, pair.value())).collect(),
        _ => Err(Error::new("severity mapping must be a literal PMap")),
    };
    let levels: Result<Vec<Level>> = levels;
    converter(move |on| {
        let levels = levels.as_ref().map_err(Clone::clone)?;
        let value = target.get(on)?;
        let found = levels.iter().find(|level| match &value {
            Value::Text(text) => level.equals.contains(text),
            Value::Int(number) => level.ranges.iter().any(|(min, max)| (min..=max).contains(&number)),
            _ => false,
        });
        match (found, &value) {
            (Some(level), _) => Ok(Value::Text(level.name.clone())),
            (None, Value::Text(_) | Value::Int(_)) => {
                let shown = coerce::as_text_like(value)?.unwrap_or_default();
                let message =
                    format!("could not map log level: no matching log level found for value '{}'", shown.as_str());
                Err(Error::new(message))
            }
            (None, other) => {
                let name = other.type_name();
                Err(Error::new(format!(
                    "could not map log level: could not evaluate log level: unsupported value type: {name}"
                )))
            }
        }
    })
}

fn level(name: &Text, criteria: &AnyValue) -> Result<Level> {
    let invalid = |what: &str| Error::new(format!("invalid severity mapping criteria: {what}"));
    let AnyValue::Array(criteria) = criteria else { return Err("severity mapping criteria must be []any".into()) };
    let mut level = Level { name: name.clone(), equals: Vec::new(), ranges: Vec::new() };
    for one in criteria {
        let AnyValue::Map(one) = one else {
            return Err("severity mapping criteria items must be map[string]any".into());
        };
        if let Some(equals) = one.get("equals") {
            let AnyValue::Array(equals) = equals else { return Err(invalid("equals must be a list")) };
            for text in equals {
                level.equals.push(text.text().ok_or_else(|| invalid("equals values must be strings"))?.clone());
            }
        }
        match one.get("range") {
            None => {}
            Some(AnyValue::Text(text)) => level.ranges.push(match &*text.as_str() {
                "2xx" => (200, 299),
                "3xx" => (300, 399),
                "4xx" => (400, 499),
                "5xx" => (500, 599),
                other => return Err(invalid(&format!("unknown range placeholder: {other}"))),
            }),
            Some(AnyValue::Map(range)) => {
                let edge = |name: &str| match range.get(name) {
                    Some(AnyValue::Int(edge)) => Ok(*edge),
                    Some(_) => Err(invalid(&format!("{name} must be an int64"))),
                    None => Err(invalid(&format!("range must have a {name} value"))),
                };
                level.ranges.push((edge("min")?, edge("max")?));
            }
            Some(_) => return Err(invalid("range must be a map or a known placeholder string")),
        }
    }
    Ok(level)
}
