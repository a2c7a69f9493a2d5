//! What is counted, under Alloy's names.

use base_metrics::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Scope};

/// The families of the component.
#[derive(Clone)]
pub struct Metrics {
    sent_bytes: CounterVec,
    sent_entries: CounterVec,
    retries: CounterVec,
    dropped_bytes: CounterVec,
    dropped_entries: CounterVec,
    rejected_entries: CounterVec,
    request_bytes: HistogramVec,
    request_seconds: HistogramVec,
    propagation_seconds: HistogramVec,
    wal_last_written: GaugeVec,
    wal_last_read: GaugeVec,
    wal_running: GaugeVec,
    wal_records_read: CounterVec,
    wal_dropped_notifications: CounterVec,
    /// Entries that wait for endpoints that are gone.
    pub left_behind: Gauge,
}

/// What is told of `wal`, where it is enabled. Alloy's numbers of segments have no equal here: what is sent is forgotten.
#[derive(Clone)]
pub struct WalMetrics {
    /// Seconds since 1970 of the latest request that was read.
    pub last_read: Gauge,
    /// Requests that were read to be sent.
    pub records_read: Counter,
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
    propagation_seconds: Histogram,
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
    /// Never here; dashboards find the series that they know.
    LineTooLong,
}

const REASONS: [Reason; 5] =
    [Reason::IngesterError, Reason::RateLimited, Reason::StreamLimited, Reason::QueueIsFull, Reason::LineTooLong];

const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

// === impl Metrics ===

impl Metrics {
    pub fn new(scope: &Scope) -> Metrics {
        let counter = |name, help| scope.counter_vec(name, help, &["host", "tenant"]);
        let dropped = |name, help| scope.counter_vec(name, help, &["host", "tenant", "reason"]);
        let sizes = [1u32, 4, 16, 64, 256, 512, 1024, 2048, 4096, 8192, 16_384, 20_480];
        let sizes = sizes.map(|kibibytes| f64::from(kibibytes) * 1024.0);
        let latencies = [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
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
            // Ours, beside Alloy's: what Loki said of entries that it refused one by one.
            rejected_entries: scope.counter_vec(
                "loki_write_rejected_entries_total",
                "Number of log entries that the endpoint refused for themselves, by its own reason.",
                &["host", "tenant", "reason"],
            ),
            request_bytes: scope.histogram_vec(
                "loki_write_request_size_bytes",
                "Number of bytes for requests.",
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
                "Write latency for entries",
                &latencies,
                &["host", "tenant"],
            ),
            wal_last_written: scope.gauge_vec(
                "loki_write_wal_writer_last_written_timestamp",
                "Latest timestamp that was written to the WAL",
                &[],
            ),
            wal_last_read: scope.gauge_vec(
                "loki_write_last_read_timestamp",
                "Latest timestamp read from the WAL",
                &["id"],
            ),
            wal_running: scope.gauge_vec("loki_write_wal_watcher_running", "Number of WAL watchers running.", &[]),
            wal_records_read: scope.counter_vec(
                "loki_write_wal_watcher_records_read_total",
                "Number of records read by the WAL watcher from the WAL.",
                &["id"],
            ),
            wal_dropped_notifications: scope.counter_vec(
                "loki_write_wal_watcher_dropped_write_notifications_total",
                "Number of dropped write notifications due to having one already buffered.",
                &["id"],
            ),
            left_behind: scope.gauge(sdk_queue::LEFT_BEHIND, sdk_queue::LEFT_BEHIND_HELP),
        }
    }

    /// Seconds since 1970 of the latest entry that was written down, to be kept true.
    pub fn wal_last_written(&self) -> Gauge {
        self.wal_last_written.with(&[])
    }

    /// So many endpoints read what is written down.
    pub fn wal_running(&self, endpoints: usize) {
        self.wal_running.with(&[]).set_u64(endpoints as u64);
    }

    /// Of an endpoint, by its name.
    pub fn wal(&self, id: &str) -> WalMetrics {
        // No notification is ever dropped.
        self.wal_dropped_notifications.with(&[id]);
        WalMetrics { last_read: self.wal_last_read.with(&[id]), records_read: self.wal_records_read.with(&[id]) }
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

    /// So many entries that came then, in milliseconds since 1970, are accepted now. If the clock was set back meanwhile,
    /// nobody knows how long it took.
    pub fn propagated(&self, came_at_ms: i64, entries: u64) {
        let milliseconds = base_sys::clock::now_ms() - came_at_ms;
        if milliseconds >= 0 {
            self.propagation_seconds.observe_many(milliseconds as f64 / 1000.0, entries);
        }
    }

    /// `reason` is Loki's own word.
    pub fn rejected(&self, reason: &str, entries: u64) {
        self.families.rejected_entries.with(&[&self.host, &self.tenant, reason]).add(entries);
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
            Reason::LineTooLong => "line_too_long",
        }
    }
}
