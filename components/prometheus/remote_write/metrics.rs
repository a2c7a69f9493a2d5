//! What Alloy's dashboards know of a remote write queue, under the same names.

use std::time::Duration;

use base_metrics::{Counter, Gauge, Histogram, Scope};
use http::StatusCode;
use sdk_signals::SampleBatch;

use super::meta::Counts;

/// Counts of one endpoint; they vanish with it.
pub(crate) struct Metrics {
    scope: Scope,
    pub(crate) samples: Kind,
    pub(crate) exemplars: Kind,
    pub(crate) histograms: Kind,
    pub(crate) metadata_total: Counter,
    pub(crate) metadata_failed: Counter,
    pub(crate) metadata_retried: Counter,
    samples_too_old: Counter,
    histograms_too_old: Counter,
    /// Custom buckets, for which version 1 of the protocol has no place.
    pub(crate) histograms_unsupported: Counter,
    pub(crate) histograms_dropped_series: Counter,
    pub(crate) samples_dropped_series: Counter,
    pub(crate) exemplars_dropped_series: Counter,
    pub(crate) samples_overflow: Counter,
    pub(crate) bytes: Counter,
    sent_batch_duration: Histogram,
    pub(crate) highest_timestamp: Gauge,
    highest_sent_timestamp: Gauge,
    shards: Gauge,
    shards_desired: Gauge,
    /// Counts the same under other names.
    watch: Option<Box<dyn Watch>>,
}

/// Is told what happens to an endpoint. A component that works on this queue has its own names for that.
pub(crate) trait Watch: Send + Sync {
    /// It has happened.
    fn saw(&self, event: Event<'_>);
}

/// What happens to an endpoint. Counts are of samples and histograms.
pub(crate) enum Event<'a> {
    /// A batch was taken.
    Came(&'a SampleBatch),
    /// An attempt to send has ended, after so many seconds.
    Tried(f64),
    /// The answer to an attempt to send so many; without a status, there was none.
    Answered(u64, Option<StatusCode>),
    /// So many will be sent again.
    Again(u64),
    /// So many will not be sent again, and nothing was taken.
    Failed(u64),
    /// All up to this moment, in seconds since 1970, is sent.
    Reached(f64),
    /// So many are too old to send.
    TooOld(u64),
    /// So many requests may be under way at a time.
    Shards(usize),
}

/// Makes a [`Watch`] for the endpoint of a name.
pub(crate) type Watched = fn(&Scope, &str, &Limits) -> Box<dyn Watch>;

/// Samples, exemplars or histograms.
pub(crate) struct Kind {
    pub(crate) total: Counter,
    pub(crate) failed: Counter,
    pub(crate) retried: Counter,
    pub(crate) pending: Gauge,
}

/// What does not change.
pub(crate) struct Limits {
    pub(crate) min_shards: usize,
    pub(crate) max_shards: usize,
    pub(crate) shard_capacity: usize,
    pub(crate) max_samples_per_send: usize,
}

const PREFIX: &str = "prometheus_remote_storage_";

impl Metrics {
    pub(crate) fn new(metrics: &Scope, name: &str, url: &str, limits: &Limits, watched: Option<Watched>) -> Metrics {
        let scope = metrics.child(&[("remote_name", name), ("url", url)]);
        let counter = |name: &str, help: &str| scope.counter(&format!("{PREFIX}{name}"), help);
        let gauge = |name: &str, help: &str| scope.gauge(&format!("{PREFIX}{name}"), help);
        let kind = |what: &str| Kind {
            total: counter(&format!("{what}_total"), &format!("Total number of {what} sent to remote storage.")),
            failed: counter(
                &format!("{what}_failed_total"),
                &format!("Total number of {what} which failed on send to remote storage, non-recoverable errors."),
            ),
            retried: counter(
                &format!("{what}_retried_total"),
                &format!(
                    "Total number of {what} which failed on send to remote storage but were retried because the send error was recoverable."
                ),
            ),
            pending: gauge(
                &format!("{what}_pending"),
                &format!("The number of {what} pending in the queues shards to be sent to the remote storage."),
            ),
        };
        let dropped = |what: &str| {
            let help = format!(
                "Total number of {what} which were dropped after being read from the WAL before being sent via remote write, either via relabelling, due to being too old or unintentionally because of an unknown reference ID."
            );
            scope.counter_vec(&format!("{PREFIX}{what}_dropped_total"), &help, &["reason"])
        };
        let (samples_dropped, exemplars_dropped) = (dropped("samples"), dropped("exemplars"));
        let histograms_dropped = dropped("histograms");
        let metadata = |what: &str| {
            let help = "Series that were sent with their metadata, which version 2 of the remote write protocol does.";
            counter(&format!("metadata_{what}total"), help)
        };
        // It stands in the requests of the samples.
        counter("metadata_bytes_total", "Bytes of requests with metadata alone, of which there are none.");
        // The queue takes what comes, to memory or to the disk, so nobody has to try twice.
        counter("enqueue_retries_total", "Total number of times enqueue has failed because a shards queue was full.");
        gauge("shards_min", "The minimum number of shards that the queue is allowed to run.")
            .set_u64(limits.min_shards as u64);
        gauge("shards_max", "The maximum number of shards that the queue is allowed to run.")
            .set_u64(limits.max_shards as u64);
        gauge(
            "shard_capacity",
            "The capacity of each shard of the queue used for parallel sending to the remote storage.",
        )
        .set_u64(limits.shard_capacity as u64);
        gauge("max_samples_per_send", "The maximum number of samples to be sent, in a single request, to the remote storage. Note that, when sending of exemplars over remote write is enabled, exemplars count towards this limt.")
            .set_u64(limits.max_samples_per_send as u64);
        Metrics {
            samples: kind("samples"),
            exemplars: kind("exemplars"),
            histograms: kind("histograms"),
            metadata_total: metadata(""),
            metadata_failed: metadata("failed_"),
            metadata_retried: metadata("retried_"),
            histograms_too_old: histograms_dropped.with(&["too_old"]),
            histograms_unsupported: histograms_dropped.with(&["nhcb_in_rw1_not_supported"]),
            histograms_dropped_series: histograms_dropped.with(&["dropped_series"]),
            samples_too_old: samples_dropped.with(&["too_old"]),
            samples_dropped_series: samples_dropped.with(&["dropped_series"]),
            exemplars_dropped_series: exemplars_dropped.with(&["dropped_series"]),
            samples_overflow: samples_dropped.with(&["queue_full"]),
            bytes: counter(
                "bytes_total",
                "The total number of bytes of data (not metadata) sent by the queue after compression. Note that when exemplars over remote write is enabled the exemplars are included in this metric.",
            ),
            sent_batch_duration: scope.histogram(
                &format!("{PREFIX}sent_batch_duration_seconds"),
                "Duration of send calls to the remote storage.",
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0],
            ),
            highest_timestamp: gauge(
                "queue_highest_timestamp_seconds",
                "Highest timestamp that was enqueued, in seconds since epoch. Initialized to 0 when no data has been received yet.",
            ),
            highest_sent_timestamp: gauge(
                "queue_highest_sent_timestamp_seconds",
                "Timestamp from a WAL sample, the highest timestamp successfully sent by this queue, in seconds since epoch. Initialized to 0 when no data has been sent yet.",
            ),
            shards: gauge("shards", "The number of shards used for parallel sending to the remote storage."),
            shards_desired: gauge(
                "shards_desired",
                "The number of shards that the queues shard calculation wants to run based on the rate of samples in vs. samples out.",
            ),
            scope,
            watch: watched.map(|watched| watched(metrics, name, limits)),
        }
    }
}

impl Metrics {
    /// A request of so many items begins to wait (`1.0`) or waits no longer (`-1.0`).
    pub(crate) fn pending(&self, items: u32, counts: Counts, sign: f64) {
        self.samples.pending.add(sign * f64::from(counts.samples(items)));
        self.exemplars.pending.add(sign * f64::from(counts.exemplars));
        self.histograms.pending.add(sign * f64::from(counts.histograms));
    }

    /// An attempt to send a request of so many items.
    pub(crate) fn attempted(&self, items: u32, counts: Counts, bytes: usize) {
        self.samples.total.add(counts.samples(items).into());
        self.exemplars.total.add(counts.exemplars.into());
        self.histograms.total.add(counts.histograms.into());
        self.metadata_total.add(counts.metadata.into());
        self.bytes.add(bytes as u64);
    }

    /// A batch was taken.
    pub(crate) fn came(&self, batch: &SampleBatch) {
        self.tell(Event::Came(batch));
    }

    /// An attempt to send a request has ended, after so long.
    pub(crate) fn tried(&self, took: Duration) {
        self.sent_batch_duration.observe(took.as_secs_f64());
        self.tell(Event::Tried(took.as_secs_f64()));
    }

    /// What came of it; without a status, nobody answered.
    pub(crate) fn answered(&self, items: u32, counts: Counts, status: Option<StatusCode>) {
        self.tell(Event::Answered(signals(items, counts), status));
    }

    /// All that is not younger than this, in milliseconds since 1970, is sent.
    pub(crate) fn reached(&self, timestamp: i64) {
        let highest = self.highest_sent_timestamp.get().max((timestamp / 1000) as f64);
        self.highest_sent_timestamp.set(highest);
        self.tell(Event::Reached(highest));
    }

    /// So many are not sent because of their age.
    pub(crate) fn too_old(&self, samples: u64, histograms: u64) {
        self.samples_too_old.add(samples);
        self.histograms_too_old.add(histograms);
        self.tell(Event::TooOld(samples + histograms));
    }

    /// So many requests may be under way at a time.
    pub(crate) fn shards(&self, count: usize) {
        self.shards_desired.set_u64(count as u64);
        self.shards.set_u64(count as u64);
        self.tell(Event::Shards(count));
    }

    /// It will be tried again.
    pub(crate) fn retried(&self, items: u32, counts: Counts) {
        self.samples.retried.add(counts.samples(items).into());
        self.exemplars.retried.add(counts.exemplars.into());
        self.histograms.retried.add(counts.histograms.into());
        self.metadata_retried.add(counts.metadata.into());
        self.tell(Event::Again(signals(items, counts)));
    }

    /// It will not be tried again, and nothing was taken.
    pub(crate) fn failed(&self, items: u32, counts: Counts) {
        self.samples.failed.add(counts.samples(items).into());
        self.exemplars.failed.add(counts.exemplars.into());
        self.histograms.failed.add(counts.histograms.into());
        self.metadata_failed.add(counts.metadata.into());
        self.tell(Event::Failed(signals(items, counts)));
    }

    fn tell(&self, event: Event<'_>) {
        if let Some(watch) = &self.watch {
            watch.saw(event);
        }
    }
}

/// Samples and histograms among so many items.
fn signals(items: u32, counts: Counts) -> u64 {
    u64::from(items.saturating_sub(counts.exemplars))
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.scope.unregister();
    }
}
