//! `prometheus.relabel`: rewrites the labels of samples, and drops samples.

mod cache;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base_metrics::Counter;
use base_stdx::GoDuration;
use language_eval::{Arguments, Exports, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Update};
use sdk_relabel::{NameRule, Rule, Rules};
use sdk_signals::{BoxFuture, Consumer, Delivery, MetricsReceiver, Receiver, Refused, SampleBatch};

use crate::forward::Forward;
use cache::Cache;

const LEAST_TTL: GoDuration = GoDuration::from_secs(60);

/// Rewrites the labels of samples by rules, and drops the samples that a rule drops or that are left without labels.
///
/// What the rules make of a series is remembered, so a series that is seen again costs next to nothing.
#[derive(Arguments, Clone, Debug)]
#[block(validate)]
pub struct RelabelArguments {
    /// Where the samples go.
    #[attr]
    forward_to: Vec<MetricsReceiver>,
    /// What to do with each series, in order.
    #[block]
    rule: Vec<Rule>,
    /// How many series are remembered; 0 with `cache_ttl`.
    #[attr(default = 100_000)]
    max_cache_size: i64,
    /// How long a series that is not seen is remembered, instead of a number of them; at least a minute.
    #[attr(optional)]
    cache_ttl: GoDuration,
}

/// What others may refer to.
#[derive(Exports)]
pub struct RelabelExports {
    /// Takes the samples to relabel.
    receiver: MetricsReceiver,
    /// The rules, for components that relabel on their own.
    rules: Rules,
}

/// The component.
pub struct Relabel {
    relabeller: Arc<Relabeller>,
    receiver: MetricsReceiver,
}

/// The consumer behind the exported receiver.
struct Relabeller {
    component: String,
    forward: Forward,
    cache: Mutex<Cache>,
    counters: Counters,
    ended: AtomicBool,
}

struct Counters {
    processed: Counter,
    written: Counter,
    hits: Counter,
    misses: Counter,
    deletes: Counter,
    ttl_evictions: Counter,
}

impl Component for Relabel {
    const NAME: &'static str = "prometheus.relabel";

    type Arguments = RelabelArguments;
    type Exports = RelabelExports;

    fn build(context: &Context, arguments: RelabelArguments) -> Result<Relabel, Problem> {
        let metrics = context.metrics();
        let counter = |name: &str, help: &str| metrics.counter(&format!("alloy_prometheus_relabel_{name}"), help);
        let relabeller = Arc::new(Relabeller {
            component: context.local_id().to_owned(),
            cache: Mutex::new(arguments.cache()),
            counters: Counters {
                processed: counter("metrics_processed", "Total number of metrics processed"),
                written: counter("metrics_written", "Total number of metrics written"),
                hits: counter("cache_hits", "Total number of cache hits"),
                misses: counter("cache_misses", "Total number of cache misses"),
                deletes: counter("cache_deletes", "Total number of cache deletes"),
                ttl_evictions: counter(
                    "cache_ttl_evictions",
                    "Number of relabel cache entries removed by the periodic TTL scan. Always 0 when cache_ttl is unset.",
                ),
            },
            ended: AtomicBool::new(false),
            forward: Forward::new(metrics, arguments.forward_to.clone()),
        });
        let sized = Arc::downgrade(&relabeller);
        metrics.collect(Box::new(move |page| {
            let size = sized.upgrade().map_or(0, |relabeller| relabeller.lock().len());
            page.gauge("alloy_prometheus_relabel_cache_size", "Total size of relabel cache.", size as f64);
        }));
        let receiver = MetricsReceiver(Receiver::new(context.id(), relabeller.clone()));
        context.publish(&RelabelExports { receiver: receiver.clone(), rules: arguments.rules() });
        Ok(Relabel { relabeller, receiver })
    }

    fn update(&self, arguments: RelabelArguments) -> Result<Update, Problem> {
        let relabeller = self.relabeller.clone();
        let exports = RelabelExports { receiver: self.receiver.clone(), rules: arguments.rules() };
        Ok(Update::exporting(&exports, move || {
            *relabeller.lock() = arguments.cache();
            relabeller.forward.replace(arguments.forward_to);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.relabeller.ended.store(false, Ordering::Relaxed);
        stop.stopped().await;
        self.relabeller.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl RelabelArguments {
    fn rules(&self) -> Rules {
        Rules::new(self.rule.clone(), NameRule::Legacy)
    }

    fn cache(&self) -> Cache {
        match self.cache_ttl.to_std() {
            Some(ttl) if !ttl.is_zero() => Cache::for_time(self.rules(), ttl),
            _ => Cache::of_size(self.rules(), usize::try_from(self.max_cache_size).unwrap_or(0)),
        }
    }
}

impl Validate for RelabelArguments {
    fn validate(&self) -> Result<(), Invalid> {
        let (size, ttl) = (self.max_cache_size, self.cache_ttl);
        if size < 0 {
            return Err(Invalid::field("max_cache_size", format!("max_cache_size must be >= 0; got {size}")));
        }
        if ttl < GoDuration::ZERO {
            return Err(Invalid::field("cache_ttl", format!("cache_ttl must be >= 0; got {ttl}")));
        }
        if size > 0 && ttl > GoDuration::ZERO {
            let message = "max_cache_size and cache_ttl are mutually exclusive: set max_cache_size = 0 to use cache_ttl, \
                           or unset cache_ttl to keep the bounded LRU cache";
            return Err(Invalid::field("cache_ttl", message));
        }
        if size == 0 && ttl == GoDuration::ZERO {
            return Err(Invalid::block("one of max_cache_size or cache_ttl must be set"));
        }
        if ttl > GoDuration::ZERO && ttl < LEAST_TTL {
            let message = format!("cache_ttl must be at least {LEAST_TTL} when set; got {ttl}");
            return Err(Invalid::field("cache_ttl", message));
        }
        Ok(())
    }
}

impl Consumer<SampleBatch> for Relabeller {
    fn consume(&self, batch: SampleBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(&self.component));
            }
            let rows = batch.len();
            let (relabelled, looked) = self.lock().relabel(&batch);
            let counters = &self.counters;
            counters.processed.add(rows as u64);
            counters.written.add(relabelled.len() as u64);
            counters.hits.add(looked.hits);
            counters.misses.add(looked.misses);
            counters.deletes.add(looked.deletes);
            counters.ttl_evictions.add(looked.expired);
            if relabelled.is_empty() {
                // Dropped by the user's own rules, and counted by the two counters above.
                return Ok(Delivery::dropped());
            }
            self.forward.consume(relabelled).await
        })
    }
}

impl Relabeller {
    fn lock(&self) -> MutexGuard<'_, Cache> {
        // The cache may have forgotten something if its holder panicked, and that is all.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
