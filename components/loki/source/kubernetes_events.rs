//! `loki.source.kubernetes_events`: what happens in a cluster, as log lines.

mod line;
mod reached;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base_stdx::timestamp::Rfc3339;
use base_sys::clock;
use base_sys::fs::Sync;
use futures_util::StreamExt as _;
use futures_util::stream::{SelectAll, Stream};
use language_eval::{Arguments, BodyNode, Invalid, Validate, Value};
use sdk_component::{Component, Context, Description, Problem, Stop, Stopped, Update};
use sdk_kubernetes::objects::Event;
use sdk_kubernetes::{Change, ClientArguments, Cluster, Scope, Timing, watch};
use sdk_labels::Labels;
use sdk_signals::{FanOut, LogBatch, LogEntry, LogGroup, LogsReceiver};
use tokio::sync::watch as latest;

use crate::source::kubernetes::Clustering;
use crate::source::pods;
use crate::source::positions;
use crate::source::positions::{SAVE_EVERY, SAVES_PER_SYNC};
use line::Format;
use reached::Reached;
use sdk_signals::window::{Progress, Window};

/// Batches on their way.
const IN_FLIGHT: usize = 1024;

/// So many events make a batch.
const BATCH: usize = 1000;

/// After entries were lost on their way, events are read again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a stop waits for what is on its way.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// Turns the events of a Kubernetes cluster into log entries.
///
/// An event that is repeated (`count`) is told each time. The labels are `namespace` (of the object concerned), `job` and
/// `instance`. It is remembered up to which version events were delivered, so that a restart neither loses nor repeats
/// one. It needs the rights `list` and `watch` for `events`. Run one of these per cluster, not one per node.
#[derive(Arguments)]
#[block(validate)]
pub struct KubernetesEventsArguments {
    /// Who gets the entries.
    #[attr]
    forward_to: Vec<LogsReceiver>,
    /// The label `job`.
    #[attr(default = "loki.source.kubernetes_events".to_owned())]
    job_name: String,
    /// Only the events of these namespaces.
    #[attr(optional)]
    namespaces: Vec<String>,
    /// `logfmt` or `json`.
    #[attr(default = "logfmt".to_owned())]
    log_format: String,
    /// How to reach the API.
    #[block(optional)]
    client: ClientArguments,
    /// Sharing namespaces in a cluster.
    #[block(optional)]
    clustering: Clustering,
}

/// The component.
pub struct KubernetesEvents {
    context: Context,
    wanted: latest::Sender<Wanted>,
    client: Arc<Mutex<(ClientArguments, Cluster)>>,
    shown: Arc<Mutex<BTreeMap<String, Reached>>>,
}

/// Checked arguments.
#[derive(Clone)]
struct Wanted {
    cluster: Cluster,
    /// One empty name for everywhere.
    namespaces: Vec<String>,
    format: Format,
    job: String,
    forward_to: FanOut<LogBatch>,
}

/// The reading of events; one task owns it.
struct Reader {
    context: Context,
    wanted: Wanted,
    changes: SelectAll<Pin<Box<dyn Stream<Item = (String, Change<Event>)> + Send>>>,
    /// By namespace, how far events were handed on, and how far they were delivered.
    handed: BTreeMap<String, Reached>,
    delivered: BTreeMap<String, Reached>,
    window: Window<BTreeMap<String, Reached>>,
    failing: bool,
}

impl Validate for KubernetesEventsArguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.job_name.is_empty() {
            return Err(Invalid::field("job_name", "job_name must not be an empty string"));
        }
        if Format::of(&self.log_format).is_none() {
            return Err(Invalid::field("log_format", "supported values of log_format are logfmt and json"));
        }
        Ok(())
    }
}

// === impl KubernetesEvents ===

impl Component for KubernetesEvents {
    const NAME: &'static str = "loki.source.kubernetes_events";

    type Arguments = KubernetesEventsArguments;
    type Exports = ();

    fn build(context: &Context, arguments: KubernetesEventsArguments) -> Result<KubernetesEvents, Problem> {
        let client = pods::cluster(arguments.client.clone(), None)?;
        Ok(KubernetesEvents {
            context: context.clone(),
            wanted: latest::Sender::new(wanted(context, arguments, &client.1)),
            client: Arc::new(Mutex::new(client)),
            shown: Arc::default(),
        })
    }

    fn update(&self, arguments: KubernetesEventsArguments) -> Result<Update, Problem> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let client = pods::cluster(arguments.client.clone(), Some(&known))?;
        let wanted = wanted(&self.context, arguments, &client.1);
        let (sender, kept) = (self.wanted.clone(), self.client.clone());
        Ok(Update::then(move || {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = client;
            sender.send_replace(wanted);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut positions = positions::load(self.context.data_path().join("positions.yml")).await?;
        let mut wanted = self.wanted.subscribe();
        let mut reader = Reader::new(self.context.clone(), wanted.borrow_and_update().clone());
        for namespace in &reader.wanted.namespaces {
            if let Some(reached) = Reached::saved(&positions, namespace) {
                reader.delivered.insert(namespace.clone(), reached);
            }
        }
        reader.begin();
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut saves = 0;
        loop {
            let mut again = false;
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                changed = wanted.changed() => if changed.is_ok() {
                    let now = wanted.borrow_and_update().clone();
                    for namespace in &now.namespaces {
                        if !reader.delivered.contains_key(namespace)
                            && let Some(reached) = Reached::saved(&positions, namespace)
                        {
                            reader.delivered.insert(namespace.clone(), reached);
                            reader.handed.insert(namespace.clone(), reached);
                        }
                    }
                    reader.change(now);
                },
                _ = save.tick() => {
                    reader.delivered.iter().for_each(|(namespace, reached)| reached.save(&mut positions, namespace));
                    saves = (saves + 1) % SAVES_PER_SYNC;
                    let sync = if saves == 0 { Sync::Disk } else { Sync::Kernel };
                    positions::save_to(&mut positions, sync).await;
                    self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&reader.delivered);
                }
                progress = reader.window.progress() => match progress {
                    Progress::Delivered(reached) => reader.delivered.extend(reached),
                    Progress::Abandoned => again = true,
                },
                Some((namespace, change)) = reader.changes.next(), if !reader.window.is_full() => {
                    // What waits to be taken waits for a stop too; what is not taken by then is read again.
                    again = tokio::select! {
                        taken = reader.take(namespace, change) => !taken,
                        () = stop.stopped() => break,
                    };
                }
            }
            if again {
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => reader.begin(),
                    () = stop.stopped() => break,
                }
            }
        }
        let deadline = tokio::time::Instant::now() + LAST_DELIVERIES.min(stop.grace());
        while !reader.window.is_empty() {
            match tokio::time::timeout_at(deadline, reader.window.progress()).await {
                Ok(Progress::Delivered(reached)) => reader.delivered.extend(reached),
                _ => break,
            }
        }
        reader.delivered.iter().for_each(|(namespace, reached)| reached.save(&mut positions, namespace));
        positions::save(&mut positions).await;
        Ok(())
    }

    fn describe(&self) -> Description {
        let attribute = |name: &str, value: Value| BodyNode::Attribute { name: name.to_owned(), value };
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = shown.iter().map(|(namespace, reached)| BodyNode::Block {
            name: "event_controller".to_owned(),
            label: None,
            body: vec![
                attribute("namespace", Value::from(namespace.as_str())),
                attribute("last_event_timestamp", Value::from(Rfc3339(reached.last).to_string())),
            ],
        });
        Description { debug_info: blocks.collect() }
    }
}

// === impl Reader ===

impl Reader {
    fn new(context: Context, wanted: Wanted) -> Reader {
        Reader {
            context,
            wanted,
            changes: SelectAll::new(),
            handed: BTreeMap::new(),
            delivered: BTreeMap::new(),
            window: Window::new(IN_FLIGHT),
            failing: false,
        }
    }

    /// Reads again from what was delivered.
    fn begin(&mut self) {
        self.window.clear();
        self.handed.clone_from(&self.delivered);
        self.watch();
    }

    fn watch(&mut self) {
        self.changes = SelectAll::new();
        for namespace in self.wanted.namespaces.clone() {
            let stream = watch(self.wanted.cluster.clone(), Scope::namespace(&namespace), Timing::default());
            self.changes.push(Box::pin(stream.map(move |change| (namespace.clone(), change))));
        }
    }

    /// What is on its way stays on its way.
    fn change(&mut self, wanted: Wanted) {
        let same = self.wanted.cluster == wanted.cluster;
        let watched = same && self.wanted.namespaces == wanted.namespaces;
        self.wanted = wanted;
        if !same {
            // Another cluster counts anew.
            self.handed.clear();
            self.delivered.clear();
            self.window.clear();
        }
        if !watched {
            self.watch();
        }
    }

    /// Hands on what is new; whether it was taken.
    async fn take(&mut self, namespace: String, change: Change<Event>) -> bool {
        let mut events = match change {
            Change::All(events) => events,
            Change::Set(event) => vec![event],
            Change::Gone(_) => return true,
            Change::Failing(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(error, "cannot watch events; it is tried again");
                }
                self.context.unhealthy(error);
                return true;
            }
            Change::Working => {
                self.works();
                return true;
            }
        };
        self.works();
        events.sort_by_key(|event| reached::version(&event.resource_version));
        for events in events.chunks(BATCH) {
            let mut reached = self.handed.get(&namespace).copied().unwrap_or_default();
            let mut batch = LogBatch { rereadable: true, ..LogBatch::default() };
            for event in events {
                let time = line::time(event);
                if !reached.is_new(event, time) {
                    continue;
                }
                reached.pass(event, time);
                if event.involved_object.name.is_empty() {
                    tracing::error!(event = event.metadata.name, "no involved object for event");
                    continue;
                }
                let labels = self.labels(&event.involved_object.namespace);
                let entry = LogEntry::new(time.unwrap_or_else(clock::now_ns), line::line(event, self.wanted.format));
                match batch.groups.last_mut().filter(|group| group.labels == labels) {
                    Some(group) => group.entries.push(entry),
                    None => batch.groups.push(LogGroup { labels, entries: vec![entry] }),
                }
            }
            if batch.is_empty() {
                continue;
            }
            let mut handed = self.handed.clone();
            handed.insert(namespace.clone(), reached);
            match self.wanted.forward_to.consume(batch).await {
                Ok(delivery) => {
                    self.window.push(handed.clone(), delivery);
                    self.handed = handed;
                }
                Err(refused) => {
                    tracing::debug!(%refused, "events were refused; they are read again");
                    return false;
                }
            }
        }
        true
    }

    fn works(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("events are watched again");
        }
        self.context.healthy("watching events");
    }

    fn labels(&self, namespace: &str) -> Labels {
        Labels::from_pairs([("namespace", namespace), ("job", &self.wanted.job), ("instance", self.context.id())])
    }
}

fn wanted(context: &Context, arguments: KubernetesEventsArguments, cluster: &Cluster) -> Wanted {
    let mut namespaces = arguments.namespaces;
    namespaces.sort();
    namespaces.dedup();
    if namespaces.is_empty() {
        namespaces.push(String::new());
    }
    Wanted {
        cluster: cluster.clone(),
        namespaces,
        format: Format::of(&arguments.log_format).expect("validate has seen to it"),
        job: arguments.job_name,
        forward_to: FanOut::new(arguments.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
    }
}

#[cfg(test)]
mod tests;
