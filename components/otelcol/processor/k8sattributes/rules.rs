//! What is extracted, ready to be applied to objects.

use std::collections::{BTreeMap, BTreeSet};

use base_re2::{Regex, Slots};
use sdk_kubernetes::objects::Metadata;

use super::arguments::{Arguments, Field, USUAL};

/// Names and values of attributes.
pub(super) type Texts = BTreeMap<String, String>;

/// What is extracted from the objects of a cluster.
pub(super) struct Rules {
    metadata: BTreeSet<String>,
    labels: Vec<Rule>,
    annotations: Vec<Rule>,
    /// The name of a deployment is found in that of its replica set.
    pub by_replica_set_name: bool,
    excluded: Vec<Regex>,
}

struct Rule {
    from: From,
    name: String,
    key: String,
    pattern: Option<Regex>,
}

/// Whose labels and annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum From {
    Pod,
    Namespace,
    Node,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
}

/// A pod that is not to be looked at says so in this annotation.
const IGNORE: &str = "opentelemetry.io/k8s-processor/ignore";

// === impl Rules ===

impl Rules {
    /// Validated: every expression can be compiled.
    pub fn new(arguments: &Arguments) -> Rules {
        let extract = &arguments.extract;
        let rules = |fields: &[Field]| fields.iter().map(Rule::new).collect::<Vec<_>>();
        let mut annotations = rules(&extract.annotation);
        if extract.otel_annotations {
            annotations.push(Rule {
                from: From::Pod,
                name: "$1".to_owned(),
                key: String::new(),
                pattern: Regex::new(r"^resource\.opentelemetry\.io/(.+)$").ok(),
            });
        }
        let metadata = match &extract.metadata {
            Some(given) => given.iter().cloned().collect(),
            None => USUAL.map(str::to_owned).into(),
        };
        Rules {
            metadata,
            labels: rules(&extract.label),
            annotations,
            by_replica_set_name: extract.deployment_name_from_replicaset,
            excluded: arguments.exclude.pods().iter().filter_map(|pod| Regex::new(&pod.name).ok()).collect(),
        }
    }

    /// Whether an attribute is wanted.
    pub fn has(&self, name: &str) -> bool {
        self.metadata.contains(name)
    }

    /// Whether labels or annotations of such objects are wanted.
    pub fn look_at(&self, from: From) -> bool {
        self.labels.iter().chain(&self.annotations).any(|rule| rule.from == from)
    }

    /// Whether anything is wanted of containers.
    pub fn want_containers(&self) -> bool {
        [
            "container.id",
            "container.image.name",
            "container.image.repo_digests",
            "container.image.tag",
            "k8s.container.name",
            "service.instance.id",
            "service.version",
        ]
        .iter()
        .any(|name| self.has(name))
    }

    /// Whether a pod is not to be looked at.
    pub fn ignore(&self, pod: &Metadata) -> bool {
        let said = pod.annotations.get(IGNORE).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        said || self.excluded.iter().any(|name| name.is_match(&pod.name))
    }

    /// The wanted labels of an object.
    pub fn labels(&self, from: From, object: &Metadata, to: &mut Texts) {
        let word = match from {
            From::Pod | From::Namespace | From::Node => "labels",
            _ => "label",
        };
        for rule in self.labels.iter().filter(|rule| rule.from == from) {
            rule.apply(&object.labels, word, to);
        }
    }

    /// The wanted annotations of an object.
    pub fn annotations(&self, from: From, object: &Metadata, to: &mut Texts) {
        let word = match from {
            From::Pod | From::Namespace | From::Node => "annotations",
            _ => "annotation",
        };
        for rule in self.annotations.iter().filter(|rule| rule.from == from) {
            rule.apply(&object.annotations, word, to);
        }
    }
}

// === impl Rule ===

impl Rule {
    fn new(field: &Field) -> Rule {
        let from = match &field.from[..] {
            "namespace" => From::Namespace,
            "node" => From::Node,
            "deployment" => From::Deployment,
            "statefulset" => From::StatefulSet,
            "daemonset" => From::DaemonSet,
            "job" => From::Job,
            _ => From::Pod,
        };
        let pattern = field.pattern().ok().flatten();
        Rule { from, name: field.tag_name.clone(), key: field.key.clone(), pattern }
    }

    fn apply(&self, values: &BTreeMap<String, String>, word: &str, to: &mut Texts) {
        let usual = |key: &str| format!("k8s.{}.{word}.{key}", self.from.word());
        let Some(pattern) = &self.pattern else {
            if let Some(value) = values.get(&self.key) {
                let name = if self.name.is_empty() { usual(&self.key) } else { self.name.clone() };
                to.insert(name, value.clone());
            }
            return;
        };
        let mut slots = Slots::default();
        for (key, value) in values.iter().filter(|(_, value)| !value.is_empty()) {
            if !pattern.captures(key, &mut slots) {
                continue;
            }
            let mut name = String::new();
            if pattern.groups() > 1 && !self.name.is_empty() {
                pattern.expand(&self.name, key, &slots, &mut name);
            } else {
                // As the Collector: a name that refers to nothing would be the same for all.
                name = usual(key);
            }
            to.insert(name, value.clone());
        }
    }
}

// === impl From ===

impl From {
    fn word(self) -> &'static str {
        match self {
            From::Pod => "pod",
            From::Namespace => "namespace",
            From::Node => "node",
            From::Deployment => "deployment",
            From::StatefulSet => "statefulset",
            From::DaemonSet => "daemonset",
            From::Job => "job",
        }
    }
}
