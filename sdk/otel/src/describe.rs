//! A payload in words: everything, a line for each field, as OpenTelemetry collectors print it.

use std::fmt::Write as _;

use base_stdx::timestamp::Date;
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{
    Any, AnyValue, Attribute, Message, PointKind, doubles, fixed64s, metric_data, resources, unzigzag, varints,
};
use sdk_protocols_otlp::wire::Value;
use sdk_signals::OtlpSignal;

/// The whole payload.
pub fn text(signal: OtlpSignal, payload: &[u8]) -> String {
    let (resource_name, scope_name) = match signal {
        OtlpSignal::Traces => ("ResourceSpans", "ScopeSpans"),
        OtlpSignal::Metrics => ("ResourceMetrics", "ScopeMetrics"),
        OtlpSignal::Logs => ("ResourceLog", "ScopeLogs"),
    };
    let mut page = Page(String::new());
    for (i, resource) in resources(payload).enumerate() {
        page.line(format_args!("{resource_name} #{i}"));
        page.line(format_args!("Resource SchemaURL: {}", resource.schema_url()));
        page.attributes("Resource attributes:", "     ->", resource.attributes());
        page.entity_refs(&resource.0.message(1));
        for (j, group) in resource.scopes().enumerate() {
            page.line(format_args!("{scope_name} #{j}"));
            page.line(format_args!("{scope_name} SchemaURL: {}", group.schema_url()));
            let scope = group.scope();
            page.line(format_args!("InstrumentationScope {} {}", scope.text(1), scope.text(2)));
            page.attributes("InstrumentationScope attributes:", "     ->", scope.attributes(3));
            for (k, record) in group.records().enumerate() {
                match signal {
                    OtlpSignal::Traces => page.span(k, &record),
                    OtlpSignal::Metrics => page.metric(k, &record),
                    OtlpSignal::Logs => page.log(k, &record),
                }
            }
        }
    }
    page.0
}

/// How many spans, metrics or log records there are.
pub fn records(payload: &[u8]) -> u64 {
    resources(payload)
        .flat_map(|resource| resource.scopes().map(|scope| scope.records().count() as u64).collect::<Vec<_>>())
        .sum()
}

/// The number of a point or an exemplar, doubles written by `double`.
pub fn number(point: &Message<'_>, double: impl Fn(f64) -> String) -> Option<String> {
    let field = point.fields().filter(|field| matches!(field.number, 3 | 4 | 6)).filter(|field| match field.number {
        // In a point 3 is the time and 4 the double, in an exemplar 3 is the double and 4 the span id.
        3 => false,
        _ => matches!(field.value, Value::Fixed64(_)),
    });
    let field = field.last()?;
    Some(if field.number == 6 { (field.value.number() as i64).to_string() } else { double(field.value.double()) })
}

struct Page(String);

impl Page {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{text}");
    }

    fn attributes<'a>(&mut self, header: &str, indent: &str, attributes: impl Iterator<Item = Attribute<'a>>) {
        for (i, pair) in attributes.enumerate() {
            if i == 0 {
                self.line(format_args!("{header}"));
            }
            self.line(format_args!("{indent} {}: {}", pair.key(), typed(pair.value)));
        }
    }

    fn entity_refs(&mut self, resource: &Message<'_>) {
        for (i, entity) in resource.messages(3).enumerate() {
            if i == 0 {
                self.line(format_args!("Resource entity refs:"));
            }
            self.line(format_args!("     -> Entity ref #{i}:"));
            self.line(format_args!("          -> Type: {}", entity.text(2)));
            if !entity.text(1).is_empty() {
                self.line(format_args!("          -> Schema URL: {}", entity.text(1)));
            }
            for (field, header) in [(3, "ID keys"), (4, "Description keys")] {
                for (j, key) in entity.fields().filter(|key| key.number == field).enumerate() {
                    if j == 0 {
                        self.line(format_args!("          -> {header}:"));
                    }
                    self.line(format_args!("               -> {}", String::from_utf8_lossy(key.value.bytes())));
                }
            }
        }
    }

    fn span(&mut self, k: usize, span: &Message<'_>) {
        const KINDS: [&str; 6] = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
        const CODES: [&str; 3] = ["Unset", "Ok", "Error"];
        let name = |names: &[&'static str], number: u64| names.get(number as usize).copied().unwrap_or("");
        let status = span.message(15);
        self.line(format_args!("Span #{k}"));
        let mut field = |name: &str, value: &str| self.line(format_args!("    {name:<15}: {value}"));
        field("Trace ID", &hex(span.bytes(1)));
        field("Parent ID", &hex(span.bytes(4)));
        field("ID", &hex(span.bytes(2)));
        field("Name", &span.text(5));
        field("Kind", name(&KINDS, span.number(6)));
        if !span.text(3).is_empty() {
            field("TraceState", &span.text(3));
        }
        field("Start time", &timestamp(span.number(7)));
        field("End time", &timestamp(span.number(8)));
        field("Status code", name(&CODES, status.number(3)));
        field("Status message", &status.text(2));
        field("DroppedAttributesCount", &span.number(10).to_string());
        field("DroppedEventsCount", &span.number(12).to_string());
        field("DroppedLinksCount", &span.number(14).to_string());
        self.attributes("Attributes:", "     ->", span.attributes(9));
        for (i, event) in span.messages(11).enumerate() {
            if i == 0 {
                self.line(format_args!("Events:"));
            }
            self.line(format_args!("SpanEvent #{i}"));
            self.line(format_args!("     -> Name: {}", event.text(2)));
            self.line(format_args!("     -> Timestamp: {}", timestamp(event.number(1))));
            self.line(format_args!("     -> DroppedAttributesCount: {}", event.number(4)));
            self.attributes("     -> Attributes::", "          ->", event.attributes(3));
        }
        for (i, link) in span.messages(13).enumerate() {
            if i == 0 {
                self.line(format_args!("Links:"));
            }
            self.line(format_args!("SpanLink #{i}"));
            self.line(format_args!("     -> Trace ID: {}", hex(link.bytes(1))));
            self.line(format_args!("     -> ID: {}", hex(link.bytes(2))));
            self.line(format_args!("     -> TraceState: {}", link.text(3)));
            self.line(format_args!("     -> DroppedAttributesCount: {}", link.number(5)));
            self.attributes("     -> Attributes::", "          ->", link.attributes(4));
        }
    }

    fn log(&mut self, k: usize, log: &Message<'_>) {
        const LEVELS: [&str; 6] = ["Trace", "Debug", "Info", "Warn", "Error", "Fatal"];
        let severity = match log.number(2) {
            0 => "Unspecified(0)".to_owned(),
            number @ 1..=24 => {
                let (level, step) = (LEVELS[(number as usize - 1) / 4], (number - 1) % 4 + 1);
                format!("{level}{}({number})", if step > 1 { step.to_string() } else { String::new() })
            }
            number => format!("({number})"),
        };
        self.line(format_args!("LogRecord #{k}"));
        self.line(format_args!("ObservedTimestamp: {}", timestamp(log.number(11))));
        self.line(format_args!("Timestamp: {}", timestamp(log.number(1))));
        self.line(format_args!("SeverityText: {}", log.text(3)));
        self.line(format_args!("SeverityNumber: {severity}"));
        if !log.text(12).is_empty() {
            self.line(format_args!("EventName: {}", log.text(12)));
        }
        self.line(format_args!("Body: {}", typed(AnyValue(log.bytes(5)))));
        self.attributes("Attributes:", "     ->", log.attributes(6));
        self.line(format_args!("Trace ID: {}", hex(log.bytes(9))));
        self.line(format_args!("Span ID: {}", hex(log.bytes(10))));
        self.line(format_args!("Flags: {}", log.number(8)));
    }

    fn metric(&mut self, k: usize, metric: &Message<'_>) {
        let data = metric_data(metric);
        let kind = match data {
            None => "Empty",
            Some((PointKind::Gauge, _)) => "Gauge",
            Some((PointKind::Sum, _)) => "Sum",
            Some((PointKind::Histogram, _)) => "Histogram",
            Some((PointKind::ExponentialHistogram, _)) => "ExponentialHistogram",
            Some((PointKind::Summary, _)) => "Summary",
        };
        self.line(format_args!("Metric #{k}"));
        self.line(format_args!("Descriptor:"));
        self.line(format_args!("     -> Name: {}", metric.text(1)));
        self.line(format_args!("     -> Description: {}", metric.text(2)));
        self.line(format_args!("     -> Unit: {}", metric.text(3)));
        self.line(format_args!("     -> DataType: {kind}"));
        self.attributes("     -> Metadata:", "          ->", metric.attributes(12));
        let Some((kind, data)) = data else { return };
        if kind == PointKind::Sum {
            self.line(format_args!("     -> IsMonotonic: {}", data.number(3) != 0));
        }
        if !matches!(kind, PointKind::Gauge | PointKind::Summary) {
            let temporality = ["Unspecified", "Delta", "Cumulative"].get(data.number(2) as usize).copied();
            self.line(format_args!("     -> AggregationTemporality: {}", temporality.unwrap_or("")));
        }
        for (i, point) in data.messages(1).enumerate() {
            self.point(i, kind, &point);
        }
    }

    fn point(&mut self, i: usize, kind: PointKind, point: &Message<'_>) {
        let name = match kind {
            PointKind::Gauge | PointKind::Sum => "NumberDataPoints",
            PointKind::Histogram => "HistogramDataPoints",
            PointKind::ExponentialHistogram => "ExponentialHistogramDataPoints",
            PointKind::Summary => "SummaryDataPoints",
        };
        self.line(format_args!("{name} #{i}"));
        self.attributes("Data point attributes:", "     ->", point.attributes(kind.attributes()));
        self.line(format_args!("StartTimestamp: {}", timestamp(point.number(2))));
        self.line(format_args!("Timestamp: {}", timestamp(point.number(3))));
        match kind {
            PointKind::Gauge | PointKind::Sum => {
                if let Some(value) = number(point, |value| format!("{value:.6}")) {
                    self.line(format_args!("Value: {value}"));
                }
                self.exemplars(point, 5);
            }
            PointKind::Histogram => {
                self.summary(point, [5, 11, 12]);
                for (i, bound) in doubles(point, 7).enumerate() {
                    self.line(format_args!("ExplicitBounds #{i}: {bound:.6}"));
                }
                for (i, count) in fixed64s(point, 6).enumerate() {
                    self.line(format_args!("Buckets #{i}, Count: {count}"));
                }
                self.exemplars(point, 8);
            }
            PointKind::ExponentialHistogram => {
                self.summary(point, [5, 12, 13]);
                let factor = factor(point);
                let (negative, positive) = (point.message(9), point.message(8));
                let bounds = |first: f64, i: usize| {
                    let index = first + i as f64;
                    ((index * factor).exp(), ((index + 1.0) * factor).exp())
                };
                let counts: Vec<u64> = varints(&negative, 2).collect();
                for (i, count) in counts.iter().enumerate().rev() {
                    let (lower, upper) = bounds(offset(&negative), i);
                    self.line(format_args!("Bucket [{:.6}, {:.6}), Count: {count}", -upper, -lower));
                }
                if point.number(7) > 0 {
                    self.line(format_args!("Bucket [0, 0], Count: {}", point.number(7)));
                }
                for (i, count) in varints(&positive, 2).enumerate() {
                    let (lower, upper) = bounds(offset(&positive), i);
                    self.line(format_args!("Bucket ({lower:.6}, {upper:.6}], Count: {count}"));
                }
                self.exemplars(point, 11);
            }
            PointKind::Summary => {
                self.line(format_args!("Count: {}", point.number(4)));
                self.line(format_args!("Sum: {:.6}", point.double(5).unwrap_or(0.0)));
                for (i, quantile) in point.messages(6).enumerate() {
                    let [name, value] = [1, 2].map(|field| quantile.double(field).unwrap_or(0.0));
                    self.line(format_args!("QuantileValue #{i}: Quantile {name:.6}, Value {value:.6}"));
                }
            }
        }
    }

    fn summary(&mut self, point: &Message<'_>, fields: [u32; 3]) {
        self.line(format_args!("Count: {}", point.number(4)));
        for (name, field) in ["Sum", "Min", "Max"].into_iter().zip(fields) {
            if let Some(value) = point.double(field) {
                self.line(format_args!("{name}: {value:.6}"));
            }
        }
    }

    fn exemplars(&mut self, point: &Message<'_>, field: u32) {
        for (i, exemplar) in point.messages(field).enumerate() {
            if i == 0 {
                self.line(format_args!("Exemplars:"));
            }
            self.line(format_args!("Exemplar #{i}"));
            self.line(format_args!("     -> Trace ID: {}", hex(exemplar.bytes(5))));
            self.line(format_args!("     -> Span ID: {}", hex(exemplar.bytes(4))));
            self.line(format_args!("     -> Timestamp: {}", timestamp(exemplar.number(2))));
            let value = exemplar.fields().filter(|field| matches!(field.number, 3 | 6)).last();
            match value {
                Some(value) if value.number == 6 => {
                    self.line(format_args!("     -> Value: {}", value.value.number() as i64));
                }
                Some(value) => self.line(format_args!("     -> Value: {:.6}", value.value.double())),
                None => {}
            }
            self.attributes("     -> FilteredAttributes:", "          ->", exemplar.attributes(7));
        }
    }
}

/// A value with its type: `Str(a)`.
fn typed(value: AnyValue<'_>) -> String {
    let kind = match value.get() {
        Any::Empty => "Empty",
        Any::Text(_) => "Str",
        Any::Bool(_) => "Bool",
        Any::Int(_) => "Int",
        Any::Double(_) => "Double",
        Any::Array(_) => "Slice",
        Any::Map(_) => "Map",
        Any::Bytes(_) => "Bytes",
    };
    format!("{kind}({})", text::of(value))
}

/// Nanoseconds since 1970 as Go prints a time in UTC: `2026-03-04 04:53:20.000000003 +0000 UTC`.
pub fn timestamp(ns: u64) -> String {
    let (seconds, fraction) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let Date { year, month, day } = Date::from_days(days as i64);
    let fraction =
        if fraction == 0 { String::new() } else { format!(".{fraction:09}").trim_end_matches('0').to_owned() };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC")
}

/// Of an exponential histogram: bucket `i` ends at `exp((i + 1) * factor)`.
pub fn factor(point: &Message<'_>) -> f64 {
    std::f64::consts::LN_2 * 2f64.powi(-(unzigzag(point.number(6)).clamp(-1074, 1023) as i32))
}

/// The index of the first bucket.
pub fn offset(buckets: &Message<'_>) -> f64 {
    unzigzag(buckets.number(1)) as f64
}

/// Hex; nothing for an id of zeros.
pub fn hex(id: &[u8]) -> String {
    if id.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
