//! Fields of metrics.

use sdk_protocols_otlp::model::{Metric, MetricData};

use super::expect;
use crate::error::Result;
use crate::value::{Part, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Description,
    Unit,
    Type,
    Temporality,
    IsMonotonic,
    DataPoints,
}

pub(super) const FIELDS: &[(&str, Field)] = &[
    ("name", Field::Name),
    ("description", Field::Description),
    ("unit", Field::Unit),
    ("type", Field::Type),
    ("aggregation_temporality", Field::Temporality),
    ("is_monotonic", Field::IsMonotonic),
    ("data_points", Field::DataPoints),
];

impl Field {
    pub fn get(self, metric: &Metric) -> Result<Value<'_>> {
        Ok(match self {
            Field::Name => Value::Text(metric.name.clone()),
            Field::Description => Value::Text(metric.description.clone()),
            Field::Unit => Value::Text(metric.unit.clone()),
            Field::Type => Value::Int(match &metric.data {
                MetricData::None => 0,
                MetricData::Gauge(_) => 1,
                MetricData::Sum(_) => 2,
                MetricData::Histogram(_) => 3,
                MetricData::ExponentialHistogram(_) => 4,
                MetricData::Summary(_) => 5,
            }),
            Field::Temporality => match &metric.data {
                MetricData::Sum(data) => Value::Int(data.temporality.into()),
                MetricData::Histogram(data) => Value::Int(data.temporality.into()),
                MetricData::ExponentialHistogram(data) => Value::Int(data.temporality.into()),
                _ => Value::Nil,
            },
            Field::IsMonotonic => match &metric.data {
                MetricData::Sum(data) => Value::Bool(data.is_monotonic),
                _ => Value::Nil,
            },
            Field::DataPoints => match points_name(&metric.data) {
                Some(name) => Value::Part(Part { name, len: Some(metric.data.len()) }),
                None => Value::Nil,
            },
        })
    }

    pub fn set(self, metric: &mut Metric, value: Value<'_>) -> Result<()> {
        match self {
            Field::Name => metric.name = expect::text(value)?,
            Field::Description => metric.description = expect::text(value)?,
            Field::Unit => metric.unit = expect::text(value)?,
            // As in the Collector, a type cannot be set, and nobody is told.
            Field::Type => {}
            Field::Temporality => {
                let temporality = expect::int(value)? as i32;
                match &mut metric.data {
                    MetricData::Sum(data) => data.temporality = temporality,
                    MetricData::Histogram(data) => data.temporality = temporality,
                    MetricData::ExponentialHistogram(data) => data.temporality = temporality,
                    _ => {}
                }
            }
            Field::IsMonotonic => {
                let is_monotonic = expect::boolean(value)?;
                if let MetricData::Sum(data) = &mut metric.data {
                    data.is_monotonic = is_monotonic;
                }
            }
            Field::DataPoints => {
                if let Some(name) = points_name(&metric.data) {
                    expect::part(&value, name)?;
                }
            }
        }
        Ok(())
    }
}

fn points_name(data: &MetricData) -> Option<&'static str> {
    match data {
        MetricData::None => None,
        MetricData::Gauge(_) | MetricData::Sum(_) => Some("pmetric.NumberDataPointSlice"),
        MetricData::Histogram(_) => Some("pmetric.HistogramDataPointSlice"),
        MetricData::ExponentialHistogram(_) => Some("pmetric.ExponentialHistogramDataPointSlice"),
        MetricData::Summary(_) => Some("pmetric.SummaryDataPointSlice"),
    }
}
