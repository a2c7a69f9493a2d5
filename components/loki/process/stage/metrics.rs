//! `stage.metrics`: metrics of lines, under names and labels of the user's choice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base_metrics::{Kind, MAX_SERIES_PER_FAMILY, Samples};
use base_stdx::GoDuration;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;
use sdk_labels::{Labels, is_legacy_label_name};

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::Streams;
use crate::process::work::{Line, Seen, Store, Work};

const DEFAULT_PREFIX: &str = "loki_process_custom_";

/// Makes metrics of lines. They show on our own `/metrics`, with the labels that the lines have at this stage.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct MetricsStage {
    /// What is measured.
    #[block(enum, prefix = "metric")]
    metrics: Vec<Metric>,
}

/// What is measured.
#[derive(Block, Clone, Debug, PartialEq)]
pub enum Metric {
    /// A number that only grows.
    Counter(CounterMetric),
    /// A number that goes up and down.
    Gauge(GaugeMetric),
    /// How often values of which size came.
    Histogram(HistogramMetric),
}

/// A number that only grows.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct CounterMetric {
    #[squash]
    common: Common,
    /// `inc` or `add`.
    #[attr]
    action: String,
    /// Count every line, whatever was extracted.
    #[attr(default = false)]
    match_all: bool,
    /// Add the bytes of the line.
    #[attr(default = false)]
    count_entry_bytes: bool,
}

/// A number that goes up and down.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct GaugeMetric {
    #[squash]
    common: Common,
    /// `set`, `inc`, `dec`, `add` or `sub`.
    #[attr]
    action: String,
}

/// How often values of which size came.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct HistogramMetric {
    #[squash]
    common: Common,
    /// Upper bounds.
    #[attr]
    buckets: Vec<f64>,
}

/// What all metrics have.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct Common {
    /// Its name, without the prefix.
    #[attr]
    name: String,
    /// Its help text.
    #[attr(optional)]
    description: String,
    /// Name of the extracted value; the metric's name when empty.
    #[attr(optional)]
    source: String,
    /// What stands before the name; `loki_process_custom_` when empty.
    #[attr(optional)]
    prefix: String,
    /// Series that nothing came for so long are forgotten.
    #[attr(default = GoDuration::from_secs(300))]
    max_idle_duration: GoDuration,
    /// Only lines whose extracted value is this.
    #[attr(optional)]
    value: String,
}

impl Common {
    fn validate(&self) -> Result<(), Invalid> {
        if self.max_idle_duration < GoDuration::from_secs(1) {
            let message = "max_idle_duration must be greater or equal than 1s";
            return Err(Invalid::field("max_idle_duration", message));
        }
        Ok(())
    }

    fn source(&self) -> &str {
        if self.source.is_empty() { &self.name } else { &self.source }
    }

    /// As Alloy's page shows it: what a metric's name may not hold becomes an underscore.
    fn full_name(&self) -> String {
        let prefix = if self.prefix.is_empty() { DEFAULT_PREFIX } else { &self.prefix };
        let mut name = String::new();
        for (at, character) in format!("{prefix}{}", self.name).chars().enumerate() {
            let plain = character.is_ascii_alphabetic() || matches!(character, '_' | ':');
            let allowed = plain || (at > 0 && character.is_ascii_digit());
            name.push(if allowed { character } else { '_' });
        }
        name
    }
}

impl Validate for CounterMetric {
    fn validate(&self) -> Result<(), Invalid> {
        self.common.validate()?;
        if !matches!(self.action.as_str(), "inc" | "add") {
            return Err(Invalid::field("action", "the 'action' counter field must be either 'inc' or 'add'"));
        }
        if self.match_all && !self.common.value.is_empty() {
            let message = "a 'counter' metric supports either 'match_all' or a 'value', but not both";
            return Err(Invalid::field("match_all", message));
        }
        if self.count_entry_bytes && (!self.match_all || self.action != "add") {
            let message = "the 'count_entry_bytes' counter field must be specified along with match_all set to true or \
                           action set to 'add'";
            return Err(Invalid::field("count_entry_bytes", message));
        }
        Ok(())
    }
}

impl Validate for GaugeMetric {
    fn validate(&self) -> Result<(), Invalid> {
        self.common.validate()?;
        if !matches!(self.action.as_str(), "set" | "inc" | "dec" | "add" | "sub") {
            let message = "the 'action' gauge field must be one of the following values: [set, inc, dec, add, sub]";
            return Err(Invalid::field("action", message));
        }
        Ok(())
    }
}

impl Validate for HistogramMetric {
    fn validate(&self) -> Result<(), Invalid> {
        self.common.validate()
    }
}

struct Measures(Vec<Measure>);

struct Measure {
    source: Option<Slot>,
    /// Only lines with this value.
    value: Option<String>,
    action: Action,
    family: Arc<Mutex<Family>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Increment,
    Decrement,
    Add,
    Subtract,
    Set,
    AddBytes,
    Observe,
}

/// The series of one metric. Its labels are the lines', so they are not known before the lines come.
struct Family {
    kind: Kind,
    bounds: Vec<f64>,
    max_idle: i64,
    series: HashMap<Labels, Series, RandomState>,
}

struct Series {
    value: f64,
    /// Observations up to each bound but no lower one, of a histogram.
    buckets: Vec<u64>,
    count: u64,
    last: i64,
}

impl Metric {
    fn common(&self) -> &Common {
        match self {
            Metric::Counter(counter) => &counter.common,
            Metric::Gauge(gauge) => &gauge.common,
            Metric::Histogram(histogram) => &histogram.common,
        }
    }
}

impl StageConfig for MetricsStage {
    fn names(&self, plan: &mut Plan) {
        self.metrics.iter().for_each(|metric| plan.read(metric.common().source()));
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        let mut measures = Vec::new();
        for metric in &self.metrics {
            let common = metric.common();
            let (kind, action, bounds) = match metric {
                Metric::Counter(counter) => {
                    let action = match counter.action.as_str() {
                        _ if counter.count_entry_bytes => Action::AddBytes,
                        "inc" => Action::Increment,
                        _ => Action::Add,
                    };
                    (Kind::Counter, action, Vec::new())
                }
                Metric::Gauge(gauge) => {
                    let action = match gauge.action.as_str() {
                        "set" => Action::Set,
                        "inc" => Action::Increment,
                        "dec" => Action::Decrement,
                        "add" => Action::Add,
                        _ => Action::Subtract,
                    };
                    (Kind::Gauge, action, Vec::new())
                }
                Metric::Histogram(histogram) => {
                    let mut bounds: Vec<f64> =
                        histogram.buckets.iter().copied().filter(|bound| bound.is_finite()).collect();
                    if bounds.is_empty() {
                        // What the Go client takes when told nothing.
                        bounds = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
                    }
                    if bounds.windows(2).any(|pair| pair[0] >= pair[1]) {
                        return Err(Problem::at("buckets", "the buckets of a histogram must be in increasing order"));
                    }
                    (Kind::Histogram, Action::Observe, bounds)
                }
            };
            let matches_all = matches!(metric, Metric::Counter(counter) if counter.match_all);
            let family = Arc::new(Mutex::new(Family {
                kind,
                bounds,
                max_idle: common.max_idle_duration.0,
                series: HashMap::default(),
            }));
            let (name, help, shown) = (common.full_name(), common.description.clone(), family.clone());
            site.own_metrics.collect(Box::new(move |writer| {
                let mut family = lock(&shown);
                family.forget_idle(base_sys::clock::now_ns());
                if !family.series.is_empty() {
                    family.write(&mut writer.family(&name, &help, family.kind));
                }
            }));
            measures.push(Measure {
                source: (!matches_all).then(|| site.plan.slot_of(common.source())),
                value: Some(common.value.clone()).filter(|value| !value.is_empty()),
                action,
                family,
            });
        }
        Ok(Box::new(Measures(measures)))
    }
}

fn lock(family: &Mutex<Family>) -> MutexGuard<'_, Family> {
    family.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Measures ===

impl Stage for Measures {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, wall, .. } = work;
        for measure in &self.0 {
            let mut family = lock(&measure.family);
            for line in lines.iter() {
                if let Some(amount) = measure.amount(line, store, streams) {
                    family.measure(streams.labels(line.stream), measure.action, amount, *wall);
                }
            }
        }
    }
}

impl Measure {
    /// What the line adds; `None` when it does not count.
    fn amount(&self, line: &Line, store: &Store, streams: &Streams) -> Option<f64> {
        let Some(source) = self.source else {
            return Some(if self.action == Action::AddBytes { line.text.len() as f64 } else { 1.0 });
        };
        let seen = store.see(line, source, streams);
        if seen == Seen::Absent {
            return None;
        }
        if let Some(value) = &self.value
            && seen.text(&mut String::new()) != Some(value.as_bytes())
        {
            return None;
        }
        match self.action {
            Action::Increment | Action::Decrement => Some(1.0),
            _ => number(&seen),
        }
    }
}

/// A number, or a text that is one, or a Go duration in seconds.
fn number(seen: &Seen<'_>) -> Option<f64> {
    match seen {
        Seen::Number(number) => Some(*number),
        Seen::Bool(value) => Some(f64::from(u8::from(*value))),
        Seen::Text(text) => {
            let text = std::str::from_utf8(text).ok()?;
            match text.parse::<f64>() {
                Ok(number) => Some(number),
                Err(_) => text.parse::<GoDuration>().ok().map(GoDuration::as_secs_f64),
            }
        }
        Seen::Absent | Seen::Null => None,
    }
}

// === impl Family ===

impl Family {
    fn measure(&mut self, labels: &Labels, action: Action, amount: f64, now: i64) {
        // A counter never goes back, where Alloy ends the process (spec §9.19).
        if self.kind == Kind::Counter && (amount.is_nan() || amount < 0.0) {
            return;
        }
        if !self.series.contains_key(labels) {
            if self.series.len() >= MAX_SERIES_PER_FAMILY {
                return;
            }
            let buckets = vec![0; self.bounds.len()];
            self.series.insert(labels.clone(), Series { value: 0.0, buckets, count: 0, last: now });
        }
        let Some(series) = self.series.get_mut(labels) else { return };
        series.last = now;
        match action {
            Action::Set => series.value = amount,
            Action::Decrement | Action::Subtract => series.value -= amount,
            Action::Increment | Action::Add | Action::AddBytes => series.value += amount,
            Action::Observe => {
                series.value += amount;
                series.count += 1;
                if let Some(bucket) = self.bounds.iter().position(|bound| amount <= *bound) {
                    series.buckets[bucket] += 1;
                }
            }
        }
    }

    fn forget_idle(&mut self, now: i64) {
        let max_idle = self.max_idle;
        self.series.retain(|_, series| now.saturating_sub(series.last) < max_idle);
    }

    fn write(&self, samples: &mut Samples<'_>) {
        for (labels, series) in &self.series {
            let shown: Vec<(&str, &str)> =
                labels.iter().filter(|(name, _)| !name.starts_with("__") && is_legacy_label_name(name)).collect();
            if self.kind == Kind::Histogram {
                let mut total = 0;
                let buckets: Vec<(f64, u64)> = self
                    .bounds
                    .iter()
                    .zip(&series.buckets)
                    .map(|(bound, count)| {
                        total += count;
                        (*bound, total)
                    })
                    .collect();
                samples.histogram(&shown, &buckets, series.value, series.count);
            } else {
                samples.sample(&shown, series.value);
            }
        }
    }
}
