//! What is known of the cluster, and the targets that it gives.
//!
//! Targets are made again only of what has changed: of an object itself, or of another one whose labels it takes along.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use language_eval::Target;
use sdk_kubernetes::objects::{EndpointSlice, Endpoints, Ingress, Namespace, Node, Pod, Service};
use sdk_kubernetes::{Change, Key, Store};

use super::labels::Names;
use super::{AttachMetadata, Role};
use super::{endpoints, endpointslice, ingress, node, pod, service};

/// A change, and in which of our watches it was seen.
pub enum Seen {
    Node(usize, Change<Node>),
    Pod(usize, Change<Pod>),
    Service(usize, Change<Service>),
    Endpoints(usize, Change<Endpoints>),
    EndpointSlice(usize, Change<EndpointSlice>),
    Ingress(usize, Change<Ingress>),
    Namespace(usize, Change<Namespace>),
}

/// The targets of one object, and the pods whose labels they have.
#[derive(Default)]
pub struct Group {
    pub targets: Vec<Target>,
    pub pods: Vec<Key>,
}

/// What is known of the cluster.
pub struct World {
    pub attach: AttachMetadata,
    pub nodes: Store<Node>,
    pub pods: Store<Pod>,
    pub services: Store<Service>,
    pub namespaces: Store<Namespace>,
    endpoints: Store<Endpoints>,
    slices: Store<EndpointSlice>,
    ingresses: Store<Ingress>,
    role: Role,
    /// By watch: whether its first list has come.
    listed: Vec<bool>,
    groups: BTreeMap<Key, Group>,
    /// Which groups have labels of a pod.
    by_pod: HashMap<Key, BTreeSet<Key>>,
    stale: Stale,
    is_new: bool,
    names: Names,
}

/// What is to be made again.
enum Stale {
    These(BTreeSet<Key>),
    All,
}

// === impl Seen ===

impl Seen {
    /// Why the API cannot be asked.
    pub fn failure(&self) -> Option<&str> {
        fn of<T>(change: &Change<T>) -> Option<&str> {
            match change {
                Change::Failing(error) => Some(error),
                _ => None,
            }
        }
        match self {
            Seen::Node(_, change) => of(change),
            Seen::Pod(_, change) => of(change),
            Seen::Service(_, change) => of(change),
            Seen::Endpoints(_, change) => of(change),
            Seen::EndpointSlice(_, change) => of(change),
            Seen::Ingress(_, change) => of(change),
            Seen::Namespace(_, change) => of(change),
        }
    }
}

// === impl World ===

impl World {
    pub fn new(role: Role, attach: AttachMetadata) -> World {
        World {
            attach,
            nodes: Store::default(),
            pods: Store::default(),
            services: Store::default(),
            namespaces: Store::default(),
            endpoints: Store::default(),
            slices: Store::default(),
            ingresses: Store::default(),
            role,
            listed: Vec::new(),
            groups: BTreeMap::new(),
            by_pod: HashMap::new(),
            stale: Stale::All,
            is_new: true,
            names: Names::default(),
        }
    }

    /// One more watch, by its number.
    pub fn expect(&mut self) -> usize {
        self.listed.push(false);
        self.listed.len() - 1
    }

    /// Every watch has told what there is.
    pub fn is_complete(&self) -> bool {
        self.listed.iter().all(|listed| *listed)
    }

    /// Targets were never made.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Targets are to be made again.
    pub fn has_changed(&self) -> bool {
        match &self.stale {
            Stale::All => true,
            Stale::These(keys) => !keys.is_empty(),
        }
    }

    /// Takes a change over; `count` is told role and kind of every event.
    pub fn apply(&mut self, seen: Seen, mut count: impl FnMut(&str, &str)) {
        let role = self.role;
        match seen {
            Seen::Pod(watch, change) => {
                self.note(watch, &change);
                let changed = self.pods.apply(watch, change, |event| {
                    // As Prometheus counts them.
                    if role == Role::Pod || role == Role::Endpoints && event == "update" {
                        count("pod", event);
                    }
                });
                match role {
                    Role::Pod => self.stale.add(changed),
                    _ => {
                        let users = changed.iter().filter_map(|key| self.by_pod.get(key)).flatten().cloned().collect();
                        self.stale.add(users);
                    }
                }
            }
            Seen::Endpoints(watch, change) => {
                self.note(watch, &change);
                let changed = self.endpoints.apply(watch, change, |event| count("endpoints", event));
                self.stale.add(changed);
            }
            Seen::EndpointSlice(watch, change) => {
                self.note(watch, &change);
                let changed = self.slices.apply(watch, change, |event| count("endpointslice", event));
                self.stale.add(changed);
            }
            Seen::Ingress(watch, change) => {
                self.note(watch, &change);
                let changed = self.ingresses.apply(watch, change, |event| count("ingress", event));
                self.stale.add(changed);
            }
            Seen::Node(watch, change) => {
                self.note(watch, &change);
                let changed = self.nodes.apply(watch, change, |event| {
                    if role == Role::Node {
                        count("node", event);
                    }
                });
                self.stale.add_own_or_all(role == Role::Node, changed);
            }
            Seen::Service(watch, change) => {
                self.note(watch, &change);
                let changed = self.services.apply(watch, change, |event| count("service", event));
                self.stale.add_own_or_all(role == Role::Service, changed);
            }
            Seen::Namespace(watch, change) => {
                self.note(watch, &change);
                let changed = self.namespaces.apply(watch, change, |_| {});
                self.stale.add_own_or_all(false, changed);
            }
        }
    }

    fn note<T>(&mut self, watch: usize, change: &Change<T>) {
        if change.is_list() {
            self.listed[watch] = true;
        }
    }

    /// All targets, by namespace and name of their objects.
    pub fn targets(&mut self) -> Vec<Target> {
        self.is_new = false;
        let stale = match std::mem::replace(&mut self.stale, Stale::These(BTreeSet::new())) {
            Stale::These(keys) => keys,
            Stale::All => {
                let mut keys: BTreeSet<Key> = self.groups.keys().cloned().collect();
                match self.role {
                    Role::Node => keys.extend(self.nodes.keys().cloned()),
                    Role::Pod => keys.extend(self.pods.keys().cloned()),
                    Role::Service => keys.extend(self.services.keys().cloned()),
                    Role::Endpoints => keys.extend(self.endpoints.keys().cloned()),
                    Role::EndpointSlice => keys.extend(self.slices.keys().cloned()),
                    Role::Ingress => keys.extend(self.ingresses.keys().cloned()),
                }
                keys
            }
        };
        for key in stale {
            self.make(key);
        }
        self.groups.values().flat_map(|group| &group.targets).cloned().collect()
    }

    fn make(&mut self, key: Key) {
        let mut names = std::mem::take(&mut self.names);
        let group = match self.role {
            Role::Node => self.nodes.get(&key).map(|object| node::group(object, &mut names)),
            Role::Pod => self.pods.get(&key).map(|object| pod::group(object, self, &mut names)),
            Role::Service => self.services.get(&key).map(|object| service::group(object, self, &mut names)),
            Role::Endpoints => self.endpoints.get(&key).map(|object| endpoints::group(object, self, &mut names)),
            Role::EndpointSlice => self.slices.get(&key).map(|object| endpointslice::group(object, self, &mut names)),
            Role::Ingress => self.ingresses.get(&key).map(|object| ingress::group(object, self, &mut names)),
        };
        self.names = names;
        if let Some(before) = self.groups.remove(&key) {
            for pod in before.pods {
                if let Some(users) = self.by_pod.get_mut(&pod) {
                    users.remove(&key);
                    if users.is_empty() {
                        self.by_pod.remove(&pod);
                    }
                }
            }
        }
        let Some(group) = group else { return };
        for pod in &group.pods {
            self.by_pod.entry(pod.clone()).or_default().insert(key.clone());
        }
        self.groups.insert(key, group);
    }
}

// === impl Stale ===

impl Stale {
    fn add(&mut self, changed: Vec<Key>) {
        if let Stale::These(keys) = self {
            keys.extend(changed);
        }
    }

    /// Objects of the role itself, or others, which may be behind any target.
    fn add_own_or_all(&mut self, own: bool, changed: Vec<Key>) {
        if own {
            self.add(changed);
        } else if !changed.is_empty() {
            *self = Stale::All;
        }
    }
}
