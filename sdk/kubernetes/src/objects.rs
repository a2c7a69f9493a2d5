//! The objects of a cluster, slim: of each only the fields that somebody uses.

mod event;
mod network;
mod node;
mod pod;
mod pod_logs;
mod workload;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

pub use event::{Event, EventSource, Involved};
pub use network::{
    Address, Conditions, EndpointPort, EndpointSlice, Endpoints, Ingress, IngressHttp, IngressPath, IngressRule,
    IngressSpec, IngressTls, Service, ServicePort, ServiceSpec, SliceEndpoint, SlicePort, Subset, TargetRef,
};
pub use node::{Namespace, Node, NodeAddress};
pub use pod::{
    Container, ContainerKind, ContainerPort, ContainerState, ContainerStatus, Pod, PodSpec, PodStatus, Terminated,
};
pub use pod_logs::{PodLogs, PodLogsSpec, Relabeling};
pub use workload::{DaemonSet, Deployment, Job, ReplicaSet, StatefulSet};

/// A kind of object: how to ask for it and what it is called.
pub trait Object: DeserializeOwned + Send + Sync + 'static {
    /// `/api/v1`, `/apis/GROUP/VERSION`
    const PATH: &'static str;
    /// As it stands in URLs: `pods`.
    const PLURAL: &'static str;

    /// Whether objects want to know the version that they were read in ([`Object::versioned`]).
    const KEEPS_VERSION: bool = false;

    /// Name, namespace and so on.
    fn metadata(&self) -> &Metadata;

    /// Told the version that it was read in. Most kinds do not keep it, as it changes without anything else changing.
    fn versioned(&mut self, _version: &str) {}
}

/// What every object has. Two versions of an object that differ in nothing that is kept are equal.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// Empty for what is in no namespace.
    #[serde(default)]
    pub namespace: String,
    /// Of this object alone, for ever.
    #[serde(default)]
    pub uid: String,
    /// Labels.
    #[serde(default, deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, String>,
    /// Who made it.
    #[serde(default, deserialize_with = "nullable")]
    pub owner_references: Vec<Owner>,
    /// When it was made.
    #[serde(default)]
    pub creation_timestamp: Option<String>,
    /// When it was asked to end.
    #[serde(default)]
    pub deletion_timestamp: Option<String>,
}

/// Who made an object.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Owner {
    /// `ReplicaSet`, `Job`, …
    #[serde(default)]
    pub kind: String,
    /// The owner's name.
    #[serde(default)]
    pub name: String,
    /// Of this owner alone, for ever.
    #[serde(default)]
    pub uid: String,
    /// Whether it is the one that manages the object.
    #[serde(default)]
    pub controller: Option<bool>,
}

/// What a node or pod says of itself.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// `Ready`, …
    #[serde(default)]
    pub r#type: String,
    /// `True`, `False`, `Unknown`
    #[serde(default)]
    pub status: String,
}

// === impl Metadata ===

impl Metadata {
    /// Whoever manages the object.
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }
}

/// The name of a label or annotation as a part of a Prometheus label name: `app.kubernetes.io/name` →
/// `app_kubernetes_io_name`.
pub fn label_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// Go writes empty lists and maps as `null`.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
