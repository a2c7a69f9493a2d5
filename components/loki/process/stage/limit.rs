//! `stage.limit`: so many lines a second.

use std::sync::Arc;
use std::time::Duration;

use base_metrics::{Counter, CounterVec};
use language_eval::Block;
use sdk_component::Problem;
use tokio::time::Instant;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::work::Work;
use crate::recent::Recent;

/// Fewer values are not worth forgetting any.
const MIN_DISTINCT_LABELS: i64 = 10_000;

/// Lets so many lines a second pass.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct LimitStage {
    /// Lines a second.
    #[attr]
    rate: f64,
    /// Lines that may pass at once.
    #[attr]
    burst: i64,
    /// Drop lines over the limit, rather than wait.
    #[attr(default = false)]
    drop: bool,
    /// A limit of its own for each value of this label; lines without it pass.
    #[attr(optional)]
    by_label_name: String,
    /// About how many values of the label are remembered; at least 10,000.
    #[attr(optional)]
    max_distinct_labels: i64,
}

/// A token bucket.
struct Bucket {
    tokens: f64,
    filled: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    burst: f64,
}

enum Limit {
    Wait(Rate, Bucket),
    Drop(Rate, Bucket, Counter),
    DropByLabel { rate: Rate, name: String, buckets: Recent<Arc<str>, Bucket>, dropped: Counter, by_label: CounterVec },
}

impl StageConfig for LimitStage {
    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.rate.is_nan() || self.rate <= 0.0 || self.burst <= 0 {
            return Err(Problem::new("limit stage failed to parse rate or burst"));
        }
        let rate = Rate { per_second: self.rate, burst: self.burst as f64 };
        let bucket = Bucket { tokens: rate.burst, filled: None };
        let by_label = !self.by_label_name.is_empty();
        Ok(Box::new(match (self.drop, by_label) {
            (false, true) => {
                return Err(Problem::at("by_label_name", "when ratelimiting by label, drop must be true"));
            }
            (false, false) => Limit::Wait(rate, bucket),
            (true, false) => Limit::Drop(rate, bucket, site.dropped_for("ratelimit_drop_stage")),
            (true, true) => Limit::DropByLabel {
                rate,
                name: self.by_label_name.clone(),
                buckets: Recent::new(self.max_distinct_labels.max(MIN_DISTINCT_LABELS) as usize),
                dropped: site.dropped_for("ratelimit_drop_stage"),
                by_label: site.metrics.counter_vec(
                    "loki_process_dropped_lines_by_label_total",
                    "A count of all log lines dropped as a result of a pipeline stage",
                    &["label_name", "label_value"],
                ),
            },
        }))
    }
}

// === impl Limit ===

impl Stage for Limit {
    fn run(&mut self, work: &mut Work) {
        let now = work.now;
        match self {
            // The batch is kept back until its last line may pass, and whoever sent it waits.
            Limit::Wait(rate, bucket) => {
                bucket.fill(*rate, now);
                bucket.tokens -= work.lines.len() as f64;
                if bucket.tokens < 0.0 {
                    let wait = Duration::try_from_secs_f64(-bucket.tokens / rate.per_second).unwrap_or(Duration::MAX);
                    work.delay = work.delay.max(wait);
                }
            }
            Limit::Drop(rate, bucket, dropped) => {
                let before = work.lines.len();
                work.lines.retain(|_| bucket.take(*rate, now));
                dropped.add((before - work.lines.len()) as u64);
            }
            Limit::DropByLabel { rate, name, buckets, dropped, by_label } => {
                let Work { lines, streams, .. } = work;
                lines.retain(|line| {
                    let Some(value) = streams.labels(line.stream).get(name) else { return true };
                    let key: Arc<str> = value.into();
                    if buckets.get(&key).is_none() {
                        let turned = buckets.insert(key.clone(), Bucket { tokens: rate.burst, filled: None });
                        if turned {
                            by_label.clear();
                        }
                    }
                    let passes = buckets.get(&key).is_none_or(|bucket| bucket.take(*rate, now));
                    if !passes {
                        dropped.inc();
                        by_label.with(&[name, value]).inc();
                    }
                    passes
                });
            }
        }
    }
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = self.filled.map_or(0.0, |filled| now.duration_since(filled).as_secs_f64());
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst);
        self.filled = Some(now);
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        let passes = self.tokens >= 1.0;
        if passes {
            self.tokens -= 1.0;
        }
        passes
    }
}
