//! What an exporter counts, under the Collector's names.

use std::sync::OnceLock;

use base_metrics::{Counter, Gauge, GaugeVec, Histogram, Scope};
use sdk_signals::OtlpSignal;

const ITEMS: &[f64] =
    &[10., 25., 50., 75., 100., 250., 500., 750., 1e3, 2e3, 3e3, 4e3, 5e3, 6e3, 7e3, 8e3, 9e3, 1e4, 2e4, 3e4, 5e4, 1e5];
const BYTES: &[f64] = &[
    10., 25., 50., 75., 100., 250., 500., 750., 1e3, 2e3, 3e3, 4e3, 5e3, 6e3, 7e3, 8e3, 9e3, 1e4, 2e4, 3e4, 5e4, 1e5,
    2e5, 3e5, 4e5, 5e5, 6e5, 7e5, 8e5, 9e5, 1e6, 2e6, 3e6, 4e6, 5e6, 6e6, 7e6, 8e6, 9e6,
];

pub(crate) struct Counters {
    sent: [Counter; 3],
    send_failed: [Counter; 3],
    enqueue_failed: [Counter; 3],
    queue_size: GaugeVec,
    queue_capacity: GaugeVec,
    /// Of the requests that leave the queue.
    items: Histogram,
    bytes: Histogram,
    /// Of the signals that came: size and capacity.
    queues: [OnceLock<(Gauge, Gauge)>; 3],
    queue: String,
    /// What it sends is counted by those that it hands it to.
    in_front: bool,
}

// === impl Counters ===

impl Counters {
    /// For an exporter of this name, whose queue has a name of its own where there are several.
    pub(crate) fn new(metrics: &Scope, exporter: &str, queue: &str) -> Counters {
        let family = |what: &str, help: &str| {
            let mut counters = OtlpSignal::ALL.map(|signal| {
                let name = format!("otelcol_exporter_{what}_{}_total", signal.items());
                (signal, metrics.counter_vec(&name, help, &["exporter"]).with(&[exporter]))
            });
            counters.sort_by_key(|(signal, _)| *signal as usize);
            counters.map(|(_, counter)| counter)
        };
        let size =
            |name: &str, help: &str, bounds| metrics.histogram_vec(name, help, bounds, &["exporter"]).with(&[exporter]);
        Counters {
            items: size("otelcol_exporter_queue_batch_send_size", "Number of units in the batch", ITEMS),
            bytes: size(
                "otelcol_exporter_queue_batch_send_size_bytes",
                "Number of bytes in batch that was sent.",
                BYTES,
            ),
            sent: family("sent", "Number of items successfully sent to destination."),
            send_failed: family("send_failed", "Number of items in failed attempts to send to destination."),
            enqueue_failed: family("enqueue_failed", "Number of items failed to be added to the sending queue."),
            queue_size: metrics.gauge_vec(
                "otelcol_exporter_queue_size",
                "Current size of the sending queue.",
                &["exporter", "data_type"],
            ),
            queue_capacity: metrics.gauge_vec(
                "otelcol_exporter_queue_capacity",
                "Fixed capacity of the sending queue.",
                &["exporter", "data_type"],
            ),
            queues: Default::default(),
            queue: queue.to_owned(),
            in_front: false,
        }
    }

    /// Of an exporter in front of others, which count what they send.
    pub(crate) fn in_front(self) -> Counters {
        Counters { in_front: true, ..self }
    }

    pub(crate) fn sent(&self, signal: OtlpSignal, items: u64) {
        if !self.in_front {
            self.sent[signal as usize].add(items);
        }
    }

    pub(crate) fn send_failed(&self, signal: OtlpSignal, items: u64) {
        self.send_failed[signal as usize].add(items);
    }

    pub(crate) fn enqueue_failed(&self, signal: OtlpSignal, items: u64) {
        self.enqueue_failed[signal as usize].add(items);
    }

    /// A request left the queue, to be sent until it is taken or given up.
    pub(crate) fn left_queue(&self, items: u64, bytes: usize) {
        if !self.in_front {
            self.items.observe(items as f64);
            self.bytes.observe(bytes as f64);
        }
    }

    pub(crate) fn queue(&self, signal: OtlpSignal, size: u64, capacity: u64) {
        let (of_size, of_capacity) = self.queues[signal as usize].get_or_init(|| {
            let labels = [&self.queue, signal.name()];
            (self.queue_size.with(&labels), self.queue_capacity.with(&labels))
        });
        of_size.set_u64(size);
        of_capacity.set_u64(capacity);
    }
}
