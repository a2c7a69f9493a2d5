//! `discovery.kubernetes`: the objects of a cluster as targets.

mod endpoints;
mod endpointslice;
mod ingress;
mod labels;
mod node;
mod pod;
mod service;
mod world;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base_metrics::{Counter, CounterVec};
use futures_util::StreamExt as _;
use futures_util::stream::{SelectAll, Stream};
use language_eval::{Arguments, Block, Exports, Target};
use sdk_component::{Component, Context, Problem, Stop, Stopped, Tap, Update};
use sdk_kubernetes::objects::{EndpointSlice, Endpoints, Ingress, Namespace, Node, Pod, Service};
use sdk_kubernetes::{Access, AccessError, Change, Cluster, Object, Scope, Timing, access, watch};
use sdk_net::ClientConfig;
use tokio::sync::watch as latest;
use tokio::time::Instant;

use world::{Seen, World};

/// Changes that come together are told together: so long after the first of them, and not more often than this.
const GATHER: Duration = Duration::from_millis(50);
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// Finds the objects of a Kubernetes cluster.
///
/// The cluster is watched: targets change as soon as the cluster does. What is known of an object stands in
/// `__meta_kubernetes_*` labels. Without `api_server` and `kubeconfig_file` it is the cluster that we run in, and we are
/// the service account of our pod, which needs the rights `get`, `list` and `watch` for the objects in question.
#[derive(Arguments)]
pub struct KubernetesArguments {
    /// Address of the API server.
    #[attr(optional)]
    api_server: String,
    /// What to find: `node`, `pod`, `service`, `endpoints`, `endpointslice` or `ingress`.
    #[attr]
    role: String,
    /// A kubeconfig file, instead of `api_server` and what belongs to it.
    #[attr(optional)]
    kubeconfig_file: String,
    /// Where to look; everywhere if nothing is said.
    #[block(optional)]
    namespaces: Namespaces,
    /// Which objects, for the role itself and for the objects whose labels it takes along.
    #[block]
    selectors: Vec<Selector>,
    /// Labels of other objects to take along.
    #[block(optional)]
    attach_metadata: AttachMetadata,
    #[squash]
    client: ClientConfig,
}

/// Where to look.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct Namespaces {
    /// The namespace of our own pod, beside `names`.
    #[attr(optional)]
    own_namespace: bool,
    /// These namespaces.
    #[attr(optional)]
    names: Vec<String>,
}

/// Which objects.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct Selector {
    /// Which objects it is for, as in `role`.
    #[attr]
    role: String,
    /// As `kubectl --selector` takes it.
    #[attr(optional)]
    label: String,
    /// As `kubectl --field-selector` takes it: `spec.nodeName=…` finds the pods of one node only.
    #[attr(optional)]
    field: String,
}

/// Labels of other objects.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(default)]
pub struct AttachMetadata {
    /// Labels and annotations of the node that a pod runs on; for pod, endpoints and endpointslice.
    #[attr(optional)]
    node: bool,
    /// Labels and annotations of the namespace; for all but node.
    #[attr(optional)]
    namespace: bool,
}

/// What others may refer to.
#[derive(Exports)]
pub struct KubernetesExports {
    /// The objects found.
    targets: Vec<Target>,
}

/// The component.
pub struct Kubernetes {
    context: Context,
    tap: Tap,
    metrics: Metrics,
    wanted: latest::Sender<Arc<Wanted>>,
}

/// What to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Node,
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
}

/// Checked arguments.
struct Wanted {
    cluster: Cluster,
    role: Role,
    /// One empty name for everywhere.
    namespaces: Vec<String>,
    selectors: BTreeMap<&'static str, (String, String)>,
    attach: AttachMetadata,
}

struct Metrics {
    events: CounterVec,
    failures: Counter,
}

type Changes = SelectAll<Pin<Box<dyn Stream<Item = Seen> + Send>>>;

// === impl Kubernetes ===

impl Component for Kubernetes {
    const NAME: &'static str = "discovery.kubernetes";

    type Arguments = KubernetesArguments;
    type Exports = KubernetesExports;

    fn build(context: &Context, arguments: KubernetesArguments) -> Result<Kubernetes, Problem> {
        let wanted = latest::Sender::new(Arc::new(check(arguments)?));
        context.publish(&KubernetesExports { targets: Vec::new() });
        Ok(Kubernetes { context: context.clone(), tap: context.tap(), metrics: Metrics::new(context), wanted })
    }

    fn update(&self, arguments: KubernetesArguments) -> Result<Update, Problem> {
        let wanted = Arc::new(check(arguments)?);
        let sender = self.wanted.clone();
        Ok(Update::then(move || {
            sender.send_replace(wanted);
        }))
    }

    async fn run(self: Arc<Self>, stop: Stop) -> Result<(), Stopped> {
        let mut wanted = self.wanted.subscribe();
        loop {
            let now = wanted.borrow_and_update().clone();
            tokio::select! {
                () = self.follow(&now) => {}
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                () = stop.stopped() => return Ok(()),
            }
        }
    }
}

impl Kubernetes {
    /// Tells what there is, for as long as nothing else is wanted. What was found for other arguments stays until then.
    async fn follow(&self, wanted: &Wanted) {
        let (mut changes, mut world) = wanted.begin();
        let mut publish_at: Option<Instant> = None;
        let mut not_before = Instant::now();
        let mut failing: Option<String> = None;
        loop {
            let due = async {
                match publish_at {
                    Some(time) => tokio::time::sleep_until(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = due => {
                    let targets = world.targets();
                    crate::look::at_targets(&self.tap, &targets);
                    if failing.is_none() {
                        self.context.healthy(format!("{} targets found", targets.len()));
                    }
                    self.context.publish(&KubernetesExports { targets });
                    publish_at = None;
                    not_before = Instant::now() + LEAST_INTERVAL;
                }
                seen = changes.next() => {
                    let Some(seen) = seen else { return std::future::pending().await };
                    match seen.failure() {
                        Some(error) => {
                            self.metrics.failures.inc();
                            if failing.is_none() {
                                tracing::error!(error, "cannot watch the cluster; it is tried again");
                            }
                            // What was found last stays: an API server that restarts has not lost its objects.
                            self.context.unhealthy(error);
                            failing = Some(error.to_owned());
                        }
                        None if failing.take().is_some() => {
                            tracing::info!("the cluster is watched again");
                            self.context.healthy("the cluster is watched again");
                        }
                        None => {}
                    }
                    world.apply(seen, |role, event| self.metrics.events.with(&[role, event]).inc());
                    if world.is_complete() && world.has_changed() && publish_at.is_none() {
                        let now = Instant::now();
                        publish_at = Some(if world.is_new() { now } else { not_before.max(now + GATHER) });
                    }
                }
            }
        }
    }
}

// === impl Wanted ===

impl Wanted {
    /// One watch for each kind of object in question, and for each namespace.
    fn begin(&self) -> (Changes, World) {
        let mut world = World::new(self.role, self.attach.clone());
        let mut changes = Changes::new();
        let (node, namespace) = (self.attach.node, self.attach.namespace);
        match self.role {
            Role::Node => self.watch::<Node>(&mut changes, &mut world, "node", Seen::Node),
            Role::Pod => self.watch::<Pod>(&mut changes, &mut world, "pod", Seen::Pod),
            Role::Service => self.watch::<Service>(&mut changes, &mut world, "service", Seen::Service),
            Role::Ingress => self.watch::<Ingress>(&mut changes, &mut world, "ingress", Seen::Ingress),
            Role::Endpoints => self.watch::<Endpoints>(&mut changes, &mut world, "endpoints", Seen::Endpoints),
            Role::EndpointSlice => {
                self.watch::<EndpointSlice>(&mut changes, &mut world, "endpointslice", Seen::EndpointSlice);
            }
        }
        if matches!(self.role, Role::Endpoints | Role::EndpointSlice) {
            self.watch::<Service>(&mut changes, &mut world, "service", Seen::Service);
            self.watch::<Pod>(&mut changes, &mut world, "pod", Seen::Pod);
        }
        if node && matches!(self.role, Role::Pod | Role::Endpoints | Role::EndpointSlice) {
            self.watch::<Node>(&mut changes, &mut world, "node", Seen::Node);
        }
        if namespace && self.role != Role::Node {
            self.watch::<Namespace>(&mut changes, &mut world, "namespace", Seen::Namespace);
        }
        (changes, world)
    }

    fn watch<T: Object>(
        &self,
        changes: &mut Changes,
        world: &mut World,
        role: &str,
        seen: fn(usize, Change<T>) -> Seen,
    ) {
        let (label, field) = self.selectors.get(role).cloned().unwrap_or_default();
        let everywhere = [String::new()];
        let namespaces = if matches!(role, "node" | "namespace") { &everywhere[..] } else { &self.namespaces[..] };
        for namespace in namespaces {
            let place = world.expect();
            let scope = Scope { namespace: namespace.clone(), label: label.clone(), field: field.clone() };
            let stream = watch::<T>(self.cluster.clone(), scope, Timing::default());
            changes.push(Box::pin(stream.map(move |change| seen(place, change))));
        }
    }
}

// === impl Metrics ===

impl Metrics {
    fn new(context: &Context) -> Metrics {
        let events = context.metrics().counter_vec(
            "prometheus_sd_kubernetes_events_total",
            "The number of Kubernetes events handled.",
            &["role", "event"],
        );
        for role in ["endpointslice", "endpoints", "node", "pod", "service", "ingress"] {
            for event in ["add", "delete", "update"] {
                events.with(&[role, event]);
            }
        }
        let failures = context
            .metrics()
            .counter("prometheus_sd_kubernetes_failures_total", "The number of failed WATCH/LIST requests.");
        Metrics { events, failures }
    }
}

fn check(arguments: KubernetesArguments) -> Result<Wanted, Problem> {
    let role = match arguments.role.as_str() {
        "node" => Role::Node,
        "pod" => Role::Pod,
        "service" => Role::Service,
        "endpoints" => Role::Endpoints,
        "endpointslice" => Role::EndpointSlice,
        "ingress" => Role::Ingress,
        other => {
            let hint = "one of node, pod, service, endpoints, endpointslice, ingress";
            return Err(Problem::at("role", format!("unknown Kubernetes SD role {other:?}")).with_hint(hint));
        }
    };
    let elsewhere = !arguments.api_server.is_empty() || !arguments.kubeconfig_file.is_empty();
    let mut namespaces = arguments.namespaces.names;
    if arguments.namespaces.own_namespace {
        if elsewhere {
            let message = "own_namespace is for the cluster that we run in, not with api_server or kubeconfig_file";
            return Err(Problem::at("namespaces", message).with_hint("name the namespace in names"));
        }
        // Whether we are in a cluster at all is the first thing to tell.
        Access::new("", "", &arguments.client).map_err(problem)?;
        namespaces.push(access::own_namespace().map_err(Problem::environment)?);
    }
    namespaces.sort();
    namespaces.dedup();
    // An empty name means everywhere, whatever stands beside it.
    if namespaces.iter().all(String::is_empty) || namespaces[0].is_empty() {
        namespaces = vec![String::new()];
    }
    let mut selectors = BTreeMap::new();
    for selector in arguments.selectors {
        let Some(known) = ROLES.into_iter().find(|role| *role == selector.role) else {
            return Err(Problem::at("selectors", format!("unknown Kubernetes SD role {:?}", selector.role)));
        };
        selectors.insert(known, (selector.label, selector.field));
    }
    let access = Access::new(&arguments.api_server, &arguments.kubeconfig_file, &arguments.client).map_err(problem)?;
    Ok(Wanted {
        cluster: Cluster::new(access).map_err(|error| Problem::environment(error.to_string()))?,
        role,
        namespaces,
        selectors,
        attach: arguments.attach_metadata,
    })
}

const ROLES: [&str; 6] = ["node", "pod", "service", "endpoints", "endpointslice", "ingress"];

fn problem(error: AccessError) -> Problem {
    match error {
        AccessError::Configuration { field, message } => Problem::at(field, message),
        AccessError::Environment(message) => Problem::environment(message),
    }
}

#[cfg(test)]
mod tests;
