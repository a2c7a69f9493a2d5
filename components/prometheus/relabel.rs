//! `prometheus.relabel`: rewrites the labels of samples, and drops samples.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base_metrics::Counter;
use base_stdx::GoDuration;
use language_eval::{Arguments, Exports, Invalid, Validate};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Tap, Update};
use sdk_relabel::{NameRule, Rule, Rules};
use sdk_signals::{BoxFuture, Consumer, Delivery, MetricsReceiver, Receiver, Refused, SampleBatch};

use crate::forward::Forward;
use crate::look;
use crate::rewrite::{Cache, Rewrite};

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
    #[attr(default = GoDuration::ZERO)]
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
    tap: Tap,
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
            tap: context.tap(),
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
            Some(ttl) if !ttl.is_zero() => Cache::for_time(Rewrite::by(self.rules()), ttl),
            _ => Cache::of_size(Rewrite::by(self.rules()), usize::try_from(self.max_cache_size).unwrap_or(0)),
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
            look::at_relabelling(&self.tap, &batch, &relabelled, |labels| self.lock().preview(labels));
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

#[cfg(test)]
mod tests {
    use language_eval::{Scope, Value};
    use sdk_labels::Labels;
    use sdk_series::Series;
    use sdk_signals::Sample;
    use sdk_testing::collector::Collector;
    use sdk_testing::component::{Alone, scope};

    use super::*;

    #[tokio::test]
    async fn samples_are_relabelled_counted_and_handed_on() {
        let (collector, receiver) = Collector::<SampleBatch>::new();
        let next = language_eval::ToValue::to_value(&MetricsReceiver(receiver));
        let config = |to: &str| {
            format!(
                "forward_to = [next]\nrule {{\ntarget_label = \"to\"\nreplacement = {to:?}\n}}\nrule {{\nsource_labels = [\"__name__\"]\nregex = \"b\"\naction = \"drop\"\n}}"
            )
        };
        let scope = scope([("next", next)]);
        let mut alone = Alone::<Relabel>::start(&config("x"), &scope).expect("it starts");
        let Some(Value::Capsule(capsule)) = alone.export("receiver") else { panic!("no receiver") };
        let receiver = capsule.downcast_ref::<MetricsReceiver>().expect("it").clone();
        let batch = || -> SampleBatch {
            let series = |name: &str| Series::of(&Labels::from_pairs([("__name__", name)]));
            ["a", "b"].iter().map(|name| Sample { series: series(name), timestamp: 1, value: 2.0 }).collect()
        };
        receiver.0.consume(batch()).await.expect("taken").detach();
        alone.update(&config("y"), &scope).expect("good arguments");
        receiver.0.consume(batch()).await.expect("taken").detach();
        let shown: Vec<String> = collector.batches().iter().map(|batch| format!("{:?}", batch.series)).collect();
        assert_eq!(shown, [r#"[{__name__="a", to="x"}]"#, r#"[{__name__="a", to="y"}]"#]);
        let metric = |name: &str| alone.metric(&format!("alloy_prometheus_relabel_{name}"), &[]);
        assert_eq!((metric("metrics_processed"), metric("metrics_written")), (Some(4.0), Some(2.0)));
        alone.stop().await.expect("it stops");
        assert!(receiver.0.consume(batch()).await.is_err(), "it is gone");
    }

    #[test]
    fn the_cache_is_bounded_in_one_way() {
        for (arguments, expect) in [
            ("max_cache_size = 0", "one of max_cache_size or cache_ttl must be set"),
            ("max_cache_size = -1", "max_cache_size must be >= 0; got -1"),
            ("cache_ttl = \"5m\"", "mutually exclusive"),
            ("max_cache_size = 0\ncache_ttl = \"5s\"", "cache_ttl must be at least 1m0s when set; got 5s"),
        ] {
            let error = Alone::<Relabel>::build(&format!("forward_to = []\n{arguments}"), &Scope::new()).err();
            assert!(error.as_ref().is_some_and(|error| error.contains(expect)), "{arguments}: {error:?}");
        }
        assert!(
            Alone::<Relabel>::build("forward_to = []\nmax_cache_size = 0\ncache_ttl = \"5m\"", &Scope::new()).is_ok()
        );
    }
}
