//! Paths: what they name, read and written.

mod expect;
mod group;
pub(crate) mod key;
mod log;
mod metric;
mod point;
mod span;

use std::borrow::Cow;

use sdk_protocols_otlp::model::{AnyValue, Map};

use crate::context::{Context, On, nowhere};
use crate::error::{Error, Result};
use crate::fault::Blame;
use crate::syntax;
use crate::value::Value;
pub(crate) use key::Key;

/// A path that exists in its context.
pub(crate) struct Path {
    place: Place,
    keys: Box<[Key]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Map(Attributes),
    Body,
    Group(group::Field),
    Span(span::Field),
    Event(span::EventField),
    Metric(metric::Field),
    Point(point::Field),
    Log(log::Field),
}

/// Pairs that paths lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attributes {
    Cache,
    Resource,
    Scope,
    Span,
    Event,
    Metadata,
    Point,
    Log,
}

// === impl Path ===

impl Path {
    /// Finds what a path names. Its first name may be that of a context; where contexts are inferred it must be.
    pub fn resolve(
        path: &syntax::Path,
        context: Context,
        prefixed: bool,
        mut compile_key: impl FnMut(&syntax::Key) -> std::result::Result<Key, Blame>,
    ) -> std::result::Result<Path, Blame> {
        let named = path.context().and_then(|name| context.seen(name));
        let of = match named {
            Some(of) => of,
            None if prefixed => return Err(unprefixed(path, context)),
            None => context,
        };
        let segments = &path.segments[usize::from(named.is_some())..];
        let Some(first) = segments.first() else { return Err(Blame::new(path.at.clone(), "the path is empty")) };
        let names: Vec<&str> = segments.iter().map(|segment| segment.name.as_str()).collect();
        let place = place(of, context, &names).map_err(|problem| match problem {
            Problem::Unknown(at, candidates) => {
                let segment = segments.get(at).unwrap_or(first);
                let kind = if at == 0 { "path" } else { "part of a path" };
                let message = format!("{:?} is no {kind} of the context {:?}", segment.name, of.name());
                let candidates =
                    candidates.iter().copied().chain(context.visible().iter().map(|context| context.name()));
                Blame::new(segment.at.clone(), message).or_nearest(&segment.name, candidates)
            }
            Problem::Other(message) => Blame::new(path.at.clone(), message),
        })?;
        let keyed = segments.iter().position(|segment| !segment.keys.is_empty());
        let mut keys = Vec::new();
        if let Some(at) = keyed {
            let segment = &segments[at];
            let one = matches!(place, Place::Span(span::Field::TraceState));
            if !(one || matches!(place, Place::Map(_) | Place::Body)) {
                return Err(Blame::new(segment.at.clone(), format!("{:?} cannot be indexed", segment.name)));
            }
            if one && segment.keys.len() != 1 {
                return Err(Blame::new(segment.at.clone(), "trace_state takes exactly one key"));
            }
            keys = segment.keys.iter().map(&mut compile_key).collect::<std::result::Result<_, _>>()?;
        }
        Ok(Path { place, keys: keys.into() })
    }

    /// Reads it.
    pub fn get<'a>(&self, on: &'a On<'_>) -> Result<Value<'a>> {
        match self.place {
            Place::Map(attributes) => {
                let map = attributes.get(on)?;
                if self.keys.is_empty() { Ok(Value::Map(Cow::Borrowed(map))) } else { key::get(map, &self.keys, on) }
            }
            Place::Body => {
                let body = on.log()?.body.as_ref().unwrap_or(&AnyValue::Empty);
                if self.keys.is_empty() { Ok(Value::of(body)) } else { key::get_in_body(body, &self.keys, on) }
            }
            Place::Group(field) => field.get(on),
            Place::Span(field) => field.get(on.span()?, &self.keys, on),
            Place::Event(field) => field.get(on),
            Place::Metric(field) => field.get(on.metric()?),
            Place::Point(field) => field.get(on),
            Place::Log(field) => field.get(on.log()?),
        }
    }

    /// Writes it.
    pub fn set(&self, on: &mut On<'_>, value: Value<'static>) -> Result<()> {
        self.touch(on);
        // The usual form of a path; its key need not be resolved.
        if let (Place::Map(attributes), [Key::Text(key)]) = (self.place, &self.keys[..]) {
            return key::put(key::entry(attributes.get_mut(on)?, key), value);
        }
        let keys = key::resolve(&self.keys, on)?;
        match self.place {
            Place::Map(attributes) if keys.is_empty() => {
                let map = match value {
                    Value::Nil => Map::default(),
                    Value::Map(map) => map.into_owned(),
                    other => {
                        let name = other.type_name();
                        return Err(Error::new(format!("unsupported type provided for setting a pcommon.Map: {name}")));
                    }
                };
                *attributes.get_mut(on)? = map;
                Ok(())
            }
            Place::Map(attributes) => key::set(attributes.get_mut(on)?, &keys, value),
            Place::Body if keys.is_empty() => {
                on.log_mut()?.body = Some(value.into_any()?);
                Ok(())
            }
            Place::Body => key::set_in_body(on.log_mut()?.body.get_or_insert_default(), &keys, value),
            Place::Group(field) => field.set(on, value),
            Place::Span(field) => field.set(on.span_mut()?, &keys, value),
            Place::Event(field) => field.set(on, value),
            Place::Metric(field) => field.set(on.metric_mut()?, value),
            Place::Point(field) => field.set(on, value),
            Place::Log(field) => field.set(on.log_mut()?, value),
        }
    }

    /// The pairs that it leads to, to be changed.
    pub fn map_mut<'a>(&self, on: &'a mut On<'_>) -> Result<&'a mut Map> {
        match self.value_mut(on, "pcommon.Map")? {
            Found::Map(map) | Found::Value(AnyValue::Map(map)) => Ok(map),
            Found::Value(AnyValue::Empty) => Err("expected pcommon.Map but got nil".into()),
            Found::Value(other) => {
                Err(Error::new(format!("expected pcommon.Map but got {}", Value::of(other).type_name())))
            }
        }
    }

    /// The list that it leads to, to be changed.
    pub fn list_mut<'a>(&self, on: &'a mut On<'_>) -> Result<&'a mut Vec<AnyValue>> {
        match self.value_mut(on, "pcommon.Slice")? {
            Found::Value(AnyValue::Array(list)) => Ok(list),
            Found::Value(AnyValue::Empty) => Err("expected pcommon.Slice but got nil".into()),
            Found::Map(_) => Err("expected pcommon.Slice but got pcommon.Map".into()),
            Found::Value(other) => {
                Err(Error::new(format!("expected pcommon.Slice but got {}", Value::of(other).type_name())))
            }
        }
    }

    fn value_mut<'a>(&self, on: &'a mut On<'_>, wanted: &str) -> Result<Found<'a>> {
        let nil = || Error::new(format!("expected {wanted} but got nil"));
        // Read first: what is missing must not come into being.
        let found = self.get(on)?;
        match found {
            Value::Nil => return Err(nil()),
            Value::Map(_) | Value::Slice(_) => {}
            other => return Err(Error::new(format!("expected {wanted} but got {}", other.type_name()))),
        }
        self.touch(on);
        let keys = key::resolve(&self.keys, on)?;
        match self.place {
            Place::Map(attributes) => {
                let map = attributes.get_mut(on)?;
                if keys.is_empty() {
                    Ok(Found::Map(map))
                } else {
                    key::find_mut(map, &keys).map(Found::Value).ok_or_else(nil)
                }
            }
            Place::Body => {
                let body = on.log_mut()?.body.get_or_insert_default();
                key::find_in_mut(body, &keys).map(Found::Value).ok_or_else(nil)
            }
            _ => Err(nil()),
        }
    }

    /// The cache is no part of the data.
    fn touch(&self, on: &mut On<'_>) {
        on.changed |= self.place != Place::Map(Attributes::Cache);
    }
}

enum Found<'a> {
    Map(&'a mut Map),
    Value(&'a mut AnyValue),
}

// === impl Attributes ===

impl Attributes {
    fn get<'a>(self, on: &'a On<'_>) -> Result<&'a Map> {
        Ok(match self {
            Attributes::Cache => &on.cache,
            Attributes::Resource => &on.resource.0.attributes,
            Attributes::Scope => &on.scope()?.attributes,
            Attributes::Span => &on.span()?.attributes,
            Attributes::Event => &span::event(on)?.attributes,
            Attributes::Metadata => &on.metric()?.metadata,
            Attributes::Point => point::attributes(on)?,
            Attributes::Log => &on.log()?.attributes,
        })
    }

    fn get_mut<'a>(self, on: &'a mut On<'_>) -> Result<&'a mut Map> {
        Ok(match self {
            Attributes::Cache => &mut on.cache,
            Attributes::Resource => &mut on.resource.0.attributes,
            Attributes::Scope => &mut on.scope_mut()?.attributes,
            Attributes::Span => &mut on.span_mut()?.attributes,
            Attributes::Event => &mut span::event_mut(on)?.attributes,
            Attributes::Metadata => &mut on.metric_mut()?.metadata,
            Attributes::Point => point::attributes_mut(on)?,
            Attributes::Log => &mut on.log_mut()?.attributes,
        })
    }
}

enum Problem {
    /// The name at this place; what it could have been.
    Unknown(usize, Vec<&'static str>),
    Other(String),
}

/// What the names of a path mean.
fn place(of: Context, context: Context, names: &[&str]) -> std::result::Result<Place, Problem> {
    let (first, rest) = (names[0], &names[1..]);
    if first == "cache" {
        if of != context {
            let message = format!("the cache belongs to the context {0:?}: write \"{0}.cache\"", context.name());
            return Err(Problem::Other(message));
        }
        return whole(Place::Map(Attributes::Cache), rest);
    }
    let attributes = match (of, first) {
        (Context::Log, "attributes") => Some(Attributes::Log),
        (Context::DataPoint, "attributes") => Some(Attributes::Point),
        (Context::Metric, "metadata") => Some(Attributes::Metadata),
        (Context::SpanEvent, "attributes") => Some(Attributes::Event),
        (Context::Span, "attributes") => Some(Attributes::Span),
        (Context::Scope, "attributes") => Some(Attributes::Scope),
        (Context::Resource, "attributes") => Some(Attributes::Resource),
        _ => None,
    };
    if let Some(attributes) = attributes {
        return whole(Place::Map(attributes), rest);
    }
    if (of, first, rest) == (Context::Log, "body", &[]) {
        return Ok(Place::Body);
    }
    match of {
        Context::Log => find(log::FIELDS, names, &["attributes", "body", "cache"]).map(Place::Log),
        Context::DataPoint => find(point::FIELDS, names, &["attributes", "cache"]).map(Place::Point),
        Context::Metric => find(metric::FIELDS, names, &["metadata", "cache"]).map(Place::Metric),
        Context::SpanEvent => find(span::EVENT_FIELDS, names, &["attributes", "cache"]).map(Place::Event),
        Context::Span => find(span::FIELDS, names, &["attributes", "cache"]).map(Place::Span),
        Context::Scope => find(group::SCOPE_FIELDS, names, &["attributes", "cache"]).map(Place::Group),
        Context::Resource => find(group::RESOURCE_FIELDS, names, &["attributes", "cache"]).map(Place::Group),
    }
}

fn whole(place: Place, rest: &[&str]) -> std::result::Result<Place, Problem> {
    if rest.is_empty() { Ok(place) } else { Err(Problem::Unknown(1, Vec::new())) }
}

/// A field by its dotted name.
fn find<F: Copy>(
    fields: &'static [(&'static str, F)],
    names: &[&str],
    others: &[&'static str],
) -> std::result::Result<F, Problem> {
    let dotted = names.join(".");
    if let Some((_, field)) = fields.iter().find(|(name, _)| *name == dotted) {
        return Ok(*field);
    }
    let is_first = |name: &str| name.split('.').next() == Some(names[0]);
    if names.len() > 1 && fields.iter().any(|(name, _)| is_first(name)) {
        let parts = fields.iter().filter(|(name, _)| is_first(name)).filter_map(|(name, _)| name.split('.').nth(1));
        let known = parts.clone().any(|part| part == names[1]);
        return Err(Problem::Unknown(if known { 2 } else { 1 }, parts.collect()));
    }
    let firsts = fields.iter().filter_map(|(name, _)| name.split('.').next());
    Err(Problem::Unknown(0, firsts.chain(others.iter().copied()).collect()))
}

fn unprefixed(path: &syntax::Path, context: Context) -> Blame {
    let first = &path.segments[0];
    let names: Vec<&str> = context.visible().iter().map(|context| context.name()).collect();
    let message = match path.context() {
        Some("otelcol") => {
            "paths of \"otelcol\" are switched off (feature gate ottl.contexts.enableOTelColContext)".to_owned()
        }
        Some(name) => format!("{name:?} is no context that can be used here; there are {}", names.join(", ")),
        None => format!("the path does not say which context it means: write \"{}.{}\"", context.name(), first.name),
    };
    Blame::new(first.at.clone(), message).or_nearest(&first.name, names)
}

/// A field that the context has, but this item has not.
fn missing<T>(value: Option<T>, what: &str) -> Result<T> {
    value.ok_or_else(|| nowhere(what))
}
