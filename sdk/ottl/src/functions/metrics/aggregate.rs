//! Points with the same attributes made one.

use std::collections::HashMap;

use sdk_protocols_otlp::model::{
    AnyValue, Buckets, DELTA, ExponentialHistogramPoint, HistogramPoint, Map, MetricData, Number, NumberPoint,
};

use super::super::{Arguments, Built, editor};
use crate::error::{Error, Result};
use crate::text::json;

/// How values are made one. Distributions are always added.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregation {
    Sum,
    Mean,
    Min,
    Max,
    Median,
    Count,
}

fn aggregation(name: &str) -> std::result::Result<Aggregation, String> {
    Ok(match name {
        "sum" => Aggregation::Sum,
        "mean" => Aggregation::Mean,
        "min" => Aggregation::Min,
        "max" => Aggregation::Max,
        "median" => Aggregation::Median,
        "count" => Aggregation::Count,
        other => {
            return Err(format!(
                "invalid aggregation function: {other:?}, valid options: sum, mean, min, max, median, count"
            ));
        }
    })
}

/// `aggregate_on_attributes`: only the given attributes are kept; without any given, all are.
pub(super) fn on_attributes(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (aggregation, kept) = (aggregation(&a.text(0)?)?, a.given_texts(1));
    editor(move |on| {
        if matches!(on.metric()?.data, MetricData::Summary(_)) {
            return Err(Error::new("aggregate_on_attributes does not support aggregating Summary metrics"));
        }
        on.changed = true;
        let data = &mut on.metric_mut()?.data;
        if let Some(kept) = &kept {
            each_attributes(data, |map| map.0.retain(|pair| kept.iter().any(|key| pair.key == *key.as_str())));
        }
        merge(data, aggregation)
    })
}

/// `aggregate_on_attribute_value`: some values of an attribute become one.
pub(super) fn on_attribute_value(a: &mut Arguments) -> std::result::Result<Built, String> {
    let aggregation = aggregation(&a.text(0)?)?;
    let (attribute, values, new) = (a.text(1)?, a.texts(2)?, a.text(3)?);
    editor(move |on| {
        on.changed = true;
        let data = &mut on.metric_mut()?.data;
        each_attributes(data, |map| {
            let Some(value) = map.get_mut(&attribute) else { return };
            let is = |text: &String| match &*value {
                AnyValue::Text(found) => *found == *text.as_str(),
                _ => text.is_empty(),
            };
            if values.iter().any(is) {
                *value = new.as_str().into();
            }
        });
        merge(data, aggregation)
    })
}

fn each_attributes(data: &mut MetricData, mut change: impl FnMut(&mut Map)) {
    match data {
        MetricData::None => {}
        MetricData::Gauge(data) => data.points.iter_mut().for_each(|point| change(&mut point.attributes)),
        MetricData::Sum(data) => data.points.iter_mut().for_each(|point| change(&mut point.attributes)),
        MetricData::Histogram(data) => data.points.iter_mut().for_each(|point| change(&mut point.attributes)),
        MetricData::ExponentialHistogram(data) => {
            data.points.iter_mut().for_each(|point| change(&mut point.attributes))
        }
        MetricData::Summary(data) => data.points.iter_mut().for_each(|point| change(&mut point.attributes)),
    }
}

fn merge(data: &mut MetricData, aggregation: Aggregation) -> Result<()> {
    match data {
        MetricData::Gauge(data) => grouped(&mut data.points, |_| String::new(), |group| numbers(group, aggregation)),
        MetricData::Sum(data) => {
            let delta = data.temporality == DELTA;
            let also = |point: &NumberPoint| if delta { point.start_time_unix_nano.to_string() } else { String::new() };
            grouped(&mut data.points, also, |group| numbers(group, aggregation))
        }
        MetricData::Histogram(data) => {
            let delta = data.temporality == DELTA;
            let also = |point: &HistogramPoint| {
                let start = if delta { point.start_time_unix_nano } else { 0 };
                let (min, max) = (point.min.is_some(), point.max.is_some());
                format!("{:?} {start} {min} {max} {}", point.explicit_bounds, point.flags)
            };
            grouped(&mut data.points, also, histograms)
        }
        MetricData::ExponentialHistogram(data) => {
            let delta = data.temporality == DELTA;
            let also = |point: &ExponentialHistogramPoint| {
                let start = if delta { point.start_time_unix_nano } else { 0 };
                let (min, max) = (point.min.is_some(), point.max.is_some());
                format!("{} {start} {min} {max} {}", point.scale, point.flags)
            };
            grouped(&mut data.points, also, exponential_histograms)
        }
        // Quantiles cannot be made one; the points stay as they are.
        MetricData::None | MetricData::Summary(_) => Ok(()),
    }
}

/// What tells points from each other.
trait Point {
    fn attributes(&self) -> &Map;
    fn time(&self) -> u64;
}

macro_rules! points {
    ($($type:ty),*) => {
        $(impl Point for $type {
            fn attributes(&self) -> &Map {
                &self.attributes
            }

            fn time(&self) -> u64 {
                self.time_unix_nano
            }
        })*
    };
}

points!(NumberPoint, HistogramPoint, ExponentialHistogramPoint);

/// Points with the same attributes, the same time and whatever else is told become one, where the first of them was.
fn grouped<P: Point>(
    points: &mut Vec<P>,
    also: impl Fn(&P) -> String,
    unite: impl Fn(Vec<P>) -> Option<P>,
) -> Result<()> {
    let mut groups: Vec<Vec<P>> = Vec::new();
    let mut by_key: HashMap<String, usize> = HashMap::new();
    for point in std::mem::take(points) {
        let mut key = String::new();
        json::map(point.attributes(), &mut key)?;
        key.push_str(&format!(" {} {}", point.time(), also(&point)));
        let at = *by_key.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(point);
    }
    points.extend(groups.into_iter().filter_map(unite));
    Ok(())
}

fn numbers(group: Vec<NumberPoint>, aggregation: Aggregation) -> Option<NumberPoint> {
    let count = group.len();
    let start = group.iter().map(|point| point.start_time_unix_nano).min();
    let value = match group.first()?.value {
        Number::None => Number::None,
        Number::Double(_) => {
            let mut values: Vec<f64> = group.iter().map(|point| double(point.value)).collect();
            Number::Double(match aggregation {
                // A point that is alone is what it was.
                _ if count == 1 => values[0],
                Aggregation::Sum => values.iter().sum(),
                Aggregation::Mean => values.iter().sum::<f64>() / count as f64,
                Aggregation::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
                Aggregation::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                Aggregation::Count => count as f64,
                Aggregation::Median => {
                    values.sort_by(f64::total_cmp);
                    if count % 2 == 1 { values[count / 2] } else { (values[count / 2 - 1] + values[count / 2]) / 2.0 }
                }
            })
        }
        Number::Int(_) => {
            let mut values: Vec<i64> = group.iter().map(|point| whole(point.value)).collect();
            // Unlike the others, a sum takes what is no whole number for nothing, as the Collector does.
            let only_whole = |point: &NumberPoint| if let Number::Int(value) = point.value { value } else { 0 };
            let sum = group.iter().map(only_whole).fold(0, i64::wrapping_add);
            Number::Int(match aggregation {
                _ if count == 1 => values[0],
                Aggregation::Sum => sum,
                Aggregation::Mean => sum / count as i64,
                Aggregation::Min => values.iter().copied().min().unwrap_or(0),
                Aggregation::Max => values.iter().copied().max().unwrap_or(0),
                Aggregation::Count => count as i64,
                Aggregation::Median => {
                    values.sort_unstable();
                    let (below, middle) = (values[(count - 1) / 2], values[count / 2]);
                    if count % 2 == 1 { middle } else { below.wrapping_add(middle) / 2 }
                }
            })
        }
    };
    let mut point = group.into_iter().next()?;
    point.value = value;
    point.start_time_unix_nano = start?;
    Some(point)
}

fn double(number: Number) -> f64 {
    match number {
        Number::None => 0.0,
        Number::Double(value) => value,
        Number::Int(value) => value as f64,
    }
}

fn whole(number: Number) -> i64 {
    match number {
        Number::None => 0,
        Number::Double(value) => value as i64,
        Number::Int(value) => value,
    }
}

fn least(to: &mut Option<f64>, other: Option<f64>) {
    if let Some(to) = to {
        *to = to.min(other.unwrap_or(0.0));
    }
}

fn greatest(to: &mut Option<f64>, other: Option<f64>) {
    if let Some(to) = to {
        *to = to.max(other.unwrap_or(0.0));
    }
}

fn added(to: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(to.unwrap_or(0.0) + other.unwrap_or(0.0))
}

fn histograms(group: Vec<HistogramPoint>) -> Option<HistogramPoint> {
    let mut group = group.into_iter();
    let mut point = group.next()?;
    for other in group.filter(|other| other.count > 0) {
        point.count = point.count.wrapping_add(other.count);
        point.sum = added(point.sum, other.sum);
        least(&mut point.min, other.min);
        greatest(&mut point.max, other.max);
        add_counts(&mut point.bucket_counts, &other.bucket_counts, 0);
        point.exemplars.extend(other.exemplars);
        point.start_time_unix_nano = point.start_time_unix_nano.min(other.start_time_unix_nano);
    }
    Some(point)
}

fn exponential_histograms(group: Vec<ExponentialHistogramPoint>) -> Option<ExponentialHistogramPoint> {
    let mut group = group.into_iter();
    let mut point = group.next()?;
    for other in group.filter(|other| other.count > 0) {
        point.count = point.count.wrapping_add(other.count);
        point.sum = added(point.sum, other.sum);
        point.zero_count = point.zero_count.wrapping_add(other.zero_count);
        least(&mut point.min, other.min);
        greatest(&mut point.max, other.max);
        add_buckets(&mut point.positive, &other.positive);
        add_buckets(&mut point.negative, &other.negative);
        point.exemplars.extend(other.exemplars);
        point.start_time_unix_nano = point.start_time_unix_nano.min(other.start_time_unix_nano);
    }
    Some(point)
}

/// The widest row of buckets that comes of adding two; what lies farther apart is malformed.
const MAX_BUCKETS: usize = 100_000;

fn add_buckets(to: &mut Buckets, other: &Buckets) {
    if other.bucket_counts.is_empty() {
        return;
    }
    if to.bucket_counts.is_empty() {
        *to = other.clone();
        return;
    }
    let distance = i64::from(other.offset) - i64::from(to.offset);
    let Some(at) = usize::try_from(distance.unsigned_abs()).ok().filter(|distance| *distance <= MAX_BUCKETS) else {
        return;
    };
    if distance < 0 {
        to.bucket_counts.splice(0..0, std::iter::repeat_n(0, at));
        to.offset = other.offset;
        add_counts(&mut to.bucket_counts, &other.bucket_counts, 0);
    } else {
        add_counts(&mut to.bucket_counts, &other.bucket_counts, at);
    }
}

fn add_counts(to: &mut Vec<u64>, other: &[u64], at: usize) {
    if to.len() < at + other.len() {
        to.resize(at + other.len(), 0);
    }
    for (to, other) in to[at..].iter_mut().zip(other) {
        *to = to.wrapping_add(*other);
    }
}
