//! The protobuf format: `io.prometheus.client.MetricFamily`, each with its length before it.
//!
//! It is the only one that has native histograms. [`visit`] walks over a page and shows one metric after the other;
//! texts are slices of the page.

use base_stdx::protobuf::{Value, take, take_doubles, take_field, take_varint, take_varints, unzigzag};
use sdk_histogram::{Counts, CountsOf, NativeHistogram, ResetHint, Span};

use crate::kind::Kind;

/// What all metrics of a family share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family<'a> {
    /// Its name, which is that of its metrics but for suffixes.
    pub name: &'a str,
    /// In words.
    pub help: &'a str,
    /// `seconds`, …
    pub unit: &'a str,
    /// What it is.
    pub kind: Kind,
}

/// One metric of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric<'a> {
    /// Name and value, as sent.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Milliseconds since 1970, if the page says when.
    pub timestamp: Option<i64>,
    /// Since when it counts, in the same form; 0 if that is not known.
    pub start: i64,
    /// What it says.
    pub value: MetricValue<'a>,
}

/// The value of a metric, by the kind of its family.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue<'a> {
    /// A counter, a gauge, or one of an unknown kind.
    Number(f64, Option<Exemplar<'a>>),
    /// Quantile and value.
    Summary(f64, f64, Vec<(f64, f64)>),
    /// A classic histogram, a native one, or both.
    Histogram(Box<Histogram<'a>>),
}

/// A histogram as the page has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram<'a> {
    /// All values.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Classic buckets by upper bound; the last one may be missing.
    pub buckets: Vec<Bucket<'a>>,
    /// Without empty buckets; None when the page has only the classic form.
    pub native: Option<NativeHistogram>,
    /// Those of the native form.
    pub exemplars: Vec<Exemplar<'a>>,
}

/// A classic bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket<'a> {
    /// The upper bound.
    pub le: f64,
    /// Values up to it.
    pub count: f64,
    /// A trace for it.
    pub exemplar: Option<Exemplar<'a>>,
}

/// A trace that stands for a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar<'a> {
    /// Name and value.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Its value.
    pub value: f64,
    /// Milliseconds since 1970, if the page says when.
    pub timestamp: Option<i64>,
}

/// Why a page cannot be read. One bad metric spoils the page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Walks over a page; `each` may end the walk.
pub fn visit<'a>(
    mut page: &'a [u8],
    mut each: impl FnMut(&Family<'a>, Metric<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !page.is_empty() {
        let family = take_varint(&mut page)
            .and_then(|length| take(&mut page, usize::try_from(length).ok()?))
            .ok_or_else(|| Malformed("the page ends within a metric family".to_owned()))?;
        let broken = || Malformed("a metric family is not what protobuf's rules allow".to_owned());
        let (family, metrics) = read_family(family).ok_or_else(broken)??;
        let mut rest = metrics;
        while !rest.is_empty() {
            if let (4, Value::Bytes(metric)) = take_field(&mut rest).ok_or_else(broken)? {
                let read = read_metric(metric, &family)
                    .ok_or_else(|| Malformed(format!("a metric of {:?} cannot be read", family.name)))?;
                each(&family, read?)?;
            }
        }
    }
    Ok(())
}

/// The head of a family, which may stand behind its metrics. Its fields are given back for the second walk.
fn read_family(fields: &[u8]) -> Option<Result<(Family<'_>, &[u8]), Malformed>> {
    let (mut name, mut help, mut unit, mut kind): (&[u8], &[u8], &[u8], u64) = (b"", b"", b"", 0);
    let mut has_metric = false;
    let mut rest = fields;
    while !rest.is_empty() {
        match take_field(&mut rest)? {
            (1, Value::Bytes(text)) => name = text,
            (2, Value::Bytes(text)) => help = text,
            (3, Value::Varint(number)) => kind = number,
            (4, Value::Bytes(_)) => has_metric = true,
            (5, Value::Bytes(text)) => unit = text,
            _ => {}
        }
    }
    if !has_metric {
        // A family without metrics may be as wrong as it likes.
        let family = Family { name: "", help: "", unit: "", kind: Kind::Unknown };
        return Some(Ok((family, b"")));
    }
    let kind = match kind {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        2 => Kind::Summary,
        3 => Kind::Unknown,
        4 => Kind::Histogram,
        5 => Kind::GaugeHistogram,
        other => return Some(Err(Malformed(format!("unknown metric type {other}")))),
    };
    let text = |bytes, what: &str| {
        std::str::from_utf8(bytes).map_err(|_| Malformed(format!("the {what} of a metric family is not UTF-8")))
    };
    let read = || {
        let family = Family { name: text(name, "name")?, help: text(help, "help")?, unit: text(unit, "unit")?, kind };
        match family.name {
            "" => Err(Malformed("a metric family has no name".to_owned())),
            _ => Ok((family, fields)),
        }
    };
    Some(read())
}

fn read_metric<'a>(mut from: &'a [u8], family: &Family<'_>) -> Option<Result<Metric<'a>, Malformed>> {
    let mut metric = Metric { labels: Vec::new(), timestamp: None, start: 0, value: MetricValue::Number(0.0, None) };
    if let Kind::Histogram | Kind::GaugeHistogram = family.kind {
        metric.value = MetricValue::Histogram(Box::new(Histogram::none()));
    } else if family.kind == Kind::Summary {
        metric.value = MetricValue::Summary(0.0, 0.0, Vec::new());
    }
    while !from.is_empty() {
        match (take_field(&mut from)?, family.kind) {
            ((1, Value::Bytes(label)), _) => metric.labels.push(pair(label)?),
            ((2, Value::Bytes(fields)), Kind::Gauge) | ((5, Value::Bytes(fields)), Kind::Unknown) => {
                metric.value = MetricValue::Number(number(fields)?.0, None);
            }
            ((3, Value::Bytes(fields)), Kind::Counter) => {
                let (value, exemplar, start) = number(fields)?;
                (metric.value, metric.start) = (MetricValue::Number(value, exemplar), start);
            }
            ((4, Value::Bytes(fields)), Kind::Summary) => (metric.value, metric.start) = summary(fields)?,
            // As in Prometheus, a time of 0 is none.
            ((6, Value::Varint(time)), _) => metric.timestamp = (time != 0).then_some(time as i64),
            ((7, Value::Bytes(fields)), Kind::Histogram | Kind::GaugeHistogram) => {
                let (histogram, start) = match histogram(fields, family.kind)? {
                    Ok(read) => read,
                    Err(what) => return Some(Err(Malformed(format!("histogram {:?}: {what}", family.name)))),
                };
                (metric.value, metric.start) = (MetricValue::Histogram(Box::new(histogram)), start);
            }
            _ => {}
        }
    }
    Some(Ok(metric))
}

/// A counter, a gauge or neither: all have their value in the first field.
fn number(mut from: &[u8]) -> Option<(f64, Option<Exemplar<'_>>, i64)> {
    let (mut value, mut exemplar, mut start) = (0.0, None, 0);
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Fixed64(bits)) => value = f64::from_bits(bits),
            (2, Value::Bytes(fields)) => exemplar = Some(read_exemplar(fields)?),
            (3, Value::Bytes(fields)) => start = time(fields)?,
            _ => {}
        }
    }
    Some((value, exemplar, start))
}

fn summary(mut from: &[u8]) -> Option<(MetricValue<'_>, i64)> {
    let (mut count, mut sum, mut quantiles, mut start) = (0.0, 0.0, Vec::new(), 0);
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Varint(number)) => count = number as f64,
            (2, Value::Fixed64(bits)) => sum = f64::from_bits(bits),
            (3, Value::Bytes(mut fields)) => {
                let mut quantile = (0.0, 0.0);
                while !fields.is_empty() {
                    match take_field(&mut fields)? {
                        (1, Value::Fixed64(bits)) => quantile.0 = f64::from_bits(bits),
                        (2, Value::Fixed64(bits)) => quantile.1 = f64::from_bits(bits),
                        _ => {}
                    }
                }
                quantiles.push(quantile);
            }
            (4, Value::Bytes(fields)) => start = time(fields)?,
            _ => {}
        }
    }
    Some((MetricValue::Summary(count, sum, quantiles), start))
}

impl Histogram<'_> {
    fn none() -> Self {
        Histogram { count: 0.0, sum: 0.0, buckets: Vec::new(), native: None, exemplars: Vec::new() }
    }
}

fn histogram(mut from: &[u8], kind: Kind) -> Option<Result<(Histogram<'_>, i64), String>> {
    let mut read = Histogram::none();
    let (mut whole, mut float) = (CountsOf::<u64, i64>::default(), CountsOf::<f64, f64>::default());
    let (mut schema, mut zero_threshold, mut start) = (0, 0.0, 0);
    let (mut negative_spans, mut positive_spans) = (Vec::new(), Vec::new());
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Varint(number)) => whole.count = number,
            (2, Value::Fixed64(bits)) => read.sum = f64::from_bits(bits),
            (3, Value::Bytes(fields)) => read.buckets.push(bucket(fields)?),
            (4, Value::Fixed64(bits)) => float.count = f64::from_bits(bits),
            (5, Value::Varint(number)) => schema = unzigzag(number) as i32,
            (6, Value::Fixed64(bits)) => zero_threshold = f64::from_bits(bits),
            (7, Value::Varint(number)) => whole.zero = number,
            (8, Value::Fixed64(bits)) => float.zero = f64::from_bits(bits),
            (9, Value::Bytes(fields)) => negative_spans.push(span(fields)?),
            (10, value) => take_varints(value, |n| whole.negative.push(unzigzag(n)))?,
            (11, value) => take_doubles(value, &mut float.negative)?,
            (12, Value::Bytes(fields)) => positive_spans.push(span(fields)?),
            (13, value) => take_varints(value, |n| whole.positive.push(unzigzag(n)))?,
            (14, value) => take_doubles(value, &mut float.positive)?,
            (15, Value::Bytes(fields)) => start = time(fields)?,
            (16, Value::Bytes(fields)) => read.exemplars.push(read_exemplar(fields)?),
            _ => {}
        }
    }
    read.count = if float.count == 0.0 { whole.count as f64 } else { float.count };
    // A library that has seen no value yet sends an empty span to say that the histogram is a native one.
    let is_native = !positive_spans.is_empty() || !negative_spans.is_empty() || zero_threshold > 0.0 || whole.zero > 0;
    if is_native {
        let is_float = float.count > 0.0 || float.zero > 0.0;
        let mut native = NativeHistogram {
            schema,
            zero_threshold,
            sum: read.sum,
            reset_hint: if kind == Kind::GaugeHistogram { ResetHint::Gauge } else { ResetHint::Unknown },
            counts: if is_float { Counts::Float(float) } else { Counts::Integer(whole) },
            positive_spans,
            negative_spans,
            custom_values: Vec::new(),
        };
        if let Err(unsound) = native.compact(0) {
            return Some(Err(unsound.to_string()));
        }
        read.native = Some(native);
    }
    Some(Ok((read, start)))
}

fn bucket(mut from: &[u8]) -> Option<Bucket<'_>> {
    let (mut whole, mut float, mut le, mut exemplar) = (0, 0.0, 0.0, None);
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Varint(number)) => whole = number,
            (2, Value::Fixed64(bits)) => le = f64::from_bits(bits),
            (3, Value::Bytes(fields)) => exemplar = Some(read_exemplar(fields)?),
            (4, Value::Fixed64(bits)) => float = f64::from_bits(bits),
            _ => {}
        }
    }
    Some(Bucket { le, count: if float == 0.0 { whole as f64 } else { float }, exemplar })
}

fn span(mut from: &[u8]) -> Option<Span> {
    let mut span = Span::default();
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Varint(offset)) => span.offset = unzigzag(offset) as i32,
            (2, Value::Varint(length)) => span.length = length as u32,
            _ => {}
        }
    }
    Some(span)
}

fn read_exemplar(mut from: &[u8]) -> Option<Exemplar<'_>> {
    let mut exemplar = Exemplar::default();
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Bytes(label)) => exemplar.labels.push(pair(label)?),
            (2, Value::Fixed64(bits)) => exemplar.value = f64::from_bits(bits),
            (3, Value::Bytes(fields)) => exemplar.timestamp = Some(time(fields)?),
            _ => {}
        }
    }
    Some(exemplar)
}

fn pair(mut from: &[u8]) -> Option<(&str, &str)> {
    let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Bytes(text)) => name = text,
            (2, Value::Bytes(text)) => value = text,
            _ => {}
        }
    }
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
}

/// `google.protobuf.Timestamp`, in milliseconds.
fn time(mut from: &[u8]) -> Option<i64> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Varint(number)) => seconds = number as i64,
            (2, Value::Varint(number)) => nanos = number as i64,
            _ => {}
        }
    }
    Some(seconds.wrapping_mul(1000).wrapping_add(nanos / 1_000_000))
}
