//! What Alloy's dashboards know of `prometheus.write.queue`, under the same names.
//!
//! They are counted beside those of `prometheus.remote_write`, which Alloy's component has as well.

use std::sync::atomic::{AtomicI64, Ordering};

use base_metrics::{Counter, Gauge, Histogram, Scope};
use http::StatusCode;
use sdk_signals::SampleBatch;

use crate::remote_write::{Event, Limits, Watch};

const PREFIX: &str = "alloy_queue_series_";

/// Counts of one endpoint; they vanish with it.
struct Metrics {
    scope: Scope,
    incoming_signals: Counter,
    incoming_exemplars: Counter,
    incoming_timestamp: Gauge,
    sent: Counter,
    failed: Counter,
    retried: Counter,
    retried_429: Counter,
    retried_5xx: Counter,
    network_errors: Counter,
    duration: Histogram,
    network_timestamp: Gauge,
    drift: Gauge,
    ttl_drops: Counter,
    parallelism_desired: Gauge,
    /// In milliseconds since 1970.
    highest: AtomicI64,
}

/// What counts for the endpoint of this name.
pub(super) fn watched(metrics: &Scope, name: &str, limits: &Limits) -> Box<dyn Watch> {
    let scope = metrics.child(&[("endpoint", name)]);
    let counter = |name: &str, help: &str| scope.counter(&format!("{PREFIX}{name}"), help);
    let gauge = |name: &str, help: &str| scope.gauge(&format!("{PREFIX}{name}"), help);
    gauge("parallelism_min", "The fewest requests that may be under way at a time.").set_u64(limits.min_shards as u64);
    gauge("parallelism_max", "The most requests that may be under way at a time.").set_u64(limits.max_shards as u64);
    let parallelism_desired = gauge("parallelism_desired", "Requests that may be under way at a time.");
    parallelism_desired.set_u64(limits.min_shards as u64);
    // Until something is known, a difference to now that is 0 alarms nobody.
    let now = (base_sys::clock::now_ms() / 1000) as f64;
    let incoming_timestamp = gauge("serializer_incoming_timestamp_seconds", "The newest timestamp that came.");
    incoming_timestamp.set(now);
    let network_timestamp = gauge("network_timestamp_seconds", "The newest timestamp that was sent.");
    network_timestamp.set(now);
    Box::new(Metrics {
        incoming_signals: counter("serializer_incoming_signals_total", "Samples and histograms that came."),
        incoming_exemplars: counter("serializer_incoming_exemplars_total", "Exemplars that came."),
        incoming_timestamp,
        sent: counter("network_sent_total", "Samples and histograms that the endpoint has taken."),
        failed: counter("network_failed_total", "Samples and histograms that the endpoint has refused for good."),
        retried: counter("network_retried_total", "Samples and histograms that are sent again."),
        retried_429: counter("network_retried_429_total", "Those that are sent again after a status 429."),
        retried_5xx: counter("network_retried_5xx_total", "Those that are sent again after a status of 500 or more."),
        network_errors: counter("network_errors", "Samples and histograms of requests that were not answered."),
        // Alloy's has no buckets in the classic form.
        duration: scope.histogram(&format!("{PREFIX}network_duration_seconds"), "How long requests take.", &[]),
        network_timestamp,
        drift: gauge("timestamp_drift_seconds", "By how much what is sent is older than what came."),
        ttl_drops: counter("ttl_drops_total", "Samples and histograms that were dropped because of their age."),
        parallelism_desired,
        highest: AtomicI64::new(0),
        scope,
    })
}

// === impl Metrics ===

impl Watch for Metrics {
    fn saw(&self, event: Event<'_>) {
        match event {
            Event::Came(batch) => self.came(batch),
            Event::Tried(seconds) => self.duration.observe(seconds),
            Event::Answered(count, status) => match status {
                None => self.network_errors.add(count),
                Some(status) if status.is_success() => self.sent.add(count),
                Some(StatusCode::TOO_MANY_REQUESTS) => self.retried_429.add(count),
                Some(status) if status.is_server_error() => self.retried_5xx.add(count),
                Some(_) => {}
            },
            Event::Again(count) => self.retried.add(count),
            Event::Failed(count) => self.failed.add(count),
            Event::Reached(timestamp) => {
                self.network_timestamp.set(timestamp);
                let came = (self.highest.load(Ordering::Relaxed) / 1000) as f64;
                self.drift.set((came - timestamp).max(0.0));
            }
            Event::TooOld(count) => self.ttl_drops.add(count),
            Event::Shards(count) => self.parallelism_desired.set_u64(count as u64),
        }
    }
}

impl Metrics {
    fn came(&self, batch: &SampleBatch) {
        self.incoming_signals.add((batch.len() + batch.histograms.len()) as u64);
        self.incoming_exemplars.add(batch.exemplars.len() as u64);
        let rows = batch.rows().map(|(_, timestamp, _)| timestamp);
        let newest = rows.chain(batch.histograms.iter().map(|histogram| histogram.timestamp)).max();
        if let Some(newest) = newest {
            let highest = self.highest.fetch_max(newest, Ordering::Relaxed).max(newest);
            self.incoming_timestamp.set((highest / 1000) as f64);
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.scope.unregister();
    }
}
