//! Functions on whole metrics.

mod aggregate;
mod explicit;
mod percentile;

use sdk_protocols_otlp::model::{CUMULATIVE, DELTA, Gauge, Map, Metric, MetricData, Number, NumberPoint, Sum, Text};

use super::{Arguments, Built, Function, Kind, Parameter, Where, converter, editor, optional, required};
use crate::coerce;
use crate::context::{Context, On};
use crate::error::{Error, Result};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    of_metrics("convert_sum_to_gauge", &[], |_| {
        editor(|on| {
            if let MetricData::Sum(sum) = &mut on.metric_mut()?.data {
                let points = std::mem::take(&mut sum.points);
                replace(on, MetricData::Gauge(Gauge { points, unknown: Vec::new() }))?;
            }
            Ok(())
        })
    }),
    of_metrics(
        "convert_gauge_to_sum",
        &[required("StringAggTemp", Kind::LiteralText), required("Monotonic", Kind::LiteralBool)],
        |a| {
            let (temporality, is_monotonic) = (temporality(&a.text(0)?)?, a.boolean(1)?);
            editor(move |on| {
                if let MetricData::Gauge(gauge) = &mut on.metric_mut()?.data {
                    let points = std::mem::take(&mut gauge.points);
                    replace(on, MetricData::Sum(Sum { points, temporality, is_monotonic, unknown: Vec::new() }))?;
                }
                Ok(())
            })
        },
    ),
    of_metrics("extract_count_metric", EXTRACT, |a| {
        extract(a, "extract_count_metric", "_count", |point| Some(Number::Int(point.count as i64)))
    }),
    of_metrics("extract_sum_metric", EXTRACT, |a| {
        extract(a, "extract_sum_metric", "_sum", |point| point.sum.map(Number::Double))
    }),
    of_metrics(
        "extract_percentile_metric",
        &[required("Percentile", Kind::LiteralFloat), optional("Suffix", Kind::LiteralText)],
        percentile::extract,
    ),
    of_metrics(
        "convert_summary_quantile_val_to_gauge",
        &[optional("AttributeKey", Kind::LiteralText), optional("Suffix", Kind::LiteralText)],
        quantiles,
    ),
    of_metrics(
        "copy_metric",
        &[optional("Name", Kind::Text), optional("Description", Kind::Text), optional("Unit", Kind::Text)],
        copy_metric,
    ),
    of_metrics(
        "scale_metric",
        &[required("Multiplier", Kind::LiteralFloat), optional("Unit", Kind::Text)],
        scale_metric,
    ),
    of_metrics(
        "aggregate_on_attributes",
        &[required("AggregationFunction", Kind::LiteralText), optional("Attributes", Kind::LiteralTexts)],
        aggregate::on_attributes,
    ),
    of_metrics(
        "aggregate_on_attribute_value",
        &[
            required("AggregationFunction", Kind::LiteralText),
            required("Attribute", Kind::LiteralText),
            required("Values", Kind::LiteralTexts),
            required("NewValue", Kind::LiteralText),
        ],
        aggregate::on_attribute_value,
    ),
    of_metrics(
        "convert_exponential_histogram_to_histogram",
        &[required("DistributionFn", Kind::LiteralText), required("ExplicitBounds", Kind::LiteralFloats)],
        explicit::convert,
    ),
    Function {
        name: "HasAttrKeyOnDatapoint",
        parameters: &[required("Key", Kind::LiteralText)],
        place: Where::Conditions(Context::Metric),
        build: |a| {
            let key = a.text(0)?;
            converter(move |on| has_attribute(on.metric()?, &key, None))
        },
    },
    Function {
        name: "HasAttrOnDatapoint",
        parameters: &[required("Key", Kind::LiteralText), required("ExpectedVal", Kind::LiteralText)],
        place: Where::Conditions(Context::Metric),
        build: |a| {
            let (key, expected) = (a.text(0)?, a.text(1)?);
            converter(move |on| has_attribute(on.metric()?, &key, Some(&expected)))
        },
    },
];

const EXTRACT: &[Parameter] = &[required("Monotonic", Kind::LiteralBool), optional("Suffix", Kind::LiteralText)];

const fn of_metrics(
    name: &'static str,
    parameters: &'static [Parameter],
    build: fn(&mut Arguments) -> std::result::Result<Built, String>,
) -> Function {
    Function { name, parameters, place: Where::Statements(Context::Metric), build }
}

/// A temporality by its name.
pub(super) fn temporality(name: &str) -> std::result::Result<i32, String> {
    match name {
        "delta" => Ok(DELTA),
        "cumulative" => Ok(CUMULATIVE),
        other => Err(format!("unknown aggregation temporality: {other}")),
    }
}

fn replace(on: &mut On<'_>, data: MetricData) -> Result<()> {
    on.changed = true;
    on.metric_mut()?.data = data;
    Ok(())
}

/// Hands a new metric on, to be appended to the scope.
pub(super) fn create(on: &mut On<'_>, metric: Metric) {
    on.changed = true;
    on.created.push(metric);
}

/// A metric named after another, without points.
pub(super) fn derived(of: &Metric, suffix: &str, data: MetricData) -> Metric {
    let name = Text::from(bytes::Bytes::from([of.name.as_bytes(), suffix.as_bytes()].concat()));
    Metric { name, description: of.description.clone(), unit: of.unit.clone(), data, ..Metric::default() }
}

/// What points of distributions have in common.
pub(super) struct Distribution<'a> {
    pub attributes: &'a Map,
    pub start: u64,
    pub time: u64,
    pub count: u64,
    pub sum: Option<f64>,
}

/// The points of a metric that count and sum up, and their temporality; a summary is cumulative.
pub(super) fn distributions(metric: &Metric) -> Option<(Vec<Distribution<'_>>, i32)> {
    macro_rules! each {
        ($points:expr, $sum:expr) => {
            $points
                .iter()
                .map(|p| Distribution {
                    attributes: &p.attributes,
                    start: p.start_time_unix_nano,
                    time: p.time_unix_nano,
                    count: p.count,
                    sum: $sum(p.sum),
                })
                .collect()
        };
    }
    match &metric.data {
        MetricData::Histogram(data) => Some((each!(data.points, |sum| sum), data.temporality)),
        MetricData::ExponentialHistogram(data) => Some((each!(data.points, |sum| sum), data.temporality)),
        MetricData::Summary(data) => Some((each!(data.points, Some), CUMULATIVE)),
        _ => None,
    }
}

impl Distribution<'_> {
    /// A point with the same attributes and times.
    pub fn with(&self, value: Number) -> NumberPoint {
        NumberPoint {
            attributes: self.attributes.clone(),
            start_time_unix_nano: self.start,
            time_unix_nano: self.time,
            value,
            ..NumberPoint::default()
        }
    }
}

fn extract(
    a: &mut Arguments,
    name: &'static str,
    suffix: &str,
    value: fn(&Distribution<'_>) -> Option<Number>,
) -> std::result::Result<Built, String> {
    let (is_monotonic, suffix) = (a.boolean(0)?, a.given_text(1).unwrap_or_else(|| suffix.to_owned()));
    let counts = name == "extract_count_metric";
    editor(move |on| {
        let metric = on.metric()?;
        let Some((points, temporality)) = distributions(metric).filter(|(_, temporality)| *temporality != 0) else {
            let kind = type_name(metric);
            let message = format!(
                "{name} requires an input metric of type Histogram, ExponentialHistogram or Summary, got {kind}"
            );
            return Err(Error::new(message));
        };
        let points: Vec<NumberPoint> = points.iter().filter_map(|point| Some(point.with(value(point)?))).collect();
        if points.is_empty() {
            return Ok(());
        }
        let data = MetricData::Sum(Sum { points, temporality, is_monotonic, unknown: Vec::new() });
        let mut extracted = derived(metric, &suffix, data);
        if counts {
            // What is counted has no unit.
            extracted.unit = "1".into();
        }
        create(on, extracted);
        Ok(())
    })
}

fn type_name(metric: &Metric) -> &'static str {
    match &metric.data {
        MetricData::None => "Empty",
        MetricData::Gauge(_) => "Gauge",
        MetricData::Sum(_) => "Sum",
        MetricData::Histogram(_) => "Histogram",
        MetricData::ExponentialHistogram(_) => "ExponentialHistogram",
        MetricData::Summary(_) => "Summary",
    }
}

fn quantiles(a: &mut Arguments) -> std::result::Result<Built, String> {
    let key = a.given_text(0).unwrap_or_else(|| "quantile".to_owned());
    let suffix = a.given_text(1).unwrap_or_else(|| ".quantiles".to_owned());
    editor(move |on| {
        let metric = on.metric()?;
        let MetricData::Summary(summary) = &metric.data else { return Ok(()) };
        let mut points = Vec::new();
        for point in &summary.points {
            for quantile in &point.quantile_values {
                let mut attributes = point.attributes.clone();
                attributes.set(key.as_str(), quantile.quantile);
                points.push(NumberPoint {
                    attributes,
                    start_time_unix_nano: point.start_time_unix_nano,
                    time_unix_nano: point.time_unix_nano,
                    value: Number::Double(quantile.value),
                    ..NumberPoint::default()
                });
            }
        }
        let made = derived(metric, &suffix, MetricData::Gauge(Gauge { points, unknown: Vec::new() }));
        create(on, made);
        Ok(())
    })
}

fn copy_metric(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (name, description, unit) = (a.given_expression(0), a.given_expression(1), a.given_expression(2));
    editor(move |on| {
        let mut copy = on.metric()?.clone();
        if let Some(name) = &name {
            copy.name = coerce::text(name, on)?;
        }
        if let Some(description) = &description {
            copy.description = coerce::text(description, on)?;
        }
        if let Some(unit) = &unit {
            copy.unit = coerce::text(unit, on)?;
        }
        create(on, copy);
        Ok(())
    })
}

fn scale_metric(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (factor, unit) = (a.float(0)?, a.given_expression(1));
    let scaled = move |number: &mut Number| match number {
        Number::None => {}
        Number::Double(value) => *value *= factor,
        Number::Int(value) => *value = (*value as f64 * factor) as i64,
    };
    editor(move |on| {
        let unit = unit.as_ref().map(|unit| coerce::text(unit, on)).transpose()?;
        on.changed = true;
        let metric = on.metric_mut()?;
        match &mut metric.data {
            MetricData::Gauge(Gauge { points, .. }) | MetricData::Sum(Sum { points, .. }) => {
                points.iter_mut().for_each(|point| scaled(&mut point.value));
            }
            MetricData::Histogram(histogram) => {
                for point in &mut histogram.points {
                    for value in [&mut point.sum, &mut point.min, &mut point.max].into_iter().flatten() {
                        *value *= factor;
                    }
                    point.explicit_bounds.iter_mut().for_each(|bound| *bound *= factor);
                    point.exemplars.iter_mut().for_each(|exemplar| scaled(&mut exemplar.value));
                }
            }
            MetricData::Summary(summary) => {
                for point in &mut summary.points {
                    point.sum *= factor;
                    point.quantile_values.iter_mut().for_each(|quantile| quantile.value *= factor);
                }
            }
            MetricData::ExponentialHistogram(_) => {
                return Err("exponential histograms are not supported by the 'scale_metric' function".into());
            }
            MetricData::None => return Err("unsupported metric type: 'Empty'".into()),
        }
        if let Some(unit) = unit {
            metric.unit = unit;
        }
        Ok(())
    })
}

/// The first point that has the attribute decides.
fn has_attribute(metric: &Metric, key: &str, expected: Option<&str>) -> Result<Value<'static>> {
    let found = match &metric.data {
        MetricData::None => return Err("unknown metric type".into()),
        MetricData::Gauge(data) => data.points.iter().find_map(|point| point.attributes.get(key)),
        MetricData::Sum(data) => data.points.iter().find_map(|point| point.attributes.get(key)),
        MetricData::Histogram(data) => data.points.iter().find_map(|point| point.attributes.get(key)),
        MetricData::ExponentialHistogram(data) => data.points.iter().find_map(|point| point.attributes.get(key)),
        MetricData::Summary(data) => data.points.iter().find_map(|point| point.attributes.get(key)),
    };
    Ok(Value::Bool(match (found, expected) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(value), Some(expected)) => value.text().map_or(expected.is_empty(), |text| *text == *expected),
    }))
}
