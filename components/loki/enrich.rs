//! `loki.enrich`: adds the labels of a target to the log lines that belong to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use language_eval::{Arguments, Exports, Target};
use sdk_component::{Component, Context, Problem, Stability, Stop, Stopped, Update};
use sdk_labels::Labels;
use sdk_signals::{BoxFuture, Consumer, Delivery, FanOut, LogBatch, LogsReceiver, Receiver, Refused};

/// Adds labels of targets to log lines.
///
/// A line belongs to the target whose label `target_match_label` has the value of the line's label `logs_match_label`; of
/// several such targets the last one counts. Lines without the label, and lines of no target, go on as they are.
#[derive(Arguments)]
pub struct EnrichArguments {
    /// What discovery found.
    #[attr]
    targets: Vec<Target>,
    /// The label of targets to match by.
    #[attr]
    target_match_label: String,
    /// The label of lines to match by; empty means the same as of targets.
    #[attr(optional)]
    logs_match_label: String,
    /// Labels to copy, where they are not empty; without a list all of them, also internal ones.
    #[attr(optional)]
    labels_to_copy: Vec<String>,
    /// Where the lines go.
    #[attr]
    forward_to: Vec<LogsReceiver>,
}

/// What others may refer to.
#[derive(Exports)]
pub struct EnrichExports {
    /// Takes the lines to enrich.
    receiver: LogsReceiver,
}

/// The component.
pub struct Enrich {
    context: Context,
    enricher: Arc<Enricher>,
    receiver: LogsReceiver,
}

/// The consumer behind the exported receiver.
struct Enricher {
    component: String,
    wanted: Mutex<Arc<Wanted>>,
    ended: AtomicBool,
}

struct Wanted {
    forward_to: FanOut<LogBatch>,
    match_label: String,
    /// What to add, by the value of the label to match by.
    additions: HashMap<String, Labels, RandomState>,
}

// === impl Enrich ===

impl Component for Enrich {
    const NAME: &'static str = "loki.enrich";
    const STABILITY: Stability = Stability::Experimental;

    type Arguments = EnrichArguments;
    type Exports = EnrichExports;

    fn build(context: &Context, arguments: EnrichArguments) -> Result<Enrich, Problem> {
        let enricher = Arc::new(Enricher {
            component: context.local_id().to_owned(),
            wanted: Mutex::new(Arc::new(arguments.into_wanted(context))),
            ended: AtomicBool::new(false),
        });
        let receiver = LogsReceiver(Receiver::new(context.id(), enricher.clone() as Arc<dyn Consumer<LogBatch>>));
        context.publish(&EnrichExports { receiver: receiver.clone() });
        Ok(Enrich { context: context.clone(), enricher, receiver })
    }

    fn update(&self, arguments: EnrichArguments) -> Result<Update, Problem> {
        let enricher = self.enricher.clone();
        let exports = EnrichExports { receiver: self.receiver.clone() };
        let wanted = Arc::new(arguments.into_wanted(&self.context));
        Ok(Update::exporting(&exports, move || {
            *enricher.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        self.enricher.ended.store(false, Ordering::Relaxed);
        stop.stopped().await;
        self.enricher.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl EnrichArguments {
    fn into_wanted(self, context: &Context) -> Wanted {
        let copied = |target: &Target| match self.labels_to_copy.is_empty() {
            true => Labels::from_pairs(target.iter()),
            false => {
                let named = self.labels_to_copy.iter().filter_map(|name| Some((name.as_str(), target.get(name)?)));
                Labels::from_pairs(named.filter(|(_, value)| !value.is_empty()))
            }
        };
        let mut additions = HashMap::default();
        for target in &self.targets {
            if let Some(value) = target.get(&self.target_match_label).filter(|value| !value.is_empty()) {
                additions.insert(value.to_owned(), copied(target));
            }
        }
        Wanted {
            additions,
            match_label: if self.logs_match_label.is_empty() { self.target_match_label } else { self.logs_match_label },
            forward_to: FanOut::new(self.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
        }
    }
}

// === impl Enricher ===

impl Consumer<LogBatch> for Enricher {
    fn consume(&self, mut batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(&self.component));
            }
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for group in &mut batch.groups {
                let value = group.labels.get(&wanted.match_label);
                if let Some(addition) = value.and_then(|value| wanted.additions.get(value)) {
                    group.labels = Labels::from_pairs(group.labels.iter().chain(addition.iter()));
                }
            }
            wanted.forward_to.consume(batch).await
        })
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{FromValue, Object, ToValue, Value};
    use sdk_signals::LogEntry;
    use sdk_testing::collector::Collector;
    use sdk_testing::component::{Alone, scope};

    use super::*;

    async fn enriched(options: &str, labels: &[(&str, &str)]) -> String {
        let (collector, receiver) = Collector::new();
        let target = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_value()));
            Value::Object(pairs.collect::<Object>())
        };
        let targets = vec![
            target(&[("ip", "1"), ("env", "old")]),
            target(&[("ip", "1"), ("env", "prod"), ("__meta_x", "m"), ("team", "")]),
            target(&[("env", "none")]),
        ];
        let scope = scope([
            ("sink", Value::Array(vec![LogsReceiver(receiver).to_value()].into())),
            ("found", Value::Array(targets.into())),
        ]);
        let config = format!("forward_to = sink\ntargets = found\ntarget_match_label = \"ip\"\n{options}");
        let alone = Alone::<Enrich>::build(&config, &scope).unwrap();
        let receiver = LogsReceiver::from_value(&alone.export("receiver").unwrap()).unwrap();
        let labels = Labels::from_pairs(labels.iter().copied());
        receiver.0.consume(LogBatch::of(labels, vec![LogEntry::new(1, "x".to_owned())])).await.unwrap().detach();
        collector.take()[0].groups[0].labels.to_string()
    }

    #[tokio::test]
    async fn the_last_target_that_matches_gives_its_labels() {
        assert_eq!(
            enriched("", &[("ip", "1"), ("env", "mine")]).await,
            r#"{__meta_x="m", env="prod", ip="1", team=""}"#
        );
        let chosen = "logs_match_label = \"host\"\nlabels_to_copy = [\"env\", \"team\", \"nothing\"]";
        assert_eq!(enriched(chosen, &[("host", "1")]).await, r#"{env="prod", host="1"}"#);
    }

    #[tokio::test]
    async fn lines_of_no_target_go_on_as_they_are() {
        assert_eq!(enriched("", &[("ip", "2")]).await, r#"{ip="2"}"#);
        assert_eq!(enriched("", &[("app", "a")]).await, r#"{app="a"}"#);
    }
}
