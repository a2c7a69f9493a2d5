//! The arguments of the block as counting needs them.

use std::time::Duration;

use base_stdx::Uuid;
use base_sys::chance::Chance;
use sdk_component::Problem;
use sdk_protocols_otlp::edit::any;
use sdk_protocols_otlp::model::{CUMULATIVE, DELTA, KeyValue, Map, Message as _};
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{Any, Attribute};
use sdk_protocols_otlp::wire::put_bytes;

use super::arguments::{Arguments, Temporality, expiration};
use super::dimensions::{Dimensions, RESERVED};
use crate::distribution::Shape;
use crate::span::Span;

/// What is counted, and how it is told.
pub(super) struct Settings {
    dimensions: Dimensions,
    pub calls: Dimensions,
    pub durations: Dimensions,
    pub events: Option<Dimensions>,
    /// Which of [`RESERVED`] are there.
    reserved: Vec<&'static str>,
    instance: String,
    scopes: Vec<String>,
    pub resource_keys: Vec<String>,
    pub most_resources: usize,
    pub most_series: usize,
    temporality: Temporality,
    pub shape: Option<Shape>,
    pub unit: String,
    divider: f64,
    pub interval: Duration,
    pub forget_resources: Option<Duration>,
    pub forget_series: Option<Duration>,
    pub most_told_at: usize,
    pub names: [String; 3],
    pub exemplars: usize,
}

/// A span, and what is around it.
pub(super) struct Place<'a> {
    pub span: &'a Span<'a>,
    pub service: &'a [u8],
    /// Name and version, if they are dimensions.
    pub scope: Option<(&'a [u8], &'a [u8])>,
}

// === impl Settings ===

impl Settings {
    pub(super) fn new(arguments: &Arguments) -> Result<Settings, Problem> {
        let [dimensions, calls, durations, events] = arguments.dimensions()?;
        let name = |name: &str| match &arguments.namespace[..] {
            "" => name.to_owned(),
            namespace => format!("{namespace}.{name}"),
        };
        let size = |size: i64| usize::try_from(size).unwrap_or(usize::MAX);
        let reserved = RESERVED.iter().copied().filter(|name| {
            let wanted = *name != "collector.instance.id" || arguments.include_collector_instance_id;
            wanted && !arguments.exclude_dimensions.iter().any(|excluded| excluded == name)
        });
        Ok(Settings {
            dimensions,
            calls,
            durations,
            events: arguments.events.enabled.then_some(events),
            reserved: reserved.collect(),
            instance: Uuid::new(4, Chance::new().bytes()).to_string(),
            scopes: arguments.include_instrumentation_scope.clone(),
            resource_keys: arguments.resource_metrics_key_attributes.clone(),
            most_resources: size(arguments.resource_metrics_cache_size),
            most_series: match arguments.aggregation_cardinality_limit {
                0 => usize::MAX,
                limit => size(limit),
            },
            temporality: arguments.aggregation_temporality,
            shape: arguments.histogram.shape(),
            unit: arguments.histogram.unit.clone(),
            divider: arguments.histogram.divider(),
            interval: arguments.metrics_flush_interval.to_std().unwrap_or_default(),
            forget_resources: expiration(arguments.metrics_expiration),
            forget_series: expiration(arguments.series_expiration),
            most_told_at: size(arguments.metric_timestamp_cache_size),
            names: [name("calls"), name("duration"), name("events")],
            exemplars: if arguments.exemplars.enabled { size(arguments.exemplars.max_per_data_point) } else { 0 },
        })
    }

    /// How long a span took, in the unit of the metric.
    pub(super) fn duration(&self, place: &Place<'_>) -> f64 {
        place.span.nanoseconds() as f64 / self.divider
    }

    /// As points say it.
    pub(super) fn temporality(&self) -> i32 {
        if self.is_delta() { DELTA } else { CUMULATIVE }
    }

    pub(super) fn is_delta(&self) -> bool {
        self.temporality == Temporality::Delta
    }

    /// Whether name and version of a scope with this name are dimensions.
    pub(super) fn is_dimension(&self, scope: &[u8]) -> bool {
        !scope.is_empty() && self.scopes.iter().any(|name| name.as_bytes() == scope)
    }

    /// What is always there, in the order of `reserved`.
    fn reserved<'a>(&'a self, place: &Place<'a>) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let Place { span, service, .. } = *place;
        self.reserved.iter().map(move |name| {
            let text = match *name {
                "service.name" => service,
                "span.name" => span.name,
                "span.kind" => kind_text(span.kind).as_bytes(),
                "status.code" => status_text(span.status).as_bytes(),
                _ => self.instance.as_bytes(),
            };
            (*name, text)
        })
    }

    /// What tells a span apart from others, but for the dimensions of one metric.
    pub(super) fn put_key(&self, place: &Place<'_>, around: &[Attribute<'_>], key: &mut Vec<u8>) {
        key.clear();
        self.reserved(place).for_each(|(_, text)| push(key, text));
        key.push(u8::from(place.scope.is_some()));
        if let Some((name, version)) = place.scope {
            push(key, name);
            push(key, version);
        }
        put_dimensions(&self.dimensions, place, around, key);
    }

    /// The attributes of a new series, in memory of its own.
    pub(super) fn attributes(&self, place: &Place<'_>, around: &[Attribute<'_>], more: &Dimensions) -> Map {
        let mut attributes = Map::default();
        let mut set = |name: &[u8], value: &[u8]| {
            let mut pair = Vec::new();
            put_bytes(&mut pair, 1, name);
            put_bytes(&mut pair, 2, value);
            let KeyValue { key, value, .. } = KeyValue::decode(&pair.into());
            attributes.set(key, value.unwrap_or_default());
        };
        self.reserved(place).for_each(|(name, text)| set(name.as_bytes(), &any::text(text)));
        if let Some((name, version)) = place.scope {
            set(b"span.instrumentation.scope.name", &any::text(name));
            if !version.is_empty() {
                set(b"span.instrumentation.scope.version", &any::text(version));
            }
        }
        self.dimensions.visit(place.span, around, |name, value| set(name, value.0));
        more.visit(place.span, around, |name, value| set(name, value.0));
        attributes
    }
}

/// Adds what tells series of one metric apart.
pub(super) fn put_dimensions(dimensions: &Dimensions, place: &Place<'_>, around: &[Attribute<'_>], key: &mut Vec<u8>) {
    dimensions.visit(place.span, around, |name, value| {
        push(key, name);
        // 200 and "200" are one.
        match value.get() {
            Any::Text(text) => push(key, text),
            _ => push(key, text::of(value).as_bytes()),
        }
    });
}

/// A part of a key, so that no two lists of parts make one.
pub(super) fn push(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&(part.len() as u32).to_le_bytes());
    key.extend_from_slice(part);
}

fn kind_text(kind: i32) -> &'static str {
    match kind {
        0 => "SPAN_KIND_UNSPECIFIED",
        1 => "SPAN_KIND_INTERNAL",
        2 => "SPAN_KIND_SERVER",
        3 => "SPAN_KIND_CLIENT",
        4 => "SPAN_KIND_PRODUCER",
        5 => "SPAN_KIND_CONSUMER",
        _ => "",
    }
}

fn status_text(code: i32) -> &'static str {
    match code {
        0 => "STATUS_CODE_UNSET",
        1 => "STATUS_CODE_OK",
        2 => "STATUS_CODE_ERROR",
        _ => "",
    }
}
