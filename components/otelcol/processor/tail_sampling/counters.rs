//! What the processor counts, under the Collector's names.

use std::time::Duration;

use base_metrics::{Counter, CounterVec, Gauge, Histogram, Scope};

use super::policy::Vote;

const MILLISECONDS: &[f64] = &[
    1., 2., 5., 10., 25., 50., 75., 100., 150., 200., 300., 400., 500., 750., 1e3, 2e3, 3e3, 4e3, 5e3, 1e4, 2e4, 3e4,
    5e4,
];
const SECONDS: &[f64] = &[0., 5., 10., 25., 50., 75., 100., 250., 500., 750., 1e3, 2500., 5e3, 7500., 1e4];

pub(super) struct Counters {
    by_policy: CounterVec,
    executions: CounterVec,
    execution_time: CounterVec,
    global: CounterVec,
    early: CounterVec,
    pub errors: Counter,
    pub new_traces: Counter,
    pub too_early: Counter,
    pub too_large: Counter,
    pub on_memory: Gauge,
    pub timer: Histogram,
    pub late_span_age: Histogram,
    pub removal_age: Histogram,
}

// === impl Counters ===

impl Counters {
    pub(super) fn new(metrics: &Scope) -> Counters {
        let name = |name: &str| format!("otelcol_processor_tail_sampling_{name}");
        let counters = |given: &str, help: &str, labels: &[&str]| metrics.counter_vec(&name(given), help, labels);
        let counter = |given: &str, help: &str| counters(given, help, &[]).with(&[]);
        let histogram =
            |given: &str, help: &str, bounds| metrics.histogram_vec(&name(given), help, bounds, &[]).with(&[]);
        Counters {
            by_policy: counters(
                "count_traces_sampled_total",
                "Count of traces that were sampled or not per sampling policy",
                &["policy", "sampled", "decision"],
            ),
            executions: counters(
                "sampling_policy_execution_count_total",
                "Total number of executions of a specific sampling policy",
                &["policy"],
            ),
            execution_time: counters(
                "sampling_policy_execution_time_sum_microseconds_total",
                "Total time spent (in microseconds) executing a specific sampling policy",
                &["policy"],
            ),
            global: counters(
                "global_count_traces_sampled_total",
                "Global count of traces that were sampled or not by at least one policy",
                &["sampled", "decision"],
            ),
            early: counters(
                "early_releases_from_cache_decision_total",
                "Number of spans that were able to be immediately released due to a decision cache hit.",
                &["sampled"],
            ),
            errors: counter("sampling_policy_evaluation_error_total", "Count of sampling policy evaluation errors"),
            new_traces: counter("new_trace_id_received_total", "Counts the arrival of new traces"),
            too_early: counter(
                "sampling_trace_dropped_too_early_total",
                "Count of traces that needed to be dropped before the configured wait time",
            ),
            too_large: counter(
                "traces_dropped_too_large_total",
                "Count of traces that were dropped because they were too large",
            ),
            on_memory: metrics
                .gauge_vec(&name("sampling_traces_on_memory"), "Tracks the number of traces current on memory", &[])
                .with(&[]),
            timer: histogram(
                "sampling_decision_timer_latency_milliseconds",
                "Latency (in milliseconds) of each run of the sampling decision timer",
                MILLISECONDS,
            ),
            late_span_age: histogram(
                "sampling_late_span_age_seconds",
                "Time (in seconds) from the sampling decision was taken and the arrival of a late span",
                SECONDS,
            ),
            removal_age: histogram(
                "sampling_trace_removal_age_seconds",
                "Time (in seconds) from arrival of a new trace until its removal from memory",
                SECONDS,
            ),
        }
    }

    /// A policy voted, in so much time.
    pub(super) fn asked(&self, policy: &str, vote: Vote, took: Duration) {
        self.by_policy.with(&[policy, sampled(vote), decision(vote)]).inc();
        self.executions.with(&[policy]).inc();
        self.execution_time.with(&[policy]).add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn decided(&self, vote: Vote) {
        self.global.with(&[sampled(vote), decision(vote)]).inc();
    }

    /// Spans found their trace in a decision cache.
    pub(super) fn early(&self, sampled: bool, spans: u64) {
        self.early.with(&[if sampled { "true" } else { "false" }]).add(spans);
    }
}

fn sampled(vote: Vote) -> &'static str {
    if vote == Vote::Sampled { "true" } else { "false" }
}

fn decision(vote: Vote) -> &'static str {
    match vote {
        Vote::Sampled => "sampled",
        Vote::NotSampled => "not_sampled",
        Vote::Dropped => "dropped",
    }
}
