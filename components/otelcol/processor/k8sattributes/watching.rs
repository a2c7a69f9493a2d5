//! Follows the cluster: pods, and of everything else only what something is extracted from.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{SelectAll, Stream};
use sdk_component::Context;
use sdk_kubernetes::objects::{DaemonSet, Deployment, Job, Namespace, Node, Pod, ReplicaSet, StatefulSet};
use sdk_kubernetes::{Change, Cluster, Object, Scope, Timing, watch};
use tokio::time::Instant;

use super::K8sAttributes;
use super::arguments::{Condition, Filter};
use super::directory::{CLUSTER_NAMESPACE, Kind};
use super::rules::From;

/// Pods are listed when everything that they belong to is known, or after this long.
const BEFORE_PODS: Duration = Duration::from_secs(5);

/// A change, and of what.
enum Seen {
    Pods(Box<Change<Pod>>),
    Namespaces(Change<Namespace>),
    Nodes(Change<Node>),
    ReplicaSets(Change<ReplicaSet>),
    Deployments(Change<Deployment>),
    StatefulSets(Change<StatefulSet>),
    DaemonSets(Change<DaemonSet>),
    Jobs(Change<Job>),
}

type Changes = SelectAll<Pin<Box<dyn Stream<Item = Seen> + Send>>>;

/// What cannot be watched at the moment, by its name, and why.
type Failing = BTreeMap<&'static str, String>;

// === impl K8sAttributes ===

impl K8sAttributes {
    /// Follows the cluster without an end.
    pub(super) async fn watch(&self, cluster: &Cluster, context: &Context) {
        let mut changes = self.watch_others(cluster);
        let (mut missing, mut failing) = (changes.len(), Failing::new());
        let mut pods_at = Some(Instant::now() + BEFORE_PODS);
        loop {
            if pods_at.is_some_and(|at| missing == 0 || at <= Instant::now()) {
                pods_at = None;
                let pods = |change| Seen::Pods(Box::new(change));
                follow(&mut changes, cluster, pod_scope(&self.arguments.filter), pods);
            }
            let end = self.directory.read().unwrap_or_else(PoisonError::into_inner).next_end();
            let wake = pods_at.into_iter().chain(end).min();
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(seen) = changes.next() => {
                    missing = missing.saturating_sub(usize::from(!matches!(seen, Seen::Pods(_)) && seen.is_list()));
                    note(context, &mut failing, &seen);
                    self.apply(seen, context);
                }
                () = sleep => {
                    let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
                    directory.forget_ended();
                    self.metrics.table.set(directory.size() as f64);
                }
            }
        }
    }

    /// Everything but pods.
    fn watch_others(&self, cluster: &Cluster) -> Changes {
        let (rules, filter) = (&self.rules, &self.arguments.filter);
        let mut changes = Changes::new();
        let everywhere = Scope::default();
        let inside = Scope::namespace(&filter.namespace);
        let named = |name: &str| Scope { field: format!("metadata.name={name}"), ..Scope::default() };
        if rules.look_at(From::Namespace) {
            follow(&mut changes, cluster, everywhere.clone(), Seen::Namespaces);
        } else if rules.has("k8s.cluster.uid") {
            follow(&mut changes, cluster, named(CLUSTER_NAMESPACE), Seen::Namespaces);
        }
        if rules.look_at(From::Node) || rules.has("k8s.node.uid") {
            let scope = if filter.node.is_empty() { everywhere } else { named(&filter.node) };
            follow(&mut changes, cluster, scope, Seen::Nodes);
        }
        let by_replica_set = rules.has("k8s.deployment.name") && !rules.by_replica_set_name;
        if by_replica_set || rules.has("k8s.deployment.uid") || rules.look_at(From::Deployment) {
            follow(&mut changes, cluster, inside.clone(), Seen::ReplicaSets);
        }
        if rules.look_at(From::Deployment) {
            follow(&mut changes, cluster, inside.clone(), Seen::Deployments);
        }
        if rules.look_at(From::StatefulSet) {
            follow(&mut changes, cluster, inside.clone(), Seen::StatefulSets);
        }
        if rules.look_at(From::DaemonSet) {
            follow(&mut changes, cluster, inside.clone(), Seen::DaemonSets);
        }
        if rules.look_at(From::Job) || rules.has("k8s.cronjob.uid") {
            follow(&mut changes, cluster, inside, Seen::Jobs);
        }
        changes
    }

    fn apply(&self, seen: Seen, context: &Context) {
        let all_pods = matches!(&seen, Seen::Pods(change) if change.is_list());
        let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        let count = |kind: Kind| {
            move |event: &'static str| {
                let name = format!("otelcol_otelsvc_k8s_{}_{event}_total", kind.word());
                context
                    .metrics()
                    .counter(&name, &format!("Number of {}s {event}, as the cluster was watched.", kind.word()))
                    .inc();
            }
        };
        match seen {
            Seen::Pods(change) => directory.apply_pods(*change, |event| match event {
                "added" => self.metrics.pods[0].inc(),
                "updated" => self.metrics.pods[1].inc(),
                _ => self.metrics.pods[2].inc(),
            }),
            Seen::Namespaces(change) => directory.apply(Kind::Namespace, change, count(Kind::Namespace)),
            Seen::Nodes(change) => directory.apply(Kind::Node, change, count(Kind::Node)),
            Seen::ReplicaSets(change) => directory.apply(Kind::ReplicaSet, change, count(Kind::ReplicaSet)),
            Seen::Deployments(change) => directory.apply(Kind::Deployment, change, count(Kind::Deployment)),
            Seen::StatefulSets(change) => directory.apply(Kind::StatefulSet, change, count(Kind::StatefulSet)),
            Seen::DaemonSets(change) => directory.apply(Kind::DaemonSet, change, count(Kind::DaemonSet)),
            Seen::Jobs(change) => directory.apply(Kind::Job, change, count(Kind::Job)),
        }
        self.metrics.table.set(directory.size() as f64);
        drop(directory);
        if all_pods && !self.complete.send_replace(true) {
            context.healthy("the pods of the cluster are known");
        }
    }
}

fn follow<T: Object>(changes: &mut Changes, cluster: &Cluster, scope: Scope, seen: fn(Change<T>) -> Seen) {
    changes.push(Box::pin(watch::<T>(cluster.clone(), scope, Timing::default()).map(seen)));
}

/// What was known stays when a watch fails: a server that restarts has not lost its pods.
fn note(context: &Context, failing: &mut Failing, seen: &Seen) {
    let name = seen.name();
    if let Some(error) = seen.failure() {
        let before = failing.insert(name, error.to_owned());
        if before.is_none() {
            tracing::error!(error, of = name, "cannot watch the cluster; it is tried again");
        }
    } else if failing.remove(name).is_some() {
        tracing::info!(of = name, "the cluster is watched again");
        if failing.is_empty() {
            context.healthy("the cluster is watched again");
        }
    }
    if let Some((name, error)) = failing.first_key_value() {
        context.unhealthy(format!("cannot watch {name}: {error}"));
    }
}

/// The server filters.
fn pod_scope(filter: &Filter) -> Scope {
    let equation = |condition: &Condition| {
        let Condition { key, value, op } = condition;
        match &op[..] {
            "not-equals" => format!("{key}!={value}"),
            "exists" => key.clone(),
            "does-not-exist" => format!("!{key}"),
            _ => format!("{key}={value}"),
        }
    };
    let mut fields: Vec<String> = filter.field.iter().map(equation).collect();
    if !filter.node.is_empty() {
        fields.push(format!("spec.nodeName={}", filter.node));
    }
    Scope {
        namespace: filter.namespace.clone(),
        label: filter.label.iter().map(equation).collect::<Vec<_>>().join(","),
        field: fields.join(","),
    }
}

// === impl Seen ===

impl Seen {
    fn name(&self) -> &'static str {
        match self {
            Seen::Pods(_) => Pod::PLURAL,
            Seen::Namespaces(_) => Namespace::PLURAL,
            Seen::Nodes(_) => Node::PLURAL,
            Seen::ReplicaSets(_) => ReplicaSet::PLURAL,
            Seen::Deployments(_) => Deployment::PLURAL,
            Seen::StatefulSets(_) => StatefulSet::PLURAL,
            Seen::DaemonSets(_) => DaemonSet::PLURAL,
            Seen::Jobs(_) => Job::PLURAL,
        }
    }

    fn is_list(&self) -> bool {
        match self {
            Seen::Pods(change) => change.is_list(),
            Seen::Namespaces(change) => change.is_list(),
            Seen::Nodes(change) => change.is_list(),
            Seen::ReplicaSets(change) => change.is_list(),
            Seen::Deployments(change) => change.is_list(),
            Seen::StatefulSets(change) => change.is_list(),
            Seen::DaemonSets(change) => change.is_list(),
            Seen::Jobs(change) => change.is_list(),
        }
    }

    fn failure(&self) -> Option<&str> {
        match self {
            Seen::Pods(change) => match &**change {
                Change::Failing(error) => Some(error),
                _ => None,
            },
            Seen::Namespaces(Change::Failing(error))
            | Seen::Nodes(Change::Failing(error))
            | Seen::ReplicaSets(Change::Failing(error))
            | Seen::Deployments(Change::Failing(error))
            | Seen::StatefulSets(Change::Failing(error))
            | Seen::DaemonSets(Change::Failing(error))
            | Seen::Jobs(Change::Failing(error)) => Some(error),
            _ => None,
        }
    }
}
