//! `otelcol.processor.probabilistic_sampler`: keeps a share of the traces or log records.
//!
//! The decision is a comparison of two numbers of 56 bits, the randomness of an item and the threshold of the sampler, as
//! OpenTelemetry defines it ("TraceState: Probability Sampling"). What is kept says how it was sampled, in its trace state
//! or its attributes, so that the next sampler and the backend can count on it.

mod threshold;
mod tracestate;

use base_metrics::{Counter, CounterVec};
use language_eval::{Block, Invalid, Validate};
use sdk_component::{Context, Problem};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;
use sdk_protocols_otlp::model::{AnyValue, Data, Item, LogRecord, Map, Message as _, Span};
use sdk_signals::{OtlpBatch, OtlpSignal, Refused};

use threshold::{ALWAYS, DIGITS, MIN_PROBABILITY, NEVER, Randomness, Threshold};
use tracestate::TraceState;

use crate::processing::{Processing, Processor};

/// Keeps a share of the traces or log records.
///
/// All spans of a trace are kept or dropped alike, here and in every other collector with the same arguments. Spans with the
/// attribute `sampling.priority` are kept if it is above 0 and dropped if it is 0.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// How many of a hundred are kept.
    #[attr(optional)]
    pub sampling_percentage: f32,
    /// Collectors in a row that shall decide independently of each other need different seeds. For `hash_seed` mode.
    #[attr(optional)]
    pub hash_seed: u32,
    /// `hash_seed` (also when empty): by a hash of the trace id. `equalizing`: to the given share, counting what was dropped
    /// before. `proportional`: the given share of what arrives.
    #[attr(optional)]
    pub mode: String,
    /// Whether an item whose randomness is missing or contradicts its threshold is dropped.
    #[attr(default = true)]
    pub fail_closed: bool,
    /// Hexadecimal digits of the threshold that is written, 1 to 14.
    #[attr(default = 4)]
    pub sampling_precision: i64,
    /// Where the randomness of a log record comes from: `traceID`, or `record` for `from_attribute` alone.
    #[attr(default = "traceID".to_owned())]
    pub attribute_source: String,
    /// The attribute of a log record that is hashed when there is no trace id.
    #[attr(optional)]
    pub from_attribute: String,
    /// The attribute of a log record that says with how many percent it is kept instead.
    #[attr(optional)]
    pub sampling_priority: String,
    /// Where to send what is kept.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// The arguments, ready to decide.
pub struct ProbabilisticSampler {
    traces: Sampler,
    logs: Sampler,
    fail_closed: bool,
    /// For priorities of log records.
    precision: i32,
    by_trace_id: bool,
    from_attribute: String,
    sampling_priority: String,
    sampled_traces: CounterVec,
    sampled_logs: CounterVec,
}

/// How the threshold is found.
enum Sampler {
    Never,
    Hashing { seed: u32, threshold: Threshold },
    Equalizing { threshold: Threshold },
    Proportional { ratio: f64, precision: i32 },
}

/// What an item says about how it was sampled before.
#[derive(Clone, Copy, Default)]
struct Carried {
    randomness: Option<Randomness>,
    threshold: Option<Threshold>,
}

/// Where a randomness comes from; the word for it in metrics.
struct Drawn<'a> {
    randomness: Option<Randomness>,
    policy: &'a str,
}

/// What decides about one item.
struct Question<'a> {
    /// What it carries; `None` if that cannot be read.
    carried: Option<Carried>,
    trace_id: &'a [u8],
    /// Where to take randomness from by hashing, and the word for it.
    hashed: Option<(&'a str, Vec<u8>)>,
    /// A threshold that the item itself asks for.
    priority: Option<Threshold>,
}

/// An item that is kept, and what it carries from now on; `None` leaves it as it is.
struct Kept(Option<Carried>);

/// `otelcol.processor.probabilistic_sampler`.
pub type Component = Processing<ProbabilisticSampler>;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        let percentage = f64::from(self.sampling_percentage);
        let wrong = |message: String| Err(Invalid::field("sampling_percentage", message));
        if !percentage.is_finite() {
            return wrong(format!("sampling rate is invalid: {percentage}%"));
        }
        if percentage < 0.0 {
            return wrong(format!("sampling rate is negative: {percentage:.6}%"));
        }
        if percentage != 0.0 && percentage / 100.0 < MIN_PROBABILITY {
            return wrong(format!("sampling rate is too small: {percentage:e}%"));
        }
        if !["", "traceID", "record"].contains(&&self.attribute_source[..]) {
            let message = format!("invalid attribute source: {}. Expected: traceID or record", self.attribute_source);
            return Err(Invalid::field("attribute_source", message));
        }
        match self.sampling_precision {
            i64::MIN..1 => {
                let message = format!("invalid sampling precision: {}", self.sampling_precision);
                Err(Invalid::field("sampling_precision", message))
            }
            precision if precision > i64::from(DIGITS) => {
                let message = format!("sampling precision is too great, should be <= {DIGITS}: {precision}");
                Err(Invalid::field("sampling_precision", message))
            }
            _ => Ok(()),
        }
    }
}

// === impl Sampler ===

impl Sampler {
    fn new(arguments: &Arguments) -> Sampler {
        let percentage = arguments.sampling_percentage.min(100.0);
        if percentage == 0.0 {
            return Sampler::Never;
        }
        let ratio = (f64::from(percentage) / 100.0).max(MIN_PROBABILITY);
        let precision = arguments.sampling_precision as i32;
        match &arguments.mode[..] {
            "equalizing" => Sampler::Equalizing { threshold: threshold::of(ratio, precision).unwrap_or(ALWAYS) },
            "proportional" => Sampler::Proportional { ratio, precision },
            _ => match threshold::of_hash(percentage) {
                Some(threshold) => Sampler::Hashing { seed: arguments.hash_seed, threshold },
                None => Sampler::Never,
            },
        }
    }

    /// The randomness of an item, and what of `carried` may be changed; an error is why it cannot be relied on.
    fn draw<'a>(&self, question: &Question<'a>) -> (Drawn<'a>, Option<Carried>, bool) {
        let missing = Drawn { randomness: None, policy: "missing_randomness" };
        let by_hash = |seed: u32| match &question.hashed {
            Some((policy, bytes)) => Drawn { randomness: Some(threshold::hash(bytes, seed)), policy },
            None => Drawn { randomness: None, policy: "missing_randomness" },
        };
        let (drawn, carried, reliable) = match (self, question.carried) {
            // Its randomness is not used; this one is as good as any.
            (Sampler::Never, carried) => {
                let drawn = Drawn { randomness: Some(threshold::MAX_RANDOMNESS), policy: "sampling_priority" };
                (drawn, carried, carried.is_some())
            }
            (Sampler::Hashing { seed, .. }, Some(Carried { randomness: None, threshold: None })) => {
                let drawn = by_hash(*seed);
                let carried = Carried { randomness: drawn.randomness, threshold: None };
                (drawn, Some(carried), true)
            }
            // It was sampled by randomness of its own, which this mode cannot continue.
            (Sampler::Hashing { seed, .. }, _) => (by_hash(*seed), None, false),
            (_, None) => (missing, None, false),
            (_, Some(carried)) => {
                let drawn = match carried.randomness {
                    Some(randomness) => Drawn { randomness: Some(randomness), policy: "sampling_randomness" },
                    None => match threshold::of_trace_id(question.trace_id) {
                        Some(randomness) => Drawn { randomness: Some(randomness), policy: "trace_id_w3c" },
                        None => missing,
                    },
                };
                (drawn, Some(carried), true)
            }
        };
        let Some(randomness) = drawn.randomness else { return (drawn, carried, false) };
        match carried {
            // Were its threshold true, it would not be here.
            Some(Carried { threshold: Some(threshold), .. }) if reliable && threshold > randomness => {
                (drawn, carried.map(|carried| Carried { threshold: None, ..carried }), false)
            }
            _ => (drawn, carried, reliable),
        }
    }

    fn threshold(&self, carried: Option<Threshold>) -> Threshold {
        match self {
            Sampler::Never => NEVER,
            Sampler::Hashing { threshold, .. } => *threshold,
            Sampler::Equalizing { threshold } => carried.map_or(*threshold, |carried| carried.max(*threshold)),
            Sampler::Proportional { ratio, precision } => {
                let arriving = carried.map_or(1.0, threshold::probability);
                // Below what can be written nothing is kept.
                threshold::of(arriving * ratio, *precision).unwrap_or(NEVER)
            }
        }
    }
}

// === impl ProbabilisticSampler ===

impl Processor for ProbabilisticSampler {
    const NAME: &'static str = "otelcol.processor.probabilistic_sampler";
    const SIGNALS: &'static [OtlpSignal] = &[OtlpSignal::Traces, OtlpSignal::Logs];
    type Arguments = Arguments;

    fn new(context: &Context, arguments: &Arguments) -> Result<Self, Problem> {
        if !["", "hash_seed", "equalizing", "proportional"].contains(&&arguments.mode[..]) {
            tracing::warn!(mode = arguments.mode, "there is no such mode; sampling as with hash_seed, as Alloy does");
        }
        let counter = |name: &str, help: &str| context.metrics().counter_vec(name, help, &["policy", "sampled"]);
        Ok(ProbabilisticSampler {
            traces: Sampler::new(arguments),
            logs: Sampler::new(arguments),
            fail_closed: arguments.fail_closed,
            precision: arguments.sampling_precision as i32,
            by_trace_id: arguments.attribute_source == "traceID",
            from_attribute: arguments.from_attribute.clone(),
            sampling_priority: arguments.sampling_priority.clone(),
            sampled_traces: counter(
                "otelcol_processor_probabilistic_sampler_count_traces_sampled_total",
                "Count of traces that were sampled or not",
            ),
            sampled_logs: counter(
                "otelcol_processor_probabilistic_sampler_count_logs_sampled_total",
                "Count of logs that were sampled or not",
            ),
        })
    }

    fn output(arguments: &Arguments) -> &Output {
        &arguments.output
    }

    async fn process(&self, mut batch: OtlpBatch) -> Result<OtlpBatch, Refused> {
        match batch.signal {
            OtlpSignal::Traces => self.sample(&mut batch, |span| self.keeps_span(span)),
            _ => self.sample(&mut batch, |record| self.keeps_record(record)),
        }
        Ok(batch)
    }
}

impl ProbabilisticSampler {
    fn sample<I: Item>(&self, batch: &mut OtlpBatch, mut keeps: impl FnMut(&mut I) -> bool) {
        let mut items = 0;
        for payload in &mut batch.payload {
            let mut data = Data::<I>::decode(payload);
            data.retain(|_, _, item| keeps(item));
            items += data.count();
            *payload = data.encode().into();
        }
        batch.items = u32::try_from(items).unwrap_or(u32::MAX);
    }

    fn decide(&self, sampler: &Sampler, question: &Question<'_>, counter: &CounterVec) -> Option<Kept> {
        let (drawn, carried, reliable) = sampler.draw(question);
        let threshold = match (reliable, self.fail_closed) {
            (true, _) => sampler.threshold(carried.and_then(|carried| carried.threshold)),
            (false, true) => NEVER,
            (false, false) => ALWAYS,
        };
        let (threshold, policy) = match question.priority {
            Some(priority) => (priority, "sampling_priority"),
            None => (threshold, drawn.policy),
        };
        let sampled = threshold <= drawn.randomness.unwrap_or(threshold::MAX_RANDOMNESS);
        self.count(counter, policy, sampled).inc();
        sampled.then(|| {
            Kept(carried.map(|carried| match carried.threshold {
                // The share that was kept before cannot be raised afterwards.
                Some(before) if before > threshold => carried,
                _ => Carried { threshold: Some(threshold), ..carried },
            }))
        })
    }

    fn count(&self, counter: &CounterVec, policy: &str, sampled: bool) -> Counter {
        counter.with(&[policy, if sampled { "true" } else { "false" }])
    }

    fn keeps_span(&self, span: &mut Span) -> bool {
        let text = span.trace_state.as_str().into_owned();
        let state = TraceState::parse(&text);
        let question = Question {
            carried: state.as_ref().map(|state| state.carried),
            trace_id: &span.trace_id,
            hashed: is_id(&span.trace_id).then(|| ("trace_id_hash", span.trace_id.to_vec())),
            priority: priority_of_span(&span.attributes),
        };
        let Some(Kept(carried)) = self.decide(&self.traces, &question, &self.sampled_traces) else { return false };
        if let (Some(mut state), Some(carried)) = (state, carried) {
            state.carried = carried;
            span.trace_state = state.to_string().into();
        }
        true
    }

    fn keeps_record(&self, record: &mut LogRecord) -> bool {
        let attributes = &record.attributes;
        let text = |key| attributes.get(key).and_then(AnyValue::text).filter(|text| !text.is_empty());
        // An unreadable one spoils both.
        let carried = (|| {
            let threshold = text("sampling.threshold").map(|text| threshold::parse(&text.as_str()));
            let randomness = text("sampling.randomness").map(|text| threshold::parse_randomness(&text.as_str()));
            Some(Carried {
                threshold: threshold.map_or(Some(None), |read| read.map(Some))?,
                randomness: randomness.map_or(Some(None), |read| read.map(Some))?,
            })
        })();
        let by_trace_id = self.by_trace_id && is_id(&record.trace_id);
        let hashed = match attributes.get(&self.from_attribute) {
            _ if by_trace_id => Some(("trace_id_hash", record.trace_id.to_vec())),
            Some(AnyValue::Bytes(bytes)) => Some((&self.from_attribute[..], bytes.to_vec())),
            Some(value) => Some((&self.from_attribute[..], value.to_text().as_bytes().to_vec())),
            None => None,
        };
        let question = Question {
            carried,
            trace_id: &record.trace_id,
            hashed: hashed.filter(|(_, bytes)| !bytes.is_empty()),
            priority: self.priority_of_record(attributes),
        };
        let Some(Kept(kept)) = self.decide(&self.logs, &question, &self.sampled_logs) else { return false };
        if let Some(kept) = kept {
            if let Some(randomness) = kept.randomness.filter(|_| carried.is_some_and(|c| c.randomness.is_none())) {
                record.attributes.set("sampling.randomness", threshold::randomness_text(randomness));
            }
            match kept.threshold {
                Some(threshold) => record.attributes.set("sampling.threshold", threshold::text(threshold)),
                None => drop(record.attributes.remove("sampling.threshold")),
            }
        }
        true
    }

    /// The threshold that a log record asks for by its percentage.
    fn priority_of_record(&self, attributes: &Map) -> Option<Threshold> {
        let percentage = match attributes.get(&self.sampling_priority)? {
            AnyValue::Int(value) => *value as f64,
            AnyValue::Double(value) => *value,
            _ => return None,
        };
        threshold::of(percentage / 100.0, self.precision)
    }
}

/// Not empty, and not all zeros, which means the same.
fn is_id(id: &[u8]) -> bool {
    id.iter().any(|byte| *byte != 0)
}

/// The OpenTracing attribute `sampling.priority`: 0 is never, more is always.
fn priority_of_span(attributes: &Map) -> Option<Threshold> {
    let priority = match attributes.get("sampling.priority")? {
        AnyValue::Int(value) => *value as f64,
        AnyValue::Double(value) => *value,
        AnyValue::Text(text) => text.as_str().parse().ok()?,
        _ => return None,
    };
    match priority {
        0.0 => Some(NEVER),
        priority if priority > 0.0 => Some(ALWAYS),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
