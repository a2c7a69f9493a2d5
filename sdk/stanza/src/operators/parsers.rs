//! Operators that take a text apart: csv_parser, json_array_parser, json_parser, key_value_parser, regex_parser, uri_parser. Each may read the
//! time, the severity, the trace and the scope from what it found.

use base_re2::{Regex, Slots};
use language_eval::ValueError;
use sdk_ottl::text::{csv, json, pairs, url};
use sdk_protocols_otlp::model::{AnyValue, Map};

use super::severity::SeverityParser;
use super::time::TimeParser;
use super::trace::{ScopeNameParser, TraceParser};
use super::{Act, json_array};
use crate::entry::{Entry, type_of};
use crate::field::{Field, Found};
use crate::options::{Options, regex, rootable};

/// What every parser has.
pub(super) struct Parser {
    pub(super) from: Field,
    pub(super) to: Field,
    body: Option<Field>,
    pub(super) time: Option<TimeParser>,
    severity: Option<SeverityParser>,
    trace: Option<TraceParser>,
    scope_name: Option<ScopeNameParser>,
}

struct Of<P> {
    parser: Parser,
    parse: P,
}

/// The operator of a type; none if it is none of these.
pub(super) fn read(kind: &str, options: &Options<'_>) -> Result<Option<Box<dyn Act>>, ValueError> {
    let parser = || Parser::read(options);
    Ok(Some(match kind {
        "json_parser" => {
            let ints = options.flag("parse_ints")?.unwrap_or(false);
            boxed(parser()?, move |text, _| {
                let value =
                    if ints { json::read::<true>(text.as_bytes()) } else { json::read::<false>(text.as_bytes()) };
                match value? {
                    AnyValue::Map(map) => Ok(map),
                    AnyValue::Empty => Ok(Map::default()),
                    other => Err(format!("json: a {} is no object", type_of(&other))),
                }
            })
        }
        "json_array_parser" => {
            let parse = json_array::parser(options)?;
            boxed(parser()?, move |text, _| parse(text))
        }
        "regex_parser" => {
            let regex = options.required("regex", regex)?;
            if regex.group_names().all(|name| name.is_none_or(str::is_empty)) {
                let error = ValueError::new("no named capture groups in regex pattern").at_field("regex");
                return Err(error.with_hint("name what you want to keep: ^(?P<key>.*)$"));
            }
            options.read("cache", |value| {
                let cache = Options::of(value)?;
                cache.count("size")?;
                cache.finish("cache")
            })?;
            boxed(parser()?, move |text, _| {
                groups(&regex, text).ok_or_else(|| "regex pattern does not match".to_owned())
            })
        }
        "key_value_parser" => {
            let delimiter = options.text("delimiter")?.unwrap_or_else(|| "=".to_owned());
            let pair =
                options.text("pair_delimiter")?.filter(|text| !text.is_empty()).unwrap_or_else(|| " ".to_owned());
            if delimiter.is_empty() || delimiter == pair {
                let what = "must not be empty, and not the same as pair_delimiter";
                return Err(ValueError::new(what).at_field("delimiter"));
            }
            boxed(parser()?, move |text, _| key_values(text, &delimiter, &pair))
        }
        "csv_parser" => Csv::read(options, parser()?)?,
        "uri_parser" => boxed(parser()?, |text, _| url::request_parts(text)),
        _ => return Ok(None),
    }))
}

fn boxed<P, V>(parser: Parser, parse: P) -> Box<dyn Act>
where
    P: Fn(&str, &Entry) -> Result<V, String> + Send + 'static,
    V: Into<AnyValue> + 'static,
{
    Box::new(Of { parser, parse })
}

/// The named groups of a match; those that took no part are empty.
pub(super) fn groups(regex: &Regex, text: &str) -> Option<Map> {
    let mut slots = Slots::default();
    if !regex.captures(text, &mut slots) {
        return None;
    }
    let mut map = Map::default();
    for (group, name) in regex.group_names().enumerate() {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            map.set(name, slots.get(group).map_or("", |place| &text[place]));
        }
    }
    Some(map)
}

fn key_values(text: &str, delimiter: &str, pair_delimiter: &str) -> Result<Map, String> {
    if text.is_empty() {
        return Err("the text to parse is empty".to_owned());
    }
    let parts = pairs::split(text.as_bytes(), pair_delimiter.as_bytes())
        .map_err(|error| format!("failed to parse pairs from input: {error}"))?;
    let mut map = Map::default();
    for part in parts {
        let Some((key, value)) = pairs::pair(&part, delimiter.as_bytes()) else {
            let part = base_stdx::quote::quote(&part);
            return Err(format!("cannot split {part} into 2 items, got 1 item(s)"));
        };
        map.set(String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(value).into_owned());
    }
    Ok(map)
}

/// Where the names of a row's fields come from.
enum Header {
    Fixed(Vec<String>),
    Attribute(Field, char),
}

struct Csv;

impl Csv {
    fn read(options: &Options<'_>, parser: Parser) -> Result<Box<dyn Act>, ValueError> {
        let text = |key| options.text(key).map(|text| text.filter(|text| !text.is_empty()));
        let one = |key: &'static str, text: &str| {
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(one), None) => Ok(one),
                _ => Err(ValueError::new(format!("{text:?} is not one character")).at_field(key)),
            }
        };
        let delimiter = one("delimiter", text("delimiter")?.as_deref().unwrap_or(","))?;
        let header_delimiter = match text("header_delimiter")? {
            Some(text) => one("header_delimiter", &text)?,
            None => delimiter,
        };
        let (lazy, ignore) = (options.flag("lazy_quotes")?, options.flag("ignore_quotes")?);
        let (lazy, ignore) = (lazy.unwrap_or(false), ignore.unwrap_or(false));
        if lazy && ignore {
            return Err(
                ValueError::new("only one of ignore_quotes and lazy_quotes can be true").at_field("lazy_quotes")
            );
        }
        let header = match (text("header")?, text("header_attribute")?) {
            (Some(header), None) if header.contains(header_delimiter) => {
                Header::Fixed(header.split(header_delimiter).map(str::to_owned).collect())
            }
            (Some(_), None) => return Err(ValueError::new("missing field delimiter in header").at_field("header")),
            (None, Some(attribute)) => Header::Attribute(Field::attribute(&attribute), header_delimiter),
            (None, None) => return Err(ValueError::new("missing required key \"header\" or \"header_attribute\"")),
            (Some(_), Some(_)) => {
                return Err(ValueError::new("only one of header and header_attribute can be set").at_field("header"));
            }
        };
        Ok(boxed(parser, move |row, entry| {
            let fields = match ignore {
                true => row.split(delimiter).map(str::to_owned).collect(),
                false => csv::row(row, delimiter, lazy)?,
            };
            let named = |names: Vec<&str>| {
                if names.len() != fields.len() {
                    let (names, fields) = (names.len(), fields.len());
                    return Err(format!("wrong number of fields: expected {names}, found {fields}"));
                }
                let mut map = Map::default();
                names.into_iter().zip(&fields).for_each(|(name, value)| map.set(name, value.as_str()));
                Ok(map)
            };
            match &header {
                Header::Fixed(names) => named(names.iter().map(String::as_str).collect()),
                Header::Attribute(field, by) => match field.text(entry) {
                    Some(names) => named(names.split(*by).collect()),
                    None => Err(format!("failed to read dynamic header attribute {field}")),
                },
            }
        }))
    }
}

// === impl Parser ===

impl Parser {
    pub(super) fn read(options: &Options<'_>) -> Result<Parser, ValueError> {
        let parser = Parser {
            from: options.field("parse_from")?.unwrap_or_else(Field::body),
            to: options.read("parse_to", rootable)?.unwrap_or_else(Field::attributes),
            body: options.field("body")?,
            time: options.read("timestamp", |value| {
                let options = Options::of(value)?;
                let parser = TimeParser::read(&options)?;
                options.finish("timestamp").map(|()| parser)
            })?,
            severity: options.read("severity", |value| {
                let options = Options::of(value)?;
                let parser = SeverityParser::read(&options)?;
                options.finish("severity").map(|()| parser)
            })?,
            trace: options.read("trace", |value| {
                let options = Options::of(value)?;
                let parser = TraceParser::read(&options)?;
                options.finish("trace").map(|()| parser)
            })?,
            scope_name: options.read("scope_name", |value| {
                let options = Options::of(value)?;
                let parser = ScopeNameParser::read(&options)?;
                options.finish("scope_name").map(|()| parser)
            })?,
        };
        if parser.body.is_some() && parser.to == Field::body() {
            return Err(ValueError::new("must not be body when `body` is configured").at_field("parse_to"));
        }
        Ok(parser)
    }

    /// Puts what was found in its place, and reads from it what else is wanted.
    pub(super) fn parse<V: Into<AnyValue>>(
        &self,
        entry: &mut Entry,
        parse: impl FnOnce(&str, &Entry) -> Result<V, String>,
    ) -> Result<(), String> {
        self.place(entry, parse)?;
        let time = self.time.as_ref().map_or(Ok(()), |parser| parser.act(entry));
        self.read_rest(entry, time)
    }

    /// Puts what was found in its place.
    pub(super) fn place<V: Into<AnyValue>>(
        &self,
        entry: &mut Entry,
        parse: impl FnOnce(&str, &Entry) -> Result<V, String>,
    ) -> Result<(), String> {
        let found = match self.from.get(entry) {
            None => return Err(format!("entry is missing the expected parse_from field {}", self.from)),
            Some(Found::Value(AnyValue::Text(text))) => parse(&text.as_str(), entry)?,
            Some(Found::Value(other)) => return Err(format!("type {} cannot be parsed", type_of(other))),
            Some(Found::Map(_)) => return Err("type map[string]interface {} cannot be parsed".to_owned()),
        };
        self.to.set(entry, found.into()).map_err(|error| format!("set parse_to: {error}"))?;
        if let Some(body) = self.body.as_ref().and_then(|field| field.get(entry)).map(Found::cloned) {
            entry.body = body;
        }
        Ok(())
    }

    /// Reads what is wanted besides the time, which went so. Each is tried; the first fault counts.
    pub(super) fn read_rest(&self, entry: &mut Entry, time: Result<(), String>) -> Result<(), String> {
        let severity = self.severity.as_ref().map_or(Ok(()), |parser| parser.act(entry));
        let trace = self.trace.as_ref().map_or(Ok(()), |parser| parser.act(entry));
        let scope_name = self.scope_name.as_ref().map_or(Ok(()), |parser| parser.act(entry));
        time.map_err(|error| format!("time parser: {error}"))?;
        severity.map_err(|error| format!("severity parser: {error}"))?;
        trace.map_err(|error| format!("trace parser: {error}"))?;
        scope_name.map_err(|error| format!("scope_name parser: {error}"))
    }
}

impl<P: Fn(&str, &Entry) -> Result<V, String> + Send, V: Into<AnyValue>> Act for Of<P> {
    fn act(&self, entry: &mut Entry) -> Result<(), String> {
        self.parser.parse(entry, &self.parse)
    }
}
