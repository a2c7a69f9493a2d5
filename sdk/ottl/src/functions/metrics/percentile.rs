//! Percentiles estimated from histograms.

use sdk_protocols_otlp::model::{
    Buckets, ExponentialHistogramPoint, Gauge, HistogramPoint, Map, MetricData, Number, NumberPoint, Text,
};

use super::super::{Arguments, Built, editor};
use super::{create, derived};
use crate::error::{Error, Result};

/// `extract_percentile_metric`.
pub(super) fn extract(a: &mut Arguments) -> std::result::Result<Built, String> {
    let percentile = a.float(0)?;
    if !(percentile > 0.0 && percentile <= 100.0) {
        let shown = base_stdx::float::general(percentile);
        return Err(format!("percentile must be greater than 0 and less than or equal to 100, got {shown}"));
    }
    let shown = base_stdx::float::general(percentile);
    let suffix = a.given_text(1).filter(|suffix| !suffix.is_empty()).unwrap_or_else(|| format!("_p{shown}"));
    editor(move |on| {
        let metric = on.metric()?;
        let points: Vec<NumberPoint> = match &metric.data {
            MetricData::Histogram(data) => {
                let points = data.points.iter().map(|point| {
                    let value = of_histogram(point, percentile)?;
                    Ok(value
                        .map(|value| made(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, value)))
                });
                points.filter_map(Result::transpose).collect::<Result<_>>()?
            }
            MetricData::ExponentialHistogram(data) => {
                let points = data.points.iter().map(|point| {
                    let value = of_exponential(point, percentile)?;
                    Ok(value
                        .map(|value| made(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, value)))
                });
                points.filter_map(Result::transpose).collect::<Result<_>>()?
            }
            _ => return Ok(()),
        };
        if points.is_empty() {
            return Ok(());
        }
        let mut extracted = derived(metric, &suffix, MetricData::Gauge(Gauge { points, unknown: Vec::new() }));
        let description = metric.description.as_str();
        let described = if description.is_empty() { format!("p{shown}") } else { format!("{description} (p{shown})") };
        extracted.description = Text::from(described);
        create(on, extracted);
        Ok(())
    })
}

fn made(attributes: &Map, start: u64, time: u64, value: f64) -> NumberPoint {
    NumberPoint {
        attributes: attributes.clone(),
        start_time_unix_nano: start,
        time_unix_nano: time,
        value: Number::Double(value),
        ..NumberPoint::default()
    }
}

fn target(count: u64, percentile: f64) -> u64 {
    (count as f64 * (percentile / 100.0)).ceil() as u64
}

/// The value at a percentile; none where there is nothing to tell it from.
fn of_histogram(point: &HistogramPoint, percentile: f64) -> Result<Option<f64>> {
    let (counts, bounds) = (&point.bucket_counts, &point.explicit_bounds);
    if point.count == 0 || counts.is_empty() {
        return Ok(None);
    }
    if counts.len() != bounds.len() + 1 {
        return Err(Error::new(format!(
            "calculating histogram percentile: malformed data: bucketCounts length ({}) != explicitBounds length ({}) + 1",
            counts.len(),
            bounds.len()
        )));
    }
    let target = target(point.count, percentile);
    if bounds.is_empty() {
        let (Some(min), Some(max)) = (point.min, point.max) else { return Ok(None) };
        return linear(min, max, target as f64 / counts[0] as f64).map(Some);
    }
    let mut below = 0u64;
    for (at, count) in counts.iter().copied().enumerate() {
        let reached = below.saturating_add(count);
        if reached < target {
            below = reached;
            continue;
        }
        let (lower, upper) = match at {
            0 => match point.min.filter(|min| *min < bounds[0]) {
                Some(min) => (min, bounds[0]),
                // Nothing says how far below it goes.
                None if bounds[0] < 0.0 => return Ok(Some(bounds[0])),
                None => (0.0, bounds[0]),
            },
            at if at < bounds.len() => (bounds[at - 1], bounds[at]),
            at => match point.max.filter(|max| *max > bounds[at - 1]) {
                Some(max) => (bounds[at - 1], max),
                None => return Ok(Some(bounds[at - 1])),
            },
        };
        return linear(lower, upper, (target - below) as f64 / count as f64).map(Some);
    }
    Err(too_few("histogram", target, below))
}

fn too_few(what: &str, target: u64, total: u64) -> Error {
    Error::new(format!(
        "calculating {what} percentile: malformed data: cumulative count doesn't reach target count corresponding to percentile. targetCount={target}, total count={total}"
    ))
}

fn of_exponential(point: &ExponentialHistogramPoint, percentile: f64) -> Result<Option<f64>> {
    let (negative, positive) = (&point.negative, &point.positive);
    let (any_negative, any_positive) = (!negative.bucket_counts.is_empty(), !positive.bucket_counts.is_empty());
    if point.count == 0 || !(any_negative || any_positive || point.zero_count > 0) {
        return Ok(None);
    }
    let target = target(point.count, percentile);
    let mut below = 0u64;
    for (at, count) in negative.bucket_counts.iter().copied().enumerate().rev() {
        let reached = below.saturating_add(count);
        if reached >= target {
            let (lower, upper) = edges(negative, at, point.scale);
            if lower >= upper {
                return Err("calculating exponential histogram percentile: malformed negative bucket bounds".into());
            }
            let ratio = (target - below) as f64 / count as f64;
            return logarithmic(lower, upper, 1.0 - ratio).map(|value| Some(-value));
        }
        below = reached;
    }
    let reached = below.saturating_add(point.zero_count);
    if reached >= target {
        let lower = if !any_negative && any_positive { 0.0 } else { -point.zero_threshold };
        let upper = if !any_positive && any_negative { 0.0 } else { point.zero_threshold };
        return linear(lower, upper, (target - below) as f64 / point.zero_count as f64).map(Some);
    }
    below = reached;
    for (at, count) in positive.bucket_counts.iter().copied().enumerate() {
        let reached = below.saturating_add(count);
        if reached >= target {
            let (lower, upper) = edges(positive, at, point.scale);
            return logarithmic(lower, upper, (target - below) as f64 / count as f64).map(Some);
        }
        below = reached;
    }
    Err(too_few("exponential histogram", target, below))
}

fn edges(buckets: &Buckets, at: usize, scale: i32) -> (f64, f64) {
    let index = i64::from(buckets.offset) + at as i64;
    let edge = |index: i64| (index as f64 * 2f64.powi(scale.saturating_neg())).exp2();
    (edge(index), edge(index + 1))
}

fn linear(lower: f64, upper: f64, ratio: f64) -> Result<f64> {
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Error::new(format!("linear interpolation: invalid ratio {ratio:.6}, must be between 0 and 1")));
    }
    Ok(lower + ratio * (upper - lower))
}

fn logarithmic(lower: f64, upper: f64, ratio: f64) -> Result<f64> {
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Error::new(format!(
            "logarithmic interpolation: invalid ratio {ratio:.6}, must be between 0 and 1"
        )));
    }
    if lower <= 0.0 || upper <= 0.0 {
        return Err(Error::new(format!(
            "logarithmic interpolation: bounds must be positive, got lowerBound={lower:.6}, upperBound={upper:.6}"
        )));
    }
    let (lower, upper) = (lower.log2(), upper.log2());
    Ok((lower + (upper - lower) * ratio).exp2())
}
