//! What is counted, under Alloy's names.

use base_metrics::{Counter, CounterVec, Histogram, HistogramVec, Scope};

/// The families of the component.
#[derive(Clone)]
pub struct Metrics {
    sent_bytes: CounterVec,
    sent_entries: CounterVec,
    retries: CounterVec,
    dropped_bytes: CounterVec,
    dropped_entries: CounterVec,
    request_bytes: HistogramVec,
    request_seconds: HistogramVec,
    propagation_seconds: HistogramVec,
}

/// The members of one tenant at one endpoint, found once.
#[derive(Clone)]
pub struct TenantMetrics {
    families: Metrics,
    host: String,
    tenant: String,
    /// Bytes of requests that were accepted, as sent.
    pub sent_bytes: Counter,
    /// Entries that were accepted.
    pub sent_entries: Counter,
    /// Attempts that failed and were, or would have been, repeated.
    pub retries: Counter,
    /// Bytes of requests, as sent.
    pub request_bytes: Histogram,
    /// From the first entry of a request to its acceptance.
    pub propagation_seconds: Histogram,
}

/// Why entries were dropped; Alloy's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The endpoint will never take them, or did not within the allowed attempts.
    IngesterError,
    /// The endpoint said 429, and the user said not to try again.
    RateLimited,
    /// Too many streams for one request.
    StreamLimited,
    /// Memory and disk are full, and the user said not to wait.
    QueueIsFull,
}

const REASONS: [Reason; 4] = [Reason::IngesterError, Reason::RateLimited, Reason::StreamLimited, Reason::QueueIsFull];

const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

// === impl Metrics ===

impl Metrics {
    pub fn new(scope: &Scope) -> Metrics {
        let counter = |name, help| scope.counter_vec(name, help, &["host", "tenant"]);
        let dropped = |name, help| scope.counter_vec(name, help, &["host", "tenant", "reason"]);
        let sizes: Vec<f64> = (0..8).map(|power| 1024.0 * 4f64.powi(power)).collect();
        let latencies = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
        Metrics {
            sent_bytes: counter("loki_write_sent_bytes_total", "Number of bytes sent."),
            sent_entries: counter("loki_write_sent_entries_total", "Number of log entries sent to the ingester."),
            retries: counter("loki_write_batch_retries_total", "Number of times batches has had to be retried."),
            dropped_bytes: dropped(
                "loki_write_dropped_bytes_total",
                "Number of bytes dropped because failed to be sent to the ingester after all retries.",
            ),
            dropped_entries: dropped(
                "loki_write_dropped_entries_total",
                "Number of log entries dropped because failed to be sent to the ingester after all retries.",
            ),
            request_bytes: scope.histogram_vec(
                "loki_write_request_size_bytes",
                "Number of bytes for encoded requests.",
                &sizes,
                &["host", "tenant"],
            ),
            request_seconds: scope.histogram_vec(
                "loki_write_request_duration_seconds",
                "Duration of send requests.",
                &SECONDS,
                &["status_code", "host", "tenant"],
            ),
            propagation_seconds: scope.histogram_vec(
                "loki_write_entry_propagation_latency_seconds",
                "Time from when an entry was taken until it was sent.",
                &latencies,
                &["host", "tenant"],
            ),
        }
    }

    pub fn tenant(&self, host: &str, tenant: &str) -> TenantMetrics {
        let labels = [host, tenant];
        for reason in REASONS {
            self.dropped_bytes.with(&[host, tenant, reason.as_str()]);
            self.dropped_entries.with(&[host, tenant, reason.as_str()]);
        }
        TenantMetrics {
            families: self.clone(),
            host: host.to_owned(),
            tenant: tenant.to_owned(),
            sent_bytes: self.sent_bytes.with(&labels),
            sent_entries: self.sent_entries.with(&labels),
            retries: self.retries.with(&labels),
            request_bytes: self.request_bytes.with(&labels),
            propagation_seconds: self.propagation_seconds.with(&labels),
        }
    }
}

// === impl TenantMetrics ===

impl TenantMetrics {
    pub fn dropped(&self, reason: Reason, entries: u64, bytes: u64) {
        let labels = [self.host.as_str(), self.tenant.as_str(), reason.as_str()];
        self.families.dropped_entries.with(&labels).add(entries);
        self.families.dropped_bytes.with(&labels).add(bytes);
    }

    /// `status` is -1 when there was no answer.
    pub fn request(&self, status: i32, seconds: f64) {
        let labels = [&status.to_string(), self.host.as_str(), self.tenant.as_str()];
        self.families.request_seconds.with(&labels).observe(seconds);
    }
}

// === impl Reason ===

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Reason::IngesterError => "ingester_error",
            Reason::RateLimited => "rate_limited",
            Reason::StreamLimited => "stream_limited",
            Reason::QueueIsFull => "queue_is_full",
        }
    }
}
