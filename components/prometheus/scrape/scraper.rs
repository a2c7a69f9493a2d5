//! One target, again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_metrics::Histogram;
use base_stdx::PrometheusDuration;
use base_sys::clock;
use sdk_component::Tap;
use sdk_signals::{SampleBatch, Samples, Times};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::failures::FailureLog;
use super::fetch::{Asked, Fetcher, Unfetched, give_room_back};
use super::metrics::Metrics;
use super::page::{Limit, Page, Rules};
use super::target::Target;
use crate::forward::Forward;
use crate::look;
use crate::outages::{Told, shown};

/// Timestamps this close to the schedule are put on it: they compress better. Never more than a hundredth of the interval.
const ALIGNMENT: Duration = Duration::from_millis(2);

const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];
const EXTRA_REPORT: [&str; 3] = ["scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes"];

/// How to scrape; the same for all targets of a component but for the rules' target labels.
pub(crate) struct Manner {
    pub(crate) fetcher: Fetcher,
    pub(crate) rules: Rules,
    pub(crate) extra_metrics: bool,
    /// Why no target may be scraped.
    pub(crate) forbidden: Option<String>,
    /// Where failed scrapes are written down.
    pub(crate) failures: Option<FailureLog>,
}

/// What a target's task is told.
#[derive(Clone)]
pub(crate) enum Order {
    /// This one, in this manner. Its series are those of the target before.
    Scrape(Arc<Manner>, Arc<Target>),
    /// The target is gone: tell the end of its series, unless it comes back soon.
    Retire,
}

/// What a target's task tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    pub(crate) health: &'static str,
    pub(crate) last_error: String,
    /// Nanoseconds since 1970; 0 for never.
    pub(crate) last_scrape: i64,
    pub(crate) last_duration: Duration,
    /// Since when no scrape went well.
    pub(crate) failing_since: Option<Instant>,
}

/// What is said of targets that fail, and can be scraped again.
pub(crate) struct Outages {
    failed: Told,
    ended: Told,
}

pub(crate) struct Scraper {
    pub(crate) target: Arc<Target>,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) forward: Arc<Forward>,
    pub(crate) tap: Tap,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) outages: Arc<Outages>,
    pub(crate) status: Arc<Mutex<Status>>,
    pub(crate) seed: u64,
}

/// What the report says of a scrape.
struct Report {
    up: bool,
    duration: Duration,
    scraped: u64,
    kept: u64,
    added: u64,
    body_bytes: f64,
}

// === impl Outages ===

impl Outages {
    pub(crate) fn new() -> Outages {
        Outages { failed: Told::new(), ended: Told::new() }
    }

    fn failed(&self, url: &str, error: &str) {
        if self.failed.one() {
            tracing::warn!(target = url, err = error, "scrape failed");
        }
    }

    fn ended(&self, url: &str, since: Instant) {
        if self.ended.one() {
            tracing::info!(target = url, failed_for = shown(since.elapsed()), "the target can be scraped again");
        }
    }

    /// Each scrape asks, so what was held back is told soon.
    fn tell_the_rest(&self) {
        if let Some(targets) = self.failed.rest() {
            tracing::warn!(
                targets,
                "scrapes of more targets failed; each is shown with its reason in the debug information of the component"
            );
        }
        if let Some(targets) = self.ended.rest() {
            tracing::info!(targets, "more targets can be scraped again");
        }
    }
}

// === impl Scraper ===

impl Scraper {
    /// Scrapes until the orders end, or until the target has been gone for good.
    pub(crate) async fn run(mut self) {
        let Order::Scrape(mut manner, target) = self.orders.borrow_and_update().clone() else { return };
        self.target = target;
        let mut page = self.page(&manner);
        let mut asked = manner.fetcher.ask(&self.target);
        let (mut ticks, mut schedule_ms) = self.schedule();
        let mut last: Option<Instant> = None;
        let mut lengths: Option<Histogram> = None;
        let mut ever = false;
        loop {
            tokio::select! {
                biased;
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let order = self.orders.borrow_and_update().clone();
                    match order {
                        Order::Scrape(new, target) => {
                            let before = std::mem::replace(&mut self.target, target);
                            if before.interval != self.target.interval {
                                (ticks, schedule_ms) = self.schedule();
                                (last, lengths) = (None, None);
                            }
                            if before.wanted != self.target.wanted {
                                page.forget_texts();
                            }
                            if new.rules != manner.rules || new.extra_metrics != manner.extra_metrics {
                                let alive = page.is_alive();
                                page.forget_texts();
                                if new.extra_metrics != manner.extra_metrics {
                                    if alive {
                                        self.forward(page.ended(clock::now_ms()), None).await;
                                    }
                                    page = self.page(&new);
                                }
                            }
                            // What is as it was keeps its connection.
                            if !Arc::ptr_eq(&manner, &new) || before != self.target {
                                manner = new;
                                asked = manner.fetcher.ask_again(&self.target, &asked);
                            }
                        }
                        Order::Retire => {
                            if !self.retire(&mut page, ever, &mut ticks).await {
                                return;
                            }
                        }
                    }
                }
                due = ticks.tick() => {
                    if let Some(last) = last {
                        let lengths = lengths.get_or_insert_with(|| self.interval_length());
                        lengths.observe((due - last).as_secs_f64());
                    }
                    last = Some(due);
                    ever = true;
                    let time = self.aligned(schedule_ms, clock::now_ms());
                    self.scrape(&manner, &mut asked, &mut page, time).await;
                }
            }
        }
    }

    /// When to scrape, and when that begins, in milliseconds.
    fn schedule(&self) -> (tokio::time::Interval, i64) {
        let first = Instant::now() + self.target.offset(clock::now_ns(), self.seed);
        let mut ticks = tokio::time::interval_at(first, self.target.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        (ticks, clock::now_ms() + first.duration_since(Instant::now()).as_millis() as i64)
    }

    /// Waits whether the target comes back; if not, tells the end of its series, dated to the first scrape that was missed.
    /// True when it has come back.
    async fn retire(&mut self, page: &mut Page, ever: bool, ticks: &mut tokio::time::Interval) -> bool {
        if !ever {
            return false;
        }
        let missed = tokio::select! {
            _ = ticks.tick() => clock::now_ms(),
            changed = self.orders.changed() => {
                self.orders.mark_changed();
                return changed.is_ok();
            }
        };
        let gone = async {
            ticks.tick().await;
            tokio::time::sleep(self.target.interval / 10).await;
        };
        tokio::select! {
            () = gone => {}
            changed = self.orders.changed() => {
                self.orders.mark_changed();
                return changed.is_ok();
            }
        }
        let mut ended = page.ended(missed);
        let report = ended.series.len() - ended.values.len();
        ended.values.extend(std::iter::repeat_n(sdk_signals::STALE, report));
        self.forward(ended, None).await;
        false
    }

    /// How far apart the scrapes of this interval are.
    fn interval_length(&self) -> Histogram {
        let interval = PrometheusDuration(self.target.interval.as_millis() as i64).to_string();
        self.metrics.interval_length.with(&[&interval])
    }

    fn page(&self, manner: &Manner) -> Page {
        let extra = if manner.extra_metrics { &EXTRA_REPORT[..] } else { &[] };
        let report: Vec<&str> = REPORT.iter().chain(extra).copied().collect();
        Page::new(&self.target.labels, &report)
    }

    /// The time of a scrape in milliseconds: that of the schedule, if it is nearly met.
    fn aligned(&self, first_ms: i64, now_ms: i64) -> i64 {
        let interval = self.target.interval.as_millis().max(1) as i64;
        let tolerance = ALIGNMENT.min(self.target.interval / 100).as_millis() as i64;
        let off = (now_ms - first_ms).rem_euclid(interval);
        match off {
            off if off <= tolerance => now_ms - off,
            off if interval - off <= tolerance => now_ms + interval - off,
            _ => now_ms,
        }
    }

    async fn scrape(&self, manner: &Manner, asked: &mut Asked, page: &mut Page, time: i64) {
        let start = Instant::now();
        let fetched = match &manner.forbidden {
            Some(reason) => Err(Unfetched { reason: reason.clone(), too_large: false }),
            None => manner.fetcher.fetch(&self.target, asked).await,
        };
        let mut report = Report { up: false, duration: Duration::ZERO, scraped: 0, kept: 0, added: 0, body_bytes: 0.0 };
        let (samples, error) = match fetched {
            Err(error) => {
                if error.too_large {
                    self.metrics.exceeded_body_size.inc();
                    report.body_bytes = -1.0;
                }
                (page.ended(time), Some(error.reason))
            }
            Ok(fetched) => {
                report.body_bytes = fetched.body.len() as f64;
                // Labels of the target are part of the rules, but each target has its own.
                let read = page.read(&fetched.body, fetched.format, &self.rules(manner), time);
                give_room_back(fetched.body);
                match read {
                    Ok(scraped) => {
                        self.metrics.duplicates.add(scraped.duplicates);
                        self.metrics.out_of_bounds.add(scraped.out_of_bounds);
                        report = Report {
                            up: true,
                            scraped: scraped.scraped,
                            kept: scraped.scraped,
                            added: scraped.added,
                            ..report
                        };
                        (scraped.samples, None)
                    }
                    Err(failure) => {
                        match failure.limit {
                            Some(Limit::Samples) => self.metrics.exceeded_samples.inc(),
                            Some(Limit::Buckets) => self.metrics.exceeded_buckets.inc(),
                            Some(Limit::Labels) => self.metrics.exceeded_label_limits.inc(),
                            None => {}
                        }
                        (report.scraped, report.kept, report.added) = (failure.scraped, failure.kept, failure.added);
                        (page.ended(time), Some(failure.reason))
                    }
                }
            }
        };
        report.duration = start.elapsed();
        self.metrics.scrape_duration.observe(report.duration.as_secs_f64());
        if let (Some(failures), Some(error)) = (&manner.failures, &error) {
            failures.tell(&self.target.url, error);
        }
        self.tell(&error, report.duration);
        self.forward(samples, Some((report, manner, time))).await;
    }

    fn rules(&self, manner: &Manner) -> Rules {
        Rules { target: self.target.labels.clone(), wanted: self.target.wanted, ..manner.rules.clone() }
    }

    fn tell(&self, error: &Option<String>, duration: Duration) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let failing_since = match error {
            Some(error) => {
                if status.failing_since.is_none() {
                    self.outages.failed(&self.target.url, error);
                }
                status.failing_since.or_else(|| Some(Instant::now()))
            }
            None => {
                if let Some(since) = status.failing_since {
                    self.outages.ended(&self.target.url, since);
                }
                None
            }
        };
        self.outages.tell_the_rest();
        *status = Status {
            health: if error.is_none() { "up" } else { "down" },
            last_error: error.clone().unwrap_or_default(),
            last_scrape: clock::now_ns(),
            last_duration: duration,
            failing_since,
        };
    }

    /// Fills in the report and hands the batch on.
    async fn forward(&self, mut samples: Samples, report: Option<(Report, &Manner, i64)>) {
        if let Some((report, manner, time)) = report {
            samples.values.extend([
                f64::from(u8::from(report.up)),
                report.duration.as_secs_f64(),
                report.scraped as f64,
                report.kept as f64,
                report.added as f64,
            ]);
            if manner.extra_metrics {
                let timeout = self.target.timeout.as_secs_f64();
                samples.values.extend([timeout, manner.rules.sample_limit as f64, report.body_bytes]);
            }
            if let Times::Each(times) = &mut samples.times {
                times.resize(samples.values.len(), time);
            }
        } else {
            // Only ends of series: the report says nothing.
            let kept = samples.values.len();
            if kept < samples.series.len() {
                samples.series = samples.series[..kept].into();
            }
        }
        if samples.values.is_empty() {
            return;
        }
        let batch = SampleBatch::new(samples);
        look::at_batch(&self.tap, &batch);
        match self.forward.consume(batch).await {
            // A scrape keeps no position: what was lost comes again with the next one.
            Ok(delivery) => delivery.detach(),
            Err(refused) => tracing::warn!(target = self.target.url, err = %refused, "scraped samples were not taken"),
        }
    }
}
