//! A metric family: series with one name, and what they are put together to.

use std::collections::HashMap;
use std::sync::Arc;

use sdk_histogram::NativeHistogram;
use sdk_labels::Labels;
use sdk_otel::units;
use sdk_protocols_otlp::model::{
    self, AnyValue, CUMULATIVE, Exemplar, ExponentialHistogram, ExponentialHistogramPoint, Gauge, Histogram,
    HistogramPoint, Map, Metric, MetricData, NO_RECORDED_VALUE, Number, NumberPoint, Quantile, Summary, SummaryPoint,
};
use sdk_signals::{About, is_stale};

use super::native;

/// What the series of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Sum {
        monotonic: bool,
    },
    Histogram,
    /// Native histograms whose bounds grow by a factor.
    Exponential,
    Summary,
    /// A kind that OTLP has no place for: its samples become a gauge.
    Other,
}

/// Series with one name.
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) about: Arc<About>,
    groups: Vec<Group>,
    /// By the labels that tell points apart.
    places: HashMap<Labels, usize>,
}

/// What becomes one point.
struct Group {
    /// Milliseconds since 1970.
    time: i64,
    labels: Labels,
    count: Option<f64>,
    sum: Option<f64>,
    /// Since when it counts, in seconds since 1970.
    created: f64,
    value: f64,
    native: Option<Arc<NativeHistogram>>,
    /// Bound of a bucket, or quantile, and what was said of it.
    parts: Vec<(f64, f64)>,
    exemplars: Vec<Exemplar>,
}

/// Why a sample is in no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its time differs from that of the others of its point.
    Time,
    /// `le` or `quantile` is no number.
    Bound,
    /// The others of its family have bounds of another kind.
    Kind,
    /// More buckets than a point may have.
    TooWide,
}

/// Suffixes of series that belong to a family of another name.
const SUFFIXES: [&str; 6] = ["_bucket", "_count", "_sum", "_total", "_info", "_created"];

/// Labels that are told elsewhere than in the attributes of points.
const ELSEWHERE: [&str; 8] = [
    "__name__",
    "instance",
    "__scheme__",
    "__metrics_path__",
    "job",
    "otel_scope_name",
    "otel_scope_version",
    "otel_scope_schema_url",
];

/// The name of the family that a series would belong to by its suffix.
pub(super) fn trimmed(name: &str) -> &str {
    let suffix = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    suffix.filter(|rest| !rest.is_empty()).unwrap_or(name)
}

// === impl Kind ===

impl Kind {
    /// Of the word in the metadata.
    fn of(word: &str) -> Kind {
        match word {
            "counter" => Kind::Sum { monotonic: true },
            "info" | "stateset" => Kind::Sum { monotonic: false },
            "gauge" | "unknown" => Kind::Gauge,
            "histogram" => Kind::Histogram,
            "summary" => Kind::Summary,
            _ => Kind::Other,
        }
    }

    /// The label that tells the parts of a point apart.
    fn part(self) -> Option<&'static str> {
        match self {
            Kind::Histogram => Some("le"),
            Kind::Summary => Some("quantile"),
            _ => None,
        }
    }
}

// === impl Family ===

impl Family {
    pub(super) fn new(name: String, about: Arc<About>) -> Family {
        let kind = Kind::of(&about.kind);
        Family { name, kind, about, groups: Vec::new(), places: HashMap::new() }
    }

    /// Of native histograms, whatever the metadata calls them.
    pub(super) fn native(name: String, about: &About, histogram: &NativeHistogram) -> Family {
        let about = Arc::new(About { kind: "histogram".into(), ..about.clone() });
        Family { kind: Family::kind_of(histogram), ..Family::new(name, about) }
    }

    fn kind_of(histogram: &NativeHistogram) -> Kind {
        if histogram.has_custom_buckets() { Kind::Histogram } else { Kind::Exponential }
    }

    /// Whether a series of this name belongs to it.
    pub(super) fn includes(&self, name: &str) -> bool {
        if self.kind == Kind::Gauge { name == self.name } else { trimmed(name) == self.name }
    }

    /// Takes a sample; `start` says since when it counts, in milliseconds, and is 0 where that is not known.
    pub(super) fn add(&mut self, name: &str, labels: &Labels, start: i64, time: i64, value: f64) -> Result<(), Unfit> {
        let (kind, created) = (self.kind, *name == format!("{}_created", self.about.family));
        let group = self.group(labels, time);
        if group.time != time {
            return Err(Unfit::Time);
        }
        if start != 0 {
            group.created = start as f64 / 1000.0;
        }
        match kind {
            Kind::Histogram | Kind::Summary if name.ends_with("_sum") => group.sum = Some(value),
            Kind::Histogram | Kind::Summary if name.ends_with("_count") => group.count = Some(value),
            Kind::Histogram | Kind::Summary | Kind::Sum { .. } if created => group.created = value,
            Kind::Histogram | Kind::Summary => {
                let bound = kind.part().and_then(|part| labels.get(part)).and_then(number).ok_or(Unfit::Bound)?;
                group.parts.push((bound, value));
            }
            Kind::Gauge | Kind::Sum { .. } | Kind::Exponential | Kind::Other => group.value = value,
        }
        Ok(())
    }

    /// Takes a native histogram; `start` as with [`Family::add`].
    pub(super) fn add_native(
        &mut self,
        labels: &Labels,
        start: i64,
        time: i64,
        histogram: &Arc<NativeHistogram>,
    ) -> Result<(), Unfit> {
        if Family::kind_of(histogram) != self.kind {
            return Err(Unfit::Kind);
        }
        if native::width(histogram) > native::MOST_BUCKETS {
            return Err(Unfit::TooWide);
        }
        let group = self.group(labels, time);
        if group.time != time {
            return Err(Unfit::Time);
        }
        if start != 0 {
            group.created = start as f64 / 1000.0;
        }
        (group.count, group.sum) = (Some(native::count(histogram)), Some(histogram.sum));
        group.native = Some(histogram.clone());
        Ok(())
    }

    /// Whether there is a point for these labels.
    pub(super) fn has(&self, labels: &Labels) -> bool {
        self.places.contains_key(&self.key(labels))
    }

    /// Takes an exemplar; one of a series that has no sample here says nothing.
    pub(super) fn add_exemplar(&mut self, labels: &Labels, exemplar: &sdk_signals::Exemplar) {
        if let Some(place) = self.places.get(&self.key(labels)) {
            self.groups[*place].exemplars.push(convert(exemplar));
        }
    }

    fn group(&mut self, labels: &Labels, time: i64) -> &mut Group {
        let key = self.key(labels);
        let place = *self.places.entry(key).or_insert_with(|| {
            self.groups.push(Group::new(labels.clone(), time));
            self.groups.len() - 1
        });
        &mut self.groups[place]
    }

    fn key(&self, labels: &Labels) -> Labels {
        Labels::from_pairs(told(self.kind, labels))
    }

    /// The metric, if it has points.
    pub(super) fn into_metric(self) -> Option<Metric> {
        let kind = self.kind;
        let points = self.groups.into_iter();
        let data = match kind {
            Kind::Histogram => MetricData::Histogram(Histogram {
                points: points.filter_map(Group::into_histogram).collect(),
                temporality: CUMULATIVE,
                ..Histogram::default()
            }),
            Kind::Exponential => MetricData::ExponentialHistogram(ExponentialHistogram {
                points: points.filter_map(Group::into_exponential).collect(),
                temporality: CUMULATIVE,
                ..ExponentialHistogram::default()
            }),
            Kind::Summary => MetricData::Summary(Summary {
                points: points.filter_map(Group::into_summary).collect(),
                ..Summary::default()
            }),
            Kind::Sum { monotonic } => MetricData::Sum(model::Sum {
                points: points.map(|group| group.into_number(kind)).collect(),
                temporality: CUMULATIVE,
                is_monotonic: monotonic,
                ..model::Sum::default()
            }),
            Kind::Gauge | Kind::Other => MetricData::Gauge(Gauge {
                points: points.map(|group| group.into_number(kind)).collect(),
                ..Gauge::default()
            }),
        };
        let mut metadata = Map::default();
        metadata.set("prometheus.type", &*self.about.kind);
        let metric = Metric {
            name: self.name.into(),
            description: (&*self.about.help).into(),
            unit: units::to_ucum(&self.about.unit).into(),
            data,
            metadata,
            ..Metric::default()
        };
        (!metric.data.is_empty()).then_some(metric)
    }
}

// === impl Group ===

impl Group {
    fn new(labels: Labels, time: i64) -> Group {
        Group {
            time,
            labels,
            count: None,
            sum: None,
            created: 0.0,
            value: 0.0,
            native: None,
            parts: Vec::new(),
            exemplars: Vec::new(),
        }
    }

    fn is_stale(&self) -> bool {
        [self.sum, self.count].into_iter().flatten().any(is_stale)
    }

    fn start(&self) -> u64 {
        (self.created * 1e9) as u64
    }

    fn time(&self) -> u64 {
        (self.time as u64).wrapping_mul(1_000_000)
    }

    fn into_number(self, kind: Kind) -> NumberPoint {
        let counts = matches!(kind, Kind::Sum { .. });
        let stale = is_stale(self.value);
        NumberPoint {
            attributes: attributes(Kind::Gauge, &self.labels),
            start_time_unix_nano: if counts { self.start() } else { 0 },
            time_unix_nano: self.time(),
            value: if stale { Number::None } else { Number::Double(self.value) },
            flags: if stale { NO_RECORDED_VALUE } else { 0 },
            exemplars: self.exemplars,
            ..NumberPoint::default()
        }
    }

    /// Nothing without a count, as with a summary.
    fn into_histogram(mut self) -> Option<HistogramPoint> {
        let count = self.count?;
        let stale = self.is_stale();
        let (explicit_bounds, bucket_counts) = match &self.native {
            // Without bounds there is nothing to say.
            Some(native) if native.custom_values.is_empty() => return None,
            Some(native) => (native.custom_values.clone(), native::explicit(native)),
            None => self.classic_buckets(count, stale),
        };
        Some(HistogramPoint {
            bucket_counts,
            explicit_bounds,
            attributes: attributes(Kind::Histogram, &self.labels),
            start_time_unix_nano: self.start(),
            time_unix_nano: self.time(),
            count: if stale { 0 } else { count as u64 },
            sum: self.sum.filter(|_| !stale),
            flags: if stale { NO_RECORDED_VALUE } else { 0 },
            exemplars: self.exemplars,
            ..HistogramPoint::default()
        })
    }

    /// The bounds, and what is between them.
    fn classic_buckets(&mut self, count: f64, stale: bool) -> (Vec<f64>, Vec<u64>) {
        self.parts.sort_by(|a, b| a.0.total_cmp(&b.0));
        if self.parts.last().is_some_and(|(bound, _)| *bound == f64::INFINITY) {
            self.parts.pop();
        }
        let mut below = 0.0;
        let upto = self.parts.iter().map(|(_, upto)| *upto).chain([count]);
        let bucket_counts = upto.map(|upto| {
            let inside = upto - below;
            below = upto;
            // A mark for the end of a series is no count.
            if stale { 0 } else { inside as u64 }
        });
        (self.parts.iter().map(|(bound, _)| *bound).collect(), bucket_counts.collect())
    }

    fn into_exponential(self) -> Option<ExponentialHistogramPoint> {
        let told = self.native.as_deref().filter(|_| !self.is_stale()).map(native::exponential);
        Some(ExponentialHistogramPoint {
            attributes: attributes(Kind::Histogram, &self.labels),
            start_time_unix_nano: self.start(),
            time_unix_nano: self.time(),
            flags: if self.is_stale() { NO_RECORDED_VALUE } else { 0 },
            exemplars: self.exemplars,
            ..told.unwrap_or_default()
        })
    }

    fn into_summary(mut self) -> Option<SummaryPoint> {
        let count = self.count?;
        let stale = self.is_stale();
        self.parts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let quantile = |(quantile, value): &(f64, f64)| Quantile {
            quantile: *quantile,
            value: if stale { 0.0 } else { *value },
            ..Quantile::default()
        };
        Some(SummaryPoint {
            attributes: attributes(Kind::Summary, &self.labels),
            start_time_unix_nano: self.start(),
            time_unix_nano: self.time(),
            count: if stale { 0 } else { count as u64 },
            sum: self.sum.filter(|_| !stale).unwrap_or_default(),
            quantile_values: self.parts.iter().map(quantile).collect(),
            flags: if stale { NO_RECORDED_VALUE } else { 0 },
            ..SummaryPoint::default()
        })
    }
}

/// The labels of a point.
fn told(kind: Kind, labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().filter(move |(name, _)| !ELSEWHERE.contains(name) && kind.part() != Some(*name))
}

fn attributes(kind: Kind, labels: &Labels) -> Map {
    let mut attributes = Map::default();
    for (name, value) in told(kind, labels).filter(|(_, value)| !value.is_empty()) {
        attributes.set(name, value);
    }
    attributes
}

/// A number as Prometheus writes bounds.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn convert(exemplar: &sdk_signals::Exemplar) -> Exemplar {
    let mut converted = Exemplar {
        time_unix_nano: (exemplar.timestamp as u64).wrapping_mul(1_000_000),
        value: Number::Double(exemplar.value),
        ..Exemplar::default()
    };
    for (name, value) in exemplar.labels.iter() {
        let (length, id) = match name.to_lowercase().as_str() {
            "trace_id" => (16, &mut converted.trace_id),
            "span_id" => (8, &mut converted.span_id),
            _ => (0, &mut converted.span_id),
        };
        match (length, id_of(value, length)) {
            (1.., Some(bytes)) => *id = bytes.into(),
            _ => converted.filtered_attributes.set(name, AnyValue::Text(value.into())),
        }
    }
    converted
}

/// An id of so many bytes: what is longer is cut, what is shorter has zeros in front.
fn id_of(hex: &str, length: usize) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    let digits = &digits[..digits.len().min(2 * length)];
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let mut id = vec![0; length - digits.len() / 2];
    for pair in digits.chunks_exact(2) {
        let nibble = |digit: u8| (digit as char).to_digit(16);
        id.push((nibble(pair[0])? * 16 + nibble(pair[1])?) as u8);
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_belong_to_the_family_that_their_name_begins_with() {
        for (name, expect) in [
            ("lat_bucket", "lat"),
            ("a_total", "a"),
            ("_total", "_total"),
            ("a_count_sum", "a_count"),
            ("plain", "plain"),
        ] {
            assert_eq!(trimmed(name), expect);
        }
    }

    #[test]
    fn ids_are_cut_and_filled() {
        assert_eq!(id_of("0102", 4), Some(vec![0, 0, 1, 2]));
        assert_eq!(id_of("010203", 2), Some(vec![1, 2]));
        assert_eq!((id_of("zz", 2), id_of("123", 8)), (None, None));
    }
}
