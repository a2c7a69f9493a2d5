//! `loki.relabel`: rewrites the labels of log lines, and drops lines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base_metrics::Counter;
use language_eval::{Arguments, Exports, Invalid, Validate};
use sdk_component::{Component, Context, Look, Problem, Stop, Stopped, Tap, Update};
use sdk_labels::Labels;
use sdk_relabel::{NameRule, Rule, Rules};
use sdk_signals::{BoxFuture, Consumer, Delivery, FanOut, LogBatch, LogGroup, LogsReceiver, Receiver, Refused};

use crate::recent::Recent;

/// Rewrites the labels of log lines by rules, and drops the lines that a rule drops or that are left without labels.
///
/// What the rules make of a label set is remembered, so a stream that is seen again costs one look-up for a batch.
#[derive(Arguments)]
#[block(validate)]
pub struct RelabelArguments {
    /// Where the lines go.
    #[attr]
    forward_to: Vec<LogsReceiver>,
    /// What to do with each label set, in order.
    #[block]
    rule: Vec<Rule>,
    /// How many label sets are remembered.
    #[attr(default = 10_000)]
    max_cache_size: i64,
}

impl Validate for RelabelArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.max_cache_size <= 0 {
            return Err(Invalid::field("max_cache_size", "max_cache_size must be greater than 0"));
        }
        Ok(())
    }
}

/// What others may refer to.
#[derive(Exports)]
pub struct RelabelExports {
    /// Takes the lines to relabel.
    receiver: LogsReceiver,
    /// The rules, for components that relabel on their own.
    rules: Rules,
}

/// The component.
pub struct Relabel {
    relabeller: Arc<Relabeller>,
    receiver: LogsReceiver,
    context: Context,
}

/// The consumer behind the exported receiver.
struct Relabeller {
    component: String,
    state: Mutex<State>,
    counters: Counters,
    ended: AtomicBool,
    tap: Tap,
}

struct State {
    forward_to: FanOut<LogBatch>,
    rules: Rules,
    /// A label set and what the rules make of it.
    known: Recent<Labels, Option<Labels>>,
}

struct Counters {
    processed: Counter,
    written: Counter,
    hits: Counter,
    misses: Counter,
}

// === impl Relabel ===

impl Component for Relabel {
    const NAME: &'static str = "loki.relabel";

    type Arguments = RelabelArguments;
    type Exports = RelabelExports;

    fn build(context: &Context, arguments: RelabelArguments) -> Result<Relabel, Problem> {
        let metrics = context.metrics();
        let counter = |name: &str, help: &str| metrics.counter(&format!("loki_relabel_{name}"), help);
        let rules = arguments.rules();
        let relabeller = Arc::new(Relabeller {
            component: context.local_id().to_owned(),
            counters: Counters {
                processed: counter("entries_processed", "Total number of log entries processed"),
                written: counter("entries_written", "Total number of log entries forwarded"),
                hits: counter("cache_hits", "Total number of cache hits"),
                misses: counter("cache_misses", "Total number of cache misses"),
            },
            state: Mutex::new(arguments.into_state(context)),
            ended: AtomicBool::new(false),
            tap: context.tap(),
        });
        let sized = Arc::downgrade(&relabeller);
        metrics.collect(Box::new(move |page| {
            let size = sized.upgrade().map_or(0, |relabeller| relabeller.lock().known.len());
            page.gauge("loki_relabel_cache_size", "Total size of relabel cache", size as f64);
        }));
        let receiver = LogsReceiver(Receiver::new(context.id(), relabeller.clone() as Arc<dyn Consumer<LogBatch>>));
        context.publish(&RelabelExports { receiver: receiver.clone(), rules });
        Ok(Relabel { relabeller, receiver, context: context.clone() })
    }

    fn update(&self, arguments: RelabelArguments) -> Result<Update, Problem> {
        let relabeller = self.relabeller.clone();
        let exports = RelabelExports { receiver: self.receiver.clone(), rules: arguments.rules() };
        let state = arguments.into_state(&self.context);
        Ok(Update::exporting(&exports, move || *relabeller.lock() = state))
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

    fn into_state(self, context: &Context) -> State {
        State {
            rules: self.rules(),
            known: Recent::new(usize::try_from(self.max_cache_size).unwrap_or(1)),
            forward_to: FanOut::new(self.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
        }
    }
}

// === impl Relabeller ===

impl Consumer<LogBatch> for Relabeller {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            if self.ended.load(Ordering::Relaxed) {
                return Err(Refused::stopped(&self.component));
            }
            let (batch, forward_to) = self.relabel(batch);
            if batch.is_empty() {
                return Ok(Delivery::dropped());
            }
            let written = batch.len() as u64;
            let delivery = forward_to.consume(batch).await?;
            self.counters.written.add(written);
            Ok(delivery)
        })
    }
}

impl Relabeller {
    fn relabel(&self, mut batch: LogBatch) -> (LogBatch, FanOut<LogBatch>) {
        let mut state = self.lock();
        let State { known, rules, forward_to } = &mut *state;
        self.counters.processed.add(batch.len() as u64);
        let look = self.tap.look();
        batch.groups.retain_mut(|group| {
            let relabelled = match known.get(&group.labels) {
                Some(relabelled) => {
                    self.counters.hits.inc();
                    relabelled.clone()
                }
                None => {
                    self.counters.misses.inc();
                    let relabelled = rules.relabel(&group.labels).filter(|labels| !labels.is_empty());
                    known.insert(group.labels.clone(), relabelled.clone());
                    relabelled
                }
            };
            if let Some(look) = &look {
                show(look, group, relabelled.as_ref());
            }
            match relabelled {
                Some(labels) => {
                    group.labels = labels;
                    true
                }
                None => false,
            }
        });
        (batch, forward_to.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines and what became of their labels, for those who look at the component.
fn show(look: &Look<'_>, group: &LogGroup, relabelled: Option<&Labels>) {
    look.count("loki_log", if relabelled.is_some() { group.entries.len() as u64 } else { 0 });
    if !look.wants_text() {
        return;
    }
    for entry in &group.entries {
        look.show(|| {
            let line = String::from_utf8_lossy(&entry.line);
            match relabelled {
                Some(labels) => format!("entry: {line}, labels: {} => {labels}", group.labels),
                None => format!("entry: {line}, labels: {} => <dropped>", group.labels),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{FromValue, Scope, ToValue, Value};
    use sdk_signals::{LogEntry, Outcome};
    use sdk_testing::collector::Collector;
    use sdk_testing::component::{Alone, scope};
    use sdk_testing::oracle;
    use serde_json::Value as Json;

    use super::*;

    fn sink() -> (Arc<Collector<LogBatch>>, Scope) {
        let (collector, receiver) = Collector::new();
        (collector, scope([("sink", Value::Array(vec![LogsReceiver(receiver).to_value()].into()))]))
    }

    fn receiver(alone: &Alone<Relabel>) -> LogsReceiver {
        LogsReceiver::from_value(&alone.export("receiver").unwrap()).unwrap()
    }

    fn line(labels: Labels) -> LogBatch {
        LogBatch::of(labels, vec![LogEntry::new(1, "x".to_owned())])
    }

    fn object(labels: &Labels) -> Json {
        let sent = labels.iter().filter(|(name, _)| !name.starts_with("__"));
        sent.map(|(name, value)| (name.to_owned(), Json::from(value))).collect()
    }

    #[tokio::test]
    async fn lines_come_out_as_alloy_relabels_them() {
        let Some(cases) = oracle::cases::<Json>("pipelines/relabel/cases.jsonl") else { return };
        let mut group = oracle::Group::new("loki.relabel");
        for case in &cases {
            let id = case["id"].as_str().expect("a text");
            let (collector, scope) = sink();
            let config = format!("forward_to = sink\n{}", case["config"].as_str().expect("a text"));
            let alone = match (Alone::<Relabel>::build(&config, &scope), case.get("load_error")) {
                (Ok(alone), None) => alone,
                (Err(_), Some(_)) => {
                    group.case(id, None);
                    continue;
                }
                (Err(ours), None) => {
                    group.case(id, Some(ours));
                    continue;
                }
                (Ok(_), Some(error)) => {
                    group.case(id, Some(format!("loads, but should say {error}")));
                    continue;
                }
            };
            let mut ours = Vec::new();
            let Some(alloys) = case["loki"].as_array() else { continue };
            for (input, alloys) in case["input"].as_array().unwrap().iter().zip(alloys) {
                if alloys == "not sent" {
                    ours.push(alloys.clone());
                    continue;
                }
                let pairs = input.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
                receiver(&alone).0.consume(line(Labels::from_pairs(pairs))).await.unwrap().detach();
                let came = collector.take();
                ours.push(came.first().map_or(Json::Null, |batch| object(&batch.groups[0].labels)));
            }
            group.compare(id, &case["loki"].to_string(), &Json::from(ours).to_string());
        }
        group.finish();
    }

    #[tokio::test]
    async fn a_label_set_is_relabelled_once_and_a_dropped_line_is_delivered() {
        let (collector, scope) = sink();
        let config = "forward_to = sink\nrule {\n source_labels = [\"app\"]\n regex = \"debug\"\n action = \"drop\"\n}";
        let alone = Alone::<Relabel>::build(config, &scope).unwrap();
        for _ in 0..3 {
            let delivery = receiver(&alone).0.consume(line(Labels::from_pairs([("app", "debug")]))).await.unwrap();
            assert_eq!(delivery.await, Outcome::Dropped);
        }
        receiver(&alone).0.consume(line(Labels::from_pairs([("app", "web")]))).await.unwrap().detach();
        assert_eq!(collector.batches().len(), 1);
        let metric = |name: &str| alone.metric(&format!("loki_relabel_{name}"), &[]).unwrap();
        assert_eq!((metric("cache_hits"), metric("cache_misses"), metric("cache_size")), (2.0, 2.0, 2.0));
        assert_eq!((metric("entries_processed"), metric("entries_written")), (4.0, 1.0));
    }

    #[test]
    fn a_cache_of_no_size_is_refused() {
        let (_, scope) = sink();
        let refused = Alone::<Relabel>::build("forward_to = sink\nmax_cache_size = 0", &scope);
        assert!(refused.is_err_and(|error| error.contains("max_cache_size")));
    }
}
