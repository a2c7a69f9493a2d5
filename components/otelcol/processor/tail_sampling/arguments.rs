//! The arguments: one type for each policy's block.

use base_stdx::GoDuration;
use language_eval::{Block, Invalid, Validate};
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::output::Output;

/// Waits until a trace is complete, and keeps those that a policy wants.
///
/// Spans are gathered by their trace for `decision_wait` (looked after once a second); then the policies vote. A trace is kept
/// when a policy wants it and no `drop` policy matches. Spans that come later share the fate of their trace for as long as it
/// is remembered: by the decision caches, or for as long as there are less than `num_traces`.
///
/// Data counts as delivered once it is gathered: what is held here is lost when the process is killed. When the component
/// stops or gets new arguments the traces it holds are decided at once, unless `drop_pending_traces_on_shutdown` is set.
/// While the next component refuses what was kept, it is offered again, and new spans are refused.
///
/// Memory is bounded by `num_traces` and by what a trace may hold, `maximum_trace_size_bytes`; each trace holds the bytes of
/// its own spans and nothing else of the requests that brought them.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// The policies; every one votes.
    #[block(required)]
    pub policy: Vec<Policy>,
    /// How long to wait for the spans of a trace, from its first; at least a second.
    #[attr(default = GoDuration::from_secs(30))]
    pub decision_wait: GoDuration,
    /// How long to wait, at most, once its root span is there; 0 makes no difference.
    #[attr(optional)]
    pub decision_wait_after_root_received: GoDuration,
    /// How many traces are held or remembered. Beyond, the oldest goes, undecided.
    #[attr(default = 50_000)]
    pub num_traces: u64,
    /// Makes senders wait instead, until a trace is decided.
    #[attr(optional)]
    pub block_on_overflow: bool,
    /// Without effect: memory is taken as it is needed.
    #[attr(optional)]
    pub expected_new_traces_per_sec: u64,
    /// The first policy that wants a trace decides; the rest is not asked.
    #[attr(optional)]
    pub sample_on_first_match: bool,
    /// Drops at the end what is not decided.
    #[attr(optional)]
    pub drop_pending_traces_on_shutdown: bool,
    /// Traces that grow larger are dropped; 0 is no limit.
    #[attr(optional)]
    pub maximum_trace_size_bytes: u64,
    /// How many decisions are remembered for spans that come late.
    #[attr(default = DecisionCache::default())]
    pub decision_cache: DecisionCache,
    /// Where to send the traces that are kept.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// How many decisions are remembered, beside the traces that are held.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct DecisionCache {
    /// Ids of traces that were kept; with 0 they count for `num_traces`.
    #[attr(optional)]
    pub sampled_cache_size: u64,
    /// Ids of traces that were not; with 0 they count for `num_traces`.
    #[attr(optional)]
    pub non_sampled_cache_size: u64,
}

/// What all policies have: one of the blocks, the one that `type` names.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Shared {
    /// Its name, which no other has.
    #[attr]
    pub name: String,
    /// Which policy it is: `always_sample`, `latency`, `numeric_attribute`, `probabilistic`, `status_code`, `string_attribute`,
    /// `rate_limiting`, `bytes_limiting`, `span_count`, `boolean_attribute`, `ottl_condition`, `trace_state`, `trace_flags`,
    /// and at the top `composite`, `and`, `not`, `drop`.
    #[attr]
    pub r#type: String,
    /// By the time from the first start to the last end.
    #[block(optional)]
    pub latency: Latency,
    /// By a whole number.
    #[block(optional)]
    pub numeric_attribute: NumericAttribute,
    /// By chance, as the trace id has it.
    #[block(optional)]
    pub probabilistic: Probabilistic,
    /// By the status of a span.
    #[block(optional)]
    pub status_code: StatusCode,
    /// By a text.
    #[block(optional)]
    pub string_attribute: StringAttribute,
    /// By a rate of spans.
    #[block(optional)]
    pub rate_limiting: RateLimiting,
    /// By a rate of bytes.
    #[block(optional)]
    pub bytes_limiting: BytesLimiting,
    /// By the number of spans.
    #[block(optional)]
    pub span_count: SpanCount,
    /// By a truth value.
    #[block(optional)]
    pub boolean_attribute: BooleanAttribute,
    /// By OTTL.
    #[block(optional)]
    pub ottl_condition: OttlCondition,
    /// By the trace state.
    #[block(optional)]
    pub trace_state: TraceState,
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Policy {
    /// What all policies have.
    #[squash]
    pub shared: Shared,
    /// Several policies, each with a share of a rate.
    #[block(optional)]
    pub composite: Composite,
    /// Wants what all of these want.
    #[block(optional)]
    pub and: And,
    /// Wants what another does not.
    #[block(optional)]
    pub not: Not,
    /// Drops what all of these want, whatever others say.
    #[block(optional)]
    pub drop: Drop,
}

/// By the time from the first start to the last end.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Latency {
    /// Longer than so many milliseconds.
    #[attr]
    pub threshold_ms: i64,
    /// And not longer than so many; 0 is no bound.
    #[attr(optional)]
    pub upper_threshold_ms: i64,
}

/// By a whole number of a span or its resource.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct NumericAttribute {
    /// The attribute.
    #[attr]
    pub key: String,
    /// The least that it may be; 0 is no bound.
    #[attr]
    pub min_value: i64,
    /// The most that it may be; 0 is no bound.
    #[attr]
    pub max_value: i64,
    /// Wants the traces in which no attribute is so.
    #[attr(optional)]
    pub invert_match: bool,
}

/// By chance.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Probabilistic {
    /// Collectors in a row that shall decide independently need different salts.
    #[attr(optional)]
    pub hash_salt: String,
    /// How many of a hundred are wanted.
    #[attr]
    pub sampling_percentage: f64,
}

/// By the status of a span.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct StatusCode {
    /// `OK`, `ERROR`, `UNSET`.
    #[attr]
    pub status_codes: Vec<String>,
}

/// By a text of a span or its resource.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct StringAttribute {
    /// The attribute.
    #[attr]
    pub key: String,
    /// One of these.
    #[attr]
    pub values: Vec<String>,
    /// `values` are patterns, found anywhere.
    #[attr(optional)]
    pub enabled_regex_matching: bool,
    /// Without effect: patterns are matched in linear time and not cached.
    #[attr(optional)]
    pub cache_max_size: i64,
    /// Wants the traces in which no attribute is so.
    #[attr(optional)]
    pub invert_match: bool,
}

/// By a rate of spans.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct RateLimiting {
    /// Spans per second.
    #[attr]
    pub spans_per_second: i64,
    /// Spans at once; twice the rate, unless given.
    #[attr(optional)]
    pub burst_capacity: i64,
}

/// By a rate of bytes.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct BytesLimiting {
    /// Bytes per second.
    #[attr]
    pub bytes_per_second: i64,
    /// Bytes at once; twice the rate, unless given.
    #[attr(optional)]
    pub burst_capacity: i64,
}

/// By the number of spans.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct SpanCount {
    /// At least so many.
    #[attr]
    pub min_spans: i32,
    /// At most so many; 0 is no bound.
    #[attr(optional)]
    pub max_spans: i32,
}

/// By a truth value of a span or its resource.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct BooleanAttribute {
    /// The attribute.
    #[attr]
    pub key: String,
    /// Its value.
    #[attr]
    pub value: bool,
    /// Wants the traces in which no attribute is so.
    #[attr(optional)]
    pub invert_match: bool,
}

/// By OTTL.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct OttlCondition {
    /// `ignore`, `silent` or `propagate`: what becomes of errors.
    #[attr]
    pub error_mode: String,
    /// Conditions on a span; one is enough.
    #[attr(optional)]
    pub span: Vec<String>,
    /// Conditions on an event of a span; one is enough.
    #[attr(optional)]
    pub spanevent: Vec<String>,
}

/// By the trace state.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct TraceState {
    /// The member.
    #[attr]
    pub key: String,
    /// One of these.
    #[attr]
    pub values: Vec<String>,
}

/// Several policies, each with a share of a rate; the first one that wants a trace decides.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Composite {
    /// Spans per second, together.
    #[attr]
    pub max_total_spans_per_second: i64,
    /// Without effect, as in the Collector: policies are asked in the order of their blocks.
    #[attr]
    pub policy_order: Vec<String>,
    /// The policies.
    #[block(optional)]
    pub composite_sub_policy: Vec<CompositeSubPolicy>,
    /// Their shares.
    #[block(optional)]
    pub rate_allocation: Vec<RateAllocation>,
}

/// A policy of a composite one.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct CompositeSubPolicy {
    /// What all policies have.
    #[squash]
    pub shared: Shared,
    /// Wants what all of these want.
    #[block(optional)]
    pub and: And,
}

/// The share of a policy; one without any keeps nothing.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct RateAllocation {
    /// The name of the policy.
    #[attr]
    pub policy: String,
    /// Its share in percent; 0 is an equal one.
    #[attr]
    pub percent: i64,
}

/// Wants what all of these want.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct And {
    /// The policies.
    #[block(required)]
    pub and_sub_policy: Vec<SubPolicy>,
}

/// Drops what all of these want.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Drop {
    /// The policies.
    #[block(required)]
    pub drop_sub_policy: Vec<SubPolicy>,
}

/// Wants what another does not.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Not {
    /// The other one.
    #[block(required)]
    pub not_sub_policy: SubPolicy,
}

/// A policy inside another.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct SubPolicy {
    /// What all policies have.
    #[squash]
    pub shared: Shared,
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.decision_wait.0 < 1_000_000 {
            return Err(Invalid::field("decision_wait", "decision_wait must be greater than zero"));
        }
        if self.num_traces == 0 {
            return Err(Invalid::field("num_traces", "num_traces must be greater than zero"));
        }
        Ok(())
    }
}
