//! The policies: what each of them says to a trace.

use std::ops::RangeInclusive;

use base_re2::Regex;
use sdk_ottl::{Conditions, Context, ErrorMode, Item, On};
use sdk_protocols_otlp::model::{AnyValue, Data, Map, ResourceGroup, Span};
use tokio::time::Instant;

use super::arguments::{self, Composite, OttlCondition, Probabilistic, Shared, SpanCount, SubPolicy, TraceState};

/// A trace as policies see it.
pub(super) struct Trace {
    pub id: [u8; 16],
    /// One for each request that brought spans of it.
    pub parts: Vec<Data<Span>>,
    pub spans: u64,
    pub bytes: u64,
}

/// What a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Vote {
    Sampled,
    NotSampled,
    Dropped,
}

/// A policy, ready to be asked.
pub(super) enum Policy {
    Always,
    Latency { above_ms: i64, up_to_ms: Option<i64> },
    Attribute { key: String, wanted: Wanted, invert: bool },
    Probabilistic { salt: String, threshold: u64 },
    Status(Vec<i32>),
    Rate { bucket: Bucket, of: Of },
    SpanCount(RangeInclusive<u64>),
    TraceState { key: String, values: Vec<String> },
    TraceFlags,
    Ottl { spans: Option<Conditions>, events: Option<Conditions> },
    All(Vec<Policy>),
    Drop(Vec<Policy>),
    Not(Box<Policy>),
    Composite { shares: Vec<Share>, total: u64, start: Instant, second: u64 },
}

/// A value to look for. An attribute of another kind reads as 0, "" or false, as it does for the Collector.
pub(super) enum Wanted {
    Number(RangeInclusive<i64>),
    Bool(bool),
    Texts(Vec<String>),
    Patterns(Vec<Regex>),
}

/// Whose attributes they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Resource,
    Span,
}

/// What a rate counts.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Spans,
    Bytes,
}

/// Tokens that come at a rate, up to a number.
pub(super) struct Bucket {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    at: Instant,
}

/// A policy of a composite one, and what it may keep per second.
pub(super) struct Share {
    policy: Policy,
    spans_per_second: u64,
    /// In this second.
    spans: u64,
}

const DEFAULT_SALT: &str = "default-hash-seed";

// === making them ===

impl Policy {
    pub(super) fn new(given: &arguments::Policy) -> Result<Policy, String> {
        Ok(match &given.shared.r#type[..] {
            "composite" => Policy::composite(&given.composite)?,
            "and" => Policy::all(&given.and.and_sub_policy)?,
            "not" => Policy::Not(Box::new(Policy::shared(&given.not.not_sub_policy.shared)?)),
            "drop" => match Policy::all(&given.drop.drop_sub_policy)? {
                Policy::All(policies) => Policy::Drop(policies),
                other => other,
            },
            _ => Policy::shared(&given.shared)?,
        })
    }

    fn all(given: &[SubPolicy]) -> Result<Policy, String> {
        Ok(Policy::All(given.iter().map(|sub| Policy::shared(&sub.shared)).collect::<Result<_, _>>()?))
    }

    fn composite(given: &Composite) -> Result<Policy, String> {
        let total = u64::try_from(given.max_total_spans_per_second).unwrap_or(0);
        let equal = total as f64 / given.composite_sub_policy.len() as f64;
        let share = |name: &str| {
            let given = given.rate_allocation.iter().rfind(|allocation| allocation.policy == name);
            given.map_or(0.0, |given| match given.percent {
                percent if percent > 0 => percent as f64 / 100.0 * total as f64,
                _ => equal,
            })
        };
        let shares = given.composite_sub_policy.iter().map(|sub| {
            let policy = match &sub.shared.r#type[..] {
                "and" => Policy::all(&sub.and.and_sub_policy)?,
                _ => Policy::shared(&sub.shared)?,
            };
            Ok(Share { policy, spans_per_second: share(&sub.shared.name) as u64, spans: 0 })
        });
        let shares = shares.collect::<Result<_, String>>()?;
        Ok(Policy::Composite { shares, total, start: Instant::now(), second: 0 })
    }

    fn shared(given: &Shared) -> Result<Policy, String> {
        let attribute = |key: &str, wanted, invert| Policy::Attribute { key: key.to_owned(), wanted, invert };
        Ok(match &given.r#type[..] {
            "always_sample" => Policy::Always,
            "latency" => {
                let upper = given.latency.upper_threshold_ms;
                Policy::Latency { above_ms: given.latency.threshold_ms, up_to_ms: (upper != 0).then_some(upper) }
            }
            "numeric_attribute" => {
                let numeric = &given.numeric_attribute;
                if numeric.min_value == 0 && numeric.max_value == 0 {
                    return Err("at least one of min_value and max_value must not be 0".to_owned());
                }
                let bound = |value, none| if value == 0 { none } else { value };
                let range = bound(numeric.min_value, i64::MIN)..=bound(numeric.max_value, i64::MAX);
                attribute(&numeric.key, Wanted::Number(range), numeric.invert_match)
            }
            "boolean_attribute" => {
                let boolean = &given.boolean_attribute;
                attribute(&boolean.key, Wanted::Bool(boolean.value), boolean.invert_match)
            }
            "string_attribute" => {
                let string = &given.string_attribute;
                let pattern =
                    |text: &String| Regex::new(text).map_err(|error| format!("invalid regex `{text}`: {error}"));
                let wanted = if string.enabled_regex_matching {
                    Wanted::Patterns(string.values.iter().map(pattern).collect::<Result<_, _>>()?)
                } else {
                    Wanted::Texts(string.values.iter().filter(|value| !value.is_empty()).cloned().collect())
                };
                attribute(&string.key, wanted, string.invert_match)
            }
            "probabilistic" => {
                let Probabilistic { hash_salt, sampling_percentage } = &given.probabilistic;
                let salt = if hash_salt.is_empty() { DEFAULT_SALT } else { hash_salt };
                Policy::Probabilistic { salt: salt.to_owned(), threshold: share_of_u64(sampling_percentage / 100.0) }
            }
            "status_code" => {
                let code = |code: &String| match &code[..] {
                    "UNSET" => Ok(0),
                    "OK" => Ok(1),
                    "ERROR" => Ok(2),
                    _ => Err(format!("unknown status code {code:?}, supported: OK, ERROR, UNSET")),
                };
                if given.status_code.status_codes.is_empty() {
                    return Err("expected at least one status code to filter on".to_owned());
                }
                Policy::Status(given.status_code.status_codes.iter().map(code).collect::<Result<_, _>>()?)
            }
            "rate_limiting" => {
                let rate = &given.rate_limiting;
                Policy::Rate { bucket: Bucket::new(rate.spans_per_second, rate.burst_capacity), of: Of::Spans }
            }
            "bytes_limiting" => {
                let rate = &given.bytes_limiting;
                Policy::Rate { bucket: Bucket::new(rate.bytes_per_second, rate.burst_capacity), of: Of::Bytes }
            }
            "span_count" => {
                let bound = |value: i32| u64::try_from(value).unwrap_or(0);
                let SpanCount { min_spans, max_spans } = given.span_count;
                let most = if max_spans == 0 { u64::MAX } else { bound(max_spans) };
                Policy::SpanCount(bound(min_spans)..=most)
            }
            "trace_state" => {
                let TraceState { key, values } = &given.trace_state;
                // Longer ones do not fit into a trace state.
                let values = values.iter().filter(|value| !value.is_empty() && key.len() + value.len() < 256);
                Policy::TraceState { key: key.clone(), values: values.cloned().collect() }
            }
            "trace_flags" => Policy::TraceFlags,
            "ottl_condition" => {
                let OttlCondition { error_mode, span, spanevent } = &given.ottl_condition;
                let mode: ErrorMode = error_mode.parse()?;
                let conditions = |context, texts: &[String]| {
                    let compiled = (!texts.is_empty()).then(|| Conditions::new(context, texts, mode));
                    compiled.transpose().map_err(|faults| {
                        faults.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join("; ")
                    })
                };
                Policy::Ottl {
                    spans: conditions(Context::Span, span)?,
                    events: conditions(Context::SpanEvent, spanevent)?,
                }
            }
            other => return Err(format!("unknown sampling policy type {other}")),
        })
    }
}

/// So much of the range of 64 bits, with the rounding of 64-bit mantissas, in which the Collector computes it.
fn share_of_u64(ratio: f64) -> u64 {
    if ratio.is_nan() || ratio <= 0.0 {
        return 0;
    }
    let bits = ratio.to_bits();
    // Numbers below the normal ones are 0 here as there: 2^64 of them are less than 1.
    let (mantissa, exponent) = (bits & ((1 << 52) - 1) | 1 << 52, (bits >> 52) as i32 - 1075);
    let product = u128::from(u64::MAX) * u128::from(mantissa);
    let excess = 64 - product.leading_zeros();
    let (kept, lost) = (product >> excess, product & ((1 << excess) - 1));
    let half = 1 << (excess - 1);
    let rounded = kept + u128::from(lost > half || lost == half && kept % 2 == 1);
    match exponent + excess as i32 {
        shift @ ..0 => rounded.checked_shr(shift.unsigned_abs()).unwrap_or(0).try_into().unwrap_or(u64::MAX),
        0 => rounded.try_into().unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

// === asking them ===

impl Policy {
    /// `Dropped` is said by `drop` policies only.
    ///
    /// # Errors
    /// A condition fails, and its policy is not to ignore that.
    pub(super) fn ask(&mut self, trace: &mut Trace) -> Result<Vote, String> {
        let vote = |wanted| if wanted { Vote::Sampled } else { Vote::NotSampled };
        Ok(match self {
            Policy::Always => Vote::Sampled,
            Policy::Latency { above_ms, up_to_ms } => {
                let (mut first, mut last) = (0, 0);
                // Span by span: what has been seen so far counts, as in the Collector.
                vote(trace.any_span(|span| {
                    if first == 0 || span.start_time_unix_nano < first {
                        first = span.start_time_unix_nano;
                    }
                    last = last.max(span.end_time_unix_nano);
                    let ms = (i128::from(last) - i128::from(first)) / 1_000_000;
                    ms > i128::from(*above_ms) && up_to_ms.is_none_or(|most| ms <= i128::from(most))
                }))
            }
            Policy::Attribute { key, wanted, invert } => {
                let is = |attributes: &Map, of| attributes.get(key).is_some_and(|value| wanted.is(value, of));
                vote(trace.any_attributes(is) != *invert)
            }
            Policy::Probabilistic { salt, threshold } => {
                let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                let hash = salt.as_bytes().iter().chain(&trace.id).fold(0xcbf2_9ce4_8422_2325, fnv);
                vote(hash <= *threshold)
            }
            Policy::Status(codes) => vote(trace.any_span(|span| codes.contains(&span.status.code))),
            Policy::Rate { bucket, of } => vote(bucket.take(match of {
                Of::Spans => trace.spans,
                Of::Bytes => trace.bytes,
            })),
            Policy::SpanCount(range) => vote(range.contains(&trace.spans)),
            Policy::TraceState { key, values } => vote(trace.any_span(|span| {
                member(&span.trace_state.as_str(), key)
                    .is_some_and(|value| values.iter().any(|wanted| *wanted == value))
            })),
            Policy::TraceFlags => vote(trace.any_span(|span| span.flags & 1 != 0)),
            Policy::Ottl { spans: None, events: None } => Vote::Sampled,
            Policy::Ottl { spans, events } => vote(trace.any_condition(spans.as_ref(), events.as_ref())?),
            Policy::All(policies) => vote(all(policies, trace)?),
            Policy::Drop(policies) => match all(policies, trace)? {
                true => Vote::Dropped,
                false => Vote::NotSampled,
            },
            Policy::Not(policy) => match policy.ask(trace)? {
                Vote::Sampled => Vote::NotSampled,
                Vote::NotSampled => Vote::Sampled,
                Vote::Dropped => Vote::Dropped,
            },
            Policy::Composite { shares, total, start, second } => {
                let now = start.elapsed().as_secs();
                if *second != now {
                    *second = now;
                    shares.iter_mut().for_each(|share| share.spans = 0);
                }
                let mut wants = None;
                for share in shares {
                    if share.policy.ask(trace)? == Vote::Sampled {
                        wants = Some(share);
                        break;
                    }
                }
                let Some(share) = wants else { return Ok(Vote::NotSampled) };
                let spans = share.spans + trace.spans;
                if spans > share.spans_per_second || spans > *total {
                    return Ok(Vote::NotSampled);
                }
                share.spans = spans;
                Vote::Sampled
            }
        })
    }

    /// Whether it can say [`Vote::Dropped`], and so is asked first.
    pub(super) fn drops(&self) -> bool {
        matches!(self, Policy::Drop(_))
    }
}

/// Whether no policy says no.
fn all(policies: &mut [Policy], trace: &mut Trace) -> Result<bool, String> {
    for policy in policies {
        if policy.ask(trace)? == Vote::NotSampled {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Trace {
    /// Whether a condition holds on a span or on one of its events.
    fn any_condition(&mut self, spans: Option<&Conditions>, events: Option<&Conditions>) -> Result<bool, String> {
        let mut tell = |failed: &sdk_ottl::Failed| tracing::warn!(%failed, "a condition of a sampling policy failed");
        for group in self.parts.iter_mut().flat_map(|part| &mut part.resources) {
            for scope in &mut group.scopes {
                for span in &mut scope.items {
                    let mut holds = |conditions: Option<&Conditions>, item: Item<'_>| {
                        let Some(conditions) = conditions else { return Ok(false) };
                        let around = (&mut group.resource, &mut group.schema_url);
                        let on = On::new(around, Some((&mut scope.scope, &mut scope.schema_url)), item);
                        conditions.any(&on, &mut tell).map_err(|failed| failed.to_string())
                    };
                    if holds(spans, Item::Span(span))? {
                        return Ok(true);
                    }
                    for at in 0..span.events.len() {
                        if holds(events, Item::Event(span, at))? {
                            return Ok(true);
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    fn groups(&self) -> impl Iterator<Item = &ResourceGroup<Span>> {
        self.parts.iter().flat_map(|part| &part.resources)
    }

    fn any_span(&self, wanted: impl FnMut(&Span) -> bool) -> bool {
        self.groups().flat_map(|group| &group.scopes).flat_map(|scope| &scope.items).any(wanted)
    }

    /// Whether a resource or a span has such attributes.
    fn any_attributes(&self, wanted: impl Fn(&Map, Holder) -> bool) -> bool {
        self.groups().any(|group| {
            let mut spans = group.scopes.iter().flat_map(|scope| &scope.items);
            wanted(&group.resource.attributes, Holder::Resource)
                || spans.any(|span| wanted(&span.attributes, Holder::Span))
        })
    }
}

impl Wanted {
    fn is(&self, value: &AnyValue, of: Holder) -> bool {
        let text = || value.text().map(|text| text.as_str()).unwrap_or_default();
        match self {
            Wanted::Number(range) => range.contains(if let AnyValue::Int(value) = value { value } else { &0 }),
            Wanted::Bool(wanted) => matches!(value, AnyValue::Bool(true)) == *wanted,
            Wanted::Texts(values) => values.iter().any(|wanted| *wanted == text()),
            // The Collector does not look for patterns in empty texts of spans.
            Wanted::Patterns(_) if of == Holder::Span && text().is_empty() => false,
            Wanted::Patterns(patterns) => patterns.iter().any(|pattern| pattern.is_match(text().as_bytes())),
        }
    }
}

/// A member of a trace state of W3C.
fn member<'a>(state: &'a str, key: &str) -> Option<&'a str> {
    let members = state.split(',').map(|member| member.trim_matches([' ', '\t']));
    members.filter_map(|member| member.split_once('=')).find_map(|(name, value)| (name == key).then_some(value))
}

// === impl Bucket ===

impl Bucket {
    /// Full at first; a capacity of 0 is twice the rate.
    fn new(per_second: i64, capacity: i64) -> Bucket {
        let per_second = per_second.max(0) as f64;
        let capacity = if capacity > 0 { capacity as f64 } else { per_second * 2.0 };
        Bucket { per_second, capacity, tokens: capacity, at: Instant::now() }
    }

    /// All or nothing.
    fn take(&mut self, count: u64) -> bool {
        let now = Instant::now();
        self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.per_second).min(self.capacity);
        self.at = now;
        let enough = self.tokens >= count as f64;
        if enough {
            self.tokens -= count as f64;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_range_are_rounded_once() {
        assert_eq!(share_of_u64(0.0), 0);
        assert_eq!(share_of_u64(-1.0), 0);
        assert_eq!(share_of_u64(1.0), u64::MAX);
        assert_eq!(share_of_u64(2.0), u64::MAX);
        assert_eq!(share_of_u64(0.5), u64::MAX / 2);
        assert_eq!(share_of_u64(1e-300), 0);
        assert!((share_of_u64(0.2) as f64 / u64::MAX as f64 - 0.2).abs() < 1e-15);
    }

    #[test]
    fn members_of_trace_states_are_found() {
        assert_eq!(member("a=1, b=2", "b"), Some("2"));
        assert_eq!(member("a=1,b", "b"), None);
    }
}
