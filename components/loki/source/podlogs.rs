//! `loki.source.podlogs`: follows the logs of the containers that PodLogs objects choose.

mod choose;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{SelectAll, Stream};
use language_eval::{Arguments, Block, BodyNode, Invalid, Validate};
use sdk_component::{Component, Context, Description, Problem, Stop, Stopped, Update};
use sdk_kubernetes::objects::{Namespace, Pod, PodLogs as Chooser};
use sdk_kubernetes::{Change, ClientArguments, Cluster, Key, LabelSelector, Object, Requirement, Scope, Timing, watch};
use sdk_signals::{FanOut, LogBatch, LogsReceiver};
use tokio::sync::watch as latest;
use tokio::time::Instant;

use crate::source::kubernetes::Clustering;
use crate::source::pods::{self, Followers, Patience, Shown, Wanted as WantedLogs};
use crate::source::positions::SAVE_EVERY;
use choose::{Chosen, World};

/// Changes that come together are taken up together.
const GATHER: Duration = Duration::from_millis(100);

/// Follows the logs of containers that PodLogs objects choose.
///
/// A PodLogs object (`monitoring.grafana.com/v1alpha2`) stands in the cluster and says, by selectors, whose logs are
/// collected, and by rules, with which labels; so teams choose for themselves. The logs are read as by
/// `loki.source.kubernetes`. It needs the rights `get`, `list` and `watch` for `podlogs`, `pods` and `namespaces`, and `get`
/// for `pods/log`.
#[derive(Arguments)]
#[block(validate)]
pub struct PodLogsArguments {
    /// Who gets the entries.
    #[attr]
    forward_to: Vec<LogsReceiver>,
    /// How to reach the API.
    #[block(optional)]
    client: ClientArguments,
    /// Which PodLogs objects count; all if nothing is said.
    #[block(optional)]
    selector: Selector,
    /// Those of which namespaces count; of all if nothing is said.
    #[block(optional)]
    namespace_selector: Selector,
    /// Containers that were never followed before begin at the end of their logs.
    #[attr(optional)]
    tail_from_end: bool,
    /// Only the pods of one node.
    #[block(optional)]
    node_filter: NodeFilter,
    /// Keep the labels `__meta_*` that were discovered, for the components behind.
    #[attr(optional)]
    preserve_discovered_labels: bool,
    /// Sharing targets in a cluster.
    #[block(optional)]
    clustering: Clustering,
}

/// Which objects, by their labels.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct Selector {
    /// Labels with their exact values.
    #[attr(optional)]
    match_labels: BTreeMap<String, String>,
    /// More requirements.
    #[block]
    match_expression: Vec<MatchExpression>,
}

/// What one label must be.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct MatchExpression {
    /// The label's name.
    #[attr]
    key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    #[attr]
    operator: String,
    /// What to compare with.
    #[attr(optional)]
    values: Vec<String>,
}

/// Only the pods of one node.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct NodeFilter {
    /// Whether that is wanted.
    #[attr(optional)]
    enabled: bool,
    /// The node's name; if empty, the environment variable `NODE_NAME` has it.
    #[attr(optional)]
    node_name: String,
}

/// The component.
pub struct PodLogs {
    context: Context,
    wanted: latest::Sender<Arc<Wanted>>,
    client: Arc<Mutex<(ClientArguments, Cluster)>>,
    shown: Shown,
    chosen: Arc<Mutex<Vec<BodyNode>>>,
}

/// Checked arguments.
struct Wanted {
    cluster: Cluster,
    selector: LabelSelector,
    namespace_selector: LabelSelector,
    /// Empty for all.
    node: String,
    keep_meta: bool,
    from_end: bool,
    forward_to: FanOut<LogBatch>,
}

/// A change in the cluster.
enum Seen {
    Chooser(Change<Chooser>),
    Pod(Change<Pod>),
    Namespace(Change<Namespace>),
}

type Changes = SelectAll<Pin<Box<dyn Stream<Item = Seen> + Send>>>;

impl Validate for PodLogsArguments {
    fn validate(&self) -> Result<(), Invalid> {
        for (name, selector) in [("selector", &self.selector), ("namespace_selector", &self.namespace_selector)] {
            selector.as_kubernetes().check().map_err(|error| Invalid::field(name, error))?;
        }
        Ok(())
    }
}

// === impl PodLogs ===

impl Component for PodLogs {
    const NAME: &'static str = "loki.source.podlogs";

    type Arguments = PodLogsArguments;
    type Exports = ();

    fn build(context: &Context, arguments: PodLogsArguments) -> Result<PodLogs, Problem> {
        let client = pods::cluster(arguments.client.clone(), None)?;
        Ok(PodLogs {
            context: context.clone(),
            wanted: latest::Sender::new(Arc::new(wanted(context, arguments, &client.1))),
            client: Arc::new(Mutex::new(client)),
            shown: Shown::default(),
            chosen: Arc::default(),
        })
    }

    fn update(&self, arguments: PodLogsArguments) -> Result<Update, Problem> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let client = pods::cluster(arguments.client.clone(), Some(&known))?;
        let wanted = Arc::new(wanted(&self.context, arguments, &client.1));
        let (sender, kept) = (self.wanted.clone(), self.client.clone());
        Ok(Update::then(move || {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = client;
            sender.send_replace(wanted);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut followers = Followers::open(self.context.clone(), Patience::default(), self.shown.clone()).await?;
        let mut wanted = self.wanted.subscribe();
        let mut now = wanted.borrow_and_update().clone();
        let (mut changes, mut world) = now.begin();
        let mut due: Option<Instant> = None;
        let mut refused = Vec::new();
        let mut failing = false;
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let time = due;
            let reconcile = async move {
                match time {
                    Some(time) => tokio::time::sleep_until(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.stopped() => {
                    followers.end().await;
                    return Ok(());
                }
                changed = wanted.changed() => if changed.is_ok() {
                    let next = wanted.borrow_and_update().clone();
                    if next.cluster != now.cluster || next.node != now.node {
                        (changes, world) = next.begin();
                    }
                    now = next;
                    due = Some(Instant::now());
                },
                _ = save.tick() => followers.save().await,
                () = reconcile => {
                    due = None;
                    // Before everything is known, nobody is known to be gone.
                    if world.is_complete() {
                        let chosen = self.follow(&now, &world, &mut followers, &stop).await;
                        for (key, error) in chosen.iter().filter(|one| !refused.contains(*one)) {
                            tracing::error!(namespace = key.namespace, name = key.name, error, "cannot follow a PodLogs object");
                        }
                        refused = chosen;
                    }
                }
                Some(seen) = changes.next() => {
                    match seen.failure() {
                        Some(error) => {
                            if !std::mem::replace(&mut failing, true) {
                                tracing::error!(error, "cannot watch the cluster; it is tried again");
                            }
                            self.context.unhealthy(error);
                        }
                        None if std::mem::take(&mut failing) => self.context.healthy("the cluster is watched again"),
                        None => {}
                    }
                    if world.apply(seen) {
                        due.get_or_insert_with(|| Instant::now() + GATHER);
                    }
                }
            }
        }
    }

    fn describe(&self) -> Description {
        let mut debug_info = self.chosen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        debug_info.extend(self.shown.describe());
        Description { debug_info }
    }
}

impl PodLogs {
    /// Gives back which objects cannot be followed.
    async fn follow(
        &self,
        wanted: &Wanted,
        world: &World,
        followers: &mut Followers,
        stop: &Stop,
    ) -> Vec<(Key, String)> {
        let Chosen { targets, refused, shown } =
            world.choose(&wanted.selector, &wanted.namespace_selector, wanted.keep_meta);
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        let logs = WantedLogs {
            cluster: wanted.cluster.clone(),
            targets,
            forward_to: wanted.forward_to.clone(),
            from_end: wanted.from_end,
        };
        followers.follow(&logs, stop).await;
        refused
    }
}

// === impl Wanted ===

impl Wanted {
    fn begin(&self) -> (Changes, World) {
        let mut changes = Changes::new();
        let field = if self.node.is_empty() { String::new() } else { format!("spec.nodeName={}", self.node) };
        self.watch(&mut changes, Scope::default(), Seen::Chooser);
        self.watch(&mut changes, Scope::default(), Seen::Namespace);
        self.watch(&mut changes, Scope { field, ..Scope::default() }, Seen::Pod);
        (changes, World::default())
    }

    fn watch<T: Object>(&self, changes: &mut Changes, scope: Scope, seen: fn(Change<T>) -> Seen) {
        changes.push(Box::pin(watch::<T>(self.cluster.clone(), scope, Timing::default()).map(seen)));
    }
}

// === impl Seen ===

impl Seen {
    /// Why the API cannot be asked.
    fn failure(&self) -> Option<&str> {
        match self {
            Seen::Chooser(Change::Failing(error))
            | Seen::Pod(Change::Failing(error))
            | Seen::Namespace(Change::Failing(error)) => Some(error),
            _ => None,
        }
    }
}

// === impl Selector ===

impl Selector {
    fn as_kubernetes(&self) -> LabelSelector {
        let requirement = |expression: &MatchExpression| Requirement {
            key: expression.key.clone(),
            operator: expression.operator.clone(),
            values: expression.values.clone(),
        };
        LabelSelector {
            match_labels: self.match_labels.clone(),
            match_expressions: self.match_expression.iter().map(requirement).collect(),
        }
    }
}

fn wanted(context: &Context, arguments: PodLogsArguments, cluster: &Cluster) -> Wanted {
    let node = match (arguments.node_filter.enabled, arguments.node_filter.node_name) {
        (false, _) => String::new(),
        (true, name) if name.is_empty() => std::env::var("NODE_NAME").unwrap_or_default(),
        (true, name) => name,
    };
    Wanted {
        cluster: cluster.clone(),
        selector: arguments.selector.as_kubernetes(),
        namespace_selector: arguments.namespace_selector.as_kubernetes(),
        node,
        keep_meta: arguments.preserve_discovered_labels,
        from_end: arguments.tail_from_end,
        forward_to: FanOut::new(arguments.forward_to.into_iter().map(|receiver| receiver.0)).counted(context.metrics()),
    }
}

#[cfg(test)]
mod tests;
