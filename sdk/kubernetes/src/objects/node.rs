//! Nodes and namespaces.

use serde::Deserialize;

use super::{Condition, Metadata, Object, nullable};

/// A machine.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Name and labels.
    pub metadata: Metadata,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
struct NodeSpec {
    #[serde(rename = "providerID")]
    provider_id: String,
}

#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct NodeStatus {
    #[serde(deserialize_with = "nullable")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "nullable")]
    addresses: Vec<NodeAddress>,
    daemon_endpoints: DaemonEndpoints,
}

/// Where a node is.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `Hostname`, …
    pub r#type: String,
    /// The address.
    pub address: String,
}

#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct DaemonEndpoints {
    kubelet_endpoint: DaemonEndpoint,
}

#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
struct DaemonEndpoint {
    #[serde(rename = "Port")]
    port: i64,
}

/// A namespace.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Namespace {
    /// Name and labels.
    pub metadata: Metadata,
}

// === impl Node ===

impl Node {
    /// The cloud's name for it.
    pub fn provider_id(&self) -> &str {
        &self.spec.provider_id
    }

    /// How it is.
    pub fn conditions(&self) -> &[Condition] {
        &self.status.conditions
    }

    /// Where it is.
    pub fn addresses(&self) -> &[NodeAddress] {
        &self.status.addresses
    }

    /// Of its kubelet.
    pub fn kubelet_port(&self) -> i64 {
        self.status.daemon_endpoints.kubelet_endpoint.port
    }
}

impl Object for Node {
    const PATH: &'static str = "/api/v1";
    const PLURAL: &'static str = "nodes";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Object for Namespace {
    const PATH: &'static str = "/api/v1";
    const PLURAL: &'static str = "namespaces";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}
