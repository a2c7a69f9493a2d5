//! What the processor counts, under the Collector's names.

use base_metrics::{Counter, Gauge, Histogram, Scope};
use sdk_signals::OtlpSignal;

const SIZES: &[f64] =
    &[10., 25., 50., 75., 100., 250., 500., 750., 1e3, 2e3, 3e3, 4e3, 5e3, 6e3, 7e3, 8e3, 9e3, 1e4, 2e4, 3e4, 5e4, 1e5];
const BYTES: &[f64] = &[
    10., 25., 50., 75., 100., 250., 500., 750., 1e3, 2e3, 3e3, 4e3, 5e3, 6e3, 7e3, 8e3, 9e3, 1e4, 2e4, 3e4, 5e4, 1e5,
    2e5, 3e5, 4e5, 5e5, 6e5, 7e5, 8e5, 9e5, 1e6, 2e6, 3e6, 4e6, 5e6, 6e6, 7e6, 8e6, 9e6,
];

pub(super) struct Counters {
    incoming: [Counter; 3],
    outgoing: [Counter; 3],
    dropped: [Counter; 3],
    by_size: Counter,
    by_timeout: Counter,
    size: Histogram,
    bytes: Histogram,
    cardinality: Gauge,
}

/// Why a batch was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    Size,
    Timeout,
}

// === impl Counters ===

impl Counters {
    pub(super) fn new(metrics: &Scope, processor: &str) -> Counters {
        let counter = |name: &str, help: &str| metrics.counter_vec(name, help, &["processor"]).with(&[processor]);
        let histogram = |name: &str, help: &str, bounds| {
            metrics.histogram_vec(name, help, bounds, &["processor"]).with(&[processor])
        };
        let by_signal = |name: &str, help: &str| {
            let family = metrics.counter_vec(name, help, &["processor", "otel_signal"]);
            [OtlpSignal::Traces, OtlpSignal::Metrics, OtlpSignal::Logs].map(|s| family.with(&[processor, s.name()]))
        };
        Counters {
            incoming: by_signal("otelcol_processor_incoming_items_total", "Number of items passed to the processor."),
            outgoing: by_signal(
                "otelcol_processor_outgoing_items_total",
                "Number of items emitted from the processor.",
            ),
            dropped: by_signal(
                "ferroalloy_otelcol_processor_dropped_items_total",
                "Number of items that the next component refused for good.",
            ),
            by_size: counter(
                "otelcol_processor_batch_batch_size_trigger_send_total",
                "Number of times the batch was sent due to a size trigger",
            ),
            by_timeout: counter(
                "otelcol_processor_batch_timeout_trigger_send_total",
                "Number of times the batch was sent due to a timeout trigger",
            ),
            size: histogram("otelcol_processor_batch_batch_send_size", "Number of units in the batch", SIZES),
            bytes: histogram(
                "otelcol_processor_batch_batch_send_size_bytes",
                "Number of bytes in batch that was sent",
                BYTES,
            ),
            cardinality: metrics
                .gauge_vec(
                    "otelcol_processor_batch_metadata_cardinality",
                    "Number of distinct metadata value combinations being processed",
                    &["processor"],
                )
                .with(&[processor]),
        }
    }

    pub(super) fn came(&self, signal: OtlpSignal, items: u32) {
        self.incoming[signal as usize].add(items.into());
    }

    pub(super) fn sends(&self, trigger: Trigger, items: usize, bytes: usize) {
        match trigger {
            Trigger::Size => self.by_size.inc(),
            Trigger::Timeout => self.by_timeout.inc(),
        }
        self.size.observe(items as f64);
        self.bytes.observe(bytes as f64);
    }

    pub(super) fn went(&self, signal: OtlpSignal, items: usize) {
        self.outgoing[signal as usize].add(items as u64);
    }

    pub(super) fn dropped(&self, signal: OtlpSignal, items: usize) {
        self.dropped[signal as usize].add(items as u64);
    }

    pub(super) fn cardinality(&self, shards: usize) {
        self.cardinality.set_u64(shards as u64);
    }
}
