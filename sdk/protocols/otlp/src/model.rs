//! OTLP decoded, for those who must change more than an attribute: sampling, grouping, OTTL, metric arithmetic.
//!
//! A payload is decoded once, changed, and encoded once. Texts, ids and byte values stay slices of the payload, so
//! decoding copies none of them (and whoever keeps a small part for long keeps the payload: see [`Text::owned`]). Fields
//! that this house does not know are kept in `unknown` and written back behind the known ones.
//!
//! The payload must have gone through [`check`](crate::check): what is malformed after all ends its message there.
//! Source: opentelemetry-proto 1.x, `{common,resource,trace,logs,metrics}/v1`.

mod field;
mod log;
mod metric;
mod trace;
mod value;

use bytes::Bytes;

use crate::Signal;
use field::{Source, kind, message};
pub use log::LogRecord;
pub use metric::{
    Buckets, CUMULATIVE, DELTA, Exemplar, ExponentialHistogram, ExponentialHistogramPoint, Gauge, Histogram,
    HistogramPoint, Metric, MetricData, NO_RECORDED_VALUE, Number, NumberPoint, Quantile, Sum, Summary, SummaryPoint,
};
pub use trace::{Event, Link, Span, Status};
pub use value::{AnyValue, KeyValue, Map, Text};

/// What a scope group lists: [`Span`], [`LogRecord`] or [`Metric`].
pub trait Item: Message {
    /// The signal whose payloads list it.
    const SIGNAL: Signal;

    /// What it counts for: a metric counts for its points.
    fn count(&self) -> usize {
        1
    }
}

/// A message of the protocol.
pub trait Message: Default + Clone {
    /// Reads one field into it; `false` when it is none of its own.
    #[doc(hidden)]
    fn take(&mut self, field: &crate::wire::Field<'_>, source: &Bytes) -> bool;

    /// Where fields go that it does not know.
    #[doc(hidden)]
    fn unknown(&mut self) -> &mut Vec<u8>;

    /// Appends its fields.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads it from the whole of a buffer.
    #[must_use]
    fn decode(source: &Bytes) -> Self {
        let mut message = Self::default();
        message.read(source, 0..source.len());
        message
    }

    /// Reads the fields at a place of a buffer into it.
    #[doc(hidden)]
    fn read(&mut self, source: &Bytes, place: std::ops::Range<usize>) {
        for field in crate::wire::Fields::inside(source, place) {
            if !self.take(&field, source) {
                self.unknown().extend_from_slice(&source[field.start..field.end]);
            }
        }
    }

    /// A copy that does not keep the payload.
    #[must_use]
    fn owned(&self) -> Self {
        Self::decode(&self.encode().into())
    }

    /// Its bytes.
    #[must_use]
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }
}

message! {
    /// A payload: `TracesData`, `LogsData`, `MetricsData`, or an export request, which looks the same.
    pub struct Data<I: Item> {
        /// By resource.
        1 resources: Vec<ResourceGroup<I>> as messages,
    }
}

message! {
    /// `ResourceSpans`, `ResourceLogs` or `ResourceMetrics`.
    pub struct ResourceGroup<I: Item> {
        /// What they come from.
        1 resource: Resource as message,
        /// By scope.
        2 scopes: Vec<ScopeGroup<I>> as messages,
        /// The schema of the resource.
        3 schema_url: Text as text,
    }
}

message! {
    /// `ScopeSpans`, `ScopeLogs` or `ScopeMetrics`.
    pub struct ScopeGroup<I: Item> {
        /// The library that made them.
        1 scope: Scope as message,
        /// The spans, log records or metrics.
        2 items: Vec<I> as messages,
        /// The schema of the items.
        3 schema_url: Text as text,
    }
}

message! {
    /// A `Resource`.
    pub struct Resource {
        /// What describes it.
        1 attributes: Map as pairs,
        /// Attributes that were left out at the source.
        2 dropped_attributes_count: u32 as uint32,
    }
}

message! {
    /// An `InstrumentationScope`.
    pub struct Scope {
        /// Its name.
        1 name: Text as text,
        /// Its version.
        2 version: Text as text,
        /// What describes it.
        3 attributes: Map as pairs,
        /// Attributes that were left out at the source.
        4 dropped_attributes_count: u32 as uint32,
    }
}

// === impl Data ===

impl<I: Item> Data<I> {
    /// Spans, log records or data points in it.
    #[must_use]
    pub fn count(&self) -> usize {
        let scopes = self.resources.iter().flat_map(|group| &group.scopes);
        scopes.flat_map(|group| &group.items).map(Item::count).sum()
    }

    /// Every item with the groups around it.
    pub fn items(&self) -> impl Iterator<Item = (&ResourceGroup<I>, &ScopeGroup<I>, &I)> {
        let scopes = self.resources.iter().flat_map(|group| group.scopes.iter().map(move |scope| (group, scope)));
        scopes.flat_map(|(group, scope)| scope.items.iter().map(move |item| (group, scope, item)))
    }

    /// Keeps the items that `keep` wants; a group with nothing left in it goes.
    pub fn retain(&mut self, mut keep: impl FnMut(&Resource, &Scope, &mut I) -> bool) {
        self.resources.retain_mut(|group| {
            let ResourceGroup { resource, scopes, .. } = group;
            scopes.retain_mut(|group| {
                let ScopeGroup { scope, items, .. } = group;
                items.retain_mut(|item| keep(resource, scope, item));
                !items.is_empty()
            });
            !scopes.is_empty()
        });
    }
}

/// Appends a message as a field.
fn put_field(out: &mut Vec<u8>, number: u32, message: &impl Message) {
    crate::wire::put_message(out, number, |out| message.put(out));
}

#[cfg(test)]
mod tests;
