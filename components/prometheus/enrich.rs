//! `prometheus.enrich`: adds the labels of a target to the samples that belong to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use language_eval::{Arguments, Exports, Invalid, Target, Validate};
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Tap, Update};
use sdk_labels::{Labels, LabelsBuilder};
use sdk_signals::{BoxFuture, Consumer, Delivery, MetricsReceiver, Receiver, Refused, SampleBatch};

use crate::forward::Forward;
use crate::look;
use crate::rewrite::{Cache, Rewriting};

/// Adds labels of targets to samples.
///
/// A sample belongs to the target whose labels have the values of the sample's labels that they are matched with; of several
/// such targets the last one counts. Samples without one of these labels, and samples of no target, go on as they are.
#[derive(Arguments)]
#[block(validate)]
pub struct EnrichArguments {
    /// What discovery found.
    #[attr]
    targets: Vec<Target>,
    /// Which labels to match by: the label of samples, by that of targets. All of them must match.
    #[attr(optional)]
    target_to_metric_match: BTreeMap<String, String>,
    /// The one label of targets to match by, where `target_to_metric_match` is not set.
    #[attr(optional)]
    target_match_label: String,
    /// The label of samples that goes with it; empty means the same.
    #[attr(optional)]
    metrics_match_label: String,
    /// Labels to copy; without a list all of them, also internal ones.
    #[attr(optional)]
    labels_to_copy: Vec<String>,
    /// Where the samples go.
    #[attr]
    forward_to: Vec<MetricsReceiver>,
}

/// What others may refer to.
#[derive(Exports)]
pub struct EnrichExports {
    /// Takes the samples to enrich.
    receiver: MetricsReceiver,
}

/// The component.
pub struct Enrich {
    enricher: Arc<Enricher>,
    receiver: MetricsReceiver,
}

/// The consumer behind the exported receiver.
struct Enricher {
    component: String,
    forward: Forward,
    tap: Tap,
    wanted: Mutex<Wanted>,
    ended: AtomicBool,
}

struct Wanted {
    /// What became of the series that were seen.
    cache: Cache,
    /// Targets to match.
    targets: usize,
}

/// What to add to which series.
struct Enrichment {
    /// The labels of series to match by.
    matched: Vec<String>,
    /// What to set, by the values of these labels.
    additions: HashMap<Vec<String>, Vec<(String, String)>, RandomState>,
}

/// Series that are remembered.
const REMEMBERED: usize = 100_000;

// === impl Enrich ===

impl Component for Enrich {
    const NAME: &'static str = "prometheus.enrich";
    const STABILITY: Stability = Stability::Experimental;

    type Arguments = EnrichArguments;
    type Exports = EnrichExports;

    fn build(context: &Context, arguments: EnrichArguments) -> Result<Enrich, Problem> {
        let enricher = Arc::new(Enricher {
            component: context.local_id().to_owned(),
            wanted: Mutex::new(arguments.wanted()),
            forward: Forward::new(context.metrics(), arguments.forward_to),
            tap: context.tap(),
            ended: AtomicBool::new(false),
        });
        let sized = Arc::downgrade(&enricher);
        context.metrics().collect(Box::new(move |page| {
            let targets = sized.upgrade().map_or(0, |enricher| enricher.lock().targets);
            page.gauge("alloy_prometheus_target_cache_size", "Total size of targets cache", targets as f64);
        }));
        let receiver = MetricsReceiver(Receiver::new(context.id(), enricher.clone()));
        context.publish(&EnrichExports { receiver: receiver.clone() });
        Ok(Enrich { enricher, receiver })
    }

    fn update(&self, arguments: EnrichArguments) -> Result<Update, Problem> {
        let enricher = self.enricher.clone();
        let exports = EnrichExports { receiver: self.receiver.clone() };
        Ok(Update::exporting(&exports, move || {
            *enricher.lock() = arguments.wanted();
            enricher.forward.replace(arguments.forward_to);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.enricher.ended.store(false, Ordering::Relaxed);
        stop.stopped().await;
        self.enricher.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Validate for EnrichArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if !self.target_to_metric_match.is_empty() || !self.target_match_label.is_empty() {
            return Ok(());
        }
        Err(Invalid::block(match self.metrics_match_label.is_empty() {
            true => "at least one match mechanism must be specified: set target_match_label or target_to_metric_match",
            false => "target_match_label must be set when using legacy match fields",
        }))
    }
}

impl EnrichArguments {
    fn wanted(&self) -> Wanted {
        let single = match self.metrics_match_label.as_str() {
            "" => (&self.target_match_label, &self.target_match_label),
            _ => (&self.target_match_label, &self.metrics_match_label),
        };
        let pairs: Vec<(&String, &String)> = match self.target_to_metric_match.is_empty() {
            true => vec![single],
            false => self.target_to_metric_match.iter().collect(),
        };
        let added = |target: &Target| -> Vec<(String, String)> {
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            match self.labels_to_copy.is_empty() {
                true => target.iter().map(owned).collect(),
                false => {
                    let named = self.labels_to_copy.iter();
                    named.filter_map(|name| Some(owned((name, target.get(name)?)))).collect()
                }
            }
        };
        let mut additions = HashMap::default();
        for target in &self.targets {
            let value =
                |(name, _): &(&String, &String)| target.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
            if let Some(values) = pairs.iter().map(value).collect::<Option<Vec<String>>>() {
                additions.insert(values, added(target));
            }
        }
        let targets = additions.len();
        let matched = pairs.into_iter().map(|(_, of_series)| of_series.clone()).collect();
        Wanted { cache: Cache::of_size(Enrichment { matched, additions }, REMEMBERED), targets }
    }
}

// === impl Enrichment ===

impl Rewriting for Enrichment {
    fn apply(&self, labels: &Labels, builder: &mut LabelsBuilder) -> bool {
        builder.reset(labels);
        let value = |name: &String| labels.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let values = self.matched.iter().map(value).collect::<Option<Vec<String>>>();
        for (name, value) in values.and_then(|values| self.additions.get(&values)).into_iter().flatten() {
            builder.set(name, value);
        }
        true
    }
}

// === impl Enricher ===

impl Enricher {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        // The cache may have forgotten something if its holder panicked, and that is all.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer<SampleBatch> for Enricher {
    fn consume(&self, batch: SampleBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(&self.component));
            }
            let (enriched, _) = self.lock().cache.relabel(&batch);
            look::at_relabelling(&self.tap, &batch, &enriched, |labels| self.lock().cache.preview(labels));
            self.forward.consume(enriched).await
        })
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{Object, Scope, ToValue as _, Value};
    use sdk_series::Series;
    use sdk_signals::Sample;
    use sdk_testing::collector::Collector;
    use sdk_testing::component::{Alone, scope};

    use super::*;

    fn target(pairs: &[(&str, &str)]) -> Value {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_value()));
        Value::Object(pairs.collect::<Object>())
    }

    fn receiver(alone: &Alone<Enrich>) -> MetricsReceiver {
        let Some(Value::Capsule(capsule)) = alone.export("receiver") else { panic!("no receiver") };
        capsule.downcast_ref::<MetricsReceiver>().expect("it").clone()
    }

    fn batch(labels: &[(&str, &str)]) -> SampleBatch {
        let series = Series::of(&Labels::from_pairs(labels.iter().copied()));
        [Sample { series, timestamp: 1, value: 2.0 }].into_iter().collect()
    }

    async fn enriched(options: &str, labels: &[(&str, &str)]) -> String {
        let (collector, next) = Collector::<SampleBatch>::new();
        let targets = vec![
            target(&[("ip", "1"), ("env", "old")]),
            target(&[("ip", "1"), ("port", "80"), ("env", "prod"), ("__meta_x", "m"), ("team", "")]),
            target(&[("env", "none")]),
        ];
        let scope = scope([("next", MetricsReceiver(next).to_value()), ("found", Value::Array(targets.into()))]);
        let config = format!("forward_to = [next]\ntargets = found\n{options}");
        let alone = Alone::<Enrich>::start(&config, &scope).expect("it starts");
        let receiver = receiver(&alone);
        receiver.0.consume(batch(labels)).await.expect("taken").detach();
        let shown = format!("{:?}", collector.batches()[0].series);
        shown.trim_matches(['[', ']']).to_owned()
    }

    #[tokio::test]
    async fn the_last_target_that_matches_gives_its_labels() {
        let all = r#"{__meta_x="m", env="prod", ip="1", port="80"}"#;
        assert_eq!(enriched("target_match_label = \"ip\"", &[("ip", "1"), ("env", "mine")]).await, all);
        let other =
            "target_match_label = \"ip\"\nmetrics_match_label = \"host\"\nlabels_to_copy = [\"env\", \"nothing\"]";
        assert_eq!(enriched(other, &[("host", "1"), ("team", "a")]).await, r#"{env="prod", host="1", team="a"}"#);
        let both = "target_to_metric_match = { \"ip\" = \"host\", \"port\" = \"p\" }\nlabels_to_copy = [\"env\"]\ntarget_match_label = \"team\"";
        assert_eq!(enriched(both, &[("host", "1"), ("p", "80")]).await, r#"{env="prod", host="1", p="80"}"#);
        assert_eq!(enriched(both, &[("host", "1")]).await, r#"{host="1"}"#);
    }

    #[tokio::test]
    async fn series_of_no_target_go_on_as_they_are() {
        assert_eq!(enriched("target_match_label = \"ip\"", &[("ip", "2")]).await, r#"{ip="2"}"#);
        assert_eq!(enriched("target_match_label = \"ip\"", &[("app", "a")]).await, r#"{app="a"}"#);
    }

    #[tokio::test]
    async fn what_was_remembered_ends_with_the_targets() {
        let (collector, next) = Collector::<SampleBatch>::new();
        let with = |env: &str| {
            let targets = vec![target(&[("ip", "1"), ("env", env)])];
            scope([("next", MetricsReceiver(next.clone()).to_value()), ("found", Value::Array(targets.into()))])
        };
        let config = "forward_to = [next]\ntargets = found\ntarget_match_label = \"ip\"";
        let mut alone = Alone::<Enrich>::start(config, &with("a")).expect("it starts");
        let receiver = receiver(&alone);
        let batch = batch(&[("ip", "1")]);
        receiver.0.consume(batch.clone()).await.expect("taken").detach();
        assert_eq!(alone.metric("alloy_prometheus_target_cache_size", &[]), Some(1.0));
        alone.update(config, &with("b")).expect("good arguments");
        receiver.0.consume(batch.clone()).await.expect("taken").detach();
        let shown: Vec<String> = collector.batches().iter().map(|batch| format!("{:?}", batch.series)).collect();
        assert_eq!(shown, [r#"[{env="a", ip="1"}]"#, r#"[{env="b", ip="1"}]"#]);
        alone.stop().await.expect("it stops");
        assert!(receiver.0.consume(batch).await.is_err(), "it is gone");
    }

    #[test]
    fn it_must_say_what_to_match_by() {
        for (arguments, expect) in [
            ("", "at least one match mechanism must be specified"),
            ("metrics_match_label = \"a\"", "target_match_label must be set"),
        ] {
            let error =
                Alone::<Enrich>::build(&format!("forward_to = []\ntargets = []\n{arguments}"), &Scope::new()).err();
            assert!(error.as_ref().is_some_and(|error| error.contains(expect)), "{arguments}: {error:?}");
        }
    }
}
