//! A line for each record.

use std::fmt::Write as _;

use base_stdx::float;
use sdk_otel::describe::{self, factor, hex, offset};
use sdk_protocols_otlp::text;
use sdk_protocols_otlp::walk::{Attribute, Message, PointKind, doubles, fixed64s, metric_data, resources, varints};
use sdk_signals::OtlpSignal;

/// The whole payload.
pub(super) fn text(signal: OtlpSignal, payload: &[u8]) -> String {
    let (resource_name, scope_name) = match signal {
        OtlpSignal::Traces => ("ResourceTraces", "ScopeTraces"),
        OtlpSignal::Metrics => ("ResourceMetrics", "ScopeMetrics"),
        OtlpSignal::Logs => ("ResourceLog", "ScopeLog"),
    };
    let mut out = String::new();
    for (i, resource) in resources(payload).enumerate() {
        let _ = write!(out, "{resource_name} #{i}");
        if !resource.schema_url().is_empty() {
            let _ = write!(out, " [{}]", resource.schema_url());
        }
        out.push_str(&spaced(resource.attributes()));
        out.push('\n');
        for (j, group) in resource.scopes().enumerate() {
            let scope = group.scope();
            let _ = write!(out, "{scope_name} #{j}");
            let mut name = scope.text(1).into_owned();
            if !scope.text(2).is_empty() {
                let _ = write!(name, "@{}", scope.text(2));
            }
            if !group.schema_url().is_empty() {
                let _ = write!(name, "{}[{}]", if name.is_empty() { "" } else { " " }, group.schema_url());
            }
            if !name.is_empty() {
                let _ = write!(out, " {name}");
            }
            out.push_str(&spaced(scope.attributes(3)));
            out.push('\n');
            for record in group.records() {
                match signal {
                    OtlpSignal::Traces => {
                        let (name, trace, span) = (record.text(5), hex(record.bytes(1)), hex(record.bytes(2)));
                        let _ = writeln!(out, "{name} {trace} {span}{}", spaced(record.attributes(9)));
                    }
                    OtlpSignal::Logs => {
                        let body = sdk_protocols_otlp::walk::AnyValue(record.bytes(5));
                        let _ = writeln!(out, "{} {}", text::of(body), joined(record.attributes(6), " "));
                    }
                    OtlpSignal::Metrics => metric(&mut out, &record),
                }
            }
        }
    }
    out
}

fn metric(out: &mut String, metric: &Message<'_>) {
    let Some((kind, data)) = metric_data(metric) else { return };
    for point in data.messages(1) {
        let _ = write!(out, "{}{{{}}} ", metric.text(1), joined(point.attributes(kind.attributes()), ","));
        match kind {
            PointKind::Gauge | PointKind::Sum => {
                if let Some(value) = describe::number(&point, float::general) {
                    out.push_str(&value);
                }
            }
            PointKind::Histogram => {
                summary(out, &point, point.number(4), [5, 11, 12]);
                let mut bounds = doubles(&point, 7);
                for count in fixed64s(&point, 6) {
                    let _ = match bounds.next() {
                        Some(bound) => write!(out, " le{}={count}", float::general(bound)),
                        None => write!(out, " {count}"),
                    };
                }
            }
            PointKind::ExponentialHistogram => {
                summary(out, &point, point.number(4), [5, 12, 13]);
                let factor = factor(&point);
                let (negative, positive) = (point.message(9), point.message(8));
                let counts: Vec<u64> = varints(&negative, 2).collect();
                for (i, count) in counts.iter().enumerate().rev() {
                    let bound = -((offset(&negative) + i as f64) * factor).exp();
                    let _ = write!(out, " le{}={count}", float::general(bound));
                }
                if point.number(7) > 0 {
                    let _ = write!(out, " zero={}", point.number(7));
                }
                for (i, count) in varints(&positive, 2).enumerate() {
                    let bound = ((offset(&positive) + i as f64 + 1.0) * factor).exp();
                    let _ = write!(out, " le{}={count}", float::general(bound));
                }
            }
            PointKind::Summary => {
                let _ = write!(out, "count={} sum={:.6}", point.number(4), point.double(5).unwrap_or(0.0));
                for quantile in point.messages(6) {
                    let [name, value] = [1, 2].map(|field| float::general(quantile.double(field).unwrap_or(0.0)));
                    let _ = write!(out, " q{name}={value}");
                }
            }
        }
        out.push('\n');
    }
}

/// `count=… sum=… min=… max=…`, what is there of it.
fn summary(out: &mut String, point: &Message<'_>, count: u64, fields: [u32; 3]) {
    let _ = write!(out, "count={count}");
    for (name, field) in ["sum", "min", "max"].into_iter().zip(fields) {
        if let Some(value) = point.double(field) {
            let _ = write!(out, " {name}={}", float::general(value));
        }
    }
}

fn spaced<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> String {
    let text = joined(attributes, " ");
    if text.is_empty() { text } else { format!(" {text}") }
}

fn joined<'a>(attributes: impl Iterator<Item = Attribute<'a>>, separator: &str) -> String {
    let pairs: Vec<String> = attributes.map(|pair| format!("{}={}", pair.key(), text::of(pair.value))).collect();
    pairs.join(separator)
}
