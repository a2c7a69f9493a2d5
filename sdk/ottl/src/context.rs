//! Contexts: what a statement runs on, and which names it may use.

use sdk_protocols_otlp::Signal;
use sdk_protocols_otlp::model::{LogRecord, Map, Metric, Resource, Scope, Span, Text};

use crate::error::{Error, Result};

/// What a group of statements or conditions runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Context {
    Log,
    DataPoint,
    Metric,
    SpanEvent,
    Span,
    Scope,
    Resource,
}

impl Context {
    /// Every context, the most specific first: the order in which one is inferred.
    pub const ALL: [Context; 7] = [
        Context::Log,
        Context::DataPoint,
        Context::Metric,
        Context::SpanEvent,
        Context::Span,
        Context::Scope,
        Context::Resource,
    ];

    /// Its name in paths and in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Context::Log => "log",
            Context::DataPoint => "datapoint",
            Context::Metric => "metric",
            Context::SpanEvent => "spanevent",
            Context::Span => "span",
            Context::Scope => "scope",
            Context::Resource => "resource",
        }
    }

    /// The context of a name, in any case.
    pub fn named(name: &str) -> Option<Context> {
        Context::ALL.into_iter().find(|context| context.name().eq_ignore_ascii_case(name))
    }

    /// Those of a signal, the most specific first.
    pub const fn of(signal: Signal) -> &'static [Context] {
        match signal {
            Signal::Traces => &[Context::SpanEvent, Context::Span, Context::Scope, Context::Resource],
            Signal::Metrics => &[Context::DataPoint, Context::Metric, Context::Scope, Context::Resource],
            Signal::Logs => &[Context::Log, Context::Scope, Context::Resource],
        }
    }

    /// The contexts that its paths may name: itself and those around it.
    pub(crate) const fn visible(self) -> &'static [Context] {
        match self {
            Context::Log => &[Context::Log, Context::Scope, Context::Resource],
            Context::DataPoint => &[Context::DataPoint, Context::Metric, Context::Scope, Context::Resource],
            Context::Metric => &[Context::Metric, Context::Scope, Context::Resource],
            Context::SpanEvent => &[Context::SpanEvent, Context::Span, Context::Scope, Context::Resource],
            Context::Span => &[Context::Span, Context::Scope, Context::Resource],
            Context::Scope => &[Context::Scope, Context::Resource],
            Context::Resource => &[Context::Resource],
        }
    }

    /// The context that a path's first name means here, if any.
    pub(crate) fn seen(self, name: &str) -> Option<Context> {
        let name = if name == "instrumentation_scope" { "scope" } else { name };
        self.visible().iter().copied().find(|context| context.name() == name)
    }

    /// The number behind an enum's symbol.
    pub(crate) fn symbol(self, symbol: &str) -> Option<i64> {
        self.symbols().find(|(name, _)| *name == symbol).map(|(_, value)| value)
    }

    /// The symbols that may be used in it.
    pub(crate) fn symbols(self) -> impl Iterator<Item = (&'static str, i64)> {
        let metrics: &[(&str, i64)] = match self {
            Context::Metric | Context::DataPoint => METRIC_SYMBOLS,
            _ => &[],
        };
        let own: &[(&str, i64)] = match self {
            Context::Span | Context::SpanEvent => SPAN_SYMBOLS,
            Context::DataPoint => &[("FLAG_NONE", 0), ("FLAG_NO_RECORDED_VALUE", 1)],
            Context::Log => LOG_SYMBOLS,
            _ => &[],
        };
        metrics.iter().chain(own).copied()
    }
}

const SPAN_SYMBOLS: &[(&str, i64)] = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
    ("STATUS_CODE_UNSET", 0),
    ("STATUS_CODE_OK", 1),
    ("STATUS_CODE_ERROR", 2),
];

const METRIC_SYMBOLS: &[(&str, i64)] = &[
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
    ("METRIC_DATA_TYPE_NONE", 0),
    ("METRIC_DATA_TYPE_GAUGE", 1),
    ("METRIC_DATA_TYPE_SUM", 2),
    ("METRIC_DATA_TYPE_HISTOGRAM", 3),
    ("METRIC_DATA_TYPE_EXPONENTIAL_HISTOGRAM", 4),
    ("METRIC_DATA_TYPE_SUMMARY", 5),
];

const LOG_SYMBOLS: &[(&str, i64)] = &[
    ("SEVERITY_NUMBER_UNSPECIFIED", 0),
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
];

/// The item that a statement runs on, and the groups around it.
#[derive(Debug)]
pub struct On<'m> {
    /// The resource and the URL of its schema.
    pub resource: (&'m mut Resource, &'m mut Text),
    /// The scope and the URL of its schema; none for statements on resources.
    pub scope: Option<(&'m mut Scope, &'m mut Text)>,
    /// The item itself.
    pub item: Item<'m>,
    /// Scratch of the group of statements on this item.
    pub cache: Map,
    /// Whether anything of the data may have been changed.
    pub changed: bool,
    /// Metrics that were made, to be appended to the scope.
    pub created: Vec<Metric>,
    /// What a function that was passed to an editor gets.
    pub(crate) input: Text,
}

/// See [`On::item`].
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Item<'m> {
    /// The scope or the resource is the item.
    Group,
    Span(&'m mut Span),
    /// An event of a span, by its place.
    Event(&'m mut Span, usize),
    Metric(&'m mut Metric),
    /// A point of a metric, by its place.
    Point(&'m mut Metric, usize),
    Log(&'m mut LogRecord),
}

// === impl On ===

impl<'m> On<'m> {
    /// An item; nothing is in its cache.
    pub fn new(
        resource: (&'m mut Resource, &'m mut Text),
        scope: Option<(&'m mut Scope, &'m mut Text)>,
        item: Item<'m>,
    ) -> On<'m> {
        On { resource, scope, item, cache: Map::default(), changed: false, created: Vec::new(), input: Text::default() }
    }

    pub(crate) fn scope(&self) -> Result<&Scope> {
        self.scope.as_ref().map(|(scope, _)| &**scope).ok_or_else(|| nowhere("scope"))
    }

    pub(crate) fn scope_mut(&mut self) -> Result<&mut Scope> {
        self.scope.as_mut().map(|(scope, _)| &mut **scope).ok_or_else(|| nowhere("scope"))
    }

    pub(crate) fn span(&self) -> Result<&Span> {
        match &self.item {
            Item::Span(span) | Item::Event(span, _) => Ok(span),
            _ => Err(nowhere("span")),
        }
    }

    pub(crate) fn span_mut(&mut self) -> Result<&mut Span> {
        match &mut self.item {
            Item::Span(span) | Item::Event(span, _) => Ok(span),
            _ => Err(nowhere("span")),
        }
    }

    pub(crate) fn metric(&self) -> Result<&Metric> {
        match &self.item {
            Item::Metric(metric) | Item::Point(metric, _) => Ok(metric),
            _ => Err(nowhere("metric")),
        }
    }

    pub(crate) fn metric_mut(&mut self) -> Result<&mut Metric> {
        match &mut self.item {
            Item::Metric(metric) | Item::Point(metric, _) => Ok(metric),
            _ => Err(nowhere("metric")),
        }
    }

    pub(crate) fn log(&self) -> Result<&LogRecord> {
        if let Item::Log(record) = &self.item { Ok(record) } else { Err(nowhere("log record")) }
    }

    pub(crate) fn log_mut(&mut self) -> Result<&mut LogRecord> {
        if let Item::Log(record) = &mut self.item { Ok(record) } else { Err(nowhere("log record")) }
    }
}

pub(crate) fn nowhere(what: &str) -> Error {
    Error::new(format!("there is no {what} here"))
}
