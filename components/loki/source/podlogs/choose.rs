//! Which containers PodLogs objects choose, and the labels of their lines.

use base_stdx::timestamp::Rfc3339;
use base_sys::clock;
use language_eval::{BodyNode, Value};
use sdk_kubernetes::objects::{Container, Metadata, Namespace, Pod, PodLogs, Relabeling};
use sdk_kubernetes::{Key, Store, label_name};
use sdk_labels::{Labels, LabelsBuilder};
use sdk_relabel::{Action, NameRule, Rule, RuleRegex, Rules};

use super::{LabelSelector, Seen};
use crate::source::pods::{Target, object};

const META: &str = "__meta_kubernetes_";

/// What is known of the cluster.
#[derive(Default)]
pub struct World {
    choosers: Store<PodLogs>,
    pods: Store<Pod>,
    namespaces: Store<Namespace>,
    /// Whether the first list of each has come.
    listed: [bool; 3],
}

/// Whose logs to follow.
pub struct Chosen {
    pub targets: Vec<Target>,
    /// Objects that cannot be followed, and why.
    pub refused: Vec<(Key, String)>,
    /// What was chosen by whom, for the web interface.
    pub shown: Vec<BodyNode>,
}

// === impl World ===

impl World {
    /// Takes a change over; whether anything is different now.
    pub fn apply(&mut self, seen: Seen) -> bool {
        let index = match &seen {
            Seen::Chooser(_) => 0,
            Seen::Pod(_) => 1,
            Seen::Namespace(_) => 2,
        };
        let (listed, changed) = match seen {
            Seen::Chooser(change) => (change.is_list(), self.choosers.apply(0, change, |_| {})),
            Seen::Pod(change) => (change.is_list(), self.pods.apply(0, change, |_| {})),
            Seen::Namespace(change) => (change.is_list(), self.namespaces.apply(0, change, |_| {})),
        };
        let first = listed && !std::mem::replace(&mut self.listed[index], true);
        first || !changed.is_empty()
    }

    /// Everything there is was told.
    pub fn is_complete(&self) -> bool {
        self.listed.iter().all(|listed| *listed)
    }

    /// By the PodLogs objects that these selectors mean.
    pub fn choose(&self, selector: &LabelSelector, namespaces: &LabelSelector, keep_meta: bool) -> Chosen {
        let mut chosen = Chosen { targets: Vec::new(), refused: Vec::new(), shown: Vec::new() };
        for (key, chooser) in self.choosers.sorted() {
            let metadata = &chooser.metadata;
            let Some(namespace) = self.namespaces.get(&Key::new("", &metadata.namespace)) else { continue };
            if selector.matches(&metadata.labels) && namespaces.matches(&namespace.metadata.labels) {
                let pods = self.chosen_by(chooser, keep_meta, &mut chosen.targets);
                if let Err(error) = &pods {
                    chosen.refused.push((key.clone(), error.clone()));
                }
                chosen.shown.push(shown(metadata, pods));
            }
        }
        chosen
    }

    fn chosen_by(
        &self,
        chooser: &PodLogs,
        keep_meta: bool,
        targets: &mut Vec<Target>,
    ) -> Result<Vec<BodyNode>, String> {
        let spec = &chooser.spec;
        let rules = rules(&spec.relabelings).map_err(|error| format!("invalid relabelings: {error}"))?;
        spec.selector.check().map_err(|error| format!("invalid Pod selector: {error}"))?;
        spec.namespace_selector.check().map_err(|error| format!("invalid Pod namespaceSelector: {error}"))?;
        let own = of_chooser(&chooser.metadata);
        let mut blocks = Vec::new();
        for (_, pod) in self.pods.sorted() {
            if !spec.selector.matches(&pod.metadata.labels) {
                continue;
            }
            let Some(namespace) = self.namespaces.get(&Key::new("", &pod.metadata.namespace)) else { continue };
            if !spec.namespace_selector.matches(&namespace.metadata.labels) {
                continue;
            }
            let base = of_pod(&own, pod, namespace);
            let mut containers = Vec::new();
            for (list, init) in [(&pod.spec.init_containers, true), (&pod.spec.containers, false)] {
                for container in list {
                    let discovered = of_container(&base, chooser, pod, container, init);
                    containers.push(choose_one(chooser, container, discovered, &rules, keep_meta, targets));
                }
            }
            blocks.push(block("pod", named(&pod.metadata).into_iter().chain(containers).collect()));
        }
        Ok(blocks)
    }
}

fn choose_one(
    chooser: &PodLogs,
    container: &Container,
    discovered: Labels,
    rules: &Rules,
    keep_meta: bool,
    targets: &mut Vec<Target>,
) -> BodyNode {
    let labels = rules.relabel(&discovered).unwrap_or_else(Labels::empty);
    let mut shown = vec![attribute("discovered_labels", object(&discovered))];
    // The default of a job that a rule has removed.
    let job = format!("{}/{}:{}", chooser.metadata.namespace, chooser.metadata.name, container.name);
    match Target::new(discovered, &labels, &job, keep_meta) {
        Ok(target) => {
            shown.push(attribute("labels", object(&target.labels)));
            targets.push(target);
        }
        Err(error) => {
            shown.push(attribute("labels", object(&labels)));
            shown.push(attribute("reconcile_error", Value::from(format!("invalid labels: {error}"))));
        }
    }
    block("container", shown)
}

/// The rules of an object; what it leaves out has Prometheus' default.
fn rules(relabelings: &[Relabeling]) -> Result<Rules, String> {
    let rule = |from: &Relabeling| {
        let mut rule = Rule { source_labels: from.source_labels.clone(), ..Rule::default() };
        if let Some(separator) = from.separator.as_ref().filter(|separator| !separator.is_empty()) {
            rule.separator.clone_from(separator);
        }
        if !from.regex.is_empty() {
            rule.regex = RuleRegex::new(&from.regex).map_err(|error| error.to_string())?;
        }
        rule.modulus = from.modulus;
        rule.target_label.clone_from(&from.target_label);
        if let Some(replacement) = from.replacement.as_ref().filter(|replacement| !replacement.is_empty()) {
            rule.replacement.clone_from(replacement);
        }
        if !from.action.is_empty() {
            let action = from.action.to_lowercase().parse::<Action>();
            rule.action = action.map_err(|_| format!("unknown relabel action {:?}", from.action))?;
        }
        rule.check()?;
        Ok(rule)
    };
    let rules: Result<Vec<Rule>, String> = relabelings.iter().map(rule).collect();
    Ok(Rules::new(rules?, NameRule::Legacy))
}

fn of_chooser(metadata: &Metadata) -> Labels {
    let mut labels = LabelsBuilder::default();
    set(&mut labels, "podlogs_namespace", &metadata.namespace);
    set(&mut labels, "podlogs_name", &metadata.name);
    set_metadata(&mut labels, "podlogs", metadata);
    labels.labels()
}

fn of_pod(own: &Labels, pod: &Pod, namespace: &Namespace) -> Labels {
    let mut labels = LabelsBuilder::new(own);
    set(&mut labels, "namespace", &pod.metadata.namespace);
    set_metadata(&mut labels, "namespace", &namespace.metadata);
    let (metadata, status) = (&pod.metadata, &pod.status);
    let ready = pod.ready();
    for (name, value) in [
        ("pod_uid", &metadata.uid),
        ("pod_name", &metadata.name),
        ("pod_node_name", &pod.spec.node_name),
        ("pod_ip", &status.pod_ip),
        ("pod_host_ip", &status.host_ip),
        ("pod_ready", &ready),
        ("pod_phase", &status.phase),
    ] {
        set(&mut labels, name, value);
    }
    set_metadata(&mut labels, "pod", metadata);
    if let Some(owner) = metadata.controller() {
        set(&mut labels, "pod_controller_kind", &owner.kind);
        set(&mut labels, "pod_controller_name", &owner.name);
    }
    labels.set("__pod_namespace__", &metadata.namespace);
    labels.set("__pod_name__", &metadata.name);
    labels.set("__pod_uid__", &metadata.uid);
    labels.labels()
}

fn of_container(base: &Labels, chooser: &PodLogs, pod: &Pod, container: &Container, init: bool) -> Labels {
    let mut labels = LabelsBuilder::new(base);
    set(&mut labels, "pod_container_init", if init { "true" } else { "false" });
    set(&mut labels, "pod_container_name", &container.name);
    set(&mut labels, "pod_container_image", &container.image);
    labels.set("__pod_container_name__", &container.name);
    let (pod, chooser) = (&pod.metadata, &chooser.metadata);
    labels.set("instance", &format!("{}/{}:{}", pod.namespace, pod.name, container.name));
    labels.set("job", &format!("{}/{}", chooser.namespace, chooser.name));
    labels.labels()
}

fn set(labels: &mut LabelsBuilder, name: &str, value: &str) {
    labels.set(&format!("{META}{name}"), value);
}

fn set_metadata(labels: &mut LabelsBuilder, kind: &str, metadata: &Metadata) {
    for (what, pairs) in [("label", &metadata.labels), ("annotation", &metadata.annotations)] {
        for (name, value) in pairs {
            let name = label_name(name);
            set(labels, &format!("{kind}_{what}_{name}"), value);
            set(labels, &format!("{kind}_{what}present_{name}"), "true");
        }
    }
}

fn shown(metadata: &Metadata, pods: Result<Vec<BodyNode>, String>) -> BodyNode {
    let mut body = named(metadata);
    body.push(attribute("last_reconcile", Value::from(Rfc3339(clock::now_ns()).to_string())));
    match pods {
        Ok(pods) => body.extend(pods),
        Err(error) => body.push(attribute("reconcile_error", Value::from(error))),
    }
    block("pod_logs", body)
}

fn named(metadata: &Metadata) -> Vec<BodyNode> {
    let text = |name, value: &str| attribute(name, Value::from(value));
    vec![text("namespace", &metadata.namespace), text("name", &metadata.name)]
}

fn attribute(name: &str, value: Value) -> BodyNode {
    BodyNode::Attribute { name: name.to_owned(), value }
}

fn block(name: &str, body: Vec<BodyNode>) -> BodyNode {
    BodyNode::Block { name: name.to_owned(), label: None, body }
}
