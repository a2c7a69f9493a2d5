//! What the component counts, under the Collector's names.

use std::time::Duration;

use base_metrics::{CounterVec, GaugeVec, HistogramVec, Scope};

/// Clones are the same.
#[derive(Clone)]
pub(super) struct Metrics {
    backends: GaugeVec,
    updates: CounterVec,
    resolutions: CounterVec,
    outcome: CounterVec,
    latency: HistogramVec,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn new(scope: &Scope) -> Metrics {
        Metrics {
            backends: scope.gauge_vec(
                "otelcol_loadbalancer_num_backends",
                "Current number of backends in use.",
                &["resolver"],
            ),
            updates: scope.counter_vec(
                "otelcol_loadbalancer_num_backend_updates_total",
                "Number of times the list of backends was updated.",
                &["resolver"],
            ),
            resolutions: scope.counter_vec(
                "otelcol_loadbalancer_num_resolutions_total",
                "Number of times the resolver has triggered new resolutions.",
                &["resolver", "success"],
            ),
            outcome: scope.counter_vec(
                "otelcol_loadbalancer_backend_outcome_total",
                "Number of successes and failures for each endpoint.",
                &["endpoint", "success"],
            ),
            latency: scope.histogram_vec(
                "otelcol_loadbalancer_backend_latency_milliseconds",
                "Response latency in ms for the backends.",
                &[5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0],
                &["endpoint"],
            ),
        }
    }

    pub(super) fn resolved(&self, resolver: &str, success: bool) {
        self.resolutions.with(&[resolver, if success { "true" } else { "false" }]).inc();
    }

    pub(super) fn changed(&self, resolver: &str, backends: usize) {
        self.backends.with(&[resolver]).set_u64(backends as u64);
        self.updates.with(&[resolver]).inc();
    }

    /// A part of a batch was handed to the queue of a backend, or refused by it.
    pub(super) fn handed(&self, endpoint: &str, success: bool, took: Duration) {
        self.outcome.with(&[endpoint, if success { "true" } else { "false" }]).inc();
        self.latency.with(&[endpoint]).observe(took.as_millis() as f64);
    }
}
