//! What Alloy's dashboards know of scraping, under the same names.

use base_metrics::{Counter, Gauge, Histogram, HistogramVec, Scope};

/// Counts of all targets of a component.
pub(crate) struct Metrics {
    pub(crate) targets: Gauge,
    pub(crate) pool_targets: Gauge,
    pub(crate) pool_limit: Gauge,
    pub(crate) syncs: Counter,
    pub(crate) sync_failed: Counter,
    pub(crate) reloads: Counter,
    pub(crate) exceeded_target_limit: Counter,
    pub(crate) exceeded_label_limits: Counter,
    pub(crate) exceeded_body_size: Counter,
    pub(crate) exceeded_samples: Counter,
    pub(crate) exceeded_buckets: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) out_of_bounds: Counter,
    pub(crate) scrape_duration: Histogram,
    pub(crate) interval_length: HistogramVec,
}

impl Metrics {
    pub(crate) fn new(metrics: &Scope, job: &str) -> Metrics {
        let counter = |name: &str, help: &str| metrics.counter(name, help);
        let job_counter = |name: &str, help: &str| metrics.counter_vec(name, help, &["scrape_job"]).with(&[job]);
        let job_gauge = |name: &str, help: &str| metrics.gauge_vec(name, help, &["scrape_job"]).with(&[job]);
        counter("prometheus_target_scrape_pools_total", "Total number of scrape pool creation attempts.").inc();
        counter("prometheus_target_scrape_pools_failed_total", "Total number of scrape pool creations that failed.");
        counter("prometheus_target_scrape_pool_reloads_failed_total", "Total number of failed scrape pool reloads.");
        counter(
            "prometheus_target_scrapes_cache_flush_forced_total",
            "How many times a scrape cache was flushed due to getting big while scrapes are failing.",
        );
        counter(
            "prometheus_target_scrapes_sample_out_of_order_total",
            "Total number of samples rejected due to not being out of the expected order.",
        );
        counter(
            "prometheus_target_scrapes_exemplar_out_of_order_total",
            "Total number of exemplar rejected due to not being out of the expected order.",
        );
        metrics.counter(
            "prometheus_scrape_targets_moved_total",
            "Number of targets that have moved from this cluster node to another one",
        );
        Metrics {
            targets: metrics
                .gauge("prometheus_scrape_targets_gauge", "Number of targets this component is configured to scrape"),
            pool_targets: job_gauge(
                "prometheus_target_scrape_pool_targets",
                "Current number of targets in this scrape pool.",
            ),
            pool_limit: job_gauge(
                "prometheus_target_scrape_pool_target_limit",
                "Maximum number of targets allowed in this scrape pool.",
            ),
            syncs: job_counter(
                "prometheus_target_scrape_pool_sync_total",
                "Total number of syncs that were executed on a scrape pool.",
            ),
            sync_failed: job_counter("prometheus_target_sync_failed_total", "Total number of target sync failures."),
            reloads: counter("prometheus_target_scrape_pool_reloads_total", "Total number of scrape pool reloads."),
            exceeded_target_limit: counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            ),
            exceeded_label_limits: counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
            ),
            exceeded_body_size: counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit",
            ),
            exceeded_samples: counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            ),
            exceeded_buckets: counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
            ),
            duplicates: counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            ),
            out_of_bounds: counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            ),
            scrape_duration: metrics.histogram(
                "prometheus_target_scrape_duration_seconds",
                "Scrape duration in seconds.",
                &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0],
            ),
            interval_length: metrics.histogram_vec(
                "prometheus_target_interval_length_histogram_seconds",
                "Actual intervals between scrapes as a histogram.",
                &[0.01, 0.1, 1.0, 10.0],
                &["interval"],
            ),
        }
    }
}
