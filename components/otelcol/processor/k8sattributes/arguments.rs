//! The arguments.

use base_re2::Regex;
use base_stdx::duration::GoDuration;
use language_eval::{Block, Invalid, Validate};
use sdk_kubernetes::AuthType;
use sdk_otel::debug_metrics::DebugMetrics;
use sdk_otel::not_yet;
use sdk_otel::output::Output;

/// Adds to resources what Kubernetes knows of the pod that they come from: its name, its namespace, its deployment, labels
/// and annotations. An attribute that a resource has already, and that is not empty, stays.
///
/// The cluster is watched. Without `auth_type` it is the cluster that we run in, and we are the service account of our pod,
/// which needs the rights `get`, `list` and `watch` for pods, and for whatever else something is extracted from. Data of
/// which nothing is known is handed on as it is.
#[derive(Clone, Debug, Block)]
#[block(validate)]
pub struct Arguments {
    /// Who we are towards the API: `serviceAccount` (also when it is empty), `kubeConfig` (the file that `KUBECONFIG` names, or
    /// `~/.kube/config`), or `none`.
    #[attr(optional)]
    pub auth_type: String,
    /// Only tells the address of the sender, as `k8s.pod.ip`, and asks no API: another collector behind this one looks it up.
    #[attr(optional)]
    pub passthrough: bool,
    /// What is added.
    #[block(optional)]
    pub extract: Extract,
    /// Which pods are looked at. The API server filters, so the others cost nothing.
    #[block(optional)]
    pub filter: Filter,
    /// How the pod of a resource is found: the first of these whose sources are all there counts. Without any: by
    /// `k8s.pod.ip`, `ip`, the sender's address, and `host.name` if it is an address.
    #[block]
    pub pod_association: Vec<PodAssociation>,
    /// Pods that are not looked at.
    #[block(optional)]
    pub exclude: Exclude,
    /// Takes nothing before all pods are known.
    #[attr(optional)]
    pub wait_for_metadata: bool,
    /// How long senders wait for that; then they are refused, retryably, until it is so.
    #[attr(default = GoDuration::from_secs(10))]
    pub wait_for_metadata_timeout: GoDuration,
    /// Without effect: what changes is told by the watch at once, and looked at once.
    #[attr(default = GoDuration::from_secs(300))]
    pub watch_sync_period: GoDuration,
    /// How long a pod is remembered that has ended, for its last data.
    #[attr(default = GoDuration::from_secs(120))]
    pub pod_delete_grace_period: GoDuration,
    /// Where to send what came in.
    #[block(required)]
    pub output: Output,
    /// Metrics of the component itself.
    #[block(optional)]
    pub debug_metrics: DebugMetrics,
}

/// What is added.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(default, validate)]
pub struct Extract {
    /// Names of attributes. When nothing is said: `container.image.name`, `container.image.tag`, `k8s.deployment.name`,
    /// `k8s.namespace.name`, `k8s.node.name`, `k8s.pod.name`, `k8s.pod.start_time` and `k8s.pod.uid`. `container.image.tags` has no
    /// effect, as in Alloy.
    #[attr]
    pub metadata: Option<Vec<String>>,
    /// Annotations.
    #[block]
    pub annotation: Vec<Field>,
    /// Labels.
    #[block]
    pub label: Vec<Field>,
    /// Annotations `resource.opentelemetry.io/NAME` of pods become attributes NAME.
    #[attr(optional)]
    pub otel_annotations: bool,
    /// Finds the name of a deployment in that of its replica set, instead of asking for replica sets.
    #[attr(default = true)]
    pub deployment_name_from_replicaset: bool,
}

/// Labels or annotations of an object.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(validate)]
pub struct Field {
    /// The attribute; by default a name made of the kind of object and the key, such as `k8s.pod.labels.KEY`. May refer to groups
    /// of `key_regex` (`$1`).
    #[attr(optional)]
    pub tag_name: String,
    /// The label or annotation.
    #[attr(optional)]
    pub key: String,
    /// All labels or annotations whose whole key matches.
    #[attr(optional)]
    pub key_regex: String,
    /// Whose: `pod` (also when it is empty), `namespace`, `node`, `deployment`, `statefulset`, `daemonset` or `job`.
    #[attr(optional)]
    pub from: String,
}

/// Which pods are looked at.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(validate)]
pub struct Filter {
    /// Those on this node.
    #[attr(optional)]
    pub node: String,
    /// Those in this namespace.
    #[attr(optional)]
    pub namespace: String,
    /// Those with such a field: `equals` or `not-equals`.
    #[block]
    pub field: Vec<Condition>,
    /// Those with such a label: `equals`, `not-equals`, `exists` or `does-not-exist`.
    #[block]
    pub label: Vec<Condition>,
}

/// A condition of a filter.
#[derive(Clone, Debug, Default, PartialEq, Block)]
pub struct Condition {
    /// The field or label.
    #[attr]
    pub key: String,
    /// What it is compared with.
    #[attr]
    pub value: String,
    /// How; `equals` when it is empty.
    #[attr(optional)]
    pub op: String,
}

/// One way to find the pod of a resource.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct PodAssociation {
    /// All of these must be the pod's; at most four.
    #[block(required)]
    pub source: Vec<Source>,
}

/// What a pod is known by.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct Source {
    /// `connection` (the sender's address is the pod's) or `resource_attribute`.
    #[attr]
    pub from: String,
    /// The attribute.
    #[attr(optional)]
    pub name: String,
}

/// Pods that are not looked at.
#[derive(Clone, Debug, PartialEq, Block)]
pub struct Exclude {
    /// By their names; Jaeger's own pods when nothing is said.
    #[block]
    pub pod: Vec<ExcludedPod>,
}

/// Pods whose name matches.
#[derive(Clone, Debug, PartialEq, Block)]
#[block(validate)]
pub struct ExcludedPod {
    /// A regular expression for any part of the name.
    #[attr]
    pub name: String,
}

/// What `metadata` is when nobody says.
pub(super) const USUAL: [&str; 8] = [
    "container.image.name",
    "container.image.tag",
    "k8s.deployment.name",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.pod.name",
    "k8s.pod.start_time",
    "k8s.pod.uid",
];

/// What else `metadata` may name.
const UNUSUAL: [&str; 23] = [
    "container.id",
    "container.image.repo_digests",
    "container.image.tags",
    "k8s.cluster.uid",
    "k8s.container.name",
    "k8s.cronjob.name",
    "k8s.cronjob.uid",
    "k8s.daemonset.name",
    "k8s.daemonset.uid",
    "k8s.deployment.uid",
    "k8s.job.name",
    "k8s.job.uid",
    "k8s.node.uid",
    "k8s.pod.hostname",
    "k8s.pod.ip",
    "k8s.replicaset.name",
    "k8s.replicaset.uid",
    "k8s.statefulset.name",
    "k8s.statefulset.uid",
    "service.instance.id",
    "service.name",
    "service.namespace",
    "service.version",
];

/// As many sources as an association may have.
const MAX_SOURCES: usize = 4;

// === impl Exclude ===

impl Default for Exclude {
    fn default() -> Exclude {
        Exclude { pod: ["jaeger-agent", "jaeger-collector"].map(|name| ExcludedPod { name: name.to_owned() }).into() }
    }
}

impl Exclude {
    /// An empty block says nothing.
    pub(super) fn pods(&self) -> Vec<ExcludedPod> {
        if self.pod.is_empty() { Exclude::default().pod } else { self.pod.clone() }
    }
}

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if self.auth_type == "tls" {
            return Err(not_yet("auth_type"));
        }
        if AuthType::named(&self.auth_type).is_none() {
            let message = format!("invalid authType for kubernetes: {}", self.auth_type);
            return Err(Invalid::field("auth_type", message).with_hint("one of serviceAccount, kubeConfig, none"));
        }
        for (field, duration) in
            [("watch_sync_period", self.watch_sync_period), ("pod_delete_grace_period", self.pod_delete_grace_period)]
        {
            if duration.0 < 0 {
                return Err(Invalid::field(field, format!("{field} must be greater than or equal to 0")));
            }
        }
        Ok(())
    }
}

// === impl Extract ===

impl Validate for Extract {
    fn validate(&self) -> Result<(), Invalid> {
        let known = |name: &str| USUAL.contains(&name) || UNUSUAL.contains(&name);
        match self.metadata.iter().flatten().find(|name| !known(name)) {
            Some(unknown) => Err(Invalid::field("metadata", format!("{unknown:?} is not a supported metadata field"))),
            None => Ok(()),
        }
    }
}

// === impl Field ===

impl Validate for Field {
    fn validate(&self) -> Result<(), Invalid> {
        if !self.key.is_empty() && !self.key_regex.is_empty() {
            return Err(Invalid::field("key_regex", "only one of key and key_regex may be given"));
        }
        if !["", "pod", "namespace", "node", "deployment", "statefulset", "daemonset", "job"].contains(&&self.from[..])
        {
            let message = format!("{:?} is not a valid choice for from", self.from);
            let hint = "one of pod, namespace, deployment, statefulset, daemonset, job, node";
            return Err(Invalid::field("from", message).with_hint(hint));
        }
        self.pattern().map(|_| ()).map_err(|error| Invalid::field("key_regex", error.to_string()))
    }
}

impl Field {
    /// Matches whole keys.
    pub(super) fn pattern(&self) -> Result<Option<Regex>, base_re2::Error> {
        match &self.key_regex[..] {
            "" => Ok(None),
            regex => Regex::new(&format!("^(?:{regex})$")).map(Some),
        }
    }
}

// === impl Filter ===

impl Validate for Filter {
    fn validate(&self) -> Result<(), Invalid> {
        for (field, conditions, known) in [
            ("label", &self.label, &["", "equals", "not-equals", "exists", "does-not-exist"][..]),
            ("field", &self.field, &["", "equals", "not-equals"][..]),
        ] {
            for Condition { key, value, op } in conditions {
                if !known.contains(&&op[..]) {
                    let message =
                        format!("'{op}' is not a valid {field} filter operation for key={key}, value={value}");
                    return Err(Invalid::field(field, message));
                }
            }
        }
        Ok(())
    }
}

// === impl PodAssociation ===

impl Validate for PodAssociation {
    fn validate(&self) -> Result<(), Invalid> {
        if self.source.len() > MAX_SOURCES {
            return Err(Invalid::field("source", format!("too many association sources. limit is {MAX_SOURCES}")));
        }
        Ok(())
    }
}

// === impl Source ===

impl Validate for Source {
    fn validate(&self) -> Result<(), Invalid> {
        match &self.from[..] {
            "connection" | "resource_attribute" => Ok(()),
            other => Err(Invalid::field("from", format!("unknown source {other:?}"))
                .with_hint("one of connection, resource_attribute")),
        }
    }
}

// === impl ExcludedPod ===

impl Validate for ExcludedPod {
    fn validate(&self) -> Result<(), Invalid> {
        Regex::new(&self.name).map(|_| ()).map_err(|error| Invalid::field("name", error.to_string()))
    }
}
