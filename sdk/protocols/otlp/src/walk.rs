//! The way down a payload: resource group → scope group → record → attributes, as slices with their places.
//!
//! Made for payloads that passed [`crate::check`]; on anything else a walk ends early, and never panics or loops.

use std::borrow::Cow;
use std::ops::Range;

use crate::Signal;
use crate::wire::{Field, Fields, Value};

/// A message at a place of a payload.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    buf: &'a [u8],
    /// Where its content lies in the payload.
    pub place: Range<usize>,
}

impl<'a> Message<'a> {
    /// A whole buffer as one message.
    #[must_use]
    pub fn whole(buf: &'a [u8]) -> Self {
        Message { buf, place: 0..buf.len() }
    }

    /// The message at `place` of `buf`.
    #[must_use]
    pub fn at(buf: &'a [u8], place: Range<usize>) -> Self {
        Message { buf, place }
    }

    /// Its fields, with places in the payload.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields::inside(self.buf, self.place.clone())
    }

    /// The last field of this number, as the protocol reads singular fields.
    #[must_use]
    pub fn last(&self, number: u32) -> Option<Field<'a>> {
        self.fields().filter(|field| field.number == number).last()
    }

    /// The message in the last field of this number; an empty one when there is none.
    #[must_use]
    pub fn message(&self, number: u32) -> Message<'a> {
        Message { buf: self.buf, place: self.last(number).map_or(self.place.end..self.place.end, |field| field.body()) }
    }

    /// The messages in all fields of this number.
    pub fn messages(&self, number: u32) -> impl Iterator<Item = Message<'a>> + use<'a> {
        let buf = self.buf;
        self.fields().filter(move |field| field.number == number).map(move |field| Message { buf, place: field.body() })
    }

    /// The bytes in the last field of this number; empty when there is none.
    #[must_use]
    pub fn bytes(&self, number: u32) -> &'a [u8] {
        self.last(number).map_or(&[], |field| field.value.bytes())
    }

    /// The text in the last field of this number, what is not UTF-8 replaced.
    #[must_use]
    pub fn text(&self, number: u32) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes(number))
    }

    /// The number in the last field of this number; 0 when there is none.
    #[must_use]
    pub fn number(&self, number: u32) -> u64 {
        self.last(number).map_or(0, |field| field.value.number())
    }

    /// The double in the last field of this number, if there is one.
    #[must_use]
    pub fn double(&self, number: u32) -> Option<f64> {
        self.last(number).map(|field| field.value.double())
    }

    /// The attributes in the fields of this number.
    pub fn attributes(&self, number: u32) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.messages(number).map(|pair| Attribute::of(&pair))
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.place.is_empty()
    }
}

/// Where the parts of each signal are.
impl Signal {
    /// The field of `attributes` in a record: a span or a log record. Data points differ by kind, see [`PointKind`].
    #[must_use]
    pub const fn record_attributes(self) -> u32 {
        match self {
            Signal::Traces => 9,
            Signal::Logs => 6,
            Signal::Metrics => 7,
        }
    }
}

/// One group of a payload: `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`.
#[derive(Debug, Clone)]
pub struct ResourceGroup<'a>(pub Message<'a>);

/// One group of a resource: `ScopeSpans`, `ScopeMetrics` or `ScopeLogs`.
#[derive(Debug, Clone)]
pub struct ScopeGroup<'a>(pub Message<'a>);

/// The resource groups of a payload.
pub fn resources(payload: &[u8]) -> impl Iterator<Item = ResourceGroup<'_>> {
    Message::whole(payload).messages(1).map(ResourceGroup)
}

impl<'a> ResourceGroup<'a> {
    /// The resource's attributes.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.0.message(1).attributes(1)
    }

    /// Its scope groups.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeGroup<'a>> + use<'a> {
        self.0.messages(2).map(ScopeGroup)
    }

    /// Its schema URL.
    #[must_use]
    pub fn schema_url(&self) -> Cow<'a, str> {
        self.0.text(3)
    }
}

impl<'a> ScopeGroup<'a> {
    /// The instrumentation scope: name 1, version 2, attributes 3.
    #[must_use]
    pub fn scope(&self) -> Message<'a> {
        self.0.message(1)
    }

    /// Its spans, log records or metrics.
    pub fn records(&self) -> impl Iterator<Item = Message<'a>> + use<'a> {
        self.0.messages(2)
    }

    /// Its schema URL.
    #[must_use]
    pub fn schema_url(&self) -> Cow<'a, str> {
        self.0.text(3)
    }
}

/// The kinds of data points, by the field of `Metric` that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// `gauge`, numbers.
    Gauge,
    /// `sum`, numbers.
    Sum,
    /// `histogram`.
    Histogram,
    /// `exponential_histogram`.
    ExponentialHistogram,
    /// `summary`.
    Summary,
}

impl PointKind {
    /// The kind that a field of `Metric` stands for.
    #[must_use]
    pub const fn of_field(number: u32) -> Option<PointKind> {
        Some(match number {
            5 => PointKind::Gauge,
            7 => PointKind::Sum,
            9 => PointKind::Histogram,
            10 => PointKind::ExponentialHistogram,
            11 => PointKind::Summary,
            _ => return None,
        })
    }

    /// The field of a point's attributes.
    #[must_use]
    pub const fn attributes(self) -> u32 {
        match self {
            PointKind::Gauge | PointKind::Sum | PointKind::Summary => 7,
            PointKind::Histogram => 9,
            PointKind::ExponentialHistogram => 1,
        }
    }
}

/// The data of a metric: its kind, and the message that holds the points in field 1. `None` for a metric without any.
#[must_use]
pub fn metric_data<'a>(metric: &Message<'a>) -> Option<(PointKind, Message<'a>)> {
    let (kind, field) = metric.fields().filter_map(|f| Some((PointKind::of_field(f.number)?, f))).last()?;
    Some((kind, Message { buf: metric.buf, place: field.body() }))
}

/// One attribute.
#[derive(Debug, Clone)]
pub struct Attribute<'a> {
    /// The key's bytes; text, but nobody checked it.
    pub key: &'a [u8],
    /// The bytes of the `AnyValue`.
    pub value: AnyValue<'a>,
}

impl<'a> Attribute<'a> {
    /// Reads a `KeyValue`.
    #[must_use]
    pub fn of(pair: &Message<'a>) -> Self {
        let (mut key, mut value) = (&[][..], &[][..]);
        for field in pair.fields() {
            match field.number {
                1 => key = field.value.bytes(),
                2 => value = field.value.bytes(),
                _ => {}
            }
        }
        Attribute { key, value: AnyValue(value) }
    }

    /// The key as text, what is not UTF-8 replaced.
    #[must_use]
    pub fn key(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The bytes of an `AnyValue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnyValue<'a>(pub &'a [u8]);

/// What an `AnyValue` holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Any<'a> {
    /// Nothing was set.
    Empty,
    /// Text; nobody checked that it is UTF-8.
    Text(&'a [u8]),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// An `ArrayValue`: its `AnyValue`s in field 1.
    Array(&'a [u8]),
    /// A `KeyValueList`: its pairs in field 1.
    Map(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// What it holds; of several choices on the wire the last one counts.
    #[must_use]
    pub fn get(self) -> Any<'a> {
        let mut any = Any::Empty;
        for field in Fields::of(self.0) {
            any = match (field.number, field.value) {
                (1, Value::Bytes(text)) => Any::Text(text),
                (2, Value::Varint(n)) => Any::Bool(n != 0),
                (3, Value::Varint(n)) => Any::Int(n as i64),
                (4, value @ Value::Fixed64(_)) => Any::Double(value.double()),
                (5, Value::Bytes(list)) => Any::Array(list),
                (6, Value::Bytes(list)) => Any::Map(list),
                (7, Value::Bytes(bytes)) => Any::Bytes(bytes),
                _ => any,
            };
        }
        any
    }
}

/// The values of an [`Any::Array`].
pub fn array(list: &[u8]) -> impl Iterator<Item = AnyValue<'_>> {
    Fields::of(list).filter(|f| f.number == 1).map(|f| AnyValue(f.value.bytes()))
}

/// The pairs of an [`Any::Map`].
pub fn map(list: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    Message::whole(list).attributes(1)
}

/// The doubles of a packed or repeated field.
pub fn doubles<'a>(message: &Message<'a>, number: u32) -> impl Iterator<Item = f64> + use<'a> {
    fixed64s(message, number).map(f64::from_bits)
}

/// The 64-bit values of a packed or repeated field of fixed width.
pub fn fixed64s<'a>(message: &Message<'a>, number: u32) -> impl Iterator<Item = u64> + use<'a> {
    message.fields().filter(move |f| f.number == number).flat_map(|f| {
        let single = if let Value::Fixed64(n) = f.value { Some(n) } else { None };
        let packed = f.value.bytes().chunks_exact(8).filter_map(|c| Some(u64::from_le_bytes(*c.first_chunk()?)));
        single.into_iter().chain(packed)
    })
}

/// The values of a packed or repeated field of varints.
pub fn varints<'a>(message: &Message<'a>, number: u32) -> impl Iterator<Item = u64> + use<'a> {
    message.fields().filter(move |f| f.number == number).flat_map(|f| {
        let single = if let Value::Varint(n) = f.value { Some(n) } else { None };
        single.into_iter().chain(crate::wire::packed_varints(f.value.bytes()).flatten())
    })
}

/// A `sint32` or `sint64` as protobuf zigzags it.
#[must_use]
pub const fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// The items of a payload that was checked before: a walk along the record boundaries, a few nanoseconds each.
#[must_use]
pub fn count(signal: Signal, payload: &[u8]) -> usize {
    count_below(signal, Level::Payload, payload)
}

/// The levels of a payload, from the outside in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Payload,
    Resource,
    Scope,
    Metric,
    Points,
    Item,
}

impl Level {
    /// The level of what `number` holds here, for a field that leads to items.
    #[inline]
    pub(crate) fn below(self, signal: Signal, number: u32) -> Option<Level> {
        match (self, number) {
            (Level::Payload, 1) => Some(Level::Resource),
            (Level::Resource, 2) => Some(Level::Scope),
            (Level::Scope, 2) if signal == Signal::Metrics => Some(Level::Metric),
            (Level::Scope, 2) | (Level::Points, 1) => Some(Level::Item),
            (Level::Metric, number) if PointKind::of_field(number).is_some() => Some(Level::Points),
            _ => None,
        }
    }
}

pub(crate) fn count_below(signal: Signal, level: Level, body: &[u8]) -> usize {
    let mut items = 0;
    for field in Fields::of(body) {
        if let (Some(below), Value::Bytes(inner)) = (level.below(signal, field.number), field.value) {
            items += if below == Level::Item { 1 } else { count_below(signal, below, inner) };
        }
    }
    items
}
