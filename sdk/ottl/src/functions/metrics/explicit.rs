//! Exponential histograms made histograms with given bounds.

use sdk_protocols_otlp::model::{ExponentialHistogramPoint, Histogram, HistogramPoint, MetricData};

use super::super::{Arguments, Built, editor};

/// How the observations of a bucket are spread over the bounds that it overlaps.
#[derive(Clone, Copy)]
enum Spread {
    Upper,
    Midpoint,
    Uniform,
    Random,
}

/// `convert_exponential_histogram_to_histogram`.
pub(super) fn convert(a: &mut Arguments) -> Result<Built, String> {
    let (name, bounds) = (a.text(0)?, a.floats(1)?);
    if bounds.is_empty() {
        return Err("explicit bounds cannot be empty: []".to_owned());
    }
    let spread = match name.as_str() {
        "upper" => Spread::Upper,
        "midpoint" => Spread::Midpoint,
        "uniform" => Spread::Uniform,
        "random" => Spread::Random,
        _ => {
            return Err(format!(
                "invalid distribution algorithm: {name}, must be one of [upper, midpoint, random, uniform]"
            ));
        }
    };
    editor(move |on| {
        let MetricData::ExponentialHistogram(exponential) = &mut on.metric_mut()?.data else { return Ok(()) };
        let points = std::mem::take(&mut exponential.points);
        let temporality = exponential.temporality;
        let points = points.into_iter().map(|point| HistogramPoint {
            bucket_counts: counts(&point, &bounds, spread),
            explicit_bounds: bounds.clone(),
            attributes: point.attributes,
            start_time_unix_nano: point.start_time_unix_nano,
            time_unix_nano: point.time_unix_nano,
            count: point.count,
            // What was not there is zero then, as in the Collector.
            sum: Some(point.sum.unwrap_or(0.0)),
            min: Some(point.min.unwrap_or(0.0)),
            max: Some(point.max.unwrap_or(0.0)),
            exemplars: point.exemplars,
            ..HistogramPoint::default()
        });
        let points = points.collect();
        on.changed = true;
        let metric = on.metric_mut()?;
        metric.metadata.0.clear();
        metric.data = MetricData::Histogram(Histogram { points, temporality, unknown: Vec::new() });
        Ok(())
    })
}

fn counts(point: &ExponentialHistogramPoint, bounds: &[f64], spread: Spread) -> Vec<u64> {
    let mut counts = vec![0u64; bounds.len()];
    let last = bounds.len() - 1;
    // 2^-scale, in steps of the natural logarithm.
    let factor = std::f64::consts::LN_2 * 2f64.powi(point.scale.saturating_neg());
    if point.zero_count > 0 && bounds[0] == 0.0 {
        add(&mut counts[0], point.zero_count);
    }
    for (at, count) in point.positive.bucket_counts.iter().copied().enumerate() {
        let index = i64::from(point.positive.offset) + at as i64;
        let (lower, upper) = ((index as f64 * factor).exp(), ((index + 1) as f64 * factor).exp());
        if lower > bounds[last] {
            add(&mut counts[last], count);
            continue;
        }
        let inside = bounds.windows(2).position(|pair| lower > pair[0] && upper <= pair[1]);
        match inside {
            Some(at) => add(&mut counts[at], count),
            None => spread.put(count, lower, upper, bounds, &mut counts),
        }
    }
    counts
}

/// Who says that more was counted than fits gets what Go makes of it.
fn add(to: &mut u64, count: u64) {
    *to = to.wrapping_add(count);
}

impl Spread {
    fn put(self, count: u64, lower: f64, upper: f64, bounds: &[f64], counts: &mut [u64]) {
        let last = bounds.len() - 1;
        let first_from = |from: f64| bounds.iter().position(|bound| from <= *bound);
        match self {
            Spread::Upper => add(&mut counts[first_from(upper).unwrap_or(last)], count),
            Spread::Midpoint => {
                let at = first_from((upper + lower) / 2.0).map_or(last, |at| at.saturating_sub(1));
                add(&mut counts[at], count);
            }
            Spread::Uniform => {
                let start = first_from(lower).unwrap_or(last);
                let end = first_from(upper).unwrap_or(last).clamp(start, last);
                let parts = (end - start + 1) as u64;
                for (at, counts) in counts[start..=end].iter_mut().enumerate() {
                    add(counts, count / parts + u64::from((at as u64) < count % parts));
                }
            }
            Spread::Random => {
                let start = first_from(lower).unwrap_or(last);
                let end = first_from(upper).unwrap_or(last).clamp(start, last);
                let width = upper - lower;
                let mut left = count;
                for at in start..=end {
                    let from = if at == 0 { lower } else { bounds[at - 1] };
                    let overlap = (bounds[at].min(upper) - from.max(lower)).max(0.0);
                    let share = (count as f64 * (overlap / width)) as u64;
                    let given = ((unit() * share as f64) as u64).min(left);
                    add(&mut counts[at], given);
                    left -= given;
                }
                // The rest goes where chance puts it, in a few handfuls.
                let places = end - start + 1;
                for place in 0..places {
                    let given = if place + 1 == places { left } else { (unit() * left as f64) as u64 };
                    add(&mut counts[start + place], given);
                    left -= given;
                }
            }
        }
    }
}

/// A random number from 0 to 1.
fn unit() -> f64 {
    getrandom::u64().map_or(0.5, |bits| (bits >> 11) as f64 / (1u64 << 53) as f64)
}
