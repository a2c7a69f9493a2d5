//! What a manager of a swarm tells of services, tasks and nodes, as far as anybody here asks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::model::or_default;

/// One entry of `GET /services`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Service {
    #[serde(rename = "ID")]
    pub id: String,
    pub spec: ServiceSpec,
    #[serde(deserialize_with = "or_default")]
    pub endpoint: ServiceEndpoint,
    /// None before the first update.
    pub update_status: Option<UpdateStatus>,
}

/// How a service shall be.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ServiceSpec {
    pub name: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub task_template: TaskSpec,
    #[serde(deserialize_with = "or_default")]
    pub mode: Mode,
}

/// How many tasks a service has; jobs are neither.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mode {
    global: Option<IgnoredAny>,
    replicated: Option<IgnoredAny>,
}

/// How a task shall be.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct TaskSpec {
    #[serde(deserialize_with = "or_default")]
    pub container_spec: ContainerSpec,
}

/// How a task's container shall be.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ContainerSpec {
    pub image: String,
    pub hostname: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// Where a service is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct ServiceEndpoint {
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<SwarmPort>,
    #[serde(rename = "VirtualIPs", deserialize_with = "or_default")]
    pub virtual_ips: Vec<VirtualIp>,
}

/// A published port.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct SwarmPort {
    pub name: String,
    /// `tcp`, `udp`, `sctp`
    pub protocol: String,
    pub published_port: u16,
    /// `ingress`, `host`
    pub publish_mode: String,
}

/// An address of a service in a network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct VirtualIp {
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// With the length of the network's prefix: `10.0.0.3/24`.
    #[serde(rename = "Addr")]
    pub address: String,
}

/// How the update of a service goes on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct UpdateStatus {
    pub state: String,
}

/// One entry of `GET /tasks`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Task {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// 0 in a global service.
    pub slot: i64,
    pub desired_state: String,
    pub status: TaskStatus,
    #[serde(deserialize_with = "or_default")]
    pub spec: TaskSpec,
    #[serde(deserialize_with = "or_default")]
    pub networks_attachments: Vec<Attachment>,
}

/// How a task is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct TaskStatus {
    pub state: String,
    /// None before it has a container.
    pub container_status: Option<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub port_status: PortStatus,
}

/// The container of a task.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    pub container_id: String,
}

/// Ports that a task has on its node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct PortStatus {
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<SwarmPort>,
}

/// Where a task is in a network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Attachment {
    pub network: AttachedNetwork,
    /// With the length of the network's prefix.
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<String>,
}

/// A network of a task.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct AttachedNetwork {
    #[serde(rename = "ID")]
    pub id: String,
}

/// One entry of `GET /nodes`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Node {
    #[serde(rename = "ID")]
    pub id: String,
    pub spec: NodeSpec,
    pub description: NodeDescription,
    pub status: NodeStatus,
    /// None of a worker.
    pub manager_status: Option<ManagerStatus>,
}

/// How a node shall be.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct NodeSpec {
    pub role: String,
    pub availability: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// What a node is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct NodeDescription {
    pub hostname: String,
    pub platform: Platform,
    pub engine: EngineDescription,
}

/// What a node runs on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Platform {
    #[serde(rename = "Architecture")]
    pub architecture: String,
    #[serde(rename = "OS")]
    pub os: String,
}

/// The engine of a node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct EngineDescription {
    pub engine_version: String,
}

/// How a node is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct NodeStatus {
    #[serde(rename = "State")]
    pub state: String,
    #[serde(rename = "Addr")]
    pub address: String,
}

/// What a manager is to the others.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ManagerStatus {
    #[serde(rename = "Leader")]
    pub leader: bool,
    #[serde(rename = "Reachability")]
    pub reachability: String,
    #[serde(rename = "Addr")]
    pub address: String,
}

// === impl Mode ===

impl Mode {
    /// `global`, `replicated`, or nothing for what is neither.
    pub fn as_str(&self) -> &'static str {
        match (&self.global, &self.replicated) {
            (Some(_), _) => "global",
            (None, Some(_)) => "replicated",
            (None, None) => "",
        }
    }
}
