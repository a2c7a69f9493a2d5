//! What the block holds, and what of it is refused.

use std::sync::Arc;
use std::time::Duration;

use base_stdx::GoDuration;
use language_eval::{Block, Invalid, Validate, Word};
use sdk_component::Problem;
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;

use super::dimensions::{Dimensions, Glob, RESERVED};
use crate::distribution::Shape;

/// Makes metrics of spans: how many requests there were, how many failed, how long they took.
///
/// Spans of a resource are counted under `service.name`, `span.name`, `span.kind`, `status.code` and the dimensions that the
/// block adds. Resources without `service.name` are left out. A span whose trace state tells that it was sampled counts for
/// those that were not kept.
///
/// Spans are counted in memory, and delivered with that: what a crash loses is what was counted since the last flush. At the
/// stop, and when the arguments change, everything is sent. Metrics that the next component refuses are offered again with
/// the next ones.
///
/// A cumulative counter is first told as 0, so that Prometheus sees it rise. The number of series is bounded: beyond
/// `aggregation_cardinality_limit`, or beyond 200,000 in all, spans are counted in one series
/// `otel.metric.overflow = true` for each resource and metric.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Attributes that tell series apart, besides those that always do.
    #[block]
    pub dimension: Vec<Dimension>,
    /// More of them, for the number of calls only.
    #[block]
    pub calls_dimension: Vec<Dimension>,
    /// Leaves out some of `service.name`, `span.name`, `span.kind`, `status.code`.
    #[attr(optional)]
    pub exclude_dimensions: Vec<String>,
    /// Without effect, as in Alloy: use `aggregation_cardinality_limit`.
    #[attr(optional)]
    pub dimensions_cache_size: i64,
    /// How many resources are remembered; those that were not heard of for longest are forgotten after a flush.
    #[attr(default = 1000)]
    pub resource_metrics_cache_size: i64,
    /// Attributes that tell resources apart; without any, all do.
    #[attr(optional)]
    pub resource_metrics_key_attributes: Vec<String>,
    /// How many series a metric of a resource may have before all others are one; 0 sets no such limit.
    #[attr(optional)]
    pub aggregation_cardinality_limit: i64,
    /// `CUMULATIVE` counts since the first span, `DELTA` since the last flush.
    #[attr(default = Temporality::Cumulative)]
    pub aggregation_temporality: Temporality,
    /// How durations are told.
    #[block(required)]
    pub histogram: Histogram,
    /// How often the metrics are sent.
    #[attr(default = GoDuration::from_secs(60))]
    pub metrics_flush_interval: GoDuration,
    /// Resources are forgotten when they were not heard of for so long; 0 is never.
    #[attr(optional)]
    pub metrics_expiration: GoDuration,
    /// Series are forgotten when they were not heard of for so long; 0 is never.
    #[attr(optional)]
    pub series_expiration: GoDuration,
    /// With `DELTA`: of how many series is remembered when they were told last, which is where their next point begins.
    #[attr(default = 1000)]
    pub metric_timestamp_cache_size: i64,
    /// What the names of the metrics begin with.
    #[attr(default = "traces.span.metrics".to_owned())]
    pub namespace: String,
    /// Spans as examples of points.
    #[block(optional)]
    pub exemplars: Exemplars,
    /// Counts the events of spans.
    #[block(optional)]
    pub events: Events,
    /// Where the metrics go.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
    /// Names of instrumentation scopes whose name and version are dimensions.
    #[attr(optional)]
    pub include_instrumentation_scope: Vec<String>,
    /// Adds `collector.instance.id`, a random number of this component, to tell apart what several collectors count.
    #[attr(optional)]
    pub include_collector_instance_id: bool,
}

/// Since when points count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Word)]
pub enum Temporality {
    /// Since the first span.
    #[word(name = "CUMULATIVE")]
    Cumulative,
    /// Since the last flush.
    #[word(name = "DELTA")]
    Delta,
}

/// An attribute of spans, or else of their resource.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Dimension {
    /// Its name.
    #[attr(optional)]
    pub name: String,
    /// What it is where there is none; without a default it is left out there.
    #[attr]
    pub default: Option<String>,
    /// Instead of a name, a pattern for names: `*` stands for letters other than `.`, `**` for any, `?` for one, `[a-z]` for
    /// one of these, `{a,b}` for either.
    #[attr(optional)]
    pub glob: String,
}

/// How durations are told.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Histogram {
    /// Makes no histogram.
    #[attr(optional)]
    pub disable: bool,
    /// More attributes that tell series apart, for durations only.
    #[block]
    pub dimension: Vec<Dimension>,
    /// `ms` or `s`.
    #[attr(default = "ms".to_owned())]
    pub unit: String,
    /// Buckets that grow by a factor, which fits what is seen.
    #[block]
    pub exponential: Option<Exponential>,
    /// Buckets of given bounds.
    #[block]
    pub explicit: Option<Explicit>,
}

/// Buckets that grow by a factor.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Exponential {
    /// How many there are at most: 2 to 16384.
    #[attr(default = 160)]
    pub max_size: i32,
}

/// Buckets of given bounds.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Explicit {
    /// The upper bounds.
    #[attr(default = crate::distribution::default_bounds())]
    pub buckets: Vec<GoDuration>,
}

/// Spans as examples.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default)]
pub struct Exemplars {
    /// Whether points have examples.
    #[attr(optional)]
    pub enabled: bool,
    /// How many a point has at most.
    #[attr(default = 5)]
    pub max_per_data_point: i64,
}

/// Counts the events of spans.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Events {
    /// Whether they are counted.
    #[attr(optional)]
    pub enabled: bool,
    /// Attributes of events, spans or resources that tell series apart; there must be one.
    #[block]
    pub dimension: Vec<Dimension>,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.metrics_flush_interval <= GoDuration::ZERO {
            return Err(Invalid::field("metrics_flush_interval", "metrics_flush_interval must be greater than 0"));
        }
        for (field, dimensions, what) in [
            ("dimension", &self.dimension, "dimensions"),
            ("calls_dimension", &self.calls_dimension, "calls dimensions"),
            ("histogram", &self.histogram.dimension, "histogram dimensions"),
        ] {
            validate_dimensions(dimensions)
                .map_err(|error| Invalid::field(field, format!("failed validating {what}: {error}")))?;
        }
        if self.events.enabled {
            let checked = match &self.events.dimension[..] {
                [] => Err("no dimensions configured for events".to_owned()),
                dimensions => validate_dimensions(dimensions),
            };
            checked
                .map_err(|error| Invalid::field("events", format!("failed validating event dimensions: {error}")))?;
        }
        for (field, duration) in
            [("metrics_expiration", self.metrics_expiration), ("series_expiration", self.series_expiration)]
        {
            if duration < GoDuration::ZERO {
                return Err(Invalid::field(
                    field,
                    format!("invalid {field}: {duration}, the duration should be positive"),
                ));
            }
        }
        let invalid =
            |field, value: i64, what: &str| Invalid::field(field, format!("invalid {field}: {value}, {what}"));
        if self.aggregation_temporality == Temporality::Delta && self.metric_timestamp_cache_size <= 0 {
            let what = "the maximum number of the items in the cache should be positive";
            return Err(invalid("metric_timestamp_cache_size", self.metric_timestamp_cache_size, what));
        }
        if self.aggregation_cardinality_limit < 0 {
            let what = "the limit should be positive";
            return Err(invalid("aggregation_cardinality_limit", self.aggregation_cardinality_limit, what));
        }
        if self.resource_metrics_cache_size <= 0 {
            let what = "the size should be positive";
            return Err(invalid("resource_metrics_cache_size", self.resource_metrics_cache_size, what));
        }
        if self.exemplars.enabled && self.exemplars.max_per_data_point < 0 {
            let most = self.exemplars.max_per_data_point;
            let message = format!("invalid max_per_data_point: {most}, the value should be positive");
            return Err(Invalid::field("exemplars", message));
        }
        Ok(())
    }
}

impl Arguments {
    pub(super) fn dimensions(&self) -> Result<[Dimensions; 4], Problem> {
        let made =
            |field: &'static str, list: &[Dimension]| Dimensions::new(list).map_err(|error| Problem::at(field, error));
        Ok([
            made("dimension", &self.dimension)?,
            made("calls_dimension", &self.calls_dimension)?,
            made("histogram", &self.histogram.dimension)?,
            made("events", &self.events.dimension)?,
        ])
    }
}

/// Names are there once and are not those that are always there; a pattern matches none of them.
fn validate_dimensions(dimensions: &[Dimension]) -> Result<(), String> {
    let mut names: Vec<&str> = RESERVED.to_vec();
    let mut globs = Vec::new();
    for Dimension { name, default, glob } in dimensions {
        match (&name[..], &glob[..]) {
            ("", "") => return Err("dimension entry must set one of `name` or `glob`".to_owned()),
            ("", _) if default.is_some() => {
                return Err(format!("`default` is not supported on `glob` dimension {glob:?}"));
            }
            ("", _) => {
                let compiled = Glob::new(glob).map_err(|error| format!("invalid dimension glob {glob:?}: {error}"))?;
                globs.push((glob, compiled));
            }
            (name, "") if names.contains(&name) => return Err(format!("duplicate dimension name {name:?}")),
            (name, "") => names.push(name),
            _ => {
                return Err(format!(
                    "dimension entry must set only one of `name` or `glob`, got both: name={name:?} glob={glob:?}"
                ));
            }
        }
    }
    for name in names {
        if let Some((glob, _)) = globs.iter().find(|(_, compiled)| compiled.is_match(name.as_bytes())) {
            return Err(format!("duplicate dimension name {name:?} conflicting with glob {glob:?}"));
        }
    }
    Ok(())
}

// === impl Histogram ===

impl Validate for Histogram {
    fn validate(&self) -> Result<(), Invalid> {
        if !matches!(&self.unit[..], "ms" | "s") {
            let message = format!("unknown unit {:?}, allowed units are \"ms\" and \"s\"", self.unit);
            return Err(Invalid::field("unit", message));
        }
        match (&self.exponential, &self.explicit) {
            (Some(_), Some(_)) => {
                Err(Invalid::block("only one of exponential or explicit histogram configuration can be specified"))
            }
            (None, None) => {
                Err(Invalid::block("either exponential or explicit histogram configuration must be specified"))
            }
            _ => Ok(()),
        }
    }
}

impl Histogram {
    /// Nanoseconds in a unit.
    pub(super) fn divider(&self) -> f64 {
        if self.unit == "s" { 1e9 } else { 1e6 }
    }

    /// `None` when durations are not told.
    pub(super) fn shape(&self) -> Option<Shape> {
        if self.disable {
            return None;
        }
        if let Some(exponential) = &self.exponential {
            return Some(Shape::Exponential(exponential.max_size));
        }
        let buckets = self.explicit.iter().flat_map(|explicit| &explicit.buckets);
        let bounds: Arc<[f64]> = buckets.map(|bound| bound.as_nanos() as f64 / self.divider()).collect();
        Some(Shape::Explicit(bounds))
    }
}

impl Validate for Exponential {
    fn validate(&self) -> Result<(), Invalid> {
        if self.max_size <= 0 {
            return Err(Invalid::field("max_size", "max_size must be greater than 0"));
        }
        Ok(())
    }
}

/// An expiration; `None` is never.
pub(super) fn expiration(duration: GoDuration) -> Option<Duration> {
    duration.to_std().filter(|duration| !duration.is_zero())
}
