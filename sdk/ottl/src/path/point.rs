//! Fields of data points.

use std::borrow::Cow;

use sdk_protocols_otlp::model::{
    ExponentialHistogramPoint, HistogramPoint, Map, MetricData, Number, NumberPoint, SummaryPoint,
};

use super::{expect, missing};
use crate::context::{Item, On, nowhere};
use crate::error::{Error, Result};
use crate::time::Time;
use crate::value::{Part, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    StartTimeUnixNano,
    StartTime,
    TimeUnixNano,
    Time,
    ValueDouble,
    ValueInt,
    Exemplars,
    Flags,
    Count,
    Sum,
    BucketCounts,
    ExplicitBounds,
    Scale,
    ZeroCount,
    Positive,
    PositiveOffset,
    PositiveBucketCounts,
    Negative,
    NegativeOffset,
    NegativeBucketCounts,
    QuantileValues,
}

pub(super) const FIELDS: &[(&str, Field)] = &[
    ("start_time_unix_nano", Field::StartTimeUnixNano),
    ("start_time", Field::StartTime),
    ("time_unix_nano", Field::TimeUnixNano),
    ("time", Field::Time),
    ("value_double", Field::ValueDouble),
    ("value_int", Field::ValueInt),
    ("exemplars", Field::Exemplars),
    ("flags", Field::Flags),
    ("count", Field::Count),
    ("sum", Field::Sum),
    ("bucket_counts", Field::BucketCounts),
    ("explicit_bounds", Field::ExplicitBounds),
    ("scale", Field::Scale),
    ("zero_count", Field::ZeroCount),
    ("positive", Field::Positive),
    ("positive.offset", Field::PositiveOffset),
    ("positive.bucket_counts", Field::PositiveBucketCounts),
    ("negative", Field::Negative),
    ("negative.offset", Field::NegativeOffset),
    ("negative.bucket_counts", Field::NegativeBucketCounts),
    ("quantile_values", Field::QuantileValues),
];

const EXEMPLARS: &str = "pmetric.ExemplarSlice";
const QUANTILES: &str = "pmetric.SummaryDataPointValueAtQuantileSlice";

/// A point of any type.
enum Point<'a> {
    Number(&'a NumberPoint),
    Histogram(&'a HistogramPoint),
    Exponential(&'a ExponentialHistogramPoint),
    Summary(&'a SummaryPoint),
}

/// A point of any type, to be changed.
enum PointMut<'a> {
    Number(&'a mut NumberPoint),
    Histogram(&'a mut HistogramPoint),
    Exponential(&'a mut ExponentialHistogramPoint),
    Summary(&'a mut SummaryPoint),
}

/// The same expression for a point of whatever type.
macro_rules! any {
    ($kind:ident, $point:expr, $name:ident => $body:expr) => {
        match $point {
            $kind::Number($name) => $body,
            $kind::Histogram($name) => $body,
            $kind::Exponential($name) => $body,
            $kind::Summary($name) => $body,
        }
    };
}

fn point<'a>(on: &'a On<'_>) -> Result<Point<'a>> {
    let Item::Point(metric, at) = &on.item else { return Err(nowhere("data point")) };
    let found = match &metric.data {
        MetricData::None => None,
        MetricData::Gauge(data) => data.points.get(*at).map(Point::Number),
        MetricData::Sum(data) => data.points.get(*at).map(Point::Number),
        MetricData::Histogram(data) => data.points.get(*at).map(Point::Histogram),
        MetricData::ExponentialHistogram(data) => data.points.get(*at).map(Point::Exponential),
        MetricData::Summary(data) => data.points.get(*at).map(Point::Summary),
    };
    missing(found, "data point")
}

fn point_mut<'a>(on: &'a mut On<'_>) -> Result<PointMut<'a>> {
    let Item::Point(metric, at) = &mut on.item else { return Err(nowhere("data point")) };
    let found = match &mut metric.data {
        MetricData::None => None,
        MetricData::Gauge(data) => data.points.get_mut(*at).map(PointMut::Number),
        MetricData::Sum(data) => data.points.get_mut(*at).map(PointMut::Number),
        MetricData::Histogram(data) => data.points.get_mut(*at).map(PointMut::Histogram),
        MetricData::ExponentialHistogram(data) => data.points.get_mut(*at).map(PointMut::Exponential),
        MetricData::Summary(data) => data.points.get_mut(*at).map(PointMut::Summary),
    };
    missing(found, "data point")
}

/// The attributes of the point.
pub(super) fn attributes<'a>(on: &'a On<'_>) -> Result<&'a Map> {
    Ok(any!(Point, point(on)?, point => &point.attributes))
}

/// The attributes of the point, to be changed.
pub(super) fn attributes_mut<'a>(on: &'a mut On<'_>) -> Result<&'a mut Map> {
    Ok(any!(PointMut, point_mut(on)?, point => &mut point.attributes))
}

// === impl Field ===

impl Field {
    pub fn get<'a>(self, on: &'a On<'_>) -> Result<Value<'a>> {
        use Point::*;
        let point = point(on)?;
        Ok(match (self, point) {
            (Field::StartTimeUnixNano, point) => Value::Int(any!(Point, point, p => p.start_time_unix_nano) as i64),
            (Field::StartTime, point) => Value::Time(Time::utc(any!(Point, point, p => p.start_time_unix_nano) as i64)),
            (Field::TimeUnixNano, point) => Value::Int(any!(Point, point, p => p.time_unix_nano) as i64),
            (Field::Time, point) => Value::Time(Time::utc(any!(Point, point, p => p.time_unix_nano) as i64)),
            (Field::Flags, point) => Value::Int(any!(Point, point, p => p.flags).into()),
            (Field::ValueDouble, Number(p)) => {
                Value::Double(if let sdk_protocols_otlp::model::Number::Double(value) = p.value { value } else { 0.0 })
            }
            (Field::ValueInt, Number(p)) => {
                Value::Int(if let sdk_protocols_otlp::model::Number::Int(value) = p.value { value } else { 0 })
            }
            (Field::Exemplars, Number(p)) => Value::Part(Part { name: EXEMPLARS, len: Some(p.exemplars.len()) }),
            (Field::Exemplars, Histogram(p)) => Value::Part(Part { name: EXEMPLARS, len: Some(p.exemplars.len()) }),
            (Field::Exemplars, Exponential(p)) => Value::Part(Part { name: EXEMPLARS, len: Some(p.exemplars.len()) }),
            (Field::Count, Histogram(p)) => Value::Int(p.count as i64),
            (Field::Count, Exponential(p)) => Value::Int(p.count as i64),
            (Field::Count, Summary(p)) => Value::Int(p.count as i64),
            (Field::Sum, Histogram(p)) => Value::Double(p.sum.unwrap_or(0.0)),
            (Field::Sum, Exponential(p)) => Value::Double(p.sum.unwrap_or(0.0)),
            (Field::Sum, Summary(p)) => Value::Double(p.sum),
            (Field::BucketCounts, Histogram(p)) => Value::Counts(Cow::Borrowed(&p.bucket_counts)),
            (Field::ExplicitBounds, Histogram(p)) => Value::Floats(Cow::Borrowed(&p.explicit_bounds)),
            (Field::Scale, Exponential(p)) => Value::Int(p.scale.into()),
            (Field::ZeroCount, Exponential(p)) => Value::Int(p.zero_count as i64),
            (Field::Positive, Exponential(p)) => Value::Buckets(Box::new(p.positive.clone())),
            (Field::PositiveOffset, Exponential(p)) => Value::Int(p.positive.offset.into()),
            (Field::PositiveBucketCounts, Exponential(p)) => Value::Counts(Cow::Borrowed(&p.positive.bucket_counts)),
            (Field::Negative, Exponential(p)) => Value::Buckets(Box::new(p.negative.clone())),
            (Field::NegativeOffset, Exponential(p)) => Value::Int(p.negative.offset.into()),
            (Field::NegativeBucketCounts, Exponential(p)) => Value::Counts(Cow::Borrowed(&p.negative.bucket_counts)),
            (Field::QuantileValues, Summary(p)) => {
                Value::Part(Part { name: QUANTILES, len: Some(p.quantile_values.len()) })
            }
            // A point of another type has no such thing.
            _ => Value::Nil,
        })
    }

    pub fn set(self, on: &mut On<'_>, value: Value<'_>) -> Result<()> {
        let point = point_mut(on)?;
        match self {
            Field::StartTimeUnixNano => {
                let time = expect::nanoseconds(value)?;
                any!(PointMut, point, p => p.start_time_unix_nano = time);
            }
            Field::StartTime => {
                let time = expect::moment(value)?;
                any!(PointMut, point, p => p.start_time_unix_nano = time);
            }
            Field::TimeUnixNano => {
                let time = expect::nanoseconds(value)?;
                any!(PointMut, point, p => p.time_unix_nano = time);
            }
            Field::Time => {
                let time = expect::moment(value)?;
                any!(PointMut, point, p => p.time_unix_nano = time);
            }
            Field::Flags => {
                let flags = expect::int(value)? as u32;
                any!(PointMut, point, p => p.flags = flags);
            }
            Field::ValueDouble => {
                let value = expect::double(value)?;
                number(point)?.value = Number::Double(value);
            }
            Field::ValueInt => {
                let value = expect::int(value)?;
                number(point)?.value = Number::Int(value);
            }
            Field::Exemplars if matches!(point, PointMut::Summary(_)) => return Err(unsupported("SummaryDataPoint")),
            Field::Exemplars => expect::part(&value, EXEMPLARS)?,
            Field::Count => {
                let count = expect::int(value)? as u64;
                match point {
                    PointMut::Histogram(p) => p.count = count,
                    PointMut::Exponential(p) => p.count = count,
                    PointMut::Summary(p) => p.count = count,
                    PointMut::Number(_) => return Err(unsupported("NumberDataPoint")),
                }
            }
            Field::Sum => {
                let sum = expect::double(value)?;
                match point {
                    PointMut::Histogram(p) => p.sum = Some(sum),
                    PointMut::Exponential(p) => p.sum = Some(sum),
                    PointMut::Summary(p) => p.sum = sum,
                    PointMut::Number(_) => return Err(unsupported("NumberDataPoint")),
                }
            }
            Field::BucketCounts => histogram(point)?.bucket_counts = expect::counts(value)?,
            Field::ExplicitBounds => histogram(point)?.explicit_bounds = expect::bounds(value)?,
            Field::Scale => {
                let scale = expect::int(value)? as i32;
                exponential(point)?.scale = scale;
            }
            Field::ZeroCount => {
                let count = expect::int(value)? as u64;
                exponential(point)?.zero_count = count;
            }
            Field::Positive | Field::Negative => {
                let Value::Buckets(buckets) = value else {
                    return Err(expect::unexpected(&value, "pmetric.ExponentialHistogramDataPointBuckets"));
                };
                let point = exponential(point)?;
                *(if self == Field::Positive { &mut point.positive } else { &mut point.negative }) = *buckets;
            }
            Field::PositiveOffset => {
                let offset = expect::int(value)? as i32;
                exponential(point)?.positive.offset = offset;
            }
            Field::NegativeOffset => {
                let offset = expect::int(value)? as i32;
                exponential(point)?.negative.offset = offset;
            }
            Field::PositiveBucketCounts => exponential(point)?.positive.bucket_counts = expect::counts(value)?,
            Field::NegativeBucketCounts => exponential(point)?.negative.bucket_counts = expect::counts(value)?,
            Field::QuantileValues => {
                let PointMut::Summary(_) = point else { return Err(other_type("pmetric.SummaryDataPoint", &point)) };
                expect::part(&value, QUANTILES)?;
            }
        }
        Ok(())
    }
}

fn number(point: PointMut<'_>) -> Result<&mut NumberPoint> {
    if let PointMut::Number(point) = point { Ok(point) } else { Err(other_type("pmetric.NumberDataPoint", &point)) }
}

fn histogram(point: PointMut<'_>) -> Result<&mut HistogramPoint> {
    if let PointMut::Histogram(point) = point {
        Ok(point)
    } else {
        Err(other_type("pmetric.HistogramDataPoint", &point))
    }
}

fn exponential(point: PointMut<'_>) -> Result<&mut ExponentialHistogramPoint> {
    match point {
        PointMut::Exponential(point) => Ok(point),
        other => Err(other_type("pmetric.ExponentialHistogramDataPoint", &other)),
    }
}

fn other_type(wanted: &str, point: &PointMut<'_>) -> Error {
    let found = match point {
        PointMut::Number(_) => "NumberDataPoint",
        PointMut::Histogram(_) => "HistogramDataPoint",
        PointMut::Exponential(_) => "ExponentialHistogramDataPoint",
        PointMut::Summary(_) => "SummaryDataPoint",
    };
    Error::new(format!("expects {wanted} but got pmetric.{found}"))
}

fn unsupported(name: &str) -> Error {
    Error::new(format!("unsupported data point type: pmetric.{name}"))
}
