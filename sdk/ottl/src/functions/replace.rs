//! Editors that replace texts.

use base_re2::{Cursor, Regex};
use sdk_protocols_otlp::model::{AnyValue, Text};

use super::arguments::invalid;
use super::{Arguments, Built, Function, Kind, Parameter, Passed, editor, everywhere, optional, required};
use crate::coerce;
use crate::context::On;
use crate::error::Result;
use crate::expression::Expression;
use crate::text::glob::Glob;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    everywhere("replace_match", MATCH, replace_match),
    everywhere("replace_all_matches", ALL_MATCHES, replace_all_matches),
    everywhere("replace_pattern", PATTERN, replace_pattern),
    everywhere("replace_all_patterns", ALL_PATTERNS, replace_all_patterns),
];

const MATCH: &[Parameter] = &[
    required("Target", Kind::Target),
    required("Pattern", Kind::Text),
    required("Replacement", Kind::Text),
    optional("Function", Kind::Function),
    optional("ReplacementFormat", Kind::Text),
];

const ALL_MATCHES: &[Parameter] = &[
    required("Target", Kind::MapTarget),
    required("Pattern", Kind::Text),
    required("Replacement", Kind::Text),
    optional("Function", Kind::Function),
    optional("ReplacementFormat", Kind::Text),
];

const PATTERN: &[Parameter] = &[
    required("Target", Kind::Target),
    required("RegexPattern", Kind::Text),
    required("Replacement", Kind::Text),
    optional("Function", Kind::Function),
    optional("ReplacementFormat", Kind::Text),
];

const ALL_PATTERNS: &[Parameter] = &[
    required("Target", Kind::MapTarget),
    required("Mode", Kind::LiteralText),
    required("RegexPattern", Kind::Text),
    required("Replacement", Kind::Text),
    optional("Function", Kind::Function),
    optional("ReplacementFormat", Kind::Text),
];

/// A glob, compiled once if it is written in the statement.
enum GlobPattern {
    Fixed(Glob),
    Changing(&'static str, Expression),
}

impl GlobPattern {
    fn new(a: &mut Arguments, at: usize, function: &'static str) -> std::result::Result<GlobPattern, String> {
        let expression = a.expression(at)?;
        match expression.literal() {
            Some(Value::Text(text)) => {
                let glob =
                    Glob::new(&text.as_str()).map_err(|error| invalid(function, &text.as_str(), &error).to_string());
                glob.map(GlobPattern::Fixed)
            }
            _ => Ok(GlobPattern::Changing(function, expression)),
        }
    }

    fn with<T>(&self, on: &On<'_>, run: impl FnOnce(&Glob) -> T) -> Result<T> {
        match self {
            GlobPattern::Fixed(glob) => Ok(run(glob)),
            GlobPattern::Changing(function, expression) => {
                let pattern = coerce::text(expression, on)?;
                let pattern = pattern.as_str();
                let glob = Glob::new(&pattern).map_err(|error| invalid(function, &pattern, &error))?;
                Ok(run(&glob))
            }
        }
    }
}

/// What comes in place of what matched.
struct Replacement {
    text: Expression,
    function: Option<Passed>,
    format: Option<Expression>,
}

impl Replacement {
    fn new(a: &mut Arguments, at: usize) -> std::result::Result<Replacement, String> {
        Ok(Replacement {
            text: a.expression(at)?,
            function: a.given_function(at + 1),
            format: a.given_expression(at + 2),
        })
    }

    fn text(&self, on: &On<'_>) -> Result<Text> {
        coerce::text(&self.text, on)
    }

    /// The replacement as a whole, gone through the function.
    fn whole(&self, on: &mut On<'_>) -> Result<Text> {
        let text = self.text(on)?;
        if self.function.is_some() { self.through_function(on, text) } else { Ok(text) }
    }

    fn through_function(&self, on: &mut On<'_>, text: Text) -> Result<Text> {
        let Some(function) = &self.function else { return Ok(text) };
        let made = function.call(on, text)?;
        let Some(format) = &self.format else { return Ok(made) };
        let format = coerce::text(format, on)?;
        let format = format.as_bytes();
        let percents = format.iter().filter(|byte| **byte == b'%').count();
        let at = format.windows(2).position(|pair| pair == b"%s");
        match at {
            Some(at) if percents == 1 => {
                let formatted = [&format[..at], made.as_bytes(), &format[at + 2..]].concat();
                Ok(Text::from(bytes::Bytes::from(formatted)))
            }
            _ => {
                Err("replacementFormat must be format string containing a single %s and no other format specifiers"
                    .into())
            }
        }
    }

    /// A text with all matches of a pattern replaced; `None` if there is none.
    fn replaced(&self, on: &mut On<'_>, pattern: &Regex, template: &Text, text: &Text) -> Result<Option<Text>> {
        if !pattern.is_match(text.as_bytes()) {
            return Ok(None);
        }
        let (text, template) = (text.as_str(), template.as_str());
        if self.function.is_none() {
            return Ok(Some(Text::from(pattern.replace_all(&text, &template).into_owned())));
        }
        let (mut cursor, mut slots) = (Cursor::default(), base_re2::Slots::default());
        let (mut out, mut end) = (String::with_capacity(text.len()), 0);
        while pattern.next_match(text.as_bytes(), &mut cursor, &mut slots) {
            let Some(place) = slots.get(0) else { break };
            let mut expanded = String::new();
            pattern.expand(&template, &text, &slots, &mut expanded);
            let made = self.through_function(on, Text::from(expanded))?;
            out.push_str(&text[end..place.start]);
            out.push_str(&made.as_str());
            end = place.end;
        }
        out.push_str(&text[end..]);
        Ok(Some(Text::from(out)))
    }
}

fn replace_match(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, pattern) = (a.target(0)?, GlobPattern::new(a, 1, "replace_match")?);
    let replacement = Replacement::new(a, 2)?;
    editor(move |on| {
        let current = target.get(on)?.into_owned();
        let made = replacement.whole(on)?;
        let Value::Text(text) = current else { return Ok(()) };
        if pattern.with(on, |glob| glob.is_match(text.as_bytes()))? {
            target.set(on, Value::Text(made))
        } else {
            Ok(())
        }
    })
}

fn replace_all_matches(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, pattern) = (a.target(0)?, GlobPattern::new(a, 1, "replace_all_matches")?);
    let replacement = Replacement::new(a, 2)?;
    editor(move |on| {
        let made = replacement.whole(on)?;
        let matches = |on: &On<'_>, text: &Text| pattern.with(on, |glob| glob.is_match(text.as_bytes()));
        let texts: Vec<(usize, Text)> = {
            let map = coerce::as_map(target.get(on)?)?;
            let texts = map.0.iter().enumerate();
            texts.filter_map(|(at, pair)| Some((at, pair.value().text()?.clone()))).collect()
        };
        for (at, text) in texts {
            if matches(on, &text)? {
                target.map_mut(on)?.0[at].value = Some(AnyValue::Text(made.clone()));
            }
        }
        Ok(())
    })
}

fn replace_pattern(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, pattern) = (a.target(0)?, a.pattern(1, "replace_pattern")?);
    let replacement = Replacement::new(a, 2)?;
    editor(move |on| {
        let current = target.get(on)?;
        if matches!(current, Value::Nil) {
            return Ok(());
        }
        let current = if let Value::Text(text) = current { Some(text) } else { None };
        let template = replacement.text(on)?;
        let Some(text) = current else { return Ok(()) };
        let pattern = pattern.get(on)?;
        match replacement.replaced(on, &pattern, &template, &text)? {
            Some(replaced) => target.set(on, Value::Text(replaced)),
            None => Ok(()),
        }
    })
}

fn replace_all_patterns(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, mode) = (a.target(0)?, a.text(1)?);
    let (pattern, replacement) = (a.pattern(2, "replace_all_patterns")?, Replacement::new(a, 3)?);
    let keys = match mode.as_str() {
        "key" => true,
        "value" => false,
        _ => return Err(format!("invalid mode {mode}, must be either 'key' or 'value'")),
    };
    editor(move |on| {
        let texts: Vec<(usize, Text)> = {
            let map = coerce::as_map(target.get(on)?)?;
            let texts = map.0.iter().enumerate();
            texts
                .filter_map(|(at, pair)| Some((at, if keys { pair.key.clone() } else { pair.value().text()?.clone() })))
                .collect()
        };
        let template = replacement.text(on)?;
        let pattern = pattern.get(on)?;
        let mut removed = Vec::new();
        for (at, text) in texts {
            match replacement.replaced(on, &pattern, &template, &text) {
                Ok(None) => {}
                Ok(Some(replaced)) if keys => target.map_mut(on)?.0[at].key = replaced,
                Ok(Some(replaced)) => target.map_mut(on)?.0[at].value = Some(AnyValue::Text(replaced)),
                // What the function fails on stays, if it is a value, and goes, if it is a key.
                Err(_) if keys => removed.push(at),
                Err(_) => {}
            }
        }
        if keys {
            let map = target.map_mut(on)?;
            let mut at = 0;
            map.0.retain(|_| {
                at += 1;
                !removed.contains(&(at - 1))
            });
            unite(map);
        }
        Ok(())
    })
}

/// Keys that became the same are one, with the last one's value in the first one's place.
fn unite(map: &mut sdk_protocols_otlp::model::Map) {
    let pairs = std::mem::take(&mut map.0);
    for pair in pairs {
        match map.0.iter_mut().find(|known| known.key == pair.key) {
            Some(known) => known.value = pair.value,
            None => map.0.push(pair),
        }
    }
}
