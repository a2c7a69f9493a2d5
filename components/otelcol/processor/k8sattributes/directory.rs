//! What is known of the cluster, and where data looks it up.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sdk_kubernetes::objects::{Metadata, Owner, Pod};
use sdk_kubernetes::{Change, Object};
use tokio::time::Instant;

use super::association::{Associations, Identifier};
use super::pod::{Known, Values, encoded};
use super::rules::{From, Rules, Texts};

/// Pods by what their data is known by, and everything that they belong to.
pub(super) struct Directory {
    pods: HashMap<Identifier, Arc<Known>>,
    /// By their unique identifiers.
    listed: HashMap<String, Listed>,
    /// What is to be forgotten, and when.
    leaving: VecDeque<(Instant, Identifier, Arc<Known>)>,
    pub workloads: Workloads,
    rules: Arc<Rules>,
    associations: Arc<Associations>,
    grace: Duration,
}

/// A pod that there is.
struct Listed {
    pod: Pod,
    known: Arc<Known>,
    identifiers: Vec<Identifier>,
}

/// Everything but pods.
#[derive(Default)]
pub(super) struct Workloads {
    things: HashMap<From, HashMap<String, Thing>>,
    /// By the replica set's identifier: its deployment.
    replica_sets: HashMap<String, Option<Named>>,
    /// By the job's identifier: its cron job.
    jobs: HashMap<String, Option<Named>>,
    cluster_uid: Option<String>,
}

/// An object whose labels or annotations are wanted.
pub(super) struct Thing {
    pub uid: String,
    pub values: Values,
}

/// A name and a unique identifier.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub name: String,
    pub uid: String,
}

/// The namespace whose identifier is that of the cluster.
pub(super) const CLUSTER_NAMESPACE: &str = "kube-system";

// === impl Directory ===

impl Directory {
    pub fn new(rules: Arc<Rules>, associations: Arc<Associations>, grace: Duration) -> Directory {
        Directory {
            pods: HashMap::new(),
            listed: HashMap::new(),
            leaving: VecDeque::new(),
            workloads: Workloads::default(),
            rules,
            associations,
            grace,
        }
    }

    /// The pod of this identifier.
    pub fn pod(&self, identifier: &Identifier) -> Option<&Arc<Known>> {
        self.pods.get(identifier)
    }

    /// How many identifiers there are.
    pub fn size(&self) -> usize {
        self.pods.len()
    }

    /// Takes over what has happened to pods; `count` is told `added`, `updated` or `deleted` for each.
    pub fn apply_pods(&mut self, change: Change<Pod>, mut count: impl FnMut(&'static str)) {
        match change {
            Change::All(pods) => {
                let present: HashSet<&str> = pods.iter().map(|pod| &pod.metadata.uid[..]).collect();
                let gone = self.listed.keys().filter(|uid| !present.contains(&uid[..]));
                for uid in gone.cloned().collect::<Vec<_>>() {
                    count("deleted");
                    self.forget(&uid);
                }
                for pod in pods {
                    self.set_pod(pod, &mut count);
                }
            }
            Change::Set(pod) => self.set_pod(pod, &mut count),
            Change::Gone(pod) => {
                count("deleted");
                self.forget(&pod.metadata.uid);
            }
            Change::Failing(_) | Change::Working => {}
        }
    }

    fn set_pod(&mut self, mut pod: Pod, count: &mut impl FnMut(&'static str)) {
        self.trim(&mut pod);
        match self.listed.get(&pod.metadata.uid) {
            Some(listed) if listed.pod == pod => return,
            Some(_) => count("updated"),
            None => count("added"),
        }
        self.learn(pod);
    }

    /// Keeps of a pod only what something is extracted from.
    fn trim(&self, pod: &mut Pod) {
        let (metadata, rules) = (&mut pod.metadata, &self.rules);
        let ignored = rules.ignore(metadata);
        if ignored || !rules.want_containers() {
            pod.spec.containers.clear();
            pod.spec.init_containers.clear();
            pod.status.container_statuses.clear();
            pod.status.init_container_statuses.clear();
        }
        for container in pod.spec.containers.iter_mut().chain(&mut pod.spec.init_containers) {
            container.ports = Vec::new();
        }
        for status in pod.status.container_statuses.iter_mut().chain(&mut pod.status.init_container_statuses) {
            (status.state, status.last_state) = Default::default();
        }
        pod.status.ephemeral_container_statuses = Vec::new();
        pod.status.conditions = Vec::new();
        pod.status.phase = String::new();
        let by_label = ["service.name", "service.version", "k8s.deployment.name"].iter().any(|name| rules.has(name));
        if !by_label && !rules.look_at(From::Pod) {
            metadata.labels.clear();
        }
        // Whether it is ignored is said in one of them.
        if !ignored && !rules.look_at(From::Pod) {
            metadata.annotations.clear();
        }
    }

    fn learn(&mut self, pod: Pod) {
        let known = Arc::new(Known::new(&pod, &self.rules, &self.workloads));
        let identifiers = self.associations.identifiers(&known);
        let before = self.listed.remove(&known.uid);
        for identifier in &identifiers {
            // An address may have been given to a new pod before the last word on the old one has come.
            let newer = self.pods.get(identifier).is_some_and(|other| match (&known.start, &other.start) {
                (Some(start), Some(other)) => start < other,
                _ => false,
            });
            if !newer {
                self.pods.insert(identifier.clone(), known.clone());
            }
        }
        if let Some(before) = before {
            let left = before.identifiers.into_iter().filter(|identifier| !identifiers.contains(identifier));
            self.leave(left.collect(), &before.known);
        }
        self.listed.insert(known.uid.clone(), Listed { pod, known, identifiers });
    }

    fn forget(&mut self, uid: &str) {
        if let Some(Listed { known, identifiers, .. }) = self.listed.remove(uid) {
            self.leave(identifiers, &known);
        }
    }

    fn leave(&mut self, identifiers: Vec<Identifier>, known: &Arc<Known>) {
        let at = Instant::now() + self.grace;
        self.leaving.extend(identifiers.into_iter().map(|identifier| (at, identifier, known.clone())));
    }

    /// When something is to be forgotten next.
    pub fn next_end(&self) -> Option<Instant> {
        self.leaving.front().map(|(at, ..)| *at)
    }

    /// Forgets whose time is over, unless the identifier has been given to somebody else.
    pub fn forget_ended(&mut self) {
        let now = Instant::now();
        while self.leaving.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, identifier, known)) = self.leaving.pop_front() else { return };
            if self.pods.get(&identifier).is_some_and(|other| Arc::ptr_eq(other, &known)) {
                self.pods.remove(&identifier);
            }
        }
        self.pods.shrink_to(self.pods.len() * 2);
    }

    /// Takes over what has happened to other objects. Pods that were extracted without it are extracted again.
    pub fn apply<T: Object>(&mut self, kind: Kind, change: Change<T>, mut count: impl FnMut(&'static str)) {
        let owners = match change {
            Change::All(objects) => {
                let before = self.workloads.take(kind);
                objects.iter().for_each(|object| {
                    count("added");
                    self.workloads.set(kind, object.metadata(), &self.rules);
                });
                (self.workloads.owners(kind) != before).then_some(None)
            }
            Change::Set(object) => {
                let is_new = self.workloads.set(kind, object.metadata(), &self.rules);
                count(if is_new { "added" } else { "updated" });
                // Of namespaces, only that of the cluster itself has something for pods.
                let concerns = kind != Kind::Namespace || object.metadata().name == CLUSTER_NAMESPACE;
                (is_new && concerns).then(|| Some(object.metadata().uid.clone()))
            }
            Change::Gone(object) => {
                count("deleted");
                // Its pods keep what they have.
                self.workloads.remove(kind, object.metadata());
                None
            }
            Change::Failing(_) | Change::Working => None,
        };
        let Some(owner) = owners.filter(|_| kind.is_behind_pods()) else { return };
        let concerned = |pod: &Pod| match &owner {
            Some(uid) if kind != Kind::Namespace => pod.metadata.owner_references.iter().any(|owner| owner.uid == *uid),
            _ => true,
        };
        let pods = self.listed.values().filter(|listed| concerned(&listed.pod));
        for pod in pods.map(|listed| listed.pod.clone()).collect::<Vec<_>>() {
            self.learn(pod);
        }
    }
}

/// A kind of object besides pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Namespace,
    Node,
    ReplicaSet,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
}

// === impl Kind ===

impl Kind {
    /// As it stands in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Namespace => "namespace",
            Kind::Node => "node",
            Kind::ReplicaSet => "replicaset",
            Kind::Deployment => "deployment",
            Kind::StatefulSet => "statefulset",
            Kind::DaemonSet => "daemonset",
            Kind::Job => "job",
        }
    }

    /// Attributes of pods come from it.
    fn is_behind_pods(self) -> bool {
        matches!(self, Kind::Namespace | Kind::ReplicaSet | Kind::Job)
    }

    fn from(self) -> Option<From> {
        Some(match self {
            Kind::Namespace => From::Namespace,
            Kind::Node => From::Node,
            Kind::ReplicaSet => return None,
            Kind::Deployment => From::Deployment,
            Kind::StatefulSet => From::StatefulSet,
            Kind::DaemonSet => From::DaemonSet,
            Kind::Job => From::Job,
        })
    }
}

// === impl Workloads ===

/// What pods take from objects of a kind.
type OwnersOf = (HashMap<String, Option<Named>>, Option<String>);

impl Workloads {
    /// An object, by its name (namespaces and nodes) or identifier.
    pub fn thing(&self, from: From, key: &str) -> Option<&Thing> {
        self.things.get(&from)?.get(key)
    }

    /// The deployment of a replica set, if that is known and there is one.
    pub fn deployment(&self, replica_set: &str) -> Option<&Named> {
        self.replica_set(replica_set)?
    }

    /// The deployment of a replica set, if that is known.
    pub fn replica_set(&self, uid: &str) -> Option<Option<&Named>> {
        self.replica_sets.get(uid).map(Option::as_ref)
    }

    /// The cron job of a job, if that is known.
    pub fn job(&self, uid: &str) -> Option<Option<&Named>> {
        self.jobs.get(uid).map(Option::as_ref)
    }

    /// The identifier of the cluster.
    pub fn cluster_uid(&self) -> Option<&str> {
        self.cluster_uid.as_deref()
    }

    fn owners(&self, kind: Kind) -> OwnersOf {
        match kind {
            Kind::ReplicaSet => (self.replica_sets.clone(), None),
            Kind::Job => (self.jobs.clone(), None),
            _ => (HashMap::new(), self.cluster_uid.clone()),
        }
    }

    fn take(&mut self, kind: Kind) -> OwnersOf {
        let before = self.owners(kind);
        match kind {
            Kind::ReplicaSet => self.replica_sets.clear(),
            Kind::Job => self.jobs.clear(),
            _ => {}
        }
        if let Some(from) = kind.from() {
            self.things.remove(&from);
        }
        before
    }

    /// Whether pods learn something from it.
    fn set(&mut self, kind: Kind, object: &Metadata, rules: &Rules) -> bool {
        let mut is_new = false;
        if let Some(from) = kind.from() {
            let mut texts = Texts::new();
            rules.labels(from, object, &mut texts);
            rules.annotations(from, object, &mut texts);
            let thing = Thing { uid: object.uid.clone(), values: encoded(&texts) };
            is_new = self.things.entry(from).or_default().insert(key(kind, object), thing).is_none();
        }
        match kind {
            Kind::ReplicaSet => {
                let owner = controller(object, "Deployment");
                is_new = self.replica_sets.get(&object.uid) != Some(&owner);
                self.replica_sets.insert(object.uid.clone(), owner);
            }
            Kind::Job => {
                let owner = controller(object, "CronJob");
                is_new = self.jobs.get(&object.uid) != Some(&owner);
                self.jobs.insert(object.uid.clone(), owner);
            }
            Kind::Namespace if object.name == CLUSTER_NAMESPACE => self.cluster_uid = Some(object.uid.clone()),
            _ => {}
        }
        is_new
    }

    fn remove(&mut self, kind: Kind, object: &Metadata) {
        match kind {
            Kind::ReplicaSet => drop(self.replica_sets.remove(&object.uid)),
            Kind::Job => drop(self.jobs.remove(&object.uid)),
            _ => {}
        }
        if let Some(things) = kind.from().and_then(|from| self.things.get_mut(&from)) {
            things.remove(&key(kind, object));
        }
    }
}

fn key(kind: Kind, object: &Metadata) -> String {
    match kind {
        Kind::Namespace | Kind::Node => object.name.clone(),
        _ => object.uid.clone(),
    }
}

fn controller(object: &Metadata, kind: &str) -> Option<Named> {
    let is = |owner: &&Owner| owner.kind == kind && owner.controller == Some(true);
    let owner = object.owner_references.iter().find(is)?;
    Some(Named { name: owner.name.clone(), uid: owner.uid.clone() })
}
