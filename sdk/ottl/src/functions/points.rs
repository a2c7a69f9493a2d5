//! Functions on data points.

use sdk_protocols_otlp::model::{HistogramPoint, MetricData, Number, NumberPoint, Sum};

use super::metrics::{Distribution, create, derived, distributions, temporality};
use super::{Arguments, Built, Function, Kind, Parameter, Where, editor, optional, required};
use crate::coerce;
use crate::context::{Context, Item};
use crate::error::Result;

pub(super) const FUNCTIONS: &[Function] = &[
    of_points("convert_summary_count_val_to_sum", SUMMARY, |a| {
        summary(a, "_count", |point| Number::Int(point.count as i64))
    }),
    of_points("convert_summary_sum_val_to_sum", SUMMARY, |a| {
        summary(a, "_sum", |point| Number::Double(point.sum.unwrap_or(0.0)))
    }),
    of_points(
        "merge_histogram_buckets",
        &[required("TargetValue", Kind::FloatLike), optional("Method", Kind::LiteralText)],
        merge_histogram_buckets,
    ),
];

const SUMMARY: &[Parameter] = &[
    required("StringAggTemp", Kind::LiteralText),
    required("Monotonic", Kind::LiteralBool),
    optional("Suffix", Kind::LiteralText),
];

const fn of_points(
    name: &'static str,
    parameters: &'static [Parameter],
    build: fn(&mut Arguments) -> std::result::Result<Built, String>,
) -> Function {
    Function { name, parameters, place: Where::Statements(Context::DataPoint), build }
}

/// A new sum of all points of a summary. As in the Collector, it is made for every point that the statement runs on.
fn summary(
    a: &mut Arguments,
    suffix: &str,
    value: fn(&Distribution<'_>) -> Number,
) -> std::result::Result<Built, String> {
    let (temporality, is_monotonic) = (temporality(&a.text(0)?)?, a.boolean(1)?);
    let suffix = a.given_text(2).unwrap_or_else(|| suffix.to_owned());
    editor(move |on| {
        let metric = on.metric()?;
        if !matches!(metric.data, MetricData::Summary(_)) {
            return Ok(());
        }
        let points = distributions(metric).map(|(points, _)| points).unwrap_or_default();
        let points: Vec<NumberPoint> = points.iter().map(|point| point.with(value(point))).collect();
        let sum = MetricData::Sum(Sum { points, temporality, is_monotonic, unknown: Vec::new() });
        let made = derived(metric, &suffix, sum);
        create(on, made);
        Ok(())
    })
}

fn merge_histogram_buckets(a: &mut Arguments) -> std::result::Result<Built, String> {
    let (target, method) = (a.expression(0)?, a.given_text(1));
    let limit = match method.as_deref() {
        None | Some("remove_explicit_bound") => false,
        Some("limit_buckets") => true,
        Some(other) => {
            return Err(format!(
                "unsupported method {other:?}, expected \"remove_explicit_bound\" or \"limit_buckets\""
            ));
        }
    };
    let buckets = |target: f64| -> std::result::Result<usize, String> {
        if target < 1.0 || target.trunc() != target || target > i64::MAX as f64 {
            let shown = base_stdx::float::general(target);
            return Err(format!(
                "target_value must be a positive integer when method is \"limit_buckets\", got {shown}"
            ));
        }
        Ok(target as usize)
    };
    if let Some(value) = target.literal() {
        match coerce::as_float_like(value).map_err(|error| error.to_string())? {
            None => return Err("target_value must not be nil".to_owned()),
            Some(value) if limit => drop(buckets(value)?),
            Some(_) => {}
        }
    }
    editor(move |on| {
        let Some(target) = coerce::float_like(&target, on)? else { return Err("target_value must not be nil".into()) };
        let Item::Point(metric, at) = &mut on.item else { return Ok(()) };
        let MetricData::Histogram(histogram) = &mut metric.data else { return Ok(()) };
        let Some(point) = histogram.points.get_mut(*at) else { return Ok(()) };
        if point.explicit_bounds.len() + 1 != point.bucket_counts.len() || point.explicit_bounds.is_empty() {
            return Ok(());
        }
        on.changed = true;
        if limit { limit_buckets(point, buckets(target)?) } else { remove_bound(point, target) }
    })
}

fn remove_bound(point: &mut HistogramPoint, bound: f64) -> Result<()> {
    const NEARLY: f64 = 1e-12;
    if let Some(at) = point.explicit_bounds.iter().position(|other| (other - bound).abs() < NEARLY) {
        point.explicit_bounds.remove(at);
        let count = point.bucket_counts.remove(at);
        point.bucket_counts[at] = point.bucket_counts[at].wrapping_add(count);
    }
    Ok(())
}

fn limit_buckets(point: &mut HistogramPoint, most: usize) -> Result<()> {
    let rising = point.explicit_bounds.windows(2).all(|pair| pair[1] > pair[0]);
    if point.bucket_counts.len() <= most || !rising {
        return Ok(());
    }
    let together = point.bucket_counts.len().div_ceil(most);
    point.bucket_counts =
        point.bucket_counts.chunks(together).map(|counts| counts.iter().copied().fold(0, u64::wrapping_add)).collect();
    point.explicit_bounds = point.explicit_bounds.iter().copied().skip(together - 1).step_by(together).collect();
    Ok(())
}
